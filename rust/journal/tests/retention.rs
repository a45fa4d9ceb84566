//! What a quota removes, and what it never does.

mod common;

use common::{Bench, assert_sound, event};
use plsync_journal::{Durability, Ended, FLAG_PRUNED, Kind, Policy, Query, Quota, RecordId, Spool, State, Store};

const NOTHING: Quota = Quota { max_bytes: Some(0), max_age_ms: None, policy: Policy::KeepUnsent };

/// A call without a sink: nobody waits for its request id.
fn call(bench: &Bench) -> RecordId {
    let id = RecordId::new();
    let spool = Spool::open(&bench.path, Durability::Process).unwrap();
    let body = id.hex().repeat(100);
    spool.append(&event(Kind::Start, Ended::No, id, &[], body.as_bytes())).unwrap();
    spool.append(&event(Kind::End, Ended::Ok, id, &[], body.as_bytes())).unwrap();
    id
}

fn ack(store: &Store, id: RecordId, request_id: u64) {
    let seq = store.get(id).unwrap().unwrap().seq;
    store.ack(&[(seq, request_id)]).unwrap();
}

fn is_pruned(store: &Store, id: RecordId) -> bool {
    let row = store.get(id).unwrap().unwrap();
    let flagged = row.flags & FLAG_PRUNED != 0;
    assert_eq!(flagged, row.start.is_none() && row.end.is_none());
    flagged
}

#[test]
fn nothing_goes_without_a_quota() {
    let bench = Bench::new();
    let id = call(&bench);
    let store = bench.store();
    ack(&store, id, 7);
    store.ingest(true).unwrap();
    assert!(!is_pruned(&store, id));
    assert_eq!(store.quota().unwrap(), Quota::default());
}

#[test]
fn an_acked_record_keeps_its_id_state_and_request_id() {
    let bench = Bench::new();
    let (sent, unsent) = (call(&bench), call(&bench));
    let store = bench.store();
    ack(&store, sent, 7);
    store.set_quota(&NOTHING).unwrap();
    store.ingest(true).unwrap();
    assert!(is_pruned(&store, sent) && !is_pruned(&store, unsent));
    let row = store.get(sent).unwrap().unwrap();
    assert_eq!((row.state, row.ended, row.ack.map(|ack| ack.0)), (State::Acked, Ended::Ok, Some(7)));
    assert_eq!(store.by_request(7).unwrap(), Some(sent));
    let stats = store.stats().unwrap();
    assert_eq!((stats.pruned, stats.dropped, stats.records), (1, 0, 2));
    assert_sound(&store);
}

#[test]
fn a_record_acked_late_is_still_found() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..5).map(|_| call(&bench)).collect();
    let store = bench.store();
    store.set_quota(&NOTHING).unwrap();
    for at in [4, 0, 2] {
        ack(&store, ids[at], at as u64);
        store.ingest(true).unwrap();
        assert!(is_pruned(&store, ids[at]));
    }
    assert_eq!(store.stats().unwrap().pruned, 3);
}

#[test]
fn a_record_whose_callback_waits_is_kept_until_it_is_delivered() {
    let bench = Bench::new();
    let id = bench.call("waits");
    let store = bench.store();
    ack(&store, id, 7);
    store.set_quota(&NOTHING).unwrap();
    store.ingest(true).unwrap();
    assert!(!is_pruned(&store, id));
    store.settle_callbacks("app:sink", &[store.get(id).unwrap().unwrap().seq], &[], &[]).unwrap();
    store.ingest(true).unwrap();
    assert!(is_pruned(&store, id));
}

