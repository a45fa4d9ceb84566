//! Follow-ups: durable once they are queued, released by the request id, and in order within a record.

mod common;

use common::{Bench, LEASE, MB, NOW, ack, assert_sound, limits, ms, row, temp_dir};
use plsync_journal::{
    ClockChange, FLAG_PRUNED, FailedFollowUp, FollowUp, FollowUpKey, FollowUpState, Limits, ListedState, Millis, Op,
    ParkedState, Quota, RecordId, RequestId, SentFollowUp, Seq, Store, Target, labels,
};
use tempfile::TempDir;

/// A request that no record has.
const BARE: Target = Target::Request(RequestId(9));
/// A time longer than a lease.
const WAIT: std::time::Duration = ms(5000);

/// A journal without records.
fn empty() -> (TempDir, Store) {
    let dir = temp_dir();
    let store = Store::open(&dir.path().join("journal"), true).unwrap();
    (dir, store)
}

fn queue(store: &Store, target: Target, payload: &str) -> u64 {
    store.follow_up(target, Op::Metadata, payload.as_bytes()).unwrap().unwrap()
}

fn claim(store: &Store, now: Millis) -> Vec<FollowUp> {
    store.claim_followups(limits(100), LEASE, now).unwrap()
}

fn payloads(followups: &[FollowUp]) -> Vec<&str> {
    followups.iter().map(|followup| std::str::from_utf8(&followup.payload).unwrap()).collect()
}

fn failed(key: FollowUpKey, not_before: Millis, dead: bool) -> FailedFollowUp {
    FailedFollowUp { key, error: "reason".into(), not_before, dead }
}

fn done(store: &Store, keys: &[FollowUpKey]) {
    let sent: Vec<_> = keys.iter().map(|key| SentFollowUp { key: *key, status: 200 }).collect();
    store.followups_done(&sent, NOW).unwrap();
}

fn request(id: u64) -> Target {
    Target::Request(RequestId(id))
}

#[test]
fn a_follow_up_waits_for_the_request_id_of_its_record() {
    let bench = Bench::new();
    let id = bench.call("scored");
    let store = bench.store();
    queue(&store, Target::Record(id), "1");
    assert_eq!(claim(&store, NOW), []);
    assert_eq!(store.next_followup_due().unwrap(), None);
    ack(&store, row(&store, id).seq, 70);
    assert_sound(&store);
    assert_eq!(store.next_followup_due().unwrap(), Some(Millis::EPOCH));
    let claimed = claim(&store, NOW);
    assert_eq!((claimed[0].record, claimed[0].request, payloads(&claimed)), (Some(id), Some(RequestId(70)), vec!["1"]));
    assert_sound(&store);
}

#[test]
fn follow_ups_of_a_record_are_claimed_together_and_in_order() {
    let bench = Bench::new();
    let ids = [bench.call("first"), bench.call("second")];
    let store = bench.store();
    store.ack(&[(Seq(1), RequestId(70)), (Seq(2), RequestId(71))]).unwrap();
    for (id, payload) in [(ids[1], "b1"), (ids[0], "a1"), (ids[1], "b2"), (ids[0], "a2")] {
        queue(&store, Target::Record(id), payload);
    }
    assert_eq!(payloads(&claim(&store, NOW)), ["a1", "a2", "b1", "b2"]);
}

#[test]
fn a_claimed_follow_up_is_not_claimed_again_before_its_lease_ends() {
    let (_dir, store) = empty();
    queue(&store, BARE, "1");
    assert_eq!(claim(&store, NOW).len(), 1);
    assert_eq!(claim(&store, NOW + LEASE - ms(1)), []);
    assert_eq!(claim(&store, NOW + LEASE).len(), 1);
    assert_sound(&store);
}

#[test]
fn a_follow_up_that_was_sent_waits_no_more() {
    let (_dir, store) = empty();
    queue(&store, BARE, "1");
    queue(&store, BARE, "2");
    let claimed = claim(&store, NOW);
    done(&store, &[claimed[0].key]);
    assert_sound(&store);
    assert_eq!(payloads(&claim(&store, NOW)), ["2"]);
    done(&store, &[claimed[0].key, claimed[1].key]);
    assert_eq!((store.followups(BARE).unwrap(), store.next_followup_due().unwrap()), (vec![], None));
    assert_sound(&store);
}

