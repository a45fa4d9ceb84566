//! Bodies that repeat the start of their root: they take little space, and never lose the start.

mod common;

use std::time::Duration;

use common::{Bench, LATER, LEASE, assert_sound, limits, open, row};
use plsync_journal::{
    CallEnd, Event, FLAG_PRUNED, FLAG_RUN, FrameKind, Head, Query, Quota, QuotaPolicy, RecordId, RequestId, Seq, Spool,
    Store, labels, salvage,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// A text that compresses to half its length at best: the messages of a conversation.
fn history() -> String {
    let mut random = fastrand::Rng::with_seed(7);
    (0..6000).map(|_| char::from(random.u8(b'a'..=b'p'))).collect()
}

fn append(spool: &Spool, (id, root): (RecordId, RecordId), kind: FrameKind, body: &str) {
    let mut section = Vec::new();
    labels::push(&mut section, labels::ROOT, &root.0);
    let ended = if kind.is_end() { CallEnd::Ok } else { CallEnd::No };
    let head = Head { ended, ..Head::new(kind, id) };
    spool.append(&Event { head, labels: &section, body: body.as_bytes() }).unwrap();
}

fn call_of(spool: &Spool, root: RecordId) -> RecordId {
    let id = RecordId::new();
    append(spool, (id, root), FrameKind::Start, &request(id));
    append(spool, (id, root), FrameKind::End, "{\"error\":null}");
    id
}

fn request(id: RecordId) -> String {
    format!("{{\"v\":1,\"call\":\"{}\",\"messages\":\"{}\"}}", id.hex(), history())
}

fn start_of_root() -> String {
    format!("{{\"v\":1,\"input\":\"{}\"}}", history())
}

fn begin(spool: &Spool) -> RecordId {
    let root = RecordId::new();
    append(spool, (root, root), FrameKind::RunStart, &start_of_root());
    root
}

fn end_of_root() -> String {
    format!("{{\"output\":\"{}\",\"error\":null}}", history())
}

fn finish(spool: &Spool, root: RecordId) {
    append(spool, (root, root), FrameKind::RunEnd, &end_of_root());
}

/// A root with three calls.
fn tree(bench: &Bench) -> (RecordId, [RecordId; 3]) {
    let root = begin(&bench.spool);
    let calls = [(); 3].map(|()| call_of(&bench.spool, root));
    finish(&bench.spool, root);
    (root, calls)
}

fn assert_whole(store: &Store, root: Option<RecordId>, calls: &[RecordId]) {
    for id in calls {
        let row = row(store, *id);
        assert_eq!((row.damage, row.start), (None, Some(request(*id).into_bytes())));
    }
    if let Some(root) = root {
        let row = row(store, root);
        assert_eq!((row.damage, row.start), (None, Some(start_of_root().into_bytes())));
        assert_eq!(row.end, Some(end_of_root().into_bytes()));
    }
}

fn stored(store: &Store) -> u64 {
    store.stats().unwrap().stored_bytes
}

#[test]
fn the_calls_of_a_tree_are_stored_without_the_messages_of_their_root() {
    let bench = Bench::new();
    let (root, calls) = tree(&bench);
    let store = bench.store();
    assert_sound(&store);
    assert_whole(&store, Some(root), &calls);
    let history = history().len() as u64;
    assert!(stored(&store) < history, "{} bytes for {} events of {history}", stored(&store), 5);
}

#[test]
fn a_later_ingest_finds_the_start_of_the_root_in_the_store() {
    let bench = Bench::new();
    let root = begin(&bench.spool);
    let store = bench.store();
    let before = stored(&store);
    let call = call_of(&bench.spool, root);
    store.ingest(true).unwrap();
    assert!(stored(&store) - before < 400);
    assert_whole(&store, None, &[call]);
    assert_sound(&store);
}

#[test]
fn a_call_with_other_messages_stands_alone() {
    let bench = Bench::new();
    let root = begin(&bench.spool);
    let (id, body) = (RecordId::new(), "Another question, and nothing of the root. ".repeat(40));
    append(&bench.spool, (id, root), FrameKind::Start, &body);
    let store = bench.store();
    store.forget(&[root], &[]).unwrap();
    assert_eq!(row(&store, id).start, Some(body.into_bytes()));
}

#[test]
fn a_root_that_is_forgotten_alone_leaves_its_calls_readable() {
    let bench = Bench::new();
    let (root, calls) = tree(&bench);
    let store = bench.store();
    let receipt = store.forget(&[root], &[]).unwrap();
    assert_eq!(receipt.records.iter().map(|record| record.id).collect::<Vec<_>>(), [root]);
    assert_whole(&store, None, &calls);
    assert_sound(&store);
    // A call that comes now does not depend on it either.
    let late = call_of(&bench.spool, root);
    store.ingest(true).unwrap();
    assert_whole(&store, None, &[late]);
}

#[test]
fn a_whole_tree_is_forgotten_in_the_order_of_the_request() {
    let bench = Bench::new();
    let (root, [first, second, third]) = tree(&bench);
    let store = bench.store();
    let ids = [root, first, second, third];
    let report = store.forget(&ids, &[]).unwrap();
    assert_eq!(report.records.iter().map(|record| record.id).collect::<Vec<_>>(), ids);
    assert_eq!(stored(&store), 0);
    assert_sound(&store);
}

/// Acks the records with these numbers; the root and steps have no request id.
fn ack(store: &Store, seqs: &[(u64, Option<u64>)]) {
    store.lease(limits(100), LEASE, LATER).unwrap();
    let acks: Vec<_> = seqs.iter().map(|(seq, request)| (Seq(*seq), request.map(RequestId))).collect();
    store.ack_tree(&acks).unwrap();
}

#[test]
fn a_quota_prunes_a_root_after_the_calls_that_repeat_it() {
    let bench = Bench::new();
    let (root, calls) = tree(&bench);
    let store = bench.store();
    ack(&store, &[(1, None), (2, Some(7)), (3, Some(8))]);
    let is_pruned = |id| row(&store, id).flags & FLAG_PRUNED != 0;
    store.set_quota(&Quota { max_bytes: Some(0), max_age: None, policy: QuotaPolicy::KeepUnsent }).unwrap();
    store.ingest(true).unwrap();
    assert_eq!([root, calls[0], calls[1], calls[2]].map(is_pruned), [false, true, true, false]);
    assert_whole(&store, Some(root), &calls[2..]);
    assert_sound(&store);
    ack(&store, &[(4, Some(9))]);
    store.ingest(true).unwrap();
    assert!(is_pruned(root) && is_pruned(calls[2]));
    assert_eq!(store.stats().unwrap().pruned_acked, 4);
    assert_sound(&store);
}

#[test]
fn a_quota_that_drops_unsent_records_drops_a_whole_tree() {
    for max_age in [None, Some(Duration::ZERO)] {
        let bench = Bench::new();
        let (root, calls) = tree(&bench);
        let store = bench.store();
        let max_bytes = max_age.is_none().then_some(0);
        store.set_quota(&Quota { max_bytes, max_age, policy: QuotaPolicy::DropOldest }).unwrap();
        store.ingest(true).unwrap();
        for id in calls.into_iter().chain([root]) {
            assert!(row(&store, id).flags & FLAG_PRUNED != 0);
        }
        assert_sound(&store);
    }
}

#[test]
fn a_compacted_a_salvaged_and_a_copied_journal_have_every_body() {
    let bench = Bench::new();
    let (root, calls) = tree(&bench);
    let store = bench.store();
    store.compact().unwrap();
    assert_whole(&store, Some(root), &calls);
    assert_sound(&store);
    drop(store);
    let target = bench.dir.path().join("salvaged");
    salvage(&bench.path, &target).unwrap();
    let salvaged = open(&target);
    assert_whole(&salvaged, Some(root), &calls);
    assert_sound(&salvaged);
    // No salvaged body repeats another: the next damage costs one event.
    salvaged.forget(&[root], &[]).unwrap();
    assert_whole(&salvaged, None, &calls);
}

#[derive(Clone, Debug)]
enum Step {
    Root,
    Call(Index),
    End(Index),
    Ingest,
    /// Leases records and acks some of them.
    Send(usize, Vec<bool>),
    Forget(Index),
    /// Prunes all content that a policy allows: of unsent records, too, or of sent ones.
    Prune(bool),
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Root),
        6 => any::<Index>().prop_map(Step::Call),
        2 => any::<Index>().prop_map(Step::End),
        4 => Just(Step::Ingest),
        3 => (1..12usize, prop::collection::vec(any::<bool>(), 12)).prop_map(|(records, acks)| Step::Send(records, acks)),
        1 => any::<Index>().prop_map(Step::Forget),
        1 => any::<bool>().prop_map(Step::Prune),
        1 => Just(Step::Compact),
    ]
}

