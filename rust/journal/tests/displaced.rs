//! A journal that is moved away, or loses files, while a program records: later acknowledged events are kept.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Bench, assert_sound, raw, segments};
use plsync_journal::{RecordId, RequestId, Store};

/// Records events of 1 KB, more than fit into the first segment.
fn record(bench: &Bench, mut between: impl FnMut()) -> Vec<RecordId> {
    let ids: Vec<_> = std::iter::repeat_with(RecordId::new).take(1000).collect();
    for chunk in ids.chunks(50) {
        for id in chunk {
            bench.spool.append(&raw(*id, &[b'x'; 1000])).unwrap();
        }
        between();
    }
    ids
}

fn move_away(bench: &Bench) -> std::path::PathBuf {
    let aside = bench.dir.path().join("aside");
    std::fs::rename(&bench.path, &aside).unwrap();
    aside
}

/// Asserts that every event is in one of the two journals.
fn assert_kept(ids: &[RecordId], journals: [&Path; 2]) {
    let stores = journals.map(|path| Store::open(path, false).unwrap());
    for store in &stores {
        store.ingest(true).unwrap();
        assert_sound(store);
    }
    let lost = ids.iter().filter(|id| stores.iter().all(|store| store.get(**id).unwrap().is_none())).count();
    assert_eq!(lost, 0, "of {} acknowledged events", ids.len());
}

#[test]
fn no_event_is_lost_when_another_journal_replaces_the_open_one() {
    let bench = Bench::new();
    bench.call("before");
    let aside = move_away(&bench);
    let successor = Store::open(&bench.path, true).unwrap();
    let ids = record(&bench, || _ = successor.ingest(true).unwrap());
    assert_kept(&ids, [&aside, &bench.path]);
}

#[test]
fn a_journal_that_was_moved_away_is_made_again() {
    let bench = Bench::new();
    bench.call("before");
    let aside = move_away(&bench);
    let ids = record(&bench, || ());
    assert_kept(&ids, [&aside, &bench.path]);
}

#[test]
fn an_open_store_reads_and_writes_the_journal_that_replaced_its_own() {
    let bench = Bench::new();
    let first = bench.call("in both");
    let store = bench.store();
    let copy = bench.dir.path().join("copy");
    store.backup(&copy).unwrap();
    let lost = bench.call("after the backup");
    store.ingest(true).unwrap();
    move_away(&bench);
    std::fs::rename(&copy, &bench.path).unwrap();
    assert!(store.get(lost).unwrap().is_none());
    let seq = store.get(first).unwrap().unwrap().seq;
    assert_eq!(store.ack(&[(seq, RequestId(7))]).unwrap(), 1);
    drop(store);
    let reopened = Store::open(&bench.path, false).unwrap();
    assert_eq!(reopened.by_request(RequestId(7)).unwrap(), [first]);
    assert_sound(&reopened);
}

#[test]
fn events_are_recorded_after_their_segment_was_removed() {
    let bench = Bench::new();
    bench.call("lost");
    for path in segments(&bench.path) {
        std::fs::remove_file(path).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while segments(&bench.path).is_empty() && Instant::now() < deadline {
        bench.call("perhaps");
    }
    let kept = bench.call("kept");
    assert!(bench.store().get(kept).unwrap().is_some());
}
