//! The store against a model of it: a map of records, and a list of the events in the spool.
//!
//! After each step, in any order of steps, both show the same, and `check` finds no problem.

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod digests;
mod model;
mod pair;
mod salvaged;
mod servers;
mod step;
mod trees;

use common::{NOW, temp_dir};
use plsync_journal::{Durability, Spool, Store};
use proptest::prelude::*;

use model::Model;
use pair::Pair;
use step::step;

/// Receives every ack, once it is subscribed.
const SUBSCRIBER: &str = "exec";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_its_model(steps in prop::collection::vec(step(), 1..60)) {
        let dir = temp_dir();
        let path = dir.path().join("journal");
        let store = Some(Store::open(&path, true).unwrap());
        let spool = Spool::open(&path, Durability::Process).unwrap();
        let model = Model { now: NOW, waits: true, ..Model::default() };
        let mut pair = Pair { dir, path, spool, store, model, next_request: 0 };
        pair.set_tree_wait();
        for step in &steps {
            pair.run(step);
            pair.compare();
        }
        pair.compare_salvaged();
    }
}