#[test]
fn a_follow_up_that_was_sent_is_kept_with_its_response() {
    let bench = Bench::new();
    let id = bench.call("scored");
    let store = bench.store();
    ack(&store, Seq(1), 70);
    for payload in ["1", "2"] {
        queue(&store, Target::Record(id), payload);
    }
    let claimed = claim(&store, NOW);
    store.followups_failed(&[failed(claimed[0].key, Millis::EPOCH, false)]).unwrap();
    store.followups_done(&[SentFollowUp { key: claimed[0].key, status: 201 }], NOW + WAIT).unwrap();
    assert_sound(&store);
    let sent = store.sent_followups(request(70)).unwrap();
    assert_eq!((payloads(&sent), sent[0].record, sent[0].attempts), (vec!["1"], Some(id), 1));
    assert_eq!(sent[0].state, FollowUpState::Sent { at: NOW + WAIT, status: 201 });
    assert_eq!(payloads(&store.followups(Target::Record(id)).unwrap()), ["2"]);
    let stats = store.stats().unwrap();
    assert_eq!((stats.followups, stats.followups_sent), (1, 1));
    // The result of a run that was taken for dead comes late: its follow-up is known.
    done(&store, &[claimed[0].key]);
    assert_eq!(store.sent_followups(request(70)).unwrap(), sent);
}

#[test]
fn sent_follow_ups_go_with_the_content_of_their_record() {
    let bench = Bench::new();
    let ids = [bench.call("old"), bench.call("waits")];
    let store = bench.store();
    ack(&store, Seq(1), 70);
    // Without its callback, the quota may prune the record.
    store.claim_callbacks(common::SINK, None, 1, LEASE, NOW).unwrap();
    store.settle_callbacks(common::SINK, &[Seq(1)], &[], &[]).unwrap();
    for id in ids {
        queue(&store, Target::Record(id), "1");
    }
    queue(&store, BARE, "bare");
    let claimed = claim(&store, NOW);
    assert_eq!(claimed.len(), 2);
    done(&store, &claimed.iter().map(|followup| followup.key).collect::<Vec<_>>());
    assert_eq!(store.stats().unwrap().followups_sent, 2);
    store.set_quota(&Quota { max_bytes: Some(0), ..Quota::default() }).unwrap();
    store.ingest(true).unwrap();
    assert_ne!(row(&store, ids[0]).flags & FLAG_PRUNED, 0);
    let stats = store.stats().unwrap();
    assert_eq!((stats.followups, stats.followups_sent), (1, 0), "only the unsent one stays");
    assert_sound(&store);
    queue(&store, Target::Record(ids[0]), "late");
    done(&store, &[claim(&store, NOW)[0].key]);
    assert_eq!(store.sent_followups(Target::Record(ids[0])).unwrap(), []);
}

#[test]
fn an_age_removes_the_sent_follow_ups_of_bare_requests() {
    let (_dir, store) = empty();
    for id in [1, 2, 3] {
        queue(&store, request(id), "1");
    }
    let claimed = claim(&store, NOW);
    let day = ms(86_400_000);
    for (followup, at) in claimed.iter().zip([Millis::now() - day * 3, Millis::now() - day * 3, Millis::now()]) {
        store.followups_done(&[SentFollowUp { key: followup.key, status: 200 }], at).unwrap();
    }
    store.set_quota(&Quota { max_age: Some(day * 2), ..Quota::default() }).unwrap();
    store.ingest(true).unwrap();
    let left = [1, 2, 3].map(|id| store.sent_followups(request(id)).unwrap().len());
    assert_eq!(left, [0, 0, 1]);
    assert_sound(&store);
}

#[test]
fn follow_ups_of_each_state_are_listed_page_by_page() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..5).map(|_| bench.call("followed")).collect();
    let store = bench.store();
    store.ack(&(1..=5).map(|seq| (Seq(seq), RequestId(100 + seq))).collect::<Vec<_>>()).unwrap();
    for (nth, id) in ids.iter().enumerate() {
        for name in ["sent", "refused", "waits"] {
            queue(&store, Target::Record(*id), &format!("{name} {nth}"));
        }
    }
    for followup in claim(&store, NOW) {
        if followup.payload.starts_with(b"sent") {
            done(&store, &[followup.key]);
        } else if followup.payload.starts_with(b"refused") {
            store.followups_failed(&[failed(followup.key, Millis::EPOCH, true)]).unwrap();
        }
    }
    for (state, name) in [(ListedState::Sent, "sent"), (ListedState::Dead, "refused"), (ListedState::Waiting, "waits")]
    {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = store.list_followups(state, before, 2).unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.key);
            found.extend(payloads(&page).into_iter().map(str::to_owned));
        }
        assert_eq!(found, (0..5).rev().map(|nth| format!("{name} {nth}")).collect::<Vec<_>>());
    }
}

