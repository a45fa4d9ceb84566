//! From an append to a stored record.

mod common;

use common::{Bench, assert_sound, end, row, segments, start};
use plsync_journal::frame::MAX_PAYLOAD;
use plsync_journal::{CallEnd, Durability, Error, Query, RecordId, Seq, Spool, Store};

#[test]
fn a_call_becomes_one_record_with_both_its_bodies() {
    let bench = Bench::new();
    let id = bench.call("gpt4all");
    let row = row(&bench.store(), id);
    assert_eq!((row.start.as_deref(), row.end.as_deref()), (Some(&b"{\"start\":1}"[..]), Some(&b"{\"end\":1}"[..])));
    assert_eq!((row.ended, row.seq, row.sink.as_deref()), (CallEnd::Ok, Seq(1), Some("app:sink")));
}

#[test]
fn an_end_may_come_long_after_its_start() {
    let bench = Bench::new();
    let id = bench.start("slow", b"{}");
    assert_eq!(row(&bench.store(), id).ended, CallEnd::No);
    bench.end(id, b"{}");
    let store = bench.store();
    assert_eq!(row(&store, id).ended, CallEnd::Ok);
    assert_sound(&store);
}

#[test]
fn an_end_without_a_start_is_kept() {
    let bench = Bench::new();
    let id = RecordId::new();
    bench.end(id, b"{\"answer\":42}");
    let row = row(&bench.store(), id);
    assert_eq!((row.start, row.ended), (None, CallEnd::Ok));
}

#[test]
fn the_first_end_wins() {
    let bench = Bench::new();
    let id = bench.call("twice");
    bench.spool.append(&end(id, CallEnd::Cancelled, b"late")).unwrap();
    let store = bench.store();
    let row = row(&store, id);
    assert_eq!((row.ended, row.end.as_deref()), (CallEnd::Ok, Some(&b"{\"end\":1}"[..])));
    assert_sound(&store);
}

#[test]
fn ingesting_the_same_segments_again_changes_nothing() {
    let bench = Bench::new();
    for _ in 0..50 {
        bench.call("again");
    }
    let (_keep, path) = bench.after_death();
    let store = bench.store();
    assert_eq!(store.stats().unwrap().records, 50);
    // A crash between the commit and the removal of segments: both the store and the spool have the events.
    common::copy(&path.join("spool"), &bench.path.join("spool"));
    let report = store.ingest(true).unwrap();
    assert_eq!((report.records, store.stats().unwrap().records), (0, 50));
    assert_sound(&store);
}

#[test]
fn many_segments_are_read_in_order_and_removed() {
    let bench = Bench::new();
    let body = vec![b'x'; 20_000];
    let ids: Vec<_> = (0..200).map(|_| bench.start("long", &body)).collect();
    assert!(segments(&bench.path).len() > 1);
    let (_keep, path) = bench.after_death();
    let store = Store::open(&path, false).unwrap();
    assert_eq!(store.ingest(true).unwrap().records, 200);
    let found = store.query(&Query { oldest_first: true, limit: 1000, ..Query::default() }).unwrap();
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    assert!(segments(&path).is_empty());
}

#[test]
fn a_body_larger_than_a_segment_is_recorded() {
    let bench = Bench::new();
    let body = vec![b'y'; 20 << 20];
    let id = bench.start("image", &body);
    let after = bench.call("after");
    let store = bench.store();
    assert_eq!(row(&store, id).start, Some(body));
    assert!(store.get(after).unwrap().is_some());
}

#[test]
fn a_body_over_the_limit_is_refused_and_loses_nothing_else() {
    let bench = Bench::new();
    let before = bench.call("before");
    let body = vec![0; MAX_PAYLOAD + 1];
    let refused = bench.spool.append(&start(RecordId::new(), &[], &body));
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
    let after = bench.call("after");
    let store = bench.store();
    assert!(store.get(before).unwrap().is_some() && store.get(after).unwrap().is_some());
    assert_eq!(store.stats().unwrap().records, 2);
}

#[test]
fn threads_share_one_writer_and_lose_nothing() {
    let bench = Bench::new();
    let ids: Vec<RecordId> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..500).map(|_| bench.call("thread")).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let store = bench.store();
    assert!(ids.iter().all(|id| store.get(*id).unwrap().is_some_and(|row| row.ended == CallEnd::Ok)));
    assert_eq!(store.stats().unwrap().writers.len(), 1);
    assert_sound(&store);
}

#[test]
fn an_event_with_power_durability_is_stored() {
    let bench = Bench::new();
    let spool = Spool::open(&bench.path, Durability::Power).unwrap();
    let id = RecordId::new();
    spool.append(&start(id, &[], b"{}")).unwrap();
    assert!(bench.store().get(id).unwrap().is_some());
}

