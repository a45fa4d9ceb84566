//! The trees of runs: the parent and the root of each run, found by `LangChain`'s run ids.
//!
//! A parent comes from the runs that this recorder has seen. The context of a thread or task changes between the steps of an agent. A
//! run whose parent is unknown is the root of another tree.

use std::collections::VecDeque;

use plsync_journal::{Lane, RecordId};

use crate::id_map::Map;

/// The most runs that are remembered after their end, to find the tree of a child that starts late.
const MAX_ENDED: usize = 16_384;

/// The place of a run in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The record of the root run.
    pub(super) root: RecordId,
    /// The record of the nearest recorded ancestor; `None` for the root.
    pub(super) parent: Option<RecordId>,
    /// The lane of every record of the tree.
    pub(super) lane: Lane,
}

/// The tree that a run joins when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// Its own tree. It starts after the end of another tree, if the run's parent was in one.
    Own { after: Option<RecordId> },
    /// The tree of its parent.
    Parent(Place),
}

impl Joined {
    /// The place in the tree of the parent.
    pub(super) fn place(self) -> Option<Place> {
        match self {
            Self::Own { .. } => None,
            Self::Parent(place) => Some(place),
        }
    }
}

/// The trees with open runs, and the runs that have ended.
#[derive(Default)]
pub(super) struct Trees {
    /// By the record of the root.
    live: Map<u128, Live>,
    /// By the key of the run: a run that has ended, or that is hidden.
    ended: Map<u128, Ended>,
    /// The keys of `ended`, the oldest first.
    order: VecDeque<u128>,
    /// The open node of each checkpoint namespace of `LangGraph`, by the namespace's hash.
    nodes: Map<u64, u128>,
}

struct Live {
    open: usize,
    lane: Lane,
}

#[derive(Clone, Copy)]
struct Ended {
    record: RecordId,
    root: RecordId,
}

impl Trees {
    /// The tree of a run whose parent has this record and root.
    pub(super) fn join(&self, parent: RecordId, root: RecordId) -> Joined {
        match self.live.get(&bits(root)) {
            Some(live) => Joined::Parent(Place { root, parent: Some(parent), lane: live.lane }),
            None => Joined::Own { after: Some(root) },
        }
    }

    /// The tree of a run whose parent has ended. `None` for a parent that is not remembered.
    pub(super) fn join_ended(&self, parent: u128) -> Option<Joined> {
        self.ended.get(&parent).map(|ended| self.join(ended.record, ended.root))
    }

    /// Adds an open run. The root comes first.
    pub(super) fn open(&mut self, place: &Place) {
        let live = self.live.entry(bits(place.root)).or_insert(Live { open: 0, lane: place.lane });
        live.open += 1;
    }

    /// Counts the end of a run. A tree is over once none of its runs is open.
    pub(super) fn close(&mut self, key: u128, record: RecordId, place: &Place) {
        self.remember(key, record, place.root);
        if let Some(live) = self.live.get_mut(&bits(place.root)) {
            live.open -= 1;
            if live.open == 0 {
                self.live.remove(&bits(place.root));
            }
        }
    }

    /// Remembers a run that has ended, or one that is hidden: its children are children of `record`.
    pub(super) fn remember(&mut self, key: u128, record: RecordId, root: RecordId) {
        if self.ended.insert(key, Ended { record, root }).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MAX_ENDED {
            if let Some(oldest) = self.order.pop_front() {
                self.ended.remove(&oldest);
            }
        }
    }

    /// Adds the node of a checkpoint namespace, unless an open run has it: the children of a node have its namespace, too.
    pub(super) fn add_node(&mut self, namespace: u64, run: u128) -> bool {
        let node = self.nodes.entry(namespace).or_insert(run);
        *node == run
    }

    pub(super) fn remove_node(&mut self, namespace: u64) {
        self.nodes.remove(&namespace);
    }

    /// The open node of a checkpoint namespace. A program that passes callbacks on by itself loses a run's parent, not its namespace.
    pub(super) fn node(&self, namespace: u64) -> Option<u128> {
        self.nodes.get(&namespace).copied()
    }

    pub(super) fn has_nodes(&self) -> bool {
        !self.nodes.is_empty()
    }
}

fn bits(id: RecordId) -> u128 {
    u128::from_be_bytes(id.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Place {
        Place { root: RecordId::new(), parent: None, lane: Lane(3) }
    }

    #[test]
    fn a_child_joins_the_tree_while_a_run_of_it_is_open() {
        let (root, child, mut trees) = (root(), RecordId::new(), Trees::default());
        trees.open(&root);
        let Joined::Parent(place) = trees.join(root.root, root.root) else { panic!("the tree is open") };
        assert_eq!((place.root, place.parent, place.lane), (root.root, Some(root.root), Lane(3)));
        trees.open(&place);
        trees.close(1, root.root, &root);
        assert!(matches!(trees.join_ended(1), Some(Joined::Parent(_))));
        trees.close(2, child, &place);
        assert_eq!(trees.join_ended(2), Some(Joined::Own { after: Some(root.root) }));
        assert!(trees.live.is_empty());
        assert!(trees.join_ended(3).is_none());
    }

    #[test]
    fn a_number_of_ended_runs_is_remembered() {
        let mut trees = Trees::default();
        for key in 0..=MAX_ENDED as u128 {
            trees.remember(key, RecordId([1; 16]), RecordId([2; 16]));
        }
        assert_eq!((trees.ended.len(), trees.order.len()), (MAX_ENDED, MAX_ENDED));
        assert!(trees.join_ended(0).is_none());
        assert!(trees.join_ended(1).is_some());
    }

    #[test]
    fn the_first_open_run_of_a_namespace_is_its_node() {
        let mut trees = Trees::default();
        assert!(trees.add_node(9, 1));
        assert!(!trees.add_node(9, 2));
        assert_eq!(trees.node(9), Some(1));
        trees.remove_node(9);
        assert!(!trees.has_nodes());
    }
}