#[test]
fn sent_follow_ups_wait_again_for_another_server() {
    let bench = Bench::new();
    let id = bench.call("scored");
    let store = bench.store();
    ack(&store, Seq(1), 70);
    for payload in ["1", "2"] {
        queue(&store, Target::Record(id), payload);
    }
    done(&store, &claim(&store, NOW).iter().map(|followup| followup.key).collect::<Vec<_>>());
    assert_eq!(store.next_followup_due().unwrap(), None);
    assert_eq!(store.resend_followups(Target::Record(id)).unwrap(), 2);
    assert_sound(&store);
    assert_eq!(payloads(&claim(&store, NOW)), ["1", "2"]);
    assert_eq!(store.stats().unwrap().followups_sent, 0);
}

#[test]
fn a_waiting_follow_up_blocks_its_record_and_no_other() {
    let (_dir, store) = empty();
    for (id, payload) in [(1, "a1"), (1, "a2"), (2, "b1")] {
        queue(&store, request(id), payload);
    }
    let claimed = claim(&store, NOW);
    store.followups_failed(&[failed(claimed[0].key, NOW + WAIT, false)]).unwrap();
    store.release_followups(&[claimed[2].key]).unwrap();
    assert_eq!(payloads(&claim(&store, NOW + WAIT - ms(1))), ["b1"]);
    let again = claim(&store, NOW + WAIT);
    assert_eq!(payloads(&again), ["a1", "a2"]);
    assert_eq!((again[0].attempts, again[0].last_error.as_str(), again[1].attempts), (1, "reason", 0));
    assert_sound(&store);
}

#[test]
fn a_dead_follow_up_is_kept_and_does_not_block() {
    let (_dir, store) = empty();
    queue(&store, BARE, "refused");
    queue(&store, BARE, "next");
    let claimed = claim(&store, NOW);
    store.followups_failed(&[failed(claimed[0].key, Millis::EPOCH, true)]).unwrap();
    assert_sound(&store);
    assert_eq!(payloads(&claim(&store, NOW)), ["next"]);
    assert_eq!(payloads(&store.dead_followups(10).unwrap()), ["refused"]);
    let stats = store.stats().unwrap();
    assert_eq!((stats.followups, stats.followups_dead, stats.followup_error.as_deref()), (1, 1, Some("reason")));
}

#[test]
fn a_dead_follow_up_is_sent_again_once_requeued() {
    let (_dir, store) = empty();
    for id in [1, 2] {
        queue(&store, request(id), "refused");
        queue(&store, request(id), "next");
    }
    let dead: Vec<_> = claim(&store, NOW).into_iter().filter(|followup| followup.payload == b"refused").collect();
    let failed: Vec<_> = dead.iter().map(|followup| failed(followup.key, Millis::EPOCH, true)).collect();
    store.followups_failed(&failed).unwrap();
    assert_eq!(store.requeue_followups(Some(request(2))).unwrap(), 1);
    assert_sound(&store);
    assert_eq!(payloads(&claim(&store, NOW)), ["next", "refused", "next"]);
    assert_eq!(store.requeue_followups(Some(request(3))).unwrap(), 0);
    assert_eq!(store.requeue_followups(None).unwrap(), 1);
    assert_eq!(store.stats().unwrap().followups_dead, 0);
    assert_sound(&store);
}

#[test]
fn a_request_id_that_a_record_has_means_the_record() {
    let bench = Bench::new();
    let id = bench.call("acked");
    let store = bench.store();
    ack(&store, Seq(1), 70);
    queue(&store, Target::Record(id), "by record");
    queue(&store, request(70), "by request");
    assert_eq!(payloads(&store.followups(Target::Record(id)).unwrap()), ["by record", "by request"]);
    assert_eq!(store.followups(request(70)).unwrap(), store.followups(Target::Record(id)).unwrap());
}

#[test]
fn nothing_is_queued_for_a_missing_record() {
    let (_dir, store) = empty();
    assert_eq!(store.follow_up(Target::Record(RecordId::new()), Op::Score, b"{}").unwrap(), None);
    assert_eq!(store.stats().unwrap().followups, 0);
}

#[test]
fn a_follow_up_that_is_too_large_is_not_stored() {
    let (_dir, store) = empty();
    let max = usize::try_from(MB).unwrap();
    let error = store.follow_up(request(1), Op::Metadata, &vec![b' '; max + 1]).unwrap_err();
    assert!(error.to_string().contains("it was not queued"));
    assert_eq!(store.stats().unwrap().followups, 0);
    assert!(store.follow_up(request(1), Op::Metadata, &vec![b' '; max]).unwrap().is_some());
    assert_sound(&store);
}

