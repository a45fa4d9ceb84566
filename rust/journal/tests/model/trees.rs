//! Trees of the model: records that wait for the end of their root, processes that die, and the steps on both.

use std::collections::BTreeSet;

use plsync_journal::{
    CallEnd, Durability, FLAG_PRUNED, FLAG_RENEWED, Lane, Millis, Quota, QuotaPolicy, RecordId, RequestId, Seq,
    ServerId, Spool, State, Stats, Store, TREE_WAIT,
};
use proptest::sample::Index;

use crate::common::{self, SINK, ms};
use crate::model::{Model, Modelled, Started};
use crate::pair::Pair;

/// The end of a wait for the end of a root, in the model.
pub const UNTIL: Millis = Millis(1);

impl Modelled {
    /// Whether the record has ended, and waits for the end of its root.
    pub fn is_growing(&self) -> bool {
        let has_ended = self.shown.state == State::Pending && self.shown.ended != CallEnd::No;
        has_ended && self.lease_until == Millis::MAX
    }

    fn stop_growing(&mut self) {
        (self.shown.not_before, self.lease_until) = (Millis::EPOCH, Millis::EPOCH);
    }

    /// A record that is not pending waits for no root.
    pub fn settle_growing(&mut self) {
        if self.shown.state != State::Pending && self.lease_until == Millis::MAX {
            self.lease_until = Millis::EPOCH;
        }
    }

    /// The root that the store lists for the record. A forgotten record has no labels.
    fn listed_root(&self) -> Option<RecordId> {
        self.root.filter(|_| !self.is_forgotten())
    }
}

impl Model {
    fn is_root_open(&self, root: RecordId) -> bool {
        self.records.get(&root).is_none_or(|root| root.shown.ended == CallEnd::No)
    }

    /// Makes the records wait that have ended before their root, and releases the trees whose root has ended.
    pub fn grow(&mut self, ended: &[RecordId]) {
        for id in ended {
            let root = self.records[id].root.filter(|root| root != id && self.is_root_open(*root));
            let record = self.records.get_mut(id).unwrap();
            if root.is_some() && record.shown.state == State::Pending {
                (record.shown.not_before, record.lease_until) = (UNTIL, Millis::MAX);
            }
        }
        for id in ended {
            self.release_members(*id);
        }
    }

    /// Makes the records due that wait for the end of this root.
    pub fn release_members(&mut self, root: RecordId) {
        for record in self.records.values_mut().filter(|record| record.listed_root() == Some(root)) {
            if record.is_growing() {
                record.stop_growing();
            }
        }
    }

    /// Ends the records that a dead process left open.
    pub fn abandon(&mut self) {
        let is_left = |record: &Modelled| {
            let is_open = record.shown.state == State::Pending && record.shown.ended == CallEnd::No;
            is_open && record.process != self.process
        };
        let left: Vec<_> = self.records.iter().filter(|(_, record)| is_left(record)).map(|(id, _)| *id).collect();
        for id in left {
            self.records.get_mut(&id).unwrap().shown.ended = CallEnd::Abandoned;
            self.release_members(id);
        }
    }

    /// Makes the records due that have waited long enough for their root.
    pub fn release_overdue(&mut self) {
        let until = self.now + TREE_WAIT;
        let is_overdue = |record: &&mut Modelled| record.is_growing() && record.shown.not_before <= until;
        if !self.waits {
            self.records.values_mut().filter(is_overdue).for_each(Modelled::stop_growing);
        }
    }

    /// The records that a lease of these records returns: a root stands for its tree, if the tree has at most `limit` records.
    pub fn units(&self, due: Vec<RecordId>, limit: usize) -> Vec<RecordId> {
        let mut leased = BTreeSet::new();
        for id in due {
            let of = &self.records[&id];
            if leased.contains(&(of.shown.seq, id)) {
                continue;
            }
            let is_member = |record: &Modelled| {
                record.listed_root() == Some(id) && record.is_due(self.now) && record.lane == of.lane
            };
            let members = self.records.iter().filter(|(_, record)| is_member(record));
            let members: Vec<_> = members.map(|(id, record)| (record.shown.seq, *id)).collect();
            let is_whole = of.is_run() && !members.is_empty() && members.len() <= limit;
            leased.extend(if is_whole { members } else { vec![(of.shown.seq, id)] });
        }
        leased.into_iter().map(|(_, id)| id).collect()
    }

    /// The process that delivers a callback of this sink first; `None` for a subscribed sink.
    pub fn owner(&self, sink: &str, seq: Seq) -> Option<usize> {
        let of = self.records.values().find(|record| record.shown.seq == seq).unwrap();
        (sink == SINK).then_some(of.process)
    }

    fn prune(&mut self, drops: bool) {
        for record in self.records.values_mut().filter(|record| !record.is_pruned()) {
            let key = (SINK, record.shown.seq);
            let is_called = record.shown.sink.is_some() && self.callbacks.get(&key).is_some_and(|entry| !entry.dead);
            let may_go = match record.shown.state {
                State::Acked => !is_called,
                State::Dead | State::Held => drops,
                State::Pending => drops && record.shown.ended != CallEnd::No && !record.is_growing(),
                State::Leased | State::InDoubt => false,
            };
            if may_go {
                let shown = &mut record.shown;
                shown.flags |= FLAG_PRUNED;
                (shown.start, shown.end) = (None, None);
                if shown.state == State::Pending {
                    shown.state = State::Dead;
                    shown.last_error = "never sent: the quota of the journal removed its content".into();
                }
            }
        }
    }
}

