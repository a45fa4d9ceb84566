//! The way back: the order of acks, and the queue of callbacks.

mod common;

use common::{Bench, assert_sound, event, golden};
use plsync_journal::{Ended, Kind, RecordId, Refusal, State, Store, labels};

const NOW: u64 = 1_900_000_000_000;
const MB: u64 = 1 << 20;
const DAY: u64 = 24 * 3600 * 1000;

/// The journal of `calls` calls of a process that is gone, all acked in the order they were made.
struct Left {
    _dir: tempfile::TempDir,
    store: Store,
}

fn left(calls: usize) -> Left {
    let bench = Bench::new();
    for _ in 0..calls {
        bench.call("left");
    }
    let (dir, path) = bench.after_death();
    let store = Store::open(&path, false).unwrap();
    store.ingest(true).unwrap();
    ack(&store, &(1..=calls as u64).collect::<Vec<_>>());
    Left { _dir: dir, store }
}

fn ack(store: &Store, seqs: &[u64]) {
    store.ack(&seqs.iter().map(|seq| (*seq, 1000 + seq)).collect::<Vec<_>>()).unwrap();
}

fn claimed(store: &Store, sink: &str, limit: usize, now: u64) -> Vec<(u64, u32)> {
    let claimed = store.claim_callbacks(sink, None, limit, 1000, now).unwrap();
    claimed.into_iter().map(|callback| (callback.seq, callback.attempts)).collect()
}

fn refuse(store: &Store, seq: u64, not_before: u64, dead: bool) {
    let refusal = Refusal { seq, error: "boom".into(), not_before, dead };
    store.settle_callbacks("app:sink", &[], &[refusal], &[]).unwrap();
}

fn order(store: &Store, after: u64, limit: usize) -> Vec<(u64, u64)> {
    store.acks(after, limit).unwrap().into_iter().map(|(number, row)| (number, row.seq)).collect()
}

#[test]
fn acks_are_read_in_the_order_they_came() {
    let bench = Bench::new();
    for _ in 0..5 {
        bench.call("acked");
    }
    let store = bench.store();
    assert_eq!((order(&store, 0, 10), store.last_ack().unwrap()), (vec![], 0));
    ack(&store, &[4, 2]);
    assert_eq!(order(&store, 0, 10), [(1, 4), (2, 2)]);
    ack(&store, &[2, 1, 5]);
    assert_eq!(order(&store, 2, 10), [(3, 1), (4, 5)], "an ack that is repeated keeps its place");
    assert_eq!(order(&store, 1, 2), [(2, 2), (3, 1)]);
    assert_eq!(store.last_ack().unwrap(), 4);
    assert_eq!(store.acks(0, 1).unwrap()[0].1.ack.unwrap().0, 1004);
    assert_sound(&store);
}

#[test]
fn an_older_store_gets_the_order_with_the_acks_of_before_first() {
    let dir = common::workplace();
    let path = dir.path().join("journal");
    golden::copy_to(&path);
    let store = Store::open(&path, false).unwrap();
    store.ingest(true).unwrap();
    let before = store.acks(0, 100).unwrap();
    assert!(!before.is_empty());
    assert!(before.is_sorted_by_key(|(_, row)| row.seq));
    let later = store.lease(1, 1000, u64::MAX >> 1, MB).unwrap()[0].seq;
    ack(&store, &[later]);
    assert_eq!(store.acks(before.len() as u64, 10).unwrap()[0].1.seq, later);
    assert_eq!(store.claim_callbacks("app:on_request_id", None, 1, 1000, u64::MAX >> 2).unwrap().len(), 1);
    assert_sound(&store);
}

#[test]
fn a_page_of_acks_is_bounded_by_bytes_but_never_empty() {
    let bench = Bench::new();
    for _ in 0..3 {
        let id = bench.start("big", &vec![b'b'; 3 << 20]);
        bench.end(id, b"{}");
    }
    let store = bench.store();
    ack(&store, &[1, 2, 3]);
    assert_eq!(order(&store, 0, 10), [(1, 1)]);
    assert_eq!(order(&store, 2, 10), [(3, 3)]);
}

