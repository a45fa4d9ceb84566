//! Compares a store with its model.

use plsync_journal::{Millis, Query, Row, Seq, State, TREE_WAIT};

use crate::SUBSCRIBER;
use crate::common::{SINK, assert_sound};
use crate::model::{Modelled, Record};
use crate::pair::Pair;
use crate::trees::UNTIL;

impl From<Row> for Record {
    fn from(row: Row) -> Self {
        Self {
            seq: row.seq,
            state: row.state,
            ended: row.ended,
            attempts: row.attempts,
            flags: row.flags,
            not_before: row.not_before,
            last_error: row.last_error,
            sink: row.sink,
            start: row.start,
            end: row.end,
            request: row.ack.map(|ack| ack.request_id),
            server: row.ack.map(|ack| ack.server),
        }
    }
}

impl Pair {
    /// Compares the backlog of each sink, and the sinks with due entries.
    fn compare_callbacks(&self) {
        let (store, model) = (self.store(), &self.model);
        let writer = self.spool.writer_id().unwrap();
        let due = store.due_callbacks(Some(writer), model.now).unwrap();
        let backlogs = store.callback_backlogs().unwrap();
        let mut next: Option<Millis> = None;
        for sink in [SINK, SUBSCRIBER] {
            let of: Vec<_> =
                model.callbacks.iter().filter(|((of, _), _)| *of == sink).map(|(_, entry)| entry).collect();
            let backlog = if sink == SUBSCRIBER { model.backlog() } else { 0 };
            let dead = of.iter().filter(|entry| entry.dead).count();
            let first = of.iter().filter(|entry| !entry.dead).map(|entry| entry.due_at()).min();
            let first = if backlog > 0 { Some(Millis::EPOCH) } else { first };
            assert_eq!(due.sinks.iter().any(|due| due == sink), first.is_some_and(|first| first <= model.now));
            next = next.into_iter().chain(first.filter(|first| *first > model.now)).min();
            let shown = backlogs.iter().find(|backlog| backlog.sink == sink).cloned().unwrap_or_default();
            assert_eq!((shown.waiting, shown.dead), ((of.len() - dead) as u64 + backlog, dead as u64));
            let alive = model.callbacks.iter().filter(|((of, _), entry)| *of == sink && !entry.dead);
            let owned = alive.filter(|((_, seq), _)| model.owner(sink, *seq) == Some(model.process)).count() as u64;
            assert_eq!(shown.owned, owned);
            assert!(shown.last_error.is_none() || of.iter().any(|entry| entry.error));
        }
        assert_eq!(due.next, next);
    }

    /// Asserts that the store and the model show the same.
    pub fn compare(&self) {
        let (store, model) = (self.store(), &self.model);
        let all = Query { limit: usize::MAX, oldest_first: true, runs: true, ..Query::default() };
        let rows = store.query(&all).unwrap();
        let shown = rows.into_iter().map(|row| (row.id, Record::from(row))).map(|(id, mut record)| {
            // The store takes the time of this machine's clock.
            if model.records[&id].shown.not_before == UNTIL {
                assert!(record.not_before > Millis::EPOCH && record.not_before <= Millis::now() + TREE_WAIT);
                record.not_before = UNTIL;
            }
            (id, record)
        });
        let expected = model.records.iter().map(|(id, record)| (*id, record.shown.clone()));
        assert_eq!(shown.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        for state in State::ALL {
            let of_state = Query { states: vec![state], ..all.clone() };
            let found: Vec<_> = store.query(&of_state).unwrap().iter().map(|row| row.id).collect();
            let expected = model.records.iter().filter(|(_, record)| record.shown.state == state).map(|(id, _)| *id);
            assert_eq!(found, expected.collect::<Vec<_>>());
        }
        let doubtful = model.records.values().filter(|record| record.shown.state == State::InDoubt);
        let doubtful = doubtful.filter(|record| record.shown.not_before <= model.now && record.elsewhere.is_none());
        let doubtful = doubtful.count();
        assert_eq!(store.in_doubt(usize::MAX, model.now).unwrap().len(), doubtful);
        let unsettled = model.records.values().filter(|record| record.is_unsettled()).map(|record| record.shown.seq);
        let first = unsettled.min();
        assert!(!store.is_unsettled(first.map_or(Seq::MAX, |first| Seq(first.0 - 1))).unwrap());
        assert!(first.is_none_or(|first| store.is_unsettled(first).unwrap()));
        let waits = model.records.values().filter_map(|record| record.waits_until(model.now));
        let next = waits.min();
        assert_eq!(store.next_due_of(model.now, false).unwrap(), next);
        let grows = model.waits && model.records.values().any(Modelled::is_growing);
        assert!(store.next_due(model.now).unwrap() == next || (grows && next.is_none()));
        let stats = store.stats().unwrap();
        let dead = model.callbacks.values().filter(|entry| entry.dead).count() as u64;
        let waiting = model.callbacks.len() as u64 + model.backlog() - dead;
        assert_eq!((stats.callbacks, stats.callbacks_dead), (waiting, dead));
        let acked: Vec<_> =
            store.acks(0, usize::MAX).unwrap().into_iter().map(|acked| (acked.number, acked.row.seq)).collect();
        assert_eq!(acked, model.acks.iter().map(|(number, seq)| (*number, *seq)).collect::<Vec<_>>());
        assert_eq!(store.last_ack().unwrap(), model.last_ack);
        self.compare_servers();
        self.compare_callbacks();
        self.compare_digests();
        self.compare_trees(&stats);
        assert_sound(store);
    }
}
