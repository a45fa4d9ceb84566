//! The open calls of a recorder, by `LangChain`'s run id.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use plsync_journal::RecordId;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::run::{Arrival, Run, RunKind};
use super::run_id::RunKey;
use super::tasks::Tasks;
use super::trees::{Joined, Trees};
use super::watched::WatchedIds;
use crate::id_map::Map;

/// The most open runs. Without a limit, runs that `LangChain` never closes would fill the memory.
const MAX_RUNS: usize = 65_536;
/// The number of oldest runs that are forgotten at once when the limit is reached.
const FORGET: usize = 4096;
/// The number of closed runs whose ids are remembered, to recognise a second end.
const MAX_CLOSED: usize = 1024;

/// Open runs by `LangChain`'s run id.
#[derive(Default)]
pub(super) struct OpenRuns {
    runs: Map<u128, Box<Run>>,
    /// Run ids repeat, even among runs that are open at once. Later starts of an open id wait here in their order.
    /// An end belongs to the start in the same thread, if there is one. Otherwise the first end belongs to the first start.
    waiting: VecDeque<(u128, Box<Run>)>,
    closed: VecDeque<u128>,
    /// Runs that were given up. `LangChain` may still report the end of one, if the program passes copies of its run id.
    given_up: VecDeque<(u128, Box<Run>)>,
    pub(super) watched: WatchedIds,
    pub(super) tasks: Tasks,
    pub(super) trees: Trees,
}

/// The result of closing a run.
pub(super) enum Closing {
    Run(Box<Run>),
    /// The run ended before.
    AlreadyClosed,
    /// No start of the run was recorded.
    Unknown,
}

impl OpenRuns {
    /// Opens a run. Returns runs that are forgotten for it, and whether the run's task must be watched from now on.
    pub(super) fn open(&mut self, run_id: u128, run: Box<Run>) -> (Vec<Run>, bool) {
        let forgotten = if self.count() >= MAX_RUNS { self.forget_oldest() } else { Vec::new() };
        let is_new_task = run.task != 0 && self.tasks.open(run.task);
        if let Some(watch) = &run.watch {
            self.watched.add(watch, RunKey { bits: run_id, id: run.langchain_id }, run.id);
        }
        if let Some(place) = run.place {
            self.trees.open(&place);
        }
        match self.runs.entry(run_id) {
            Entry::Vacant(place) => _ = place.insert(run),
            Entry::Occupied(_) => self.waiting.push_back((run_id, run)),
        }
        (forgotten, is_new_task)
    }

    pub(super) fn close(&mut self, run_id: u128, kind: RunKind) -> Closing {
        let here = self.waiting_here(run_id);
        let Entry::Occupied(mut place) = self.runs.entry(run_id) else { return self.close_again(run_id) };
        if place.get().kind != kind {
            return Closing::Unknown;
        }
        let next = here.or_else(|| self.waiting.iter().position(|(id, _)| *id == run_id));
        let mut run = match next.and_then(|at| self.waiting.remove(at)) {
            Some((_, run)) if here.is_some() => run,
            Some((_, next)) => place.insert(next),
            None => place.remove(),
        };
        self.unwatch(run_id, &mut run);
        if self.closed.len() >= MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(run_id);
        Closing::Run(run)
    }

    /// Takes a run that was given up. Its end came after all.
    #[cold]
    fn close_again(&mut self, run_id: u128) -> Closing {
        let given_up = self.given_up.iter().position(|(id, _)| *id == run_id);
        match given_up.and_then(|at| self.given_up.remove(at)) {
            Some((_, run)) => {
                self.closed.push_back(run_id);
                Closing::Run(run)
            }
            None if self.closed.contains(&run_id) => Closing::AlreadyClosed,
            None => Closing::Unknown,
        }
    }

    /// Stops watching a run. The last run of a task takes the reference to the task along.
    fn unwatch(&mut self, run_id: u128, run: &mut Run) {
        if let Some(watch) = &run.watch {
            self.watched.remove(watch);
        }
        if run.task != 0 {
            run.task_reference = self.tasks.close(run.task);
        }
        if let Some(namespace) = run.namespace {
            self.trees.remove_node(namespace);
        }
        if let Some(place) = &run.place {
            self.trees.close(run_id, run.id, place);
        }
    }

    /// The tree of a run whose parent has this key. A run without a known parent has its own tree.
    pub(super) fn join(&self, parent: u128) -> Joined {
        let above = self.runs.get(&parent).and_then(|run| run.place.map(|place| self.trees.join(run.id, place.root)));
        above.or_else(|| self.trees.join_ended(parent)).unwrap_or(Joined::Own { after: None })
    }