#[test]
fn drop_oldest_takes_acked_records_first_and_says_what_it_dropped() {
    let bench = Bench::new();
    let (sent, waits, refused) = (call(&bench), call(&bench), call(&bench));
    let store = bench.store();
    ack(&store, sent, 7);
    let seq = store.get(refused).unwrap().unwrap().seq;
    store.park(&[seq], State::Dead, "refused", 0).unwrap();
    store.set_quota(&Quota { policy: Policy::DropOldest, ..NOTHING }).unwrap();
    store.ingest(true).unwrap();
    for id in [sent, waits, refused] {
        assert!(is_pruned(&store, id));
    }
    let row = store.get(waits).unwrap().unwrap();
    assert_eq!(row.state, State::Dead);
    assert!(row.last_error.contains("quota"));
    assert_eq!(store.get(refused).unwrap().unwrap().last_error, "refused");
    assert_eq!((store.stats().unwrap().pruned, store.stats().unwrap().dropped), (1, 2));
    assert_eq!(store.requeue(&[row.seq, seq]).unwrap(), 0, "there is nothing left to send");
    assert_sound(&store);
}

#[test]
fn drop_oldest_leaves_what_may_be_on_its_way_and_what_still_runs() {
    let bench = Bench::new();
    let leased = call(&bench);
    let store = bench.store();
    store.lease(10, 60_000, 1 << 50, 1 << 20).unwrap();
    let running = bench.start("running", &b"{\"prompt\":\"?\"}".repeat(100));
    store.set_quota(&Quota { policy: Policy::DropOldest, ..NOTHING }).unwrap();
    store.ingest(true).unwrap();
    assert!(!is_pruned(&store, leased) && !is_pruned(&store, running));
}

#[test]
fn age_spares_the_young() {
    let bench = Bench::new();
    let (old, young) = (call(&bench), call(&bench));
    let store = bench.store();
    ack(&store, old, 1);
    ack(&store, young, 2);
    store.set_quota(&Quota { max_age_ms: Some(3_600_000), ..Quota::default() }).unwrap();
    store.ingest(true).unwrap();
    assert!(!is_pruned(&store, old) && !is_pruned(&store, young));
    store.set_quota(&Quota { max_age_ms: Some(0), ..Quota::default() }).unwrap();
    // Old is what began in an earlier millisecond.
    while RecordId::new().unix_ms() <= young.unix_ms() {
        std::hint::spin_loop();
    }
    store.ingest(true).unwrap();
    assert!(is_pruned(&store, old) && is_pruned(&store, young));
}

#[test]
fn bytes_go_only_as_far_as_they_must() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..3000).map(|_| call(&bench)).collect();
    let store = bench.store();
    let acks: Vec<_> = (1..=3000).map(|seq| (seq, seq)).collect();
    store.ack(&acks).unwrap();
    let used = store.stats().unwrap().used_bytes;
    store.set_quota(&Quota { max_bytes: Some(used - used / 8), ..Quota::default() }).unwrap();
    store.ingest(true).unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.used_bytes <= used - used / 8);
    assert!(stats.pruned > 0 && stats.pruned < 2000, "{} of 3000 pruned", stats.pruned);
    assert!(is_pruned(&store, ids[0]) && !is_pruned(&store, ids[2999]), "the oldest go first");
    assert_eq!(store.query(&Query { limit: 5000, ..Query::default() }).unwrap().len(), 3000);
    assert_sound(&store);
}

#[test]
fn a_damaged_quota_removes_nothing_and_is_reported() {
    let bench = Bench::new();
    let id = call(&bench);
    let store = bench.store();
    ack(&store, id, 7);
    let max_bytes = 0x0123_4567_89ab_cdef;
    store.set_quota(&Quota { max_bytes: Some(max_bytes), ..NOTHING }).unwrap();
    drop(store);
    let data = bench.path.join("lmdb/data.mdb");
    let mut bytes = std::fs::read(&data).unwrap();
    let needle = max_bytes.to_le_bytes();
    let places: Vec<_> = (0..bytes.len() - 8).filter(|at| bytes[*at..*at + 8] == needle).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + 8].fill(0);
    }
    std::fs::write(&data, bytes).unwrap();
    let store = Store::open(&bench.path, false).unwrap();
    store.ingest(true).unwrap();
    assert!(!is_pruned(&store, id));
    assert_eq!(store.quota().unwrap(), Quota::default());
    let problems = store.check().unwrap().problems;
    assert!(problems.len() == 1 && problems[0].what.contains("quota"), "{problems:?}");
    store.set_quota(&Quota::default()).unwrap();
    assert_sound(&store);
}
