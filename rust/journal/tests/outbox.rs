//! The outbox: leases, acks, waits and queries.

mod common;

use common::{Bench, LEASE, NOW, ack, assert_sound, lease, lease_at, lease_one, limits, ms, raw, request_id, row};
use plsync_journal::{
    CallEnd, ClockChange, FLAG_RENEWED, Lane, LeaseLimits, Limits, Millis, ParkedState, Query, RecordId, RequestId,
    State, Store, labels,
};

#[test]
fn only_closed_records_are_leased_and_only_once() {
    let bench = Bench::new();
    let closed = bench.call("closed");
    bench.start("open", b"{}");
    let store = bench.store();
    let leased = lease(&store, 10);
    assert_eq!(
        leased.iter().map(|row| (row.id, row.state, row.attempts)).collect::<Vec<_>>(),
        [(closed, State::Leased, 1)]
    );
    assert!(lease(&store, 10).is_empty());
    assert_sound(&store);
}

#[test]
fn leases_of_a_dead_sender_are_in_doubt_and_due_once_they_have_settled() {
    let bench = Bench::new();
    bench.call("sent?");
    bench.call("sent long ago?");
    let store = bench.store();
    let leased = |now| lease_at(&store, 1, now)[0].id;
    let (recent, old) = (leased(NOW), leased(NOW - ms(5000)));
    assert_eq!(store.orphan_leases(NOW - ms(1000), NOW + ms(60_000)).unwrap(), 2);
    let due = |now| store.in_doubt(10, now).unwrap().iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(due(NOW + ms(59_999)), [old]);
    assert_eq!(due(NOW + ms(60_000)), [recent, old]);
    assert_sound(&store);
}

#[test]
fn a_released_record_is_due_again_at_its_time() {
    let bench = Bench::new();
    bench.call("later");
    let store = bench.store();
    let seq = lease_one(&store);
    store.release(&[seq], NOW + ms(5000), "offline").unwrap();
    assert!(lease_at(&store, 1, NOW + ms(4999)).is_empty());
    let again = lease_at(&store, 1, NOW + ms(5000));
    assert_eq!((again[0].attempts, again[0].last_error.as_str()), (2, "offline"));
}

#[test]
fn a_lease_is_bounded_by_bytes_but_never_empty() {
    let bench = Bench::new();
    for _ in 0..3 {
        let id = bench.start("big", &[b'b'; 10_000]);
        bench.end(id, b"{}");
    }
    let store = bench.store();
    let leased = |bytes| store.lease(Limits { records: 10, bytes }, LEASE, NOW).unwrap().len();
    assert_eq!(leased(1), 1);
    assert_eq!(leased(25_000), 2);
}

/// Closed calls of one lane, in the order they were recorded.
fn calls_of_lane(bench: &Bench, lane: Lane, number: usize) -> Vec<RecordId> {
    let call = |_| {
        let id = bench.start_in(lane, b"{}");
        bench.end(id, b"{}");
        id
    };
    (0..number).map(call).collect()
}

/// Limits of nine records, and one record of each ordered lane.
const ONE_PER_LANE: LeaseLimits =
    LeaseLimits { total: limits(9), per_lane: limits(1), per_tree: limits(9), fitting: false };

#[test]
fn a_record_waits_until_the_one_before_it_in_its_lane_is_settled() {
    let bench = Bench::new();
    let ids = calls_of_lane(&bench, Lane(7), 3);
    let alone = bench.call("alone");
    let store = bench.store();
    let leased = |now| store.lease(ONE_PER_LANE, LEASE, now).unwrap();
    let first = leased(NOW);
    assert_eq!(first.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[0], alone]);
    assert!(leased(NOW).is_empty());
    store.park(&[first[0].seq], ParkedState::InDoubt, NOW, "lost").unwrap();
    assert!(leased(NOW).is_empty());
    store.release(&[first[0].seq], NOW + ms(10), "throttled").unwrap();
    assert!(leased(NOW).is_empty());
    assert_eq!(leased(NOW + ms(10))[0].id, ids[0]);
    ack(&store, first[0].seq, 1);
    assert_eq!(leased(NOW)[0].id, ids[1]);
}