impl Pair {
    /// Sets how long the store's records wait for their root: no time, or longer than any test.
    pub fn set_tree_wait(&self) {
        self.store().set_tree_wait(ms(if self.model.waits { u64::MAX >> 2 } else { 0 }));
    }

    pub fn start_root(&mut self, lane: Lane) {
        let id = RecordId::new();
        self.start(Started { id, root: Some(id), lane, is_call: false }, false);
    }

    pub fn start_member(&mut self, root: Index, is_call: bool, sink: bool) {
        let roots: Vec<_> = self.model.started.iter().filter(|record| record.root == Some(record.id)).collect();
        if let Some(root) = (!roots.is_empty()).then(|| **root.get(&roots)) {
            self.start(Started { id: RecordId::new(), is_call, ..root }, sink && is_call);
        }
    }

    /// Goes on with a copy of the journal, in which no process holds the locks of the writers.
    pub fn die(&mut self) {
        self.store = None;
        self.model.process += 1;
        let path = self.dir.path().join(format!("after-{}", self.model.process));
        common::copy(&self.path, &path);
        std::fs::remove_dir_all(&self.path).unwrap();
        self.spool = Spool::open(&path, Durability::Process).unwrap();
        self.store = Some(Store::open(&path, false).unwrap());
        self.path = path;
        self.set_tree_wait();
    }

    /// Acks a record without a request id: a run, or a call, which keeps its state.
    pub fn ack_run(&mut self, record: Index) {
        let Some(id) = self.model.choose(record) else { return };
        let server = ServerId(self.model.servers.bound);
        let seq = self.model.edit(id, |record| {
            if record.is_run() {
                record.shown.state = State::Acked;
                (record.shown.request, record.shown.server) = (Some(RequestId(u64::MAX)), Some(server));
                record.shown.last_error.clear();
            }
        });
        assert_eq!(self.store().ack_tree(&[(seq, None)]).unwrap(), 0);
    }

    pub fn prune(&mut self, drops: bool) {
        let policy = if drops { QuotaPolicy::DropOldest } else { QuotaPolicy::KeepUnsent };
        self.store().ingest(true).unwrap();
        self.model.ingest();
        self.store().set_quota(&Quota { max_bytes: Some(0), max_age: None, policy }).unwrap();
        self.store().ingest(true).unwrap();
        self.store().set_quota(&Quota::default()).unwrap();
        self.model.prune(drops);
    }

    /// Compares the trees, and the numbers of runs.
    pub fn compare_trees(&self, stats: &Stats) {
        let (store, model) = (self.store(), &self.model);
        let of = |runs| model.records.values().filter(move |record| record.is_run() == runs);
        let open =
            |runs| of(runs).filter(|record| record.shown.state == State::Pending && record.shown.ended == CallEnd::No);
        let growing = |runs| of(runs).filter(|record| record.is_growing()).count() as u64;
        assert_eq!((stats.records, stats.runs), (of(false).count() as u64, of(true).count() as u64));
        assert_eq!((stats.open, stats.open_runs), (open(false).count() as u64, open(true).count() as u64));
        assert_eq!((stats.growing, stats.growing_runs), (growing(false), growing(true)));
        let by_state = State::ALL.map(|state| of(true).filter(|record| record.shown.state == state).count() as u64);
        assert_eq!(stats.run_states, by_state);
        let is_overdue = !model.waits && model.records.values().any(Modelled::is_growing);
        assert_eq!(store.has_due(model.now).unwrap(), is_overdue || !model.due(1, 1).is_empty());
        let listed = model.records.iter().filter_map(|(id, record)| Some((record.listed_root()?, *id)));
        let members: BTreeSet<(RecordId, RecordId)> = listed.collect();
        let roots: BTreeSet<RecordId> = members.iter().map(|(root, _)| *root).collect();
        let roots: Vec<_> = roots.into_iter().collect();
        assert_eq!(store.roots(None, true, usize::MAX).unwrap(), roots);
        let rests = store.tree_rests(&roots).unwrap();
        for (root, rest) in roots.iter().zip(rests) {
            let of_tree: Vec<_> = members.iter().filter(|(of, _)| of == root).map(|(_, id)| *id).collect();
            let shown: Vec<_> = store.tree(*root, None, usize::MAX).unwrap().iter().map(|row| row.id).collect();
            assert_eq!(shown, of_tree);
            let is_unsettled = |record: &&Modelled| {
                let is_settled = matches!(record.shown.state, State::Acked | State::Dead | State::Held);
                record.shown.ended != CallEnd::No && !is_settled && record.shown.flags & FLAG_RENEWED == 0
            };
            let unsettled = of_tree.iter().map(|id| &model.records[id]).filter(is_unsettled);
            assert_eq!(rest.unsettled, unsettled.map(|record| record.shown.seq).collect::<Vec<_>>());
            assert_eq!(rest.has_ended, !model.is_root_open(*root));
        }
    }
}
