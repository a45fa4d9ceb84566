//! Follow-ups: kept from the moment they are queued, released by the request id, in order within a record and never beyond it.

mod common;

use common::{Bench, assert_sound, workplace};
use plsync_journal::{Failure, FollowUp, FollowUpKey, Op, RecordId, State, Store, Target, labels};
use tempfile::TempDir;

const NOW: u64 = 1_900_000_000_000;
const LEASE: u64 = 1000;
const MB: usize = 1 << 20;

/// A journal without records: a bare request id needs none.
fn empty() -> (TempDir, Store) {
    let dir = workplace();
    let store = Store::open(&dir.path().join("journal"), true).unwrap();
    (dir, store)
}

fn queue(store: &Store, target: Target, payload: &str) -> u64 {
    store.follow_up(target, Op::Metadata, payload.as_bytes()).unwrap().unwrap()
}

fn claim(store: &Store, now: u64) -> Vec<FollowUp> {
    store.claim_followups(100, LEASE, now, MB).unwrap()
}

fn payloads(followups: &[FollowUp]) -> Vec<&str> {
    followups.iter().map(|followup| std::str::from_utf8(&followup.payload).unwrap()).collect()
}

fn failure(key: FollowUpKey, not_before: u64, dead: bool) -> Failure {
    Failure { key, error: "reason".into(), not_before, dead }
}

fn seq(store: &Store, id: RecordId) -> u64 {
    store.get(id).unwrap().unwrap().seq
}

#[test]
fn a_follow_up_waits_for_the_request_id_of_its_record() {
    let bench = Bench::new();
    let id = bench.call("scored");
    let store = bench.store();
    queue(&store, Target::Record(id), "1");
    assert_eq!(claim(&store, NOW), []);
    assert_eq!(store.next_followup_due().unwrap(), None);
    store.ack(&[(seq(&store, id), 70)]).unwrap();
    assert_sound(&store);
    assert_eq!(store.next_followup_due().unwrap(), Some(0));
    let claimed = claim(&store, NOW);
    assert_eq!((claimed[0].record, claimed[0].request, payloads(&claimed)), (Some(id), Some(70), vec!["1"]));
    assert_sound(&store);
}

#[test]
fn those_of_one_record_are_claimed_in_order_and_those_of_all_records_together() {
    let bench = Bench::new();
    let ids = [bench.call("first"), bench.call("second")];
    let store = bench.store();
    store.ack(&[(1, 70), (2, 71)]).unwrap();
    for (id, payload) in [(ids[1], "b1"), (ids[0], "a1"), (ids[1], "b2"), (ids[0], "a2")] {
        queue(&store, Target::Record(id), payload);
    }
    assert_eq!(payloads(&claim(&store, NOW)), ["a1", "a2", "b1", "b2"]);
}

#[test]
fn what_is_claimed_is_not_claimed_again_until_its_lease_is_over() {
    let (_dir, store) = empty();
    queue(&store, Target::Request(9), "1");
    assert_eq!(claim(&store, NOW).len(), 1);
    assert_eq!(claim(&store, NOW + LEASE - 1), []);
    assert_eq!(claim(&store, NOW + LEASE).len(), 1);
    assert_sound(&store);
}

#[test]
fn what_is_done_is_gone() {
    let (_dir, store) = empty();
    queue(&store, Target::Request(9), "1");
    queue(&store, Target::Request(9), "2");
    let claimed = claim(&store, NOW);
    store.followups_done(&[claimed[0].key]).unwrap();
    assert_sound(&store);
    assert_eq!(payloads(&claim(&store, NOW)), ["2"]);
    store.followups_done(&[claimed[0].key, claimed[1].key]).unwrap();
    assert_eq!((store.followups(Target::Request(9)).unwrap(), store.next_followup_due().unwrap()), (vec![], None));
    assert_sound(&store);
}

#[test]
fn one_that_has_to_wait_holds_up_its_record_and_no_other() {
    let (_dir, store) = empty();
    for (request, payload) in [(1, "a1"), (1, "a2"), (2, "b1")] {
        queue(&store, Target::Request(request), payload);
    }
    let claimed = claim(&store, NOW);
    store.followups_failed(&[failure(claimed[0].key, NOW + 5000, false)]).unwrap();
    store.release_followups(&[claimed[2].key]).unwrap();
    assert_eq!(payloads(&claim(&store, NOW + 4999)), ["b1"]);
    let again = claim(&store, NOW + 5000);
    assert_eq!(payloads(&again), ["a1", "a2"]);
    assert_eq!((again[0].attempts, again[0].last_error.as_str(), again[1].attempts), (1, "reason", 0));
    assert_sound(&store);
}

#[test]
fn one_that_was_refused_is_kept_and_holds_up_nothing() {
    let (_dir, store) = empty();
    queue(&store, Target::Request(9), "refused");
    queue(&store, Target::Request(9), "next");
    let claimed = claim(&store, NOW);
    store.followups_failed(&[failure(claimed[0].key, 0, true)]).unwrap();
    assert_sound(&store);
    assert_eq!(payloads(&claim(&store, NOW)), ["next"]);
    assert_eq!(payloads(&store.dead_followups(10).unwrap()), ["refused"]);
    let stats = store.stats().unwrap();
    assert_eq!((stats.followups, stats.followups_dead, stats.followup_error.as_deref()), (1, 1, Some("reason")));
}