#[test]
fn a_lease_is_bounded_by_the_bytes_of_a_lane_and_keeps_its_order() {
    let bench = Bench::new();
    let large = "x".repeat(10_000);
    let call = |lane, body: &str| {
        let id = bench.start_in(Lane(lane), body.as_bytes());
        bench.end(id, b"{}");
        id
    };
    let lane = [call(7, "small"), call(7, &large), call(7, "small")];
    let others = [call(8, &large), call(0, &large)];
    let store = bench.store();
    let leased = |bytes| {
        let limits = LeaseLimits {
            total: limits(9),
            per_lane: Limits { records: 9, bytes },
            per_tree: limits(9),
            fitting: false,
        };
        let leased = store.lease(limits, LEASE, NOW).unwrap();
        let seqs: Vec<_> = leased.iter().map(|row| row.seq).collect();
        store.release(&seqs, Millis::EPOCH, "").unwrap();
        leased.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(leased(1000), [lane[0], others[0], others[1]]);
    assert_eq!(leased(10_100), [lane[0], lane[1], lane[2], others[0], others[1]]);
}

#[test]
fn a_dead_record_does_not_block_its_lane() {
    let bench = Bench::new();
    let ids = calls_of_lane(&bench, Lane(7), 2);
    let store = bench.store();
    let seq = store.lease(ONE_PER_LANE, LEASE, NOW).unwrap()[0].seq;
    store.park(&[seq], ParkedState::Dead, Millis::EPOCH, "refused").unwrap();
    assert_eq!(lease(&store, 9)[0].id, ids[1]);
}

#[test]
fn a_clock_set_back_does_not_lengthen_a_wait() {
    let bench = Bench::new();
    bench.call("later");
    let store = bench.store();
    let seq = lease_one(&store);
    store.release(&[seq], NOW + ms(5000), "throttled").unwrap();
    let back = NOW - ms(3_600_000);
    assert_eq!(store.shift_waits(ClockChange { before: NOW, after: back }, ms(10_000)).unwrap(), 1);
    assert_eq!(store.next_due(back).unwrap(), Some(back + ms(5000)));
    assert_eq!(store.shift_waits(ClockChange { before: back, after: back }, ms(1000)).unwrap(), 1);
    assert_eq!(store.next_due(back).unwrap(), Some(back + ms(1000)));
    assert_sound(&store);
}

#[test]
fn a_clock_set_back_does_not_make_a_wait_that_is_over_begin_again() {
    let bench = Bench::new();
    bench.call("due");
    bench.call("in doubt");
    let store = bench.store();
    let [released, parked] = lease(&store, 2).iter().map(|row| row.seq).collect::<Vec<_>>()[..] else { panic!() };
    store.release(&[released], NOW + ms(5000), "throttled").unwrap();
    store.park(&[parked], ParkedState::InDoubt, NOW + ms(5000), "no response").unwrap();
    let before = NOW + ms(6000);
    let back = before - ms(3_600_000);
    assert_eq!(store.shift_waits(ClockChange { before, after: back }, ms(10_000)).unwrap(), 2);
    assert_eq!(lease_at(&store, 9, back).len(), 1);
    assert_eq!(store.in_doubt(9, back).unwrap().len(), 1);
    assert_sound(&store);
}

#[test]
fn a_renewed_record_is_pending_and_flagged() {
    let bench = Bench::new();
    bench.call("span without log");
    let store = bench.store();
    let seq = lease_one(&store);
    store.renew(&[seq], "not in doubt").unwrap();
    assert!(lease(&store, 1).is_empty());
    store.park(&[seq], ParkedState::InDoubt, Millis::EPOCH, "no log").unwrap();
    store.renew(&[seq], "no log was made").unwrap();
    assert_eq!(lease(&store, 1)[0].flags, FLAG_RENEWED);
    assert_sound(&store);
}

#[test]
fn an_ack_stores_request_id_index_and_callback_together() {
    let bench = Bench::new();
    let id = bench.call("acked");
    let store = bench.store();
    let seq = lease_one(&store);
    assert_eq!(ack(&store, seq, 4711), 1);
    assert_eq!(request_id(&row(&store, id)), 4711);
    assert_eq!(store.by_request(RequestId(4711)).unwrap(), [id]);
    assert_eq!(common::waiting_sinks(&store), ["app:sink"]);
    assert_eq!(store.stats().unwrap().states[State::Acked as usize], 1);
    assert_eq!(ack(&store, seq, 9999), 0);
    assert_eq!(request_id(&row(&store, id)), 4711);
    assert_sound(&store);
}

#[test]
fn dead_and_held_records_are_requeued_and_opaque_ones_are_not() {
    let bench = Bench::new();
    bench.call("dead");
    let opaque = RecordId::new();
    bench.spool.append(&raw(opaque, b"bytes")).unwrap();
    let store = bench.store();
    let seq = lease_one(&store);
    store.park(&[seq], ParkedState::Dead, Millis::EPOCH, "refused: bad role").unwrap();
    let opaque = row(&store, opaque);
    assert_eq!(opaque.state, State::Held);
    assert_eq!(store.requeue(&[seq, opaque.seq]).unwrap(), 1);
    assert_eq!(lease(&store, 9).len(), 1);
    assert_sound(&store);
}

#[test]
fn records_are_found_by_label_state_time_and_text() {
    let bench = Bench::new();
    let red = bench.start("red", b"{\"content\":\"Once upon a \\\"TIME\\\"\"}");
    let blue = bench.call("blue");
    let store = bench.store();
    let found = |query: &Query| store.query(query).unwrap().iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(found(&Query::default()), [blue, red]);
    assert_eq!(found(&Query { oldest_first: true, ..Query::default() }), [red, blue]);
    assert_eq!(found(&Query { labels: vec![(labels::TAG, b"red".to_vec())], ..Query::default() }), [red]);
    assert_eq!(found(&Query { text: Some("a \"time\"".into()), ..Query::default() }), [red]);
    assert_eq!(found(&Query { ended: vec![CallEnd::Ok], ..Query::default() }), [blue]);
    assert_eq!(found(&Query { ended: vec![CallEnd::No], ..Query::default() }), [red]);
    assert_eq!(found(&Query { ended: vec![CallEnd::Error, CallEnd::Abandoned], ..Query::default() }), []);
    assert_eq!(found(&Query { states: vec![State::Pending], ..Query::default() }), [blue, red]);
    assert_eq!(found(&Query { states: vec![State::Dead], ..Query::default() }), []);
    assert_eq!(found(&Query { before: Some(blue), ..Query::default() }), [red]);
    assert_eq!(found(&Query { after: Some(red), oldest_first: true, ..Query::default() }), [blue]);
    assert_eq!(found(&Query { until: Some(red.made_at()), ..Query::default() }), []);
    assert_eq!(found(&Query { since: Some(red.made_at()), limit: 1, ..Query::default() }), [blue]);
    assert_eq!(store.by_label(labels::TAG, b"blue", 10).unwrap(), [blue]);
}

fn assert_resolves(store: &Store, id: RecordId) {
    let length = store.short_id_length(id).unwrap();
    assert_eq!(store.ids_starting_with(&id.hex()[..length], 2).unwrap(), [id]);
    assert_eq!(store.ids_starting_with(&id.hex()[..length - 1], 2).unwrap().len(), 2);
}

#[test]
fn an_id_can_be_shortened_while_it_is_unique() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..20).map(|_| bench.call("many")).collect();
    let store = bench.store();
    for id in ids {
        assert_resolves(&store, id);
    }
    assert_eq!(store.ids_starting_with("xyz", 2).unwrap(), []);
}