    /// The metadata of an open step, and whether a graph below it waits for a person.
    pub(super) fn above<'py>(&self, py: Python<'py>, run_id: u128) -> (Option<Bound<'py, PyDict>>, bool) {
        let Some(run) = self.runs.get(&run_id) else { return (None, false) };
        (run.metadata.as_ref().map(|metadata| metadata.bind(py).clone()), !run.waits.is_empty())
    }

    /// Notes that a graph waits for a person: this run, or a run that it has started. A node or a tool that ends well has gone on.
    pub(super) fn wait(&mut self, run_id: u128, graph: u64, is_below: bool) {
        if let Some(run) = self.runs.get_mut(&run_id).filter(|run| run.is_chain || !is_below) {
            run.waits.push(graph);
        }
    }

    /// Notes that this run starts a graph again that has waited.
    pub(super) fn resume(&mut self, run_id: u128, graph: u64) {
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.waits.retain(|waiting| *waiting != graph);
        }
    }

    pub(super) fn is_open(&self, run_id: u128) -> bool {
        self.runs.contains_key(&run_id)
    }

    /// The open run of a record.
    pub(super) fn get_mut(&mut self, run_id: u128, record: RecordId) -> Option<&mut Run> {
        let waiting = self.waiting.iter_mut().filter(|(id, _)| *id == run_id).map(|(_, run)| run);
        let run = self.runs.get_mut(&run_id).into_iter().chain(waiting).find(|run| run.id == record);
        run.map(|run| &mut **run)
    }

    /// Adds a part of an answer to its run. Returns it when it isn't kept.
    pub(super) fn add(&mut self, run_id: u128, arrival: Arrival) -> Option<Arrival> {
        let run = match self.waiting_here(run_id) {
            Some(at) => self.waiting.get_mut(at).map(|(_, run)| run),
            None => self.runs.get_mut(&run_id),
        };
        let run = match run {
            None if self.given_up.is_empty() => None,
            None => self.given_up.iter_mut().find(|(id, _)| *id == run_id).map(|(_, run)| run),
            run => run,
        };
        match run {
            Some(run) => run.add(arrival),
            None => Some(arrival),
        }
    }

    /// The index in `waiting` of this thread's run. None when it has no run there, or when the run in `runs` is this thread's.
    fn waiting_here(&self, run_id: u128) -> Option<usize> {
        if self.waiting.is_empty() || self.runs.get(&run_id)?.is_of_this_thread() {
            return None;
        }
        self.waiting.iter().position(|(id, run)| *id == run_id && run.is_of_this_thread())
    }

    /// Takes one open run out.
    pub(super) fn give_up(&mut self, run_id: u128, record: RecordId) -> Option<Box<Run>> {
        let run = if self.runs.get(&run_id)?.id == record {
            let next = self.waiting.iter().position(|(id, _)| *id == run_id);
            match next.and_then(|at| self.waiting.remove(at)) {
                Some((_, next)) => self.runs.insert(run_id, next),
                None => self.runs.remove(&run_id),
            }
        } else {
            let at = self.waiting.iter().position(|(id, run)| *id == run_id && run.id == record)?;
            self.waiting.remove(at).map(|(_, run)| run)
        };
        let mut run = run?;
        self.unwatch(run_id, &mut run);
        Some(run)
    }

    /// Keeps a run that was given up, for an end that comes after all. Returns a run that is forgotten for it.
    pub(super) fn remember(&mut self, run_id: u128, run: Box<Run>) -> Option<(u128, Box<Run>)> {
        self.given_up.push_back((run_id, run));
        if self.given_up.len() > MAX_CLOSED { self.given_up.pop_front() } else { None }
    }

    /// The open runs that fulfil a condition, by run id and record.
    pub(super) fn find(&self, condition: impl Fn(&Run) -> bool) -> Vec<(u128, RecordId)> {
        let waiting = self.waiting.iter().map(|(run_id, run)| (*run_id, run));
        let all = self.runs.iter().map(|(run_id, run)| (*run_id, run)).chain(waiting);
        all.filter(|(_, run)| condition(run)).map(|(run_id, run)| (run_id, run.id)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn count(&self) -> usize {
        self.runs.len() + self.waiting.len()
    }

    #[cold]
    fn forget_oldest(&mut self) -> Vec<Run> {
        let runs = self.runs.values().chain(self.waiting.iter().map(|(_, run)| run));
        let mut ids: Vec<RecordId> = runs.map(|run| run.id).collect();
        // Record ids sort by the time at which they were made.
        let (_, newest_to_forget, _) = ids.select_nth_unstable(FORGET - 1);
        let limit = *newest_to_forget;
        let mut forgotten = Vec::with_capacity(FORGET);
        for (run_id, record) in self.find(|run| run.id <= limit) {
            forgotten.extend(self.give_up(run_id, record).map(|run| *run));
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::SystemTime;

    fn run() -> Box<Run> {
        Box::new(Run::new(SystemTime::now(), None, RunKind::Model))
    }

    fn close(runs: &mut OpenRuns, run_id: u128) -> Option<RecordId> {
        match runs.close(run_id, RunKind::Model) {
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
        assert!(matches!(runs.close(7, RunKind::Model), Closing::AlreadyClosed));
        assert!(matches!(runs.close(8, RunKind::Model), Closing::Unknown));
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
        assert!(runs.add(7, Arrival::StreamEvent).is_none());
        let Closing::Run(run) = runs.close(7, RunKind::Model) else { panic!("the run is open") };
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
    fn a_run_that_was_given_up_can_still_end_once() {
        let mut runs = OpenRuns::default();
        let (first, second) = (run(), run());
        let ids = (first.id, second.id);
        runs.open(7, first);
        runs.open(7, second);
        assert!(runs.give_up(7, RecordId([0; 16])).is_none());
        let given_up = runs.give_up(7, ids.0).expect("the run is open");
        assert!(runs.remember(7, given_up).is_none());
        assert_eq!((close(&mut runs, 7), close(&mut runs, 7)), (Some(ids.1), Some(ids.0)));
        assert!(matches!(runs.close(7, RunKind::Model), Closing::AlreadyClosed));
    }

    #[test]
    fn the_open_runs_of_a_task_are_counted() {
        let mut runs = OpenRuns::default();
        let of_task = || {
            let mut run = run();
            run.task = 5;
            run
        };
        assert!(runs.open(1, of_task()).1);
        assert!(!runs.open(2, of_task()).1);
        close(&mut runs, 1);
        assert!(runs.tasks.has_open(5));
        assert_eq!(runs.find(|run| run.task == 5).len(), 1);
        close(&mut runs, 2);
        assert!(!runs.tasks.has_open(5));
        assert!(runs.open(3, of_task()).1);
    }
}