#[test]
fn what_was_refused_is_sent_again_when_somebody_says_so() {
    let (_dir, store) = empty();
    for request in [1, 2] {
        queue(&store, Target::Request(request), "refused");
        queue(&store, Target::Request(request), "next");
    }
    let dead: Vec<_> = claim(&store, NOW).into_iter().filter(|followup| followup.payload == b"refused").collect();
    let failures: Vec<_> = dead.iter().map(|followup| failure(followup.key, 0, true)).collect();
    store.followups_failed(&failures).unwrap();
    assert_eq!(store.requeue_followups(Some(Target::Request(2))).unwrap(), 1);
    assert_sound(&store);
    assert_eq!(payloads(&claim(&store, NOW)), ["next", "refused", "next"]);
    assert_eq!(store.requeue_followups(Some(Target::Request(3))).unwrap(), 0);
    assert_eq!(store.requeue_followups(None).unwrap(), 1);
    assert_eq!(store.stats().unwrap().followups_dead, 0);
    assert_sound(&store);
}

#[test]
fn a_request_id_that_a_record_has_means_the_record() {
    let bench = Bench::new();
    let id = bench.call("acked");
    let store = bench.store();
    store.ack(&[(1, 70)]).unwrap();
    queue(&store, Target::Record(id), "by record");
    queue(&store, Target::Request(70), "by request");
    assert_eq!(payloads(&store.followups(Target::Record(id)).unwrap()), ["by record", "by request"]);
    assert_eq!(store.followups(Target::Request(70)).unwrap(), store.followups(Target::Record(id)).unwrap());
}

#[test]
fn for_a_record_that_is_not_there_nothing_is_queued() {
    let (_dir, store) = empty();
    assert_eq!(store.follow_up(Target::Record(RecordId::new()), Op::Score, b"{}").unwrap(), None);
    assert_eq!(store.stats().unwrap().followups, 0);
}

#[test]
fn a_follow_up_too_large_is_refused_before_anything_is_stored() {
    let (_dir, store) = empty();
    let error = store.follow_up(Target::Request(1), Op::Metadata, &vec![b' '; MB + 1]).unwrap_err();
    assert!(error.to_string().contains("it was not queued"));
    assert_eq!(store.stats().unwrap().followups, 0);
    assert!(store.follow_up(Target::Request(1), Op::Metadata, &vec![b' '; MB]).unwrap().is_some());
    assert_sound(&store);
}

#[test]
fn a_record_that_ends_dead_keeps_its_follow_ups() {
    let bench = Bench::new();
    let id = bench.call("dead");
    let store = bench.store();
    queue(&store, Target::Record(id), "1");
    store.park(&[1], State::Dead, "refused", 0).unwrap();
    assert_eq!(claim(&store, NOW), []);
    let stats = store.stats().unwrap();
    assert_eq!((stats.followups, stats.followups_stranded, stats.followups_dead), (1, 1, 0));
    store.requeue(&[1]).unwrap();
    store.ack(&[(1, 70)]).unwrap();
    assert_eq!(payloads(&claim(&store, NOW)), ["1"]);
    assert_sound(&store);
}

#[test]
fn a_claim_is_bounded_by_records_and_bytes_and_never_empty() {
    let (_dir, store) = empty();
    for request in 1..=3 {
        queue(&store, Target::Request(request), &"x".repeat(1000));
        queue(&store, Target::Request(request), &"y".repeat(1000));
    }
    let claimed = |limit, bytes, now| store.claim_followups(limit, LEASE, now, bytes).unwrap();
    assert_eq!(claimed(2, MB, NOW).len(), 4);
    assert_eq!(claimed(10, 1, NOW + LEASE).len(), 1);
    assert_eq!(claimed(10, 3000, NOW + 2 * LEASE).len(), 3);
    assert_eq!(claimed(10, MB, NOW + 4 * LEASE).len(), 6);
}

#[test]
fn a_wait_goes_along_with_a_clock_that_is_set() {
    let (_dir, store) = empty();
    queue(&store, Target::Request(9), "1");
    let key = claim(&store, NOW)[0].key;
    store.followups_failed(&[failure(key, NOW + 5000, false)]).unwrap();
    let back = NOW - 1_000_000;
    assert_eq!(store.mend_followups(NOW, back, 60_000).unwrap(), 1);
    assert_eq!(store.next_followup_due().unwrap(), Some(back + 5000));
    assert_eq!(store.mend_followups(back, NOW, 2000).unwrap(), 1);
    assert_eq!(store.next_followup_due().unwrap(), Some(NOW + 2000));
    assert_sound(&store);
}

#[test]
fn a_store_made_before_there_were_follow_ups_takes_them() {
    let dir = common::workplace();
    let path = dir.path().join("journal");
    common::golden::copy_to(&path);
    let store = Store::open(&path, false).unwrap();
    store.ingest(true).unwrap();
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
    store.ack(&(1..=20).map(|seq| (seq, 100 + seq)).collect::<Vec<_>>()).unwrap();
    for id in &ids {
        queue(&store, Target::Record(*id), &id.hex());
        queue(&store, Target::Record(*id), "second");
    }
    queue(&store, Target::Request(9), "bare");
    let refused = claim(&store, NOW)[0].key;
    store.followups_failed(&[failure(refused, 0, true)]).unwrap();
    store.compact().unwrap();
    assert_sound(&store);
    let known: Vec<_> = ids.iter().map(|id| store.followups(Target::Record(*id)).unwrap()).collect();
    drop(store);
    let (_keep, copy) = bench.after_death();
    let saved = copy.with_extension("saved");
    let report = plsync_journal::salvage(&copy, &saved).unwrap();
    assert_eq!((report.followups, report.lost), (81, 0));
    let store = Store::open(&saved, false).unwrap();
    assert_sound(&store);
    let found: Vec<_> = ids.iter().map(|id| store.followups(Target::Record(*id)).unwrap()).collect();
    assert_eq!(found, known);
    let next = queue(&store, Target::Request(9), "later");
    assert!(next > 81, "{next} was given before");
}
