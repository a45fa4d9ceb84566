//! The cost of an append beside a bare `pwrite` of the same bytes: p50 and p99, in turns, at about 10,000 a second.
//!
//! `cargo run --release -p plsync-benches --bin append`
#![allow(clippy::print_stdout)] // a report

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use plsync_journal::{Durability, Event, FrameKind, Head, RecordId, Spool, Store};

const SEGMENT: u64 = 16 << 20;
const ROUNDS: usize = 1000;
const ROUND: usize = 20;
const PAUSE: Duration = Duration::from_millis(2);

/// p50 and p99 in microseconds.
fn percentiles(mut times: Vec<u128>) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100];
    let us = |ns: u128| f64::from(u32::try_from(ns).unwrap_or(u32::MAX)) / 1000.0;
    (us(at(50)), us(at(99)))
}

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("journal");
    let spool = Spool::open(&path, Durability::Process).expect("a spool");
    let store = Store::open(&path, true).expect("a store");
    let file = File::create(dir.path().join("raw")).expect("a file");
    file.write_all_at(&vec![0; usize::try_from(SEGMENT).expect("64 bits")], 0).expect("zeros");
    println!("microseconds          raw pwrite  p50     p99     append  p50     p99     ratio  p50     p99");
    for (name, size) in [("1 KB", 1 << 10), ("4 KB", 4 << 10), ("16 KB", 16 << 10)] {
        let body = vec![b'x'; size];
        let (mut raw, mut appended, mut offset) = (Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            // The rate of a busy server, not of a loop without pause.
            std::thread::sleep(PAUSE);
            for _ in 0..ROUND {
                let start = Instant::now();
                file.write_all_at(&body, offset).expect("room");
                raw.push(start.elapsed().as_nanos());
                offset = (offset + size as u64) % (SEGMENT - (16 << 10));
            }
            for _ in 0..ROUND {
                let start = Instant::now();
                let id = RecordId::new();
                let event = Event { head: Head::new(FrameKind::Raw, id), labels: &[], body: &body };
                spool.append(&event).expect("room");
                appended.push(start.elapsed().as_nanos());
            }
        }
        store.ingest(true).expect("an ingest");
        let ((raw50, raw99), (append50, append99)) = (percentiles(raw), percentiles(appended));
        println!(
            "{name:20}{raw50:17.2}{raw99:8.2}{append50:16.2}{append99:8.2}{:14.1}x{:7.1}x",
            append50 / raw50,
            append99 / raw99
        );
    }
}
