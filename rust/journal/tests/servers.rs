//! The servers that records were sent to: the binding to one of them, request ids that two of them send, and withdrawn deliveries.

mod common;

use common::{Bench, LATER, LEASE, NOW, assert_sound, lease, lease_one, limits, ms, row, temp_dir};
use plsync_journal::{
    Account, Bind, FailedFollowUp, Op, ParkedState, RecordId, RequestId, SentFollowUp, Seq, ServerId, State, Store,
    Target, Withdrawn, salvage,
};

const ONE: &str = "https://one.example";
const TWO: &str = "https://two.example";

fn account(url: &str, key: u8) -> Account {
    Account { url: url.into(), account: [key; 16], is_stand_in: false }
}

fn bind(store: &Store, url: &str, key: u8) {
    assert_eq!(store.bind(&account(url, key), Bind::Refuse).unwrap(), None);
}

/// A journal with this many closed calls.
fn bench(calls: usize) -> (Bench, Store, Vec<RecordId>) {
    let bench = Bench::within(temp_dir());
    let ids = (0..calls).map(|_| bench.call("a")).collect();
    let store = bench.store();
    (bench, store, ids)
}

fn ack(store: &Store, seq: Seq, request: u64) {
    assert_eq!(store.ack(&[(seq, RequestId(request))]).unwrap(), 1);
}

#[test]
fn an_ack_has_the_server_that_the_journal_is_bound_to() {
    let (_bench, store, ids) = bench(3);
    let leased = lease(&store, 3);
    ack(&store, leased[0].seq, 1);
    bind(&store, ONE, 1);
    ack(&store, leased[1].seq, 2);
    assert_eq!(store.bind(&account(TWO, 2), Bind::Leave).unwrap(), None);
    ack(&store, leased[2].seq, 3);
    let shown: Vec<_> = ids.iter().map(|id| row(&store, *id)).collect();
    let servers: Vec<_> = shown.iter().map(|row| (row.ack.unwrap().server, row.server.as_deref())).collect();
    assert_eq!(servers, [(ServerId::UNKNOWN, None), (ServerId(1), Some(ONE)), (ServerId(2), Some(TWO))]);
    let stats = store.servers().unwrap();
    let numbers: Vec<_> = stats.iter().map(|stats| (stats.server.acked, stats.is_bound)).collect();
    assert_eq!(numbers, [(1, false), (1, true)]);
    assert_sound(&store);
}

#[test]
fn a_request_id_of_two_servers_leads_to_both_records() {
    let (bench, store, ids) = bench(3);
    let leased = lease(&store, 3);
    bind(&store, ONE, 1);
    ack(&store, leased[0].seq, 1001);
    assert_eq!(store.bind(&account(TWO, 2), Bind::Leave).unwrap(), None);
    ack(&store, leased[1].seq, 1001);
    assert_eq!(store.by_request(RequestId(1001)).unwrap(), ids[..2]);
    let report = store.check().unwrap();
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
    // One server twice is no damage either, and is worth a note.
    ack(&store, leased[2].seq, 1001);
    let report = store.check().unwrap();
    assert_eq!(report.problems, []);
    let expected = format!("request id 1001 is of 2 records of {TWO}: {}, {}", ids[1].hex(), ids[2].hex());
    assert_eq!(report.notes, [expected]);

    let secret = store.secret().unwrap();
    let copy = bench.dir.path().join("salvaged");
    salvage(&bench.path, &copy).unwrap();
    let salvaged = Store::open(&copy, false).unwrap();
    assert_eq!(salvaged.by_request(RequestId(1001)).unwrap(), ids);
    assert_eq!(salvaged.servers().unwrap(), store.servers().unwrap());
    assert_eq!(salvaged.secret().unwrap(), secret);
    assert_sound(&salvaged);
}

#[test]
fn a_journal_stays_with_the_server_that_has_its_records() {
    let (_bench, store, _) = bench(1);
    bind(&store, ONE, 1);
    // Nothing was sent yet: a mistyped key binds nothing.
    bind(&store, TWO, 2);
    bind(&store, ONE, 1);
    let seq = lease_one(&store);
    let refused = store.bind(&account(TWO, 2), Bind::Refuse).unwrap().unwrap();
    assert_eq!(refused.url, ONE, "a leased record may have been sent");
    ack(&store, seq, 7);
    assert_eq!(store.bind(&account(ONE, 2), Bind::Refuse).unwrap().map(|server| server.account), Some([1; 16]));
    bind(&store, ONE, 1);
    assert_eq!(store.bind(&account(ONE, 2), Bind::Rotate).unwrap(), None);
    bind(&store, ONE, 2);
    let servers = store.servers().unwrap();
    assert_eq!((servers.len(), servers[0].server.acked), (1, 1), "a new key of the same workspace is the same server");
    assert_sound(&store);
}

