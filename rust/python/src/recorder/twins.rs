//! Twins: starts of one call that several handlers of a journal report, or one handler that is attached twice.

use std::cell::Cell;
use std::sync::{Arc, Weak};

use plsync_journal::RecordId;
use pyo3::prelude::*;

use super::calls::Calls;

/// Whether another handler, or the same one attached twice, recorded a start already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Twin {
    None,
    Repeated,
    Other,
}

thread_local! {
    static LAST_START: Cell<Option<LastStart>> = const { Cell::new(None) };
}

/// The last start in a thread. `LangChain` calls one handler after the other, so a second handler's start comes directly after it.
struct LastStart {
    run_id: u128,
    argument: usize,
    record: RecordId,
    calls: Weak<Calls>,
}

impl Calls {
    /// Remembers the start that was recorded last in this thread.
    pub(super) fn remember_start(self: &Arc<Self>, run_id: u128, argument: &Bound<'_, PyAny>, record: RecordId) {
        let (argument, calls) = (argument.as_ptr() as usize, Arc::downgrade(self));
        LAST_START.set(Some(LastStart { run_id, argument, record, calls }));
    }

    /// Whether the start of this very call was recorded a moment ago, by a handler that keeps everything that this handler keeps.
    pub(super) fn twin(self: &Arc<Self>, py: Python<'_>, run_id: u128, argument: &Bound<'_, PyAny>) -> Twin {
        let Some(last) = LAST_START.take() else { return Twin::None };
        if last.run_id != run_id || last.argument != argument.as_ptr() as usize {
            return Twin::None;
        }
        let Some(first) = last.calls.upgrade() else { return Twin::None };
        let is_same = Arc::ptr_eq(self, &first);
        if !is_same && !first.keeps_all_of(py, self) {
            return Twin::None;
        }
        let is_open = match first.open_runs().get_mut(run_id, last.record) {
            // The run holds its argument, so no other object has the argument's address.
            Some(run) => {
                run.repeats += u32::from(is_same);
                true
            }
            None => false,
        };
        LAST_START.set(Some(last));
        match (is_open, is_same) {
            (false, _) => Twin::None,
            (true, true) => Twin::Repeated,
            (true, false) => Twin::Other,
        }
    }

    /// Whether a record of this recorder has everything that a record of `other` would have.
    fn keeps_all_of(&self, py: Python<'_>, other: &Self) -> bool {
        let same_hook = match (&self.redact, &other.redact) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is(other),
            _ => false,
        };
        let (tags, other_tags) = (self.pl_tags.bind(py), other.pl_tags.bind(py));
        same_hook
            && self.runs >= other.runs
            && self.spool.keeps_all_of(&other.spool)
            && (other.sink.is_none() || self.sink == other.sink)
            && other_tags.iter().all(|tag| tags.contains(tag).unwrap_or(false))
    }
}
