//! Trees of runs: their members wait for the root, and runs that are not calls stay apart from calls.

mod common;

use common::runs::{LANE, Run, growing};
use common::{Bench, LEASE, NOW, assert_sound, limits, ms, open, row};
use plsync_journal::{
    Account, Bind, CallEnd, ClockChange, FLAG_RUN, Millis, ParkedState, Query, RecordId, RequestId, Seq, State, Store,
    TREE_WAIT, labels,
};
use proptest::prelude::*;
use proptest::sample::Index;

fn leased(store: &Store, now: Millis) -> Vec<RecordId> {
    store.lease(limits(100), LEASE, now).unwrap().iter().map(|row| row.id).collect()
}

#[test]
fn the_members_of_a_tree_are_due_with_its_root() {
    let bench = Bench::new();
    let [root, call, tool] = growing(&bench.spool);
    let alone = bench.start_in(LANE, b"{}");
    bench.end(alone, b"{}");
    let store = bench.store();
    assert_sound(&store);
    let now = Millis::now();
    assert_eq!(leased(&store, now), [alone], "the tree grows, and blocks no other record of its lane");
    store.ack(&[(row(&store, alone).seq, RequestId(1))]).unwrap();
    assert!(store.next_due(now).unwrap().is_some_and(|due| due <= Millis::now() + TREE_WAIT));
    assert!(store.is_unsettled(row(&store, call.id).seq).unwrap());
    tool.end(&bench.spool, CallEnd::Ok);
    store.ingest(true).unwrap();
    assert!(!store.has_due(now).unwrap());
    root.end(&bench.spool, CallEnd::Ok);
    store.ingest(true).unwrap();
    assert_sound(&store);
    assert_eq!(leased(&store, now), [root.id, call.id, tool.id], "root first");
}

#[test]
fn a_tree_that_is_ingested_at_once_never_waits() {
    let bench = Bench::new();
    let [root, call, tool] = growing(&bench.spool);
    tool.end(&bench.spool, CallEnd::Ok);
    root.end(&bench.spool, CallEnd::Ok);
    let store = bench.store();
    assert_sound(&store);
    assert_eq!(leased(&store, Millis::now()), [root.id, call.id, tool.id]);
}

#[test]
fn members_wait_a_minute_for_a_root_that_does_not_end() {
    let bench = Bench::new();
    let [_, call, _] = growing(&bench.spool);
    let store = bench.store();
    let later = Millis::now() + TREE_WAIT;
    assert!(store.has_due(later).unwrap());
    assert_eq!(leased(&store, later), [call.id]);
    assert_sound(&store);
}

#[test]
fn the_wait_moves_with_the_clock() {
    let bench = Bench::new();
    let [_, call, _] = growing(&bench.spool);
    let store = bench.store();
    let before = Millis::now();
    let back = ClockChange { before, after: before - ms(3_600_000) };
    assert_eq!(store.shift_waits(back, TREE_WAIT).unwrap(), 1);
    assert_sound(&store);
    assert_eq!(leased(&store, back.after + TREE_WAIT), [call.id]);
}

#[test]
fn a_member_that_ends_after_its_root_does_not_wait() {
    let bench = Bench::new();
    let [root, call, tool] = growing(&bench.spool);
    root.end(&bench.spool, CallEnd::Ok);
    let store = bench.store();
    assert_eq!(leased(&store, Millis::now()), [root.id, call.id]);
    tool.end(&bench.spool, CallEnd::Ok);
    store.ingest(true).unwrap();
    store.ack_tree(&[(Seq(1), None), (Seq(2), Some(RequestId(7)))]).unwrap();
    assert_eq!(leased(&store, Millis::now()), [tool.id]);
}

#[test]
fn the_tree_of_a_dead_process_is_abandoned_and_due() {
    let bench = Bench::new();
    let [root, call, tool] = growing(&bench.spool);
    bench.store();
    let (_dir, path) = bench.after_death();
    let store = open(&path);
    assert_sound(&store);
    let ends = [root, call, tool].map(|run| row(&store, run.id).ended);
    assert_eq!(ends, [CallEnd::Abandoned, CallEnd::Ok, CallEnd::Abandoned]);
    assert_eq!(leased(&store, Millis::now()), [root.id, call.id, tool.id]);
}

#[test]
fn the_members_of_a_forgotten_root_are_sent_after_the_wait() {
    let bench = Bench::new();
    let [root, call, _] = growing(&bench.spool);
    let store = bench.store();
    store.forget(&[root.id], &[]).unwrap();
    assert_sound(&store);
    assert_eq!(leased(&store, Millis::now()), [call.id]);
}

/// A tree that was leased and delivered.
fn delivered(bench: &Bench) -> (Store, [Run; 3]) {
    let [root, call, tool] = growing(&bench.spool);
    tool.end(&bench.spool, CallEnd::Ok);
    root.end(&bench.spool, CallEnd::Ok);
    let store = bench.store();
    store.bind(&account(1), Bind::Refuse).unwrap();
    leased(&store, Millis::now());
    assert_eq!(store.ack_tree(&[(Seq(1), None), (Seq(2), Some(RequestId(7))), (Seq(3), None)]).unwrap(), 1);
    (store, [root, call, tool])
}

