//! Leases, acks and questions.

mod common;

use common::{Bench, assert_sound, event};
use plsync_journal::{Ended, Event, FLAG_RENEWED, Kind, Query, RecordId, State, labels};

const NOW: u64 = 1_900_000_000_000;
const MB: u64 = 1 << 20;

#[test]
fn only_closed_records_are_leased_and_only_once() {
    let bench = Bench::new();
    let closed = bench.call("closed");
    bench.start("open", b"{}");
    let store = bench.store();
    let leased = store.lease(10, 60_000, NOW, MB).unwrap();
    assert_eq!(
        leased.iter().map(|row| (row.id, row.state, row.attempts)).collect::<Vec<_>>(),
        [(closed, State::Leased, 1)]
    );
    assert!(store.lease(10, 60_000, NOW, MB).unwrap().is_empty());
    assert_sound(&store);
}

#[test]
fn what_a_dead_sender_leased_is_in_doubt_and_looked_up_when_it_has_settled() {
    let bench = Bench::new();
    bench.call("sent?");
    bench.call("sent long ago?");
    let store = bench.store();
    let leased = |now| store.lease(1, 1000, now, MB).unwrap()[0].id;
    let (recent, old) = (leased(NOW), leased(NOW - 5000));
    assert_eq!(store.orphan_leases(NOW - 1000, NOW + 60_000).unwrap(), 2);
    let due = |now| store.in_doubt(10, now).unwrap().iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(due(NOW + 59_999), [old]);
    assert_eq!(due(NOW + 60_000), [recent, old]);
    assert_sound(&store);
}

#[test]
fn a_released_record_is_due_again_when_told() {
    let bench = Bench::new();
    bench.call("later");
    let store = bench.store();
    let seq = store.lease(1, 1000, NOW, MB).unwrap()[0].seq;
    store.release(&[seq], NOW + 5000, "offline").unwrap();
    assert!(store.lease(1, 1000, NOW + 4999, MB).unwrap().is_empty());
    let again = store.lease(1, 1000, NOW + 5000, MB).unwrap();
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
    assert_eq!(store.lease(10, 1000, NOW, 1).unwrap().len(), 1);
    assert_eq!(store.lease(10, 1000, NOW, 25_000).unwrap().len(), 2);
}

/// Closed calls of one lane, in the order they were recorded.
fn calls_of_lane(bench: &Bench, lane: u8, number: usize) -> Vec<RecordId> {
    let call = |_| {
        let id = RecordId::new();
        bench.spool.append(&Event { lane, ..event(Kind::Start, Ended::No, id, &[], b"{}") }).unwrap();
        bench.end(id, b"{}");
        id
    };
    (0..number).map(call).collect()
}

#[test]
fn what_follows_in_a_lane_waits_for_what_is_on_its_way() {
    let bench = Bench::new();
    let ids = calls_of_lane(&bench, 7, 3);
    let alone = bench.call("alone");
    let store = bench.store();
    let leased = |limit, now| store.lease_of_lanes(limit, 1, 1000, now, MB, MB).unwrap();
    let first = leased(9, NOW);
    assert_eq!(first.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[0], alone]);
    assert!(leased(9, NOW).is_empty());
    store.park(&[first[0].seq], State::InDoubt, "lost", NOW).unwrap();
    assert!(leased(9, NOW).is_empty());
    store.release(&[first[0].seq], NOW + 10, "throttled").unwrap();
    assert!(leased(9, NOW).is_empty());
    assert_eq!(leased(9, NOW + 10)[0].id, ids[0]);
    store.ack(&[(first[0].seq, 1)]).unwrap();
    assert_eq!(leased(9, NOW)[0].id, ids[1]);
}