#[test]
fn a_follow_up_that_was_sent_binds_too() {
    let (_bench, store, _) = bench(1);
    bind(&store, ONE, 1);
    store.follow_up(Target::Request(RequestId(4711)), Op::Score, b"{}").unwrap();
    let claimed = store.claim_followups(limits(9), LEASE, NOW).unwrap();
    store.followups_done(&[SentFollowUp { key: claimed[0].key, status: 200 }], NOW).unwrap();
    assert!(store.bind(&account(TWO, 2), Bind::Refuse).unwrap().is_some());
}

#[test]
fn stand_ins_count_as_one_server_for_the_binding() {
    let (_bench, store, _) = bench(2);
    let stand_in = |port: u8| Account { is_stand_in: true, ..account(&format!("http://127.0.0.1:{port}"), port) };
    assert_eq!(store.bind(&stand_in(1), Bind::Refuse).unwrap(), None);
    let leased = lease(&store, 2);
    ack(&store, leased[0].seq, 1);
    store.park(&[leased[1].seq], ParkedState::InDoubt, NOW, "no response").unwrap();
    assert_eq!(store.bind(&stand_in(2), Bind::Refuse).unwrap(), None);
    assert_eq!(store.in_doubt(9, LATER).unwrap().len(), 1, "its data is test data, wherever it is");
    assert!(store.bind(&account("http://127.0.0.1:3", 3), Bind::Refuse).unwrap().is_some());
    assert!(store.bind(&account(ONE, 1), Bind::Refuse).unwrap().is_some());
    assert_sound(&store);
}

#[test]
fn records_in_doubt_stay_with_their_server() {
    let (_bench, store, ids) = bench(3);
    bind(&store, ONE, 1);
    let leased = lease(&store, 2);
    store.park(&[leased[0].seq], ParkedState::InDoubt, NOW, "no response").unwrap();
    // The second one is leased by a sender that is gone.
    assert_eq!(store.bind(&account(TWO, 2), Bind::Leave).unwrap(), None);
    assert_eq!(store.in_doubt(9, LATER).unwrap().len(), 0);
    assert_eq!(store.next_due(NOW).unwrap(), None);
    assert_eq!(row(&store, ids[0]).server.as_deref(), Some(ONE));
    assert!(store.is_unsettled(leased[1].seq.next()).unwrap());
    assert!(!store.is_unsettled(leased[1].seq).unwrap(), "nobody would end a wait for them");
    let in_doubt: Vec<_> = store.servers().unwrap().iter().map(|stats| (stats.is_bound, stats.in_doubt)).collect();
    assert_eq!(in_doubt, [(false, 2), (true, 0)]);
    assert_sound(&store);
    // A record in doubt at the second server is looked up there.
    let seq = lease_one(&store);
    store.park(&[seq], ParkedState::InDoubt, NOW, "no response").unwrap();
    assert_eq!(store.in_doubt(9, LATER).unwrap().iter().map(|row| row.id).collect::<Vec<_>>(), ids[2..]);
    // Back at the first server they are looked up there.
    assert_eq!(store.bind(&account(ONE, 1), Bind::Leave).unwrap(), None);
    assert_eq!(store.in_doubt(9, LATER).unwrap().iter().map(|row| row.id).collect::<Vec<_>>(), ids[..2]);
    ack(&store, leased[0].seq, 5);
    assert_sound(&store);
}

#[test]
fn a_record_in_doubt_elsewhere_blocks_no_lane() {
    let bench = Bench::within(temp_dir());
    let ids: Vec<_> = (0..2).map(|_| bench.start_in(plsync_journal::Lane(7), b"{}")).collect();
    for id in &ids {
        bench.end(*id, b"{}");
    }
    let store = bench.store();
    bind(&store, ONE, 1);
    let seq = lease_one(&store);
    store.park(&[seq], ParkedState::InDoubt, NOW, "no response").unwrap();
    assert_eq!(lease(&store, 9).len(), 0);
    store.bind(&account(TWO, 2), Bind::Leave).unwrap();
    assert_eq!(lease(&store, 9)[0].id, ids[1]);
}

#[test]
fn follow_ups_never_reach_another_server() {
    let (_bench, store, ids) = bench(2);
    bind(&store, ONE, 1);
    let seq = lease_one(&store);
    ack(&store, seq, 1001);
    store.follow_up(Target::Record(ids[0]), Op::Score, b"{\"score\":1}").unwrap();
    store.follow_up(Target::Request(RequestId(4711)), Op::Score, b"{\"score\":2}").unwrap();
    store.bind(&account(TWO, 2), Bind::Leave).unwrap();
    assert_eq!(store.claim_followups(limits(9), LEASE, NOW).unwrap(), []);
    let reasons: Vec<_> = store.dead_followups(9).unwrap().into_iter().map(|one| one.last_error).collect();
    assert_eq!(
        reasons,
        [format!("its request is at {ONE}, and this journal sends to {TWO}"), format!("it was queued for {ONE}")]
    );
    assert_sound(&store);
    store.bind(&account(ONE, 1), Bind::Leave).unwrap();
    assert_eq!(store.requeue_followups(None).unwrap(), 2);
    assert_eq!(store.claim_followups(limits(9), LEASE, NOW).unwrap().len(), 2);
}

