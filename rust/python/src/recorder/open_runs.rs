//! Calls that have started and not ended: the facts that an end event takes from its start.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::thread::{self, ThreadId};
use std::time::{Instant, SystemTime};

use plsync_journal::RecordId;

/// The most open runs. Without a limit, runs that `LangChain` never closes would fill the memory.
const MAX_RUNS: usize = 65_536;
/// The number of oldest runs that are forgotten at once when the limit is reached.
const FORGET: usize = 4096;
/// The number of closed runs whose ids are remembered, to recognise a second end.
const MAX_CLOSED: usize = 1024;
/// The most arrival times of one call.
const MAX_ARRIVALS: usize = 1 << 20;

/// A call that has started and not ended.
pub(super) struct Run {
    pub(super) id: RecordId,
    pub(super) started: Instant,
    /// The run is a chain that stands for an LLM request. Only a chain event closes it.
    pub(super) decision: bool,
    /// The thread of the start event.
    thread: ThreadId,
    /// Nanoseconds from the start to each token.
    tokens: Vec<u64>,
    /// Nanoseconds from the start to each event of the streaming protocol.
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

    /// Nanoseconds from the start to each part of the answer. Some providers report each token in both ways: tokens win.
    pub(super) fn arrivals(&self) -> &[u64] {
        if self.tokens.is_empty() { &self.stream_events } else { &self.tokens }
    }
}

/// Open runs by `LangChain`'s run id.
#[derive(Default)]
pub(super) struct OpenRuns {
    runs: HashMap<u128, Run>,
    /// Run ids repeat, even among runs that are open at once. Later starts of an open id wait here in their order.
    /// An end belongs to the start in the same thread, if there is one. Otherwise the first end belongs to the first start.
    waiting: VecDeque<(u128, Run)>,
    closed: VecDeque<u128>,
}

/// The result of closing a run.
pub(super) enum Closing {
    Run(Run),
    /// The run ended before.
    AlreadyClosed,
    /// No start of the run was recorded.
    Unknown,
}

impl OpenRuns {
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
        let here = self.waiting_here(run_id);
        let Entry::Occupied(mut place) = self.runs.entry(run_id) else {
            return if self.closed.contains(&run_id) { Closing::AlreadyClosed } else { Closing::Unknown };
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

    /// Notes the time at which a part of the answer arrives.
    pub(super) fn add_arrival(&mut self, run_id: u128, arrival: Arrival) {
        let run = match self.waiting_here(run_id) {
            Some(at) => self.waiting.get_mut(at).map(|(_, run)| run),
            None => self.runs.get_mut(&run_id),
        };
        if let Some(run) = run {
            let elapsed = run.elapsed_ns();
            let times = match arrival {
                Arrival::Token => &mut run.tokens,
                Arrival::StreamEvent => &mut run.stream_events,
            };
            if times.len() < MAX_ARRIVALS {
                times.push(elapsed);
            }
        }
    }

    /// The index in `waiting` of this thread's run. None when it has no run there, or when the run in `runs` is this thread's.
    fn waiting_here(&self, run_id: u128) -> Option<usize> {
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
        // Record ids sort by the time at which they were made.
        let (_, newest_to_forget, _) = ids.select_nth_unstable(FORGET - 1);
        let limit = *newest_to_forget;
        self.waiting.retain(|(_, run)| run.id > limit);
        self.runs.retain(|_, run| run.id > limit);
        for (run_id, run) in std::mem::take(&mut self.waiting) {
            self.open(run_id, run);
        }
    }
}

/// How `LangChain` reports a part of an answer.
#[derive(Clone, Copy)]
pub(super) enum Arrival {
    /// By `on_llm_new_token`.
    Token,
    /// By `on_stream_event`, an event of the streaming protocol.
    StreamEvent,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run::new(SystemTime::now(), false)
    }

    fn close(runs: &mut OpenRuns, run_id: u128) -> Option<RecordId> {
        match runs.close(run_id, false) {
            Closing::Run(run) => Some(run.id),
            Closing::AlreadyClosed | Closing::Unknown => None,
        }
    }

    #[test]
    fn runs_with_the_same_id_end_in_the_order_of_their_starts() {
        let mut runs = OpenRuns::default();
        let (first, second) = (run(), run());
        let ids = (first.id, second.id);
        runs.open(7, first);
        runs.open(7, second);
        assert_eq!((close(&mut runs, 7), close(&mut runs, 7)), (Some(ids.0), Some(ids.1)));
        assert!(matches!(runs.close(7, false), Closing::AlreadyClosed));
        assert!(matches!(runs.close(8, false), Closing::Unknown));
    }

    #[test]
    fn an_end_closes_the_run_that_its_thread_started() {
        let mut runs = OpenRuns::default();
        let first = thread::spawn(run).join().unwrap();
        let (second, third) = (run(), run());
        let ids = (first.id, second.id, third.id);
        for run in [first, second, third] {
            runs.open(7, run);
        }
        runs.add_arrival(7, Arrival::Token);
        let Closing::Run(run) = runs.close(7, false) else { panic!("the run is open") };
        assert_eq!((run.id, run.arrivals().len()), (ids.1, 1));
        assert_eq!((close(&mut runs, 7), close(&mut runs, 7)), (Some(ids.2), Some(ids.0)));
    }

    #[test]
    fn runs_that_never_end_are_forgotten_oldest_first() {
        let mut runs = OpenRuns::default();
        for run_id in 0..=MAX_RUNS as u128 {
            runs.open(run_id, run());
        }
        assert_eq!(runs.count(), MAX_RUNS - FORGET + 1);
        assert!(!runs.is_open(FORGET as u128 - 1));
        assert!(runs.is_open(FORGET as u128));
    }

    #[test]
    fn stream_events_count_only_in_a_run_without_tokens() {
        let mut runs = OpenRuns::default();
        runs.open(1, run());
        runs.add_arrival(1, Arrival::StreamEvent);
        runs.add_arrival(1, Arrival::StreamEvent);
        runs.add_arrival(1, Arrival::Token);
        let Closing::Run(run) = runs.close(1, false) else { panic!("the run is open") };
        assert_eq!(run.arrivals().len(), 1);
    }
}
