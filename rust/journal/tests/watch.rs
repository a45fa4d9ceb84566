//! The watch notices the changes of other processes.

mod common;

use std::time::{Duration, Instant};

use common::Bench;
use plsync_journal::{Changes, Watch};

/// Polls until the wanted change is noticed; false after 20 seconds.
fn wait_for(watch: &mut Watch, is_wanted: impl Fn(&Changes) -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if is_wanted(&watch.poll().unwrap()) {
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
    // The fsync thread has yet to sync the call before.
    assert!(wait_for(&mut watch, |changes| changes.events));
    bench.call("after");
    assert!(wait_for(&mut watch, |changes| changes.events));
}

#[test]
fn the_first_event_of_a_new_writer_is_noticed() {
    let bench = Bench::new();
    plsync_journal::Store::open(&bench.path, true).unwrap();
    let mut watch = Watch::new(&bench.path).unwrap();
    bench.call("first");
    assert!(wait_for(&mut watch, |changes| changes.events));
}

#[test]
fn ingesting_and_reading_writers_is_not_an_event() {
    let bench = Bench::new();
    let mut watch = Watch::new(&bench.path).unwrap();
    let store = plsync_journal::Store::open(&bench.path, true).unwrap();
    store.ingest(true).unwrap();
    store.stats().unwrap();
    assert_eq!(watch.poll().unwrap(), Changes::default());
}

#[test]
fn the_doorbell_is_noticed() {
    let bench = Bench::new();
    let mut watch = Watch::new(&bench.path).unwrap();
    std::fs::File::create(bench.path.join("doorbell")).unwrap();
    assert!(wait_for(&mut watch, |changes| changes.doorbell));
    std::fs::File::options()
        .write(true)
        .open(bench.path.join("doorbell"))
        .unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    assert!(wait_for(&mut watch, |changes| changes.doorbell));
}
