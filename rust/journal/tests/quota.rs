//! The records that a quota prunes, and the records that it keeps.

mod common;

use std::time::Duration;

use common::{Bench, LATER, SINK, assert_sound, end, facts, lease_at, row, start};
use plsync_journal::{
    CallEnd, Durability, Event, FLAG_PRUNED, Millis, ParkedState, Query, Quota, QuotaPolicy, RecordId, RequestId, Seq,
    Spool, State, Store,
};

/// A quota that prunes every record that it may prune.
const PRUNE_ALL: Quota = Quota { max_bytes: Some(0), max_age: None, policy: QuotaPolicy::KeepUnsent };

/// Records a call without a sink, so that no callback keeps its content.
fn call(bench: &Bench) -> RecordId {
    let id = RecordId::new();
    let spool = Spool::open(&bench.path, Durability::Process).unwrap();
    let body = id.hex().repeat(100);
    spool.append(&start(id, &facts::of_start(), body.as_bytes())).unwrap();
    let labels = facts::of_end(7);
    spool.append(&Event { labels: &labels, ..end(id, CallEnd::Ok, body.as_bytes()) }).unwrap();
    id
}

fn ack(store: &Store, id: RecordId, request_id: u64) {
    common::ack(store, row(store, id).seq, request_id);
}

fn is_pruned(store: &Store, id: RecordId) -> bool {
    let row = row(store, id);
    let flagged = row.flags & FLAG_PRUNED != 0;
    assert_eq!(flagged, row.start.is_none() && row.end.is_none());
    flagged
}

#[test]
fn nothing_is_pruned_without_a_quota() {
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
    store.set_quota(&PRUNE_ALL).unwrap();
    store.ingest(true).unwrap();
    assert!(is_pruned(&store, sent) && !is_pruned(&store, unsent));
    let row = row(&store, sent);
    assert_eq!((row.state, row.ended, common::request_id(&row)), (State::Acked, CallEnd::Ok, 7));
    assert_eq!(store.by_request(RequestId(7)).unwrap(), [sent]);
    let digest = store.digests(&[row.seq]).unwrap()[0].unwrap();
    assert_eq!((digest.is_complete, digest.duration_ns), (true, Some(7)));
    let stats = store.stats().unwrap();
    assert_eq!((stats.pruned_acked, stats.pruned_unsent, stats.records), (1, 0, 2));
    assert_sound(&store);
}

#[test]
fn a_record_acked_late_is_still_pruned() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..5).map(|_| call(&bench)).collect();
    let store = bench.store();
    store.set_quota(&PRUNE_ALL).unwrap();
    for at in [4, 0, 2] {
        ack(&store, ids[at], at as u64);
        store.ingest(true).unwrap();
        assert!(is_pruned(&store, ids[at]));
    }
    assert_eq!(store.stats().unwrap().pruned_acked, 3);
}

#[test]
fn a_record_whose_callback_waits_is_kept_until_it_is_delivered() {
    let bench = Bench::new();
    let id = bench.call("waits");
    let store = bench.store();
    ack(&store, id, 7);
    store.set_quota(&PRUNE_ALL).unwrap();
    store.ingest(true).unwrap();
    assert!(!is_pruned(&store, id));
    store.settle_callbacks(SINK, &[row(&store, id).seq], &[], &[]).unwrap();
    store.ingest(true).unwrap();
    assert!(is_pruned(&store, id));
}