#[test]
fn a_callback_of_a_living_process_is_left_to_it() {
    let bench = Bench::new();
    bench.call("mine");
    let store = bench.store();
    let seq = store.lease(1, 1000, NOW, MB).unwrap()[0].seq;
    store.ack(&[(seq, 7)]).unwrap();
    assert!(store.claim_callbacks("app:sink", None, 10, 1000, NOW).unwrap().is_empty());
    let mine = bench.spool.writer_id().unwrap();
    let claimed = store.claim_callbacks("app:sink", Some(mine), 10, 1000, NOW).unwrap();
    assert_eq!(claimed[0].row.ack.unwrap().0, 7);
    assert!(store.claim_callbacks("app:sink", Some(mine), 10, 1000, NOW).unwrap().is_empty());
    let refused = Refusal { seq, error: "boom".into(), not_before: NOW + 10, dead: false };
    store.settle_callbacks("app:sink", &[], &[refused], &[]).unwrap();
    assert_eq!(store.claim_callbacks("app:sink", Some(mine), 10, 1000, NOW + 10).unwrap()[0].attempts, 1);
    store.settle_callbacks("app:sink", &[seq], &[], &[]).unwrap();
    assert!(store.callback_sinks().unwrap().is_empty());
}

#[test]
fn a_callback_of_a_dead_process_is_anybodys() {
    let bench = Bench::new();
    bench.call("orphan");
    let (_keep, path) = bench.after_death();
    let store = plsync_journal::Store::open(&path, false).unwrap();
    store.ingest(true).unwrap();
    let seq = store.lease(1, 1000, NOW, MB).unwrap()[0].seq;
    store.ack(&[(seq, 7)]).unwrap();
    assert_eq!(store.claim_callbacks("app:sink", None, 10, 1000, NOW).unwrap().len(), 1);
}

#[test]
fn who_is_given_every_ack_gets_those_that_come_from_then_on_each_once() {
    let bench = Bench::new();
    for _ in 0..6 {
        bench.call("acked");
    }
    let store = bench.store();
    ack(&store, &[1]);
    store.give_every_ack("exec").unwrap();
    assert_eq!(claimed(&store, "exec", 10, NOW), []);
    ack(&store, &[3, 2]);
    store.give_every_ack("exec").unwrap();
    // Also while the process of the records lives.
    assert_eq!(claimed(&store, "exec", 1, NOW), [(3, 0)]);
    ack(&store, &[5]);
    assert_eq!(store.due_callbacks(None, NOW).unwrap().sinks, ["exec"]);
    assert_eq!(claimed(&store, "exec", 10, NOW), [(2, 0), (5, 0)]);
    store.settle_callbacks("exec", &[2], &[], &[5]).unwrap();
    assert_eq!(claimed(&store, "exec", 10, NOW), [(5, 0)]);
    assert_eq!(claimed(&store, "exec", 10, NOW + 1000), [(3, 1)], "its deliverer died");
    let waiting = store.waiting_callbacks().unwrap();
    let exec = waiting.iter().find(|waiting| waiting.sink == "exec").unwrap();
    assert_eq!((exec.waiting, exec.owned, exec.dead), (2, 0, 0));
    ack(&store, &[6]);
    assert_eq!(store.drop_callbacks("exec").unwrap(), 3);
    ack(&store, &[4]);
    assert_eq!(claimed(&store, "exec", 10, NOW + 5000), []);
    assert_sound(&store);
}

#[test]
fn an_entry_that_was_tried_before_comes_alone() {
    let Left { store, .. } = &left(4);
    assert_eq!(claimed(store, "app:sink", 3, NOW), [(1, 0), (2, 0), (3, 0)]);
    assert_eq!(claimed(store, "app:sink", 3, NOW), [(4, 0)]);
    // Their process died in one of them; the next to die takes one attempt from that one alone.
    for seq in 1..=4 {
        assert_eq!(claimed(store, "app:sink", 3, NOW + 1000), [(seq, 1)]);
    }
    assert_eq!(claimed(store, "app:sink", 3, NOW + 1000), []);
}