#[test]
fn withdrawn_deliveries_are_sent_again_and_no_cursor_is_used_twice() {
    let (_bench, store, ids) = bench(4);
    store.subscribe("exec").unwrap();
    bind(&store, ONE, 1);
    let leased = lease(&store, 3);
    ack(&store, leased[0].seq, 11);
    ack(&store, leased[1].seq, 12);
    store.park(&[leased[2].seq], ParkedState::InDoubt, NOW, "no response").unwrap();
    // One follow-up was sent, one was refused, one waits.
    for _ in 0..3 {
        store.follow_up(Target::Record(ids[1]), Op::Score, b"{}").unwrap();
    }
    let claimed = store.claim_followups(limits(9), LEASE, NOW).unwrap();
    store.followups_done(&[SentFollowUp { key: claimed[0].key, status: 200 }], NOW).unwrap();
    let refused = FailedFollowUp { key: claimed[1].key, error: "404".into(), not_before: NOW, dead: true };
    store.followups_failed(&[refused]).unwrap();
    let last = store.last_ack().unwrap();
    assert_eq!(last, 2);
    let done = store.withdraw(&[ServerId(1)], NOW, "withdrawn").unwrap();
    assert_eq!(done, Withdrawn { records: 3, ..Withdrawn::default() });
    assert_sound(&store);
    assert!(store.by_request(RequestId(11)).unwrap().is_empty());
    assert_eq!(store.claim_followups(limits(9), LEASE, NOW).unwrap(), [], "it waits for the next request id");
    assert!(store.callback_backlogs().unwrap().iter().all(|backlog| backlog.waiting == 0));
    // Nothing is left there, so the journal may go to another server without further ado.
    bind(&store, TWO, 2);
    let again = lease(&store, 9);
    assert_eq!(again.len(), 4);
    ack(&store, again[0].seq, 21);
    ack(&store, again[1].seq, 22);
    assert_eq!(store.claim_followups(limits(9), LEASE, NOW).unwrap().len(), 3, "the new server receives all of them");
    assert_eq!(store.acks(last, 9).unwrap().iter().map(|acked| acked.number).collect::<Vec<_>>(), [3, 4]);
    let waiting: u64 = store.callback_backlogs().unwrap().iter().map(|backlog| backlog.waiting).sum();
    assert_eq!(waiting, 4, "the sinks of two records, and the subscriber twice");
    assert_eq!(row(&store, ids[0]).server.as_deref(), Some(TWO));
    assert_sound(&store);
    // The subscriber receives the new ack, and none of the withdrawn ones.
    let claimed = store.claim_callbacks("exec", None, 9, ms(1), NOW).unwrap();
    assert_eq!(claimed.len(), 2);
    assert_eq!(row(&store, ids[3]).state, State::Leased);
    assert_eq!(store.withdraw(&[ServerId::UNKNOWN], NOW, "").unwrap().records, 0);
}

#[test]
fn a_request_id_of_a_withdrawn_delivery_reaches_no_other_server() {
    let (_bench, store, _) = bench(1);
    bind(&store, ONE, 1);
    let seq = lease_one(&store);
    ack(&store, seq, 11);
    store.follow_up(Target::Request(RequestId(4711)), Op::Score, b"{}").unwrap();
    assert_eq!(store.withdraw(&[ServerId(1)], NOW, "withdrawn").unwrap().records, 1);
    assert_eq!(store.dead_followups(9).unwrap(), [], "the journal may stay with its server");
    bind(&store, ONE, 2);
    assert_eq!(store.claim_followups(limits(9), LEASE, NOW).unwrap(), []);
    let reasons: Vec<_> = store.dead_followups(9).unwrap().into_iter().map(|one| one.last_error).collect();
    assert_eq!(reasons, [format!("it was queued for {ONE}, with another API key")]);
    assert_sound(&store);
}

#[test]
fn a_record_whose_callback_runs_keeps_its_request_id() {
    let (bench, store, _) = bench(1);
    bind(&store, ONE, 1);
    let seq = lease_one(&store);
    ack(&store, seq, 11);
    let writer = Some(bench.spool.writer_id().unwrap());
    assert_eq!(store.claim_callbacks(common::SINK, writer, 9, ms(1000), NOW).unwrap().len(), 1);
    let done = store.withdraw(&[ServerId(1)], NOW, "withdrawn").unwrap();
    assert_eq!(done, Withdrawn { busy: 1, ..Withdrawn::default() });
    assert_eq!(store.withdraw(&[ServerId(1)], NOW + ms(1001), "withdrawn").unwrap().records, 1);
    assert_sound(&store);
}
