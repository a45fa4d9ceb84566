//! The calls that are running: what an end needs to know of its start.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::thread::{self, ThreadId};
use std::time::{Instant, SystemTime};

use plsync_journal::RecordId;

/// Most calls that are remembered; runs that `LangChain` never closes would otherwise stay for ever.
const MAX_RUNS: usize = 65_536;
/// How many of the oldest are forgotten at once when there are too many.
const FORGET: usize = 4096;
/// How many closed runs are remembered, to know a second end when it comes.
const MAX_CLOSED: usize = 1024;
/// Most token times of one call.
const MAX_TOKENS: usize = 1 << 20;

/// A call that is running.
pub(super) struct Run {
    pub(super) id: RecordId,
    pub(super) started: Instant,
    /// A chain that stands for an LLM request; only its chain events close it.
    pub(super) decision: bool,
    /// Where it began.
    thread: ThreadId,
    tokens: Vec<u64>,
    stream_events: Vec<u64>,
}

impl Run {
    pub(super) fn new(now: SystemTime, decision: bool) -> Self {
        Self {
            id: RecordId::at(now),
            started: Instant::now(),
            decision,
            thread: thread::current().id(),
            tokens: Vec::new(),
            stream_events: Vec::new(),
        }
    }

    pub(super) fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Nanoseconds from the start to each piece of the answer. A provider whose tokens show is not counted twice by the
    /// stream events that go with them.
    pub(super) fn piece_times(&self) -> &[u64] {
        if self.tokens.is_empty() { &self.stream_events } else { &self.tokens }
    }
}

/// Runs by `LangChain`'s run id.
#[derive(Default)]
pub(super) struct Flight {
    runs: HashMap<u128, Run>,
    /// Ids repeat, also at the same time. An end belongs to the start of its thread, where each call has a thread of its own; else
    /// the first end belongs to the first start. Later starts wait here in their order.
    waiting: VecDeque<(u128, Run)>,
    closed: VecDeque<u128>,
}

/// What an end finds.
pub(super) enum Closing {
    Run(Run),
    /// The run has had its end.
    Again,
    /// Its start was not seen.
    Unknown,
}

impl Flight {
    pub(super) fn open(&mut self, run_id: u128, run: Run) {
        if self.count() >= MAX_RUNS {
            self.forget_oldest();
        }
        match self.runs.entry(run_id) {
            Entry::Vacant(place) => _ = place.insert(run),
            Entry::Occupied(_) => self.waiting.push_back((run_id, run)),
        }
    }

    pub(super) fn close(&mut self, run_id: u128, decision: bool) -> Closing {
        let here = self.waits_here(run_id);
        let Entry::Occupied(mut place) = self.runs.entry(run_id) else {
            return if self.closed.contains(&run_id) { Closing::Again } else { Closing::Unknown };
        };
        if place.get().decision != decision {
            return Closing::Unknown;
        }
        let next = here.or_else(|| self.waiting.iter().position(|(id, _)| *id == run_id));
        let run = match next.and_then(|at| self.waiting.remove(at)) {
            Some((_, run)) if here.is_some() => run,
            Some((_, next)) => place.insert(next),
            None => place.remove(),
        };
        if self.closed.len() >= MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(run_id);
        Closing::Run(run)
    }

    pub(super) fn is_open(&self, run_id: u128) -> bool {
        self.runs.contains_key(&run_id)
    }

    /// A piece of the answer has come: a token, or (`of_stream`) an event of the streaming protocol.
    pub(super) fn piece(&mut self, run_id: u128, of_stream: bool) {
        let run = match self.waits_here(run_id) {
            Some(at) => self.waiting.get_mut(at).map(|(_, run)| run),
            None => self.runs.get_mut(&run_id),
        };
        if let Some(run) = run {
            let elapsed = run.elapsed_ns();
            let times = if of_stream { &mut run.stream_events } else { &mut run.tokens };
            if times.len() < MAX_TOKENS {
                times.push(elapsed);
            }
        }
    }

    /// The place of this thread's run among those that wait; None where the first of its id is meant.
    fn waits_here(&self, run_id: u128) -> Option<usize> {
        if self.waiting.is_empty() {
            return None;
        }
        let here = thread::current().id();
        if self.runs.get(&run_id)?.thread == here {
            return None;
        }
        self.waiting.iter().position(|(id, run)| *id == run_id && run.thread == here)
    }

    fn count(&self) -> usize {
        self.runs.len() + self.waiting.len()
    }

    #[cold]
    fn forget_oldest(&mut self) {
        let runs = self.runs.values().chain(self.waiting.iter().map(|(_, run)| run));
        let mut ids: Vec<RecordId> = runs.map(|run| run.id).collect();
        // Record ids sort by the moment they were made.
        let (_, newest_to_forget, _) = ids.select_nth_unstable(FORGET - 1);
        let limit = *newest_to_forget;
        self.waiting.retain(|(_, run)| run.id > limit);
        self.runs.retain(|_, run| run.id > limit);
        for (run_id, run) in std::mem::take(&mut self.waiting) {
            self.open(run_id, run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Run {
        Run::new(SystemTime::now(), false)
    }

    fn close(flight: &mut Flight, run_id: u128) -> Option<RecordId> {
        match flight.close(run_id, false) {
            Closing::Run(run) => Some(run.id),
            Closing::Again | Closing::Unknown => None,
        }
    }

    #[test]
    fn runs_with_the_same_id_end_in_the_order_they_began() {
        let mut flight = Flight::default();
        let (first, second) = (begun(), begun());
        let ids = (first.id, second.id);
        flight.open(7, first);
        flight.open(7, second);
        assert_eq!((close(&mut flight, 7), close(&mut flight, 7)), (Some(ids.0), Some(ids.1)));
        assert!(matches!(flight.close(7, false), Closing::Again));
        assert!(matches!(flight.close(8, false), Closing::Unknown));
    }

    #[test]
    fn a_run_ends_in_the_thread_it_began_in() {
        let mut flight = Flight::default();
        let first = thread::spawn(begun).join().unwrap();
        let (second, third) = (begun(), begun());
        let ids = (first.id, second.id, third.id);
        for run in [first, second, third] {
            flight.open(7, run);
        }
        flight.piece(7, false);
        let Closing::Run(run) = flight.close(7, false) else { panic!("the run is open") };
        assert_eq!((run.id, run.piece_times().len()), (ids.1, 1));
        assert_eq!((close(&mut flight, 7), close(&mut flight, 7)), (Some(ids.2), Some(ids.0)));
    }

    #[test]
    fn runs_that_never_end_are_forgotten_oldest_first() {
        let mut flight = Flight::default();
        for run_id in 0..=MAX_RUNS as u128 {
            flight.open(run_id, begun());
        }
        assert_eq!(flight.count(), MAX_RUNS - FORGET + 1);
        assert!(!flight.is_open(FORGET as u128 - 1));
        assert!(flight.is_open(FORGET as u128));
    }

    #[test]
    fn stream_events_count_only_where_no_tokens_show() {
        let mut flight = Flight::default();
        flight.open(1, begun());
        flight.piece(1, true);
        flight.piece(1, true);
        flight.piece(1, false);
        let Closing::Run(run) = flight.close(1, false) else { panic!("the run is open") };
        assert_eq!(run.piece_times().len(), 1);
    }
}
