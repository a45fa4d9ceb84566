//! The run ids that weak references watch: finds the run of a reference, and the key of an id without reading it.

use plsync_journal::RecordId;
use pyo3::prelude::*;

use super::run_id::RunKey;
use crate::id_map::Map;

/// A weak reference to a run id. Its callback records that no end can come any more.
pub(super) struct Watch {
    pub(super) reference: Py<PyAny>,
    /// The address of the run id.
    pub(super) object: usize,
}

/// The watched run ids of open runs.
#[derive(Default)]
pub(super) struct WatchedIds {
    /// Runs by the address of the weak reference.
    runs: Map<usize, (u128, RecordId)>,
    /// Keys by the address of the run id. An id that is gone calls back before its memory is freed, and leaves this map. So no other
    /// object has the address of an id that is in it.
    keys: Map<usize, RunKey>,
}

impl WatchedIds {
    pub(super) fn add(&mut self, watch: &Watch, key: RunKey, record: RecordId) {
        self.runs.insert(watch.reference.as_ptr() as usize, (key.bits, record));
        self.keys.insert(watch.object, key);
    }

    /// Stops watching. Another run of the same id may be open still, and its key is read from the id then.
    pub(super) fn remove(&mut self, watch: &Watch) {
        self.runs.remove(&(watch.reference.as_ptr() as usize));
        self.keys.remove(&watch.object);
    }

    /// The run whose run id a weak reference watches.
    pub(super) fn run(&self, reference: usize) -> Option<(u128, RecordId)> {
        self.runs.get(&reference).copied()
    }

    /// The key of the run id at an address.
    pub(super) fn key(&self, object: usize) -> Option<RunKey> {
        self.keys.get(&object).copied()
    }
}
