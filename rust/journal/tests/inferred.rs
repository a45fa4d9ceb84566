//! Inferred ends: a reported end replaces one, as long as the record is pending.

mod common;

use common::{Bench, assert_sound, end, lease, row};
use plsync_journal::{CallEnd, Event, FLAG_INFERRED, Head, Query, RecordId, State, Store};

const INFERRED: &[u8] = b"{\"error\":{\"type\":\"Cancelled\"},\"text\":\"a part\"}";
const REPORTED: &[u8] = b"{\"error\":null}";

fn inferred(id: RecordId) -> Event<'static> {
    let event = end(id, CallEnd::Cancelled, INFERRED);
    Event { head: Head { flags: FLAG_INFERRED, ..event.head }, ..event }
}

fn is_cancelled(store: &Store, id: RecordId) -> bool {
    let query = Query { ended: vec![CallEnd::Cancelled], ..Query::default() };
    store.query(&query).unwrap().iter().any(|row| row.id == id)
}

#[test]
fn a_reported_end_replaces_an_inferred_one_in_one_commit_or_in_two() {
    for commits in [1, 2] {
        let bench = Bench::new();
        let id = bench.start("call", b"{}");
        bench.spool.append(&inferred(id)).unwrap();
        if commits == 2 {
            assert_eq!(row(&bench.store(), id).ended, CallEnd::Cancelled);
        }
        bench.spool.append(&end(id, CallEnd::Ok, REPORTED)).unwrap();
        bench.spool.append(&end(id, CallEnd::Error, b"{\"error\":1}")).unwrap();
        let store = bench.store();
        let found = row(&store, id);
        assert_eq!((found.ended, found.state, found.flags), (CallEnd::Ok, State::Pending, 0));
        assert_eq!(found.end.as_deref(), Some(REPORTED));
        assert!(!is_cancelled(&store, id));
        assert_eq!(store.stats().unwrap().raw_bytes, (2 + REPORTED.len()) as u64);
        assert_sound(&store);
    }
}

#[test]
fn an_inferred_end_after_a_reported_one_is_ignored() {
    let bench = Bench::new();
    let id = bench.start("call", b"{}");
    bench.spool.append(&end(id, CallEnd::Ok, REPORTED)).unwrap();
    bench.spool.append(&inferred(id)).unwrap();
    let store = bench.store();
    assert_eq!((row(&store, id).ended, row(&store, id).flags), (CallEnd::Ok, 0));
    assert_sound(&store);
}

#[test]
fn an_inferred_end_stays_once_a_sender_leased_the_record() {
    let bench = Bench::new();
    let id = bench.start("call", b"{}");
    bench.spool.append(&inferred(id)).unwrap();
    let store = bench.store();
    assert!(is_cancelled(&store, id));
    assert_eq!(lease(&store, 1).len(), 1);
    bench.spool.append(&end(id, CallEnd::Ok, REPORTED)).unwrap();
    store.ingest(true).unwrap();
    assert_eq!((row(&store, id).ended, row(&store, id).end.as_deref()), (CallEnd::Cancelled, Some(INFERRED)));
    assert_sound(&store);
}
