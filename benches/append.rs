//! What an append costs beside the write it cannot do without. Run with `cargo bench -p plsync-benches`.
#![allow(missing_docs)] // criterion writes the entry point

use std::fs::File;
use std::os::unix::fs::FileExt;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use plsync_journal::{Durability, Ended, Event, Kind, RecordId, Spool};

const SEGMENT: u64 = 16 << 20;

fn append(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let spool = Spool::open(&dir.path().join("journal"), Durability::Process).expect("a spool");
    let file = File::create(dir.path().join("raw")).expect("a file");
    file.write_all_at(&vec![0; usize::try_from(SEGMENT).expect("64 bits")], 0).expect("zeros");
    for (name, size) in [("1 KB", 1 << 10), ("4 KB", 4 << 10), ("16 KB", 16 << 10)] {
        let body = vec![b'x'; size];
        let mut group = criterion.benchmark_group(name);
        let mut offset = 0;
        group.bench_function("one raw pwrite", |bencher| {
            bencher.iter(|| {
                file.write_all_at(&body, offset).expect("room");
                offset = (offset + size as u64) % (SEGMENT - 16384);
            });
        });
        group.bench_function("append", |bencher| {
            bencher.iter_batched(
                RecordId::new,
                |id| {
                    let event =
                        Event { kind: Kind::Raw, ended: Ended::No, flags: 0, lane: 0, id, labels: &[], body: &body };
                    spool.append(&event).expect("room");
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, append);
criterion_main!(benches);
