//! The way back: the order of acks, and the queue of callbacks.

mod common;

use std::time::Duration;

use common::{
    Bench, LATER, LEASE, NOW, SINK, assert_sound, golden, lease_at, lease_one, ms, request_id, start, waiting_sinks,
};
use plsync_journal::{FailedCallback, Millis, RecordId, RequestId, Seq, State, Store, labels};

const DAY: Duration = Duration::from_hours(24);

/// The journal of a process that is gone, with a number of calls that are acked in the order they were made.
struct Orphaned {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Orphaned {
    fn with_calls(calls: usize) -> Self {
        let bench = Bench::new();
        for _ in 0..calls {
            bench.call("orphaned");
        }
        let (dir, path) = bench.after_death();
        let store = common::open(&path);
        ack(&store, &(1..=calls as u64).collect::<Vec<_>>());
        Self { _dir: dir, store }
    }
}

/// The journal of this process with one acked call, and the call's number.
fn acked() -> (Bench, Store, Seq) {
    let bench = Bench::new();
    bench.call("acked");
    let store = bench.store();
    let seq = lease_one(&store);
    common::ack(&store, seq, 7);
    (bench, store, seq)
}

fn seqs(numbers: &[u64]) -> Vec<Seq> {
    numbers.iter().copied().map(Seq).collect()
}

/// Acks records: the request id of record 1 is 1001.
fn ack(store: &Store, numbers: &[u64]) {
    store.ack(&numbers.iter().map(|seq| (Seq(*seq), RequestId(1000 + seq))).collect::<Vec<_>>()).unwrap();
}

/// Claims callbacks as a process that records nothing. Returns the record and the attempts of each.
fn claim(store: &Store, sink: &str, limit: usize, now: Millis) -> Vec<(u64, u32)> {
    let claimed = store.claim_callbacks(sink, None, limit, LEASE, now).unwrap();
    claimed.into_iter().map(|callback| (callback.seq.0, callback.attempts)).collect()
}

fn fail(store: &Store, seq: u64, not_before: Millis, dead: bool) {
    let failed = FailedCallback { seq: Seq(seq), error: "boom".into(), not_before, dead };
    store.settle_callbacks(SINK, &[], &[failed], &[]).unwrap();
}

fn order(store: &Store, after: u64, limit: usize) -> Vec<(u64, u64)> {
    store.acks(after, limit).unwrap().into_iter().map(|acked| (acked.number, acked.row.seq.0)).collect()
}

#[test]
fn acks_are_read_in_the_order_they_arrived() {
    let bench = Bench::new();
    for _ in 0..5 {
        bench.call("acked");
    }
    let store = bench.store();
    assert_eq!((order(&store, 0, 10), store.last_ack().unwrap()), (vec![], 0));
    ack(&store, &[4, 2]);
    assert_eq!(order(&store, 0, 10), [(1, 4), (2, 2)]);
    ack(&store, &[2, 1, 5]);
    assert_eq!(order(&store, 2, 10), [(3, 1), (4, 5)], "a repeated ack keeps its place");
    assert_eq!(order(&store, 1, 2), [(2, 2), (3, 1)]);
    assert_eq!(store.last_ack().unwrap(), 4);
    assert_eq!(request_id(&store.acks(0, 1).unwrap()[0].row), 1004);
    assert_sound(&store);
}

#[test]
fn acks_of_an_older_store_come_first_in_the_order() {
    let dir = common::temp_dir();
    let path = dir.path().join("journal");
    golden::copy_to(golden::ALL[0], &path);
    let store = common::open(&path);
    let before = store.acks(0, 100).unwrap();
    assert!(!before.is_empty());
    assert!(before.is_sorted_by_key(|acked| acked.row.seq));
    let later = lease_at(&store, 1, LATER)[0].seq;
    ack(&store, &[later.0]);
    assert_eq!(store.acks(before.len() as u64, 10).unwrap()[0].row.seq, later);
    assert_eq!(claim(&store, "app:on_request_id", 1, Millis(u64::MAX >> 2)).len(), 1);
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
    let (bench, store, seq) = acked();
    assert_eq!(claim(&store, SINK, 10, NOW), []);
    let own = bench.spool.writer_id().unwrap();
    let claim = |now| store.claim_callbacks(SINK, Some(own), 10, LEASE, now).unwrap();
    assert_eq!(request_id(&claim(NOW)[0].row), 7);
    assert!(claim(NOW).is_empty());
    fail(&store, seq.0, NOW + ms(10), false);
    assert_eq!(claim(NOW + ms(10))[0].attempts, 1);
    store.settle_callbacks(SINK, &[seq], &[], &[]).unwrap();
    assert!(waiting_sinks(&store).is_empty());
}

#[test]
fn any_process_may_claim_a_callback_of_a_dead_one() {
    let Orphaned { store, .. } = &Orphaned::with_calls(1);
    assert_eq!(claim(store, SINK, 10, NOW).len(), 1);
}

#[test]
fn a_subscribed_sink_receives_every_later_ack_once() {
    let bench = Bench::new();
    for _ in 0..6 {
        bench.call("acked");
    }
    let store = bench.store();
    ack(&store, &[1]);
    store.subscribe("exec").unwrap();
    assert_eq!(claim(&store, "exec", 10, NOW), []);
    ack(&store, &[3, 2]);
    store.subscribe("exec").unwrap();
    // Also while the process of the records lives.
    assert_eq!(claim(&store, "exec", 1, NOW), [(3, 0)]);
    ack(&store, &[5]);
    assert_eq!(store.due_callbacks(None, NOW).unwrap().sinks, ["exec"]);
    assert_eq!(claim(&store, "exec", 10, NOW), [(2, 0), (5, 0)]);
    store.settle_callbacks("exec", &seqs(&[2]), &[], &seqs(&[5])).unwrap();
    assert_eq!(claim(&store, "exec", 10, NOW), [(5, 0)]);
    assert_eq!(claim(&store, "exec", 10, NOW + ms(1000)), [(3, 1)], "its deliverer died");
    let backlogs = store.callback_backlogs().unwrap();
    let exec = backlogs.iter().find(|backlog| backlog.sink == "exec").unwrap();
    assert_eq!((exec.waiting, exec.owned, exec.dead), (2, 0, 0));
    ack(&store, &[6]);
    assert_eq!(store.drop_callbacks("exec").unwrap(), 3);
    ack(&store, &[4]);
    assert_eq!(claim(&store, "exec", 10, NOW + ms(5000)), []);
    assert_sound(&store);
}

#[test]
fn an_entry_that_was_tried_before_is_claimed_alone() {
    let Orphaned { store, .. } = &Orphaned::with_calls(4);
    assert_eq!(claim(store, SINK, 3, NOW), [(1, 0), (2, 0), (3, 0)]);
    assert_eq!(claim(store, SINK, 3, NOW), [(4, 0)]);
    // Their process died in one of them. The next death costs only one entry an attempt.
    for seq in 1..=4 {
        assert_eq!(claim(store, SINK, 3, NOW + ms(1000)), [(seq, 1)]);
    }
    assert_eq!(claim(store, SINK, 3, NOW + ms(1000)), []);
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
    let own = bench.spool.writer_id().ok();
    assert_eq!(store.claim_callbacks(SINK, own, 10, LEASE, NOW).unwrap().len(), 1);
}

#[test]
fn an_entry_with_an_extended_lease_is_not_claimed_again() {
    let Orphaned { store, .. } = &Orphaned::with_calls(1);
    assert_eq!(claim(store, SINK, 1, NOW), [(1, 0)]);
    store.extend_callbacks(SINK, &seqs(&[1]), NOW + ms(5000)).unwrap();
    assert_eq!(claim(store, SINK, 1, NOW + ms(4999)), []);
    assert_eq!(store.due_callbacks(None, NOW).unwrap().next, Some(NOW + ms(5000)));
    assert_eq!(claim(store, SINK, 1, NOW + ms(5000)), [(1, 1)]);
    assert_sound(store);
}

#[test]
fn a_due_time_that_a_wrong_clock_set_is_ignored() {
    let Orphaned { store, .. } = &Orphaned::with_calls(2);
    claim(store, SINK, 2, NOW + 400 * DAY);
    fail(store, 2, NOW + 2 * DAY, false);
    assert_eq!(store.due_callbacks(None, NOW).unwrap().sinks, [SINK]);
    assert_eq!(claim(store, SINK, 2, NOW), [(2, 1)]);
    assert_eq!(claim(store, SINK, 2, NOW), [(1, 1)]);
    fail(store, 2, NOW + 2 * DAY, true);
    fail(store, 1, NOW + 2 * DAY, true);
    assert_eq!(claim(store, SINK, 2, NOW), [], "dead entries are never due");
}

#[test]
fn dead_entries_are_reported_with_their_error_and_can_be_requeued() {
    let Orphaned { store, .. } = &Orphaned::with_calls(3);
    claim(store, SINK, 3, NOW);
    fail(store, 2, NOW, true);
    fail(store, 3, NOW, true);
    let [backlog] = &store.callback_backlogs().unwrap()[..] else { panic!("one sink") };
    assert_eq!((backlog.sink.as_str(), backlog.waiting, backlog.dead), (SINK, 1, 2));
    assert_eq!(backlog.last_error.as_deref(), Some("boom"));
    let stats = store.stats().unwrap();
    assert_eq!((stats.callbacks, stats.callbacks_dead, stats.callback_error.as_deref()), (1, 2, Some("boom")));
    assert_eq!(store.requeue_callbacks(SINK).unwrap(), 2);
    assert_eq!(store.requeue_callbacks(SINK).unwrap(), 0);
    assert_eq!(claim(store, SINK, 3, NOW), [(2, 0), (3, 0)]);
    assert_sound(store);
}

#[test]
fn a_request_id_is_delivered_even_when_its_sink_is_known_only_later() {
    let bench = Bench::new();
    let id = RecordId::new();
    bench.end(id, b"{\"end\":1}");
    let store = bench.store();
    ack(&store, &[1]);
    assert_eq!(waiting_sinks(&store), [""; 0]);
    let mut section = Vec::new();
    labels::push(&mut section, labels::SINK, SINK.as_bytes());
    bench.spool.append(&start(id, &section, b"{\"start\":1}")).unwrap();
    store.ingest(true).unwrap();
    assert_eq!(waiting_sinks(&store), [SINK]);
    assert_eq!(common::row(&store, id).state, State::Acked);
    assert_sound(&store);
}