#[test]
fn a_run_is_acked_without_a_request_id() {
    let bench = Bench::new();
    let (store, [root, call, tool]) = delivered(&bench);
    assert_sound(&store);
    for run in [root, call, tool] {
        let stored = row(&store, run.id);
        assert_eq!((stored.state, stored.ack.unwrap().is_of_call()), (State::Acked, run.is_call));
        assert_eq!(stored.flags & FLAG_RUN != 0, !run.is_call);
        assert_eq!(stored.server.as_deref(), Some("https://promptlayer"));
    }
    assert_eq!(store.acks(0, 10).unwrap().len(), 1);
    assert_eq!((store.last_ack().unwrap(), store.by_request(RequestId(u64::MAX)).unwrap()), (1, vec![]));
    assert_eq!(store.servers().unwrap()[0].server.acked, 1);
    // A store with such acks needs no upgrade.
    drop(store);
    assert_eq!(bench.store().acks(0, 10).unwrap().len(), 1);
}

#[test]
fn a_call_is_never_acked_without_a_request_id() {
    let bench = Bench::new();
    bench.call("call");
    let store = bench.store();
    leased(&store, NOW);
    assert_eq!(store.ack_tree(&[(Seq(1), None)]).unwrap(), 0);
    assert_eq!(store.query(&Query::default()).unwrap()[0].state, State::Leased);
}

fn account(key: u8) -> Account {
    Account { url: "https://promptlayer".into(), account: [key; 16], is_stand_in: false }
}

#[test]
fn a_server_that_received_runs_alone_is_in_use_until_they_are_withdrawn() {
    let bench = Bench::new();
    let [root, ..] = growing(&bench.spool);
    root.end(&bench.spool, CallEnd::Ok);
    let store = bench.store();
    store.bind(&account(1), Bind::Refuse).unwrap();
    let server = store.servers().unwrap()[0].server.id;
    store.ack_tree(&[(row(&store, root.id).seq, None)]).unwrap();
    // Another workspace has another number, and the records of the first one keep theirs.
    assert!(store.bind(&account(2), Bind::Refuse).unwrap().is_some());
    store.bind(&account(2), Bind::Leave).unwrap();
    assert_eq!(store.servers().unwrap().len(), 2);
    assert_eq!(row(&store, root.id).ack.unwrap().server, server);
    store.withdraw(&[server], NOW, "sent again").unwrap();
    assert_eq!(store.servers().unwrap()[0].server.first, Millis::EPOCH);
    assert_sound(&store);
}

#[test]
fn the_number_in_doubt_at_a_server_is_of_calls() {
    let bench = Bench::new();
    let [root, call, _] = growing(&bench.spool);
    root.end(&bench.spool, CallEnd::Ok);
    let store = bench.store();
    store.bind(&account(1), Bind::Refuse).unwrap();
    store.park(&[root.id, call.id].map(|id| row(&store, id).seq), ParkedState::InDoubt, NOW, "reset").unwrap();
    let in_doubt = || store.servers().unwrap().iter().map(|stats| stats.in_doubt).collect::<Vec<_>>();
    assert_eq!(in_doubt(), [1]);
    store.ack_tree(&[(row(&store, call.id).seq, Some(RequestId(7)))]).unwrap();
    assert_eq!(in_doubt(), [0]);
    store.bind(&account(2), Bind::Leave).unwrap();
    assert_eq!(in_doubt(), [0, 0]);
    assert_sound(&store);
}

#[test]
fn a_whole_tree_is_withdrawn() {
    let bench = Bench::new();
    let (store, runs) = delivered(&bench);
    let server = store.servers().unwrap()[0].server.id;
    assert_eq!(store.withdraw(&[server], NOW, "sent again").unwrap().records, 1);
    assert_sound(&store);
    assert_eq!(leased(&store, NOW), runs.map(|run| run.id));
}

#[test]
fn a_query_leaves_out_runs_by_default() {
    let bench = Bench::new();
    let [root, call, tool] = growing(&bench.spool);
    let store = bench.store();
    let ids = |query: &Query| store.query(query).unwrap().iter().map(|row| row.id).collect::<Vec<_>>();
    let all = Query { runs: true, oldest_first: true, ..Query::default() };
    assert_eq!(ids(&Query::default()), [call.id]);
    assert_eq!(ids(&all), [root.id, call.id, tool.id]);
    let of_tree = vec![(labels::ROOT, root.id.0.to_vec())];
    for (query, expected) in [(Query::default(), 1), (all, 3)] {
        assert_eq!(store.count(&query, 100).unwrap(), Some(expected));
        let pending = Query { states: vec![State::Pending], ..query.clone() };
        assert_eq!(store.count(&pending, 100).unwrap(), Some(expected));
        let labelled = Query { labels: of_tree.clone(), ..query };
        assert_eq!(store.count(&labelled, 100).unwrap(), Some(expected));
    }
    let stats = store.stats().unwrap();
    assert_eq!((stats.records, stats.open, stats.states[0]), (1, 0, 1));
    assert_eq!((stats.runs, stats.open_runs, stats.run_states[0]), (2, 2, 2));
}