#[test]
fn of_a_lane_no_more_bytes_are_given_than_asked_for_and_nothing_overtakes() {
    let bench = Bench::new();
    let large = "x".repeat(10_000);
    let call = |lane, body: &str| {
        let id = RecordId::new();
        bench.spool.append(&Event { lane, ..event(Kind::Start, Ended::No, id, &[], body.as_bytes()) }).unwrap();
        bench.end(id, b"{}");
        id
    };
    let lane = [call(7, "small"), call(7, &large), call(7, "small")];
    let others = [call(8, &large), call(0, &large)];
    let store = bench.store();
    let leased = |bytes| {
        let leased = store.lease_of_lanes(9, 9, 1000, NOW, MB, bytes).unwrap();
        let seqs: Vec<_> = leased.iter().map(|row| row.seq).collect();
        store.release(&seqs, 0, "").unwrap();
        leased.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(leased(1000), [lane[0], others[0], others[1]]);
    assert_eq!(leased(10_100), [lane[0], lane[1], lane[2], others[0], others[1]]);
}

#[test]
fn a_dead_record_holds_up_nothing() {
    let bench = Bench::new();
    let ids = calls_of_lane(&bench, 7, 2);
    let store = bench.store();
    let seq = store.lease_of_lanes(9, 1, 1000, NOW, MB, MB).unwrap()[0].seq;
    store.park(&[seq], State::Dead, "refused", 0).unwrap();
    assert_eq!(store.lease(9, 1000, NOW, MB).unwrap()[0].id, ids[1]);
}

#[test]
fn a_clock_set_back_does_not_lengthen_a_wait() {
    let bench = Bench::new();
    bench.call("later");
    let store = bench.store();
    let seq = store.lease(1, 1000, NOW, MB).unwrap()[0].seq;
    store.release(&[seq], NOW + 5000, "throttled").unwrap();
    let back = NOW - 3_600_000;
    assert_eq!(store.mend_waits(NOW, back, 10_000).unwrap(), 1);
    assert_eq!(store.next_due(back).unwrap(), Some(back + 5000));
    assert_eq!(store.mend_waits(back, back, 1000).unwrap(), 1);
    assert_eq!(store.next_due(back).unwrap(), Some(back + 1000));
    assert_sound(&store);
}

#[test]
fn a_renewed_record_is_pending_and_says_so() {
    let bench = Bench::new();
    bench.call("span without log");
    let store = bench.store();
    let seq = store.lease(1, 1000, NOW, MB).unwrap()[0].seq;
    store.renew(&[seq], "not in doubt").unwrap();
    assert!(store.lease(1, 1000, NOW, MB).unwrap().is_empty());
    store.park(&[seq], State::InDoubt, "no log", 0).unwrap();
    store.renew(&[seq], "no log was made").unwrap();
    assert_eq!(store.lease(1, 1000, NOW, MB).unwrap()[0].flags, FLAG_RENEWED);
    assert_sound(&store);
}

#[test]
fn an_ack_brings_request_id_index_and_callback_together() {
    let bench = Bench::new();
    let id = bench.call("acked");
    let store = bench.store();
    let seq = store.lease(1, 1000, NOW, MB).unwrap()[0].seq;
    assert_eq!(store.ack(&[(seq, 4711)]).unwrap(), 1);
    assert_eq!(store.get(id).unwrap().unwrap().ack.unwrap().0, 4711);
    assert_eq!(store.by_request(4711).unwrap(), Some(id));
    assert_eq!(store.callback_sinks().unwrap(), ["app:sink"]);
    assert_eq!(store.stats().unwrap().states[State::Acked as usize], 1);
    assert_eq!(store.ack(&[(seq, 9999)]).unwrap(), 0);
    assert_eq!(store.get(id).unwrap().unwrap().ack.unwrap().0, 4711);
    assert_sound(&store);
}

#[test]
fn dead_and_held_records_are_requeued_and_opaque_ones_are_not() {
    let bench = Bench::new();
    bench.call("dead");
    let raw = RecordId::new();
    bench.spool.append(&event(Kind::Raw, Ended::No, raw, &[], b"bytes")).unwrap();
    let store = bench.store();
    let seq = store.lease(1, 1000, NOW, MB).unwrap()[0].seq;
    store.park(&[seq], State::Dead, "refused: bad role", 0).unwrap();
    let opaque = store.get(raw).unwrap().unwrap();
    assert_eq!(opaque.state, State::Held);
    assert_eq!(store.requeue(&[seq, opaque.seq]).unwrap(), 1);
    assert_eq!(store.lease(9, 1000, NOW, MB).unwrap().len(), 1);
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
    assert_eq!(found(&Query { ended: vec![Ended::Ok], ..Query::default() }), [blue]);
    assert_eq!(found(&Query { ended: vec![Ended::No], ..Query::default() }), [red]);
    assert_eq!(found(&Query { ended: vec![Ended::Error, Ended::Abandoned], ..Query::default() }), []);
    assert_eq!(found(&Query { states: vec![State::Pending], ..Query::default() }), [blue, red]);
    assert_eq!(found(&Query { states: vec![State::Dead], ..Query::default() }), []);
    assert_eq!(found(&Query { before: Some(blue), ..Query::default() }), [red]);
    assert_eq!(found(&Query { after: Some(red), oldest_first: true, ..Query::default() }), [blue]);
    assert_eq!(found(&Query { until: Some(red.unix_ms()), ..Query::default() }), []);
    assert_eq!(found(&Query { since: Some(red.unix_ms()), limit: 1, ..Query::default() }), [blue]);
    assert_eq!(store.by_label(labels::TAG, b"blue", 10).unwrap(), [blue]);
}

#[test]
fn an_id_can_be_cut_short_as_long_as_it_is_unique() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..20).map(|_| bench.call("many")).collect();
    let store = bench.store();
    for id in ids {
        let length = store.short_id_length(id).unwrap();
        assert_eq!(store.resolve(&id.hex()[..length], 2).unwrap(), [id]);
        assert_eq!(store.resolve(&id.hex()[..length - 1], 2).unwrap().len(), 2);
    }
    assert_eq!(store.resolve("xyz", 2).unwrap(), []);
}