#[test]
fn a_record_that_ends_dead_keeps_its_follow_ups() {
    let bench = Bench::new();
    let id = bench.call("dead");
    let store = bench.store();
    queue(&store, Target::Record(id), "1");
    store.park(&[Seq(1)], ParkedState::Dead, Millis::EPOCH, "refused").unwrap();
    assert_eq!(claim(&store, NOW), []);
    let stats = store.stats().unwrap();
    assert_eq!((stats.followups, stats.followups_stranded, stats.followups_dead), (1, 1, 0));
    store.requeue(&[Seq(1)]).unwrap();
    ack(&store, Seq(1), 70);
    assert_eq!(payloads(&claim(&store, NOW)), ["1"]);
    assert_sound(&store);
}

#[test]
fn a_claim_is_bounded_by_records_and_bytes_and_never_empty() {
    let (_dir, store) = empty();
    for id in 1..=3 {
        queue(&store, request(id), &"x".repeat(1000));
        queue(&store, request(id), &"y".repeat(1000));
    }
    let claimed = |records, bytes, now| store.claim_followups(Limits { records, bytes }, LEASE, now).unwrap();
    assert_eq!(claimed(2, MB, NOW).len(), 4);
    assert_eq!(claimed(10, 1, NOW + LEASE).len(), 1);
    assert_eq!(claimed(10, 3000, NOW + LEASE * 2).len(), 3);
    assert_eq!(claimed(10, MB, NOW + LEASE * 4).len(), 6);
}

#[test]
fn a_wait_is_shifted_when_the_clock_is_set() {
    let (_dir, store) = empty();
    queue(&store, BARE, "1");
    let key = claim(&store, NOW)[0].key;
    store.followups_failed(&[failed(key, NOW + WAIT, false)]).unwrap();
    let back = NOW - ms(1_000_000);
    let clock = ClockChange { before: NOW, after: back };
    assert_eq!(store.shift_followup_waits(clock, ms(60_000)).unwrap(), 1);
    assert_eq!(store.next_followup_due().unwrap(), Some(back + WAIT));
    let clock = ClockChange { before: back, after: NOW };
    assert_eq!(store.shift_followup_waits(clock, ms(2000)).unwrap(), 1);
    assert_eq!(store.next_followup_due().unwrap(), Some(NOW + ms(2000)));
    assert_sound(&store);
}

#[test]
fn a_store_of_a_version_without_follow_ups_accepts_them() {
    let dir = common::temp_dir();
    let path = dir.path().join("journal");
    common::golden::copy_to(common::golden::ALL[0], &path);
    let store = common::open(&path);
    let acked = store.by_label(labels::TAG, common::golden::TAGS[0].as_bytes(), 100).unwrap();
    for id in &acked {
        queue(&store, Target::Record(*id), "1");
    }
    assert_sound(&store);
    drop(store);
    let store = Store::open(&path, false).unwrap();
    assert_eq!(store.stats().unwrap().followups, acked.len() as u64);
    assert!(!claim(&store, NOW).is_empty());
}

#[test]
fn follow_ups_survive_compaction_and_salvage() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..40).map(|_| bench.call("followed")).collect();
    let store = bench.store();
    store.ack(&(1..=20).map(|seq| (Seq(seq), RequestId(100 + seq))).collect::<Vec<_>>()).unwrap();
    for id in &ids {
        queue(&store, Target::Record(*id), &id.hex());
        queue(&store, Target::Record(*id), "second");
    }
    queue(&store, BARE, "bare");
    let claimed = claim(&store, NOW);
    store.followups_failed(&[failed(claimed[0].key, Millis::EPOCH, true)]).unwrap();
    let bare = claimed.iter().find(|followup| followup.record.is_none()).unwrap();
    done(&store, &[claimed[1].key, bare.key]);
    let sent = || [Target::Record(ids[0]), BARE].map(|target| store.sent_followups(target).unwrap());
    let was_sent = sent();
    assert_eq!(was_sent.each_ref().map(Vec::len), [1, 1]);
    store.compact().unwrap();
    assert_eq!(sent(), was_sent);
    assert_sound(&store);
    let known: Vec<_> = ids.iter().map(|id| store.followups(Target::Record(*id)).unwrap()).collect();
    drop(store);
    let (_keep, copy) = bench.after_death();
    let saved = copy.with_extension("saved");
    let report = plsync_journal::salvage(&copy, &saved).unwrap();
    assert_eq!((report.followups, report.followups_sent, report.lost), (79, 2, 0));
    let store = Store::open(&saved, false).unwrap();
    assert_eq!([Target::Record(ids[0]), BARE].map(|target| store.sent_followups(target).unwrap()), was_sent);
    assert_sound(&store);
    let found: Vec<_> = ids.iter().map(|id| store.followups(Target::Record(*id)).unwrap()).collect();
    assert_eq!(found, known);
    let next = queue(&store, BARE, "later");
    assert!(next > 81, "{next} was used before");
}