#[test]
fn trees_are_listed_by_their_roots() {
    let bench = Bench::new();
    let trees: Vec<_> = (0..3).map(|_| growing(&bench.spool)).collect();
    let store = bench.store();
    let roots: Vec<_> = trees.iter().map(|tree| tree[0].id).collect();
    assert_eq!(store.roots(None, true, 9).unwrap(), roots);
    assert_eq!(store.roots(Some(roots[2]), false, 9).unwrap(), [roots[1], roots[0]]);
    assert_eq!(store.roots(Some(roots[0]), true, 1).unwrap(), [roots[1]]);
    let members = |after| store.tree(roots[1], after, 2).unwrap().iter().map(|row| row.id).collect::<Vec<_>>();
    let expected = trees[1].map(|run| run.id);
    assert_eq!((members(None), members(Some(expected[1]))), (expected[..2].to_vec(), expected[2..].to_vec()));
}

#[test]
fn salvage_keeps_trees() {
    let bench = Bench::new();
    let (store, runs) = delivered(&bench);
    let [root, call, tool] = growing(&bench.spool);
    store.ingest(true).unwrap();
    drop(store);
    let dir = common::temp_dir();
    let target = dir.path().join("salvaged");
    plsync_journal::salvage(&bench.path, &target).unwrap();
    let salvaged = Store::open(&target, false).unwrap();
    assert_sound(&salvaged);
    assert_eq!(salvaged.stats().unwrap().run_states, [2, 0, 0, 2, 0, 0]);
    assert_eq!(salvaged.tree(runs[0].id, None, 9).unwrap().len(), 3);
    assert_eq!(salvaged.tree(root.id, None, 9).unwrap().len(), 3);
    assert_eq!(salvaged.acks(0, 9).unwrap().len(), 1);
    assert!(row(&salvaged, tool.id).flags & FLAG_RUN != 0 && row(&salvaged, call.id).flags & FLAG_RUN == 0);
}

#[derive(Clone, Debug)]
enum Step {
    Root,
    Member(Index, bool),
    End(Index),
    Ingest,
    Lease,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Root),
        5 => (any::<Index>(), any::<bool>()).prop_map(|(run, is_call)| Step::Member(run, is_call)),
        6 => any::<Index>().prop_map(Step::End),
        2 => Just(Step::Ingest),
        1 => Just(Step::Lease),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A lease returns exactly the runs that have ended and whose root has, in the order of their starts, and each once.
    #[test]
    fn a_lease_returns_the_trees_that_are_complete(steps in prop::collection::vec(step(), 1..60)) {
        let bench = Bench::within(common::temp_dir());
        let (mut runs, mut ended, mut ingested, mut sent) = (Vec::<Run>::new(), Vec::new(), Vec::new(), Vec::new());
        bench.call("first");
        let store = bench.store();
        leased(&store, Millis::now());
        store.ack(&[(Seq(1), RequestId(1))]).unwrap();
        for step in steps.into_iter().chain([Step::Ingest, Step::Lease]) {
            match step {
                Step::Root => runs.push(Run::start(&bench.spool, None, false)),
                Step::Member(parent, is_call) if !runs.is_empty() => {
                    let root = parent.get(&runs).root;
                    runs.push(Run::start(&bench.spool, Some(root), is_call));
                }
                Step::End(run) if !runs.is_empty() => {
                    let run = *run.get(&runs);
                    if !ended.contains(&run.id) {
                        run.end(&bench.spool, CallEnd::Ok);
                        ended.push(run.id);
                    }
                }
                Step::Ingest => {
                    store.ingest(true).unwrap();
                    ingested.clone_from(&ended);
                    assert_sound(&store);
                }
                Step::Lease => {
                    let is_due = |run: &&Run| {
                        let has_ended = |id| ingested.contains(&id);
                        has_ended(run.id) && has_ended(run.root) && !sent.contains(&run.id)
                    };
                    let expected: Vec<_> = runs.iter().filter(is_due).map(|run| run.id).collect();
                    prop_assert_eq!(leased(&store, Millis::now()), expected.clone());
                    let acks: Vec<_> = expected.iter().enumerate().map(|(at, id)| {
                        let stored = row(&store, *id);
                        let request = RequestId(1000 + at as u64);
                        (stored.seq, (stored.flags & FLAG_RUN == 0).then_some(request))
                    }).collect();
                    store.ack_tree(&acks).unwrap();
                    sent.extend(expected);
                }
                Step::Member(..) | Step::End(_) => {}
            }
        }
        assert_sound(&store);
    }
}