#[test]
fn a_claim_is_bounded_by_bytes_but_never_empty() {
    let bench = Bench::new();
    for _ in 0..3 {
        let id = bench.start("big", &vec![b'b'; 3 << 20]);
        bench.end(id, b"{}");
    }
    let store = bench.store();
    ack(&store, &[1, 2, 3]);
    let mine = bench.spool.writer_id().ok();
    assert_eq!(store.claim_callbacks("app:sink", mine, 10, 1000, NOW).unwrap().len(), 1);
}

#[test]
fn a_lease_that_is_extended_is_not_given_to_another() {
    let Left { store, .. } = &left(1);
    assert_eq!(claimed(store, "app:sink", 1, NOW), [(1, 0)]);
    store.extend_callbacks("app:sink", &[1], NOW + 5000).unwrap();
    assert_eq!(claimed(store, "app:sink", 1, NOW + 4999), []);
    assert_eq!(store.due_callbacks(None, NOW).unwrap().next, Some(NOW + 5000));
    assert_eq!(claimed(store, "app:sink", 1, NOW + 5000), [(1, 1)]);
    assert_sound(store);
}

#[test]
fn a_time_that_a_wrong_clock_set_is_not_waited_for() {
    let Left { store, .. } = &left(2);
    claimed(store, "app:sink", 2, NOW + 400 * DAY);
    refuse(store, 2, NOW + 2 * DAY, false);
    assert_eq!(store.due_callbacks(None, NOW).unwrap().sinks, ["app:sink"]);
    assert_eq!(claimed(store, "app:sink", 2, NOW), [(2, 1)]);
    assert_eq!(claimed(store, "app:sink", 2, NOW), [(1, 1)]);
    refuse(store, 2, NOW + 2 * DAY, true);
    refuse(store, 1, NOW + 2 * DAY, true);
    assert_eq!(claimed(store, "app:sink", 2, NOW), [], "what was given up has no time");
}

#[test]
fn what_was_given_up_is_told_with_the_reason_and_can_be_tried_again() {
    let Left { store, .. } = &left(3);
    claimed(store, "app:sink", 3, NOW);
    refuse(store, 2, NOW, true);
    refuse(store, 3, NOW, true);
    let [waiting] = &store.waiting_callbacks().unwrap()[..] else { panic!("one sink") };
    assert_eq!((waiting.sink.as_str(), waiting.waiting, waiting.dead), ("app:sink", 1, 2));
    assert_eq!(waiting.last_error.as_deref(), Some("boom"));
    let stats = store.stats().unwrap();
    assert_eq!((stats.callbacks, stats.callbacks_dead, stats.callback_error.as_deref()), (1, 2, Some("boom")));
    assert_eq!(store.requeue_callbacks("app:sink").unwrap(), 2);
    assert_eq!(store.requeue_callbacks("app:sink").unwrap(), 0);
    assert_eq!(claimed(store, "app:sink", 3, NOW), [(2, 0), (3, 0)]);
    assert_sound(store);
}

#[test]
fn an_id_whose_sink_shows_only_later_is_delivered_all_the_same() {
    let bench = Bench::new();
    let id = RecordId::new();
    bench.end(id, b"{\"end\":1}");
    let store = bench.store();
    ack(&store, &[1]);
    assert_eq!(store.callback_sinks().unwrap(), [""; 0]);
    let mut section = Vec::new();
    labels::push(&mut section, labels::SINK, b"app:sink");
    bench.spool.append(&event(Kind::Start, Ended::No, id, &section, b"{\"start\":1}")).unwrap();
    store.ingest(true).unwrap();
    assert_eq!(store.callback_sinks().unwrap(), ["app:sink"]);
    assert_eq!(store.get(id).unwrap().unwrap().state, State::Acked);
    assert_sound(&store);
}
