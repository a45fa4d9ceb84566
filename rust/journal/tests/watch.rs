//! Noticing what other processes do to a journal.

mod common;

use std::time::{Duration, Instant};

use common::Bench;
use plsync_journal::{Seen, Watch};

/// Looks until something was seen.
fn wait_for(watch: &mut Watch, wanted: impl Fn(&Seen) -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if wanted(&watch.look().unwrap()) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn an_event_of_a_known_writer_is_noticed() {
    let bench = Bench::new();
    bench.call("before");
    let mut watch = Watch::new(&bench.path).unwrap();
    // What the sync thread still has to do for the call of before.
    assert!(wait_for(&mut watch, |seen| seen.recorded));
    bench.call("after");
    assert!(wait_for(&mut watch, |seen| seen.recorded));
}

#[test]
fn the_first_event_of_a_new_writer_is_noticed() {
    let bench = Bench::new();
    plsync_journal::Store::open(&bench.path, true).unwrap();
    let mut watch = Watch::new(&bench.path).unwrap();
    bench.call("first");
    assert!(wait_for(&mut watch, |seen| seen.recorded));
}

#[test]
fn ingesting_and_looking_at_writers_is_no_event() {
    let bench = Bench::new();
    let mut watch = Watch::new(&bench.path).unwrap();
    let store = plsync_journal::Store::open(&bench.path, true).unwrap();
    store.ingest(true).unwrap();
    store.stats().unwrap();
    assert_eq!(watch.look().unwrap(), Seen::default());
}

#[test]
fn the_doorbell_is_noticed() {
    let bench = Bench::new();
    let mut watch = Watch::new(&bench.path).unwrap();
    std::fs::File::create(bench.path.join("doorbell")).unwrap();
    assert!(wait_for(&mut watch, |seen| seen.rung));
    std::fs::File::options()
        .write(true)
        .open(bench.path.join("doorbell"))
        .unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    assert!(wait_for(&mut watch, |seen| seen.rung));
}