/// Asserts that each record with content has its whole content.
fn assert_readable(store: &Store, roots: &[RecordId]) {
    for row in store.query(&Query { runs: true, limit: usize::MAX, ..Query::default() }).unwrap() {
        let expected = if roots.contains(&row.id) { start_of_root() } else { request(row.id) };
        assert_eq!(row.damage, None);
        // A salvage may find the content of a pruned record in the spool.
        assert!(row.start.is_some() || row.flags & FLAG_PRUNED != 0);
        assert!(row.start.is_none_or(|start| start == expected.as_bytes()));
    }
    assert_sound(store);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_body_stays_readable_while_others_are_removed(steps in prop::collection::vec(step(), 1..50)) {
        let bench = Bench::within(common::temp_dir());
        let (mut roots, mut ids, mut request_id) = (Vec::new(), Vec::new(), 0);
        let store = Store::open(&bench.path, true).unwrap();
        for step in &steps {
            match step {
                Step::Root => {
                    roots.push(begin(&bench.spool));
                    ids.extend(roots.last());
                }
                Step::Call(root) if !roots.is_empty() => ids.push(call_of(&bench.spool, *root.get(&roots))),
                Step::End(root) if !roots.is_empty() => finish(&bench.spool, *root.get(&roots)),
                Step::Ingest => _ = store.ingest(true).unwrap(),
                Step::Send(records, chosen) => {
                    let leased = store.lease(limits(*records), LEASE, LATER).unwrap();
                    let acks = leased.iter().zip(chosen.iter().cycle()).filter(|(_, is_acked)| **is_acked).map(|(row, _)| {
                        request_id += 1;
                        (row.seq, (row.flags & FLAG_RUN == 0).then_some(RequestId(request_id)))
                    });
                    store.ack_tree(&acks.collect::<Vec<_>>()).unwrap();
                }
                Step::Forget(id) if !ids.is_empty() => _ = store.forget(&[*id.get(&ids)], &[]).unwrap(),
                Step::Prune(drops) => {
                    let policy = if *drops { QuotaPolicy::DropOldest } else { QuotaPolicy::KeepUnsent };
                    store.set_quota(&Quota { max_bytes: Some(0), max_age: None, policy }).unwrap();
                    store.ingest(true).unwrap();
                    store.set_quota(&Quota::default()).unwrap();
                }
                Step::Compact => _ = store.compact().unwrap(),
                Step::Call(_) | Step::End(_) | Step::Forget(_) => {}
            }
            assert_readable(&store, &roots);
        }
        store.ingest(true).unwrap();
        assert_readable(&store, &roots);
        drop(store);
        let target = bench.dir.path().join("salvaged");
        salvage(&bench.path, &target).unwrap();
        let salvaged = open(&target);
        assert_readable(&salvaged, &roots);
    }
}