#[test]
fn records_are_written_while_another_thread_ingests() {
    let bench = Bench::new();
    bench.call("first");
    let store = Store::open(&bench.path, false).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for _ in 0..3000 {
                bench.call("busy");
            }
        });
        while !writing.is_finished() {
            store.ingest(true).unwrap();
        }
    });
    store.ingest(true).unwrap();
    assert_eq!(store.stats().unwrap().records, 3001);
    assert_sound(&store);
}

#[test]
fn a_removed_journal_is_made_again() {
    let bench = Bench::new();
    bench.call("lost");
    std::fs::remove_dir_all(&bench.path).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        bench.call("kept");
        if bench.path.exists() || std::time::Instant::now() > deadline {
            break;
        }
    }
    assert!(bench.store().stats().unwrap().records >= 1);
}

#[test]
fn threads_that_make_the_journal_at_once_share_one_writer() {
    for _ in 0..50 {
        let bench = Bench::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| bench.call("first"));
            }
        });
        let store = bench.store();
        assert_eq!((store.stats().unwrap().records, store.stats().unwrap().writers.len()), (4, 1));
    }
}

#[test]
fn a_call_that_another_process_ended_is_complete() {
    let (parent, child) = (Bench::new(), Bench::new());
    let id = parent.start("forked", b"{\"start\":1}");
    child.end(id, b"{\"end\":1}");
    let (_keep, path) = parent.after_death();
    let (_keep_too, other) = child.after_death();
    common::copy(&other.join("spool"), &path.join("spool"));
    let store = Store::open(&path, false).unwrap();
    store.ingest(true).unwrap();
    let row = row(&store, id);
    assert!(row.start.is_some() && row.end.is_some());
    assert_eq!((row.ended, row.sink.as_deref()), (CallEnd::Ok, Some("app:sink")));
    assert_sound(&store);
}

#[test]
fn no_event_is_lost_when_a_segment_is_finished_during_appends() {
    let bench = Bench::new();
    bench.call("first");
    let store = Store::open(&bench.path, false).unwrap();
    let ids: Vec<RecordId> = std::thread::scope(|scope| {
        let writers: Vec<_> =
            (0..2).map(|_| scope.spawn(|| (0..30_000).map(|_| bench.call("busy")).collect::<Vec<_>>())).collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            store.ingest(true).unwrap();
        }
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    store.ingest(true).unwrap();
    let lost = ids.iter().filter(|id| store.get(**id).unwrap().is_none_or(|row| row.ended != CallEnd::Ok)).count();
    assert_eq!(lost, 0);
}

#[test]
fn many_commits_keep_the_order_of_recording() {
    let bench = Bench::new();
    let second = Spool::open(&bench.path, Durability::Process).unwrap();
    let mut ids = Vec::new();
    // Two writers in turn start calls. Each call ends a hundred calls later, which is many commits later for some.
    for number in 0..12_000_usize {
        let id = RecordId::new();
        let body = format!("{{\"call\":{number}}}");
        let spool = if number % 3 == 0 { &second } else { &bench.spool };
        spool.append(&start(id, &[], body.as_bytes())).unwrap();
        if let Some(earlier) = number.checked_sub(100) {
            let end = end(ids[earlier], CallEnd::Ok, b"{}");
            bench.spool.append(&end).unwrap();
            if number % 5 == 0 {
                second.append(&end).unwrap();
            }
        }
        ids.push(id);
    }
    let store = Store::open(&bench.path, false).unwrap();
    let report = store.ingest(true).unwrap();
    assert_eq!((report.records, report.frames, report.duplicates), (12_000, 23_900, 2380));
    let found: Vec<_> = (0..12).flat_map(|page| store.follow(Seq(page * 1000), 1000).unwrap()).collect();
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    for (number, row) in found.iter().enumerate() {
        assert_eq!(row.start.as_deref(), Some(format!("{{\"call\":{number}}}").as_bytes()));
        assert_eq!(row.end.is_some(), number < 11_900);
    }
    assert_sound(&store);
}

#[test]
fn failures_before_there_is_a_writer_are_counted_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    std::fs::write(&path, "in the way").unwrap();
    let spool = Spool::open(&path, Durability::Process).unwrap();
    for reason in ["first reason", "second reason"] {
        assert!(spool.append(&start(RecordId::new(), &[], b"{}")).is_err());
        spool.note_failure(reason);
    }
    std::fs::remove_file(&path).unwrap();
    spool.append(&start(RecordId::new(), &[], b"{}")).unwrap();
    assert_eq!(spool.failures(), 2);
    let stats = Store::open(&path, false).unwrap().stats().unwrap();
    assert_eq!(
        stats.writers.iter().map(|writer| (writer.failures, writer.last_failure.as_str())).collect::<Vec<_>>(),
        [(2, "second reason")]
    );
}