#[test]
fn drop_oldest_prunes_acked_records_first_and_counts_unsent_ones() {
    let bench = Bench::new();
    let (sent, waits, refused) = (call(&bench), call(&bench), call(&bench));
    let store = bench.store();
    ack(&store, sent, 7);
    let seq = row(&store, refused).seq;
    store.park(&[seq], ParkedState::Dead, Millis::EPOCH, "refused").unwrap();
    store.set_quota(&Quota { policy: QuotaPolicy::DropOldest, ..PRUNE_ALL }).unwrap();
    store.ingest(true).unwrap();
    for id in [sent, waits, refused] {
        assert!(is_pruned(&store, id));
    }
    let dropped = row(&store, waits);
    assert_eq!(dropped.state, State::Dead);
    assert!(dropped.last_error.contains("quota"));
    assert_eq!(row(&store, refused).last_error, "refused");
    let stats = store.stats().unwrap();
    assert_eq!((stats.pruned_acked, stats.pruned_unsent), (1, 2));
    assert_eq!(store.requeue(&[dropped.seq, seq]).unwrap(), 0, "there is nothing left to send");
    assert_sound(&store);
}

#[test]
fn drop_oldest_keeps_leased_and_open_records() {
    let bench = Bench::new();
    let leased = call(&bench);
    let store = bench.store();
    lease_at(&store, 10, LATER);
    let running = bench.start("running", &b"{\"prompt\":\"?\"}".repeat(100));
    store.set_quota(&Quota { policy: QuotaPolicy::DropOldest, ..PRUNE_ALL }).unwrap();
    store.ingest(true).unwrap();
    assert!(!is_pruned(&store, leased) && !is_pruned(&store, running));
}

#[test]
fn a_maximum_age_prunes_only_older_records() {
    let bench = Bench::new();
    let (old, young) = (call(&bench), call(&bench));
    let store = bench.store();
    ack(&store, old, 1);
    ack(&store, young, 2);
    store.set_quota(&Quota { max_age: Some(Duration::from_hours(1)), ..Quota::default() }).unwrap();
    store.ingest(true).unwrap();
    assert!(!is_pruned(&store, old) && !is_pruned(&store, young));
    store.set_quota(&Quota { max_age: Some(Duration::ZERO), ..Quota::default() }).unwrap();
    // A record is old from the next millisecond on.
    while RecordId::new().made_at() <= young.made_at() {
        std::hint::spin_loop();
    }
    store.ingest(true).unwrap();
    assert!(is_pruned(&store, old) && is_pruned(&store, young));
}

#[test]
fn a_maximum_size_prunes_no_more_than_needed() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..3000).map(|_| call(&bench)).collect();
    let store = bench.store();
    let acks: Vec<_> = (1..=3000).map(|seq| (Seq(seq), RequestId(seq))).collect();
    store.ack(&acks).unwrap();
    let used = store.stats().unwrap().used_bytes;
    store.set_quota(&Quota { max_bytes: Some(used - used / 8), ..Quota::default() }).unwrap();
    store.ingest(true).unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.used_bytes <= used - used / 8);
    let pruned = stats.pruned_acked;
    assert!(pruned > 0 && pruned < 2000, "{pruned} of 3000 pruned");
    assert!(is_pruned(&store, ids[0]) && !is_pruned(&store, ids[2999]), "the oldest are pruned first");
    // A page ends early when its bodies are large.
    let mut listed = Vec::new();
    loop {
        let after = listed.last().copied();
        let page = store.query(&Query { after, oldest_first: true, limit: 5000, ..Query::default() }).unwrap();
        if page.is_empty() {
            break;
        }
        listed.extend(page.into_iter().map(|row| row.id));
    }
    assert_eq!(listed.len(), 3000);
    assert_sound(&store);
}

#[test]
fn a_damaged_quota_removes_nothing_and_is_reported() {
    let bench = Bench::new();
    let id = call(&bench);
    let store = bench.store();
    ack(&store, id, 7);
    let max_bytes = 0x0123_4567_89ab_cdef;
    store.set_quota(&Quota { max_bytes: Some(max_bytes), ..PRUNE_ALL }).unwrap();
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
    assert!(problems.len() == 1 && problems[0].description.contains("quota"), "{problems:?}");
    store.set_quota(&Quota::default()).unwrap();
    assert_sound(&store);
}
