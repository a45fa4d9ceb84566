//! The salvaged copy of a journal against the model.

use plsync_journal::{FLAG_PRUNED, Query, State, Store, salvage};

use crate::common::assert_sound;
use crate::model::Record;
use crate::pair::Pair;

impl Pair {
    /// Salvages the journal, and asserts that the copy is sound and has the content and the acks of each record.
    ///
    /// The states may differ otherwise. A salvage reads the spool from its start, which has ends that came after a lease, and content
    /// that the quota pruned later.
    pub fn compare_salvaged(mut self) {
        self.store = None;
        let target = self.dir.path().join("salvaged");
        salvage(&self.path, &target).unwrap();
        let store = Store::open(&target, false).unwrap();
        assert_sound(&store);
        self.model.ingest();
        let all = Query { limit: usize::MAX, oldest_first: true, runs: true, ..Query::default() };
        let rows: Vec<_> = store.query(&all).unwrap().into_iter().map(|row| (row.id, Record::from(row))).collect();
        assert!(rows.iter().map(|(id, _)| id).eq(self.model.records.keys()));
        for (id, salvaged) in rows {
            let expected = &self.model.records[&id].shown;
            assert_eq!(salvaged.state == State::Acked, expected.state == State::Acked, "{id:?}");
            assert_eq!((salvaged.request, salvaged.server), (expected.request, expected.server), "{id:?}");
            if expected.flags & FLAG_PRUNED == 0 {
                assert_eq!(salvaged.start, expected.start, "{id:?}");
                assert!(expected.end.is_none() || salvaged.end == expected.end, "{id:?}");
            }
        }
    }
}
