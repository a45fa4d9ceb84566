//! Power cuts: the log of a journal's life is cut at a random place. Of the unsynced writes any part is dropped, reordered or torn, and
//! the resulting journal is opened.

use std::path::Path;

use fastrand::Rng;

use crate::common::temp_dir;
use crate::disk::Disk;
use crate::log::Op;
use crate::oracle::Oracle;
use crate::{child, count, workload};

const WORKERS: usize = 2;

/// Builds images of cuts within the first `until` entries, and checks each in a child process. Panics with the broken promises.
fn try_images(dir: &Path, ops: &[Op], until: usize, images: usize) {
    let seed = u64::try_from(count("PLSYNC_SEED", 0)).unwrap();
    let seed = if seed == 0 { fastrand::u64(..) >> 16 } else { seed };
    let results: Vec<(usize, Vec<String>)> = std::thread::scope(|scope| {
        let share = images.div_ceil(WORKERS);
        let start = |worker: usize| scope.spawn(move || try_share(dir, ops, until, share, seed, worker));
        let threads: Vec<_> = (0..WORKERS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let promises: usize = results.iter().map(|(promises, _)| promises).sum();
    let failures: Vec<_> = results.into_iter().flat_map(|(_, failures)| failures).collect();
    assert!(promises > 0, "no image was cut after a promise");
    let shown = failures[..failures.len().min(10)].join("\n");
    assert!(failures.is_empty(), "{} of {images} images fail, seed {seed}:\n{shown}", failures.len());
}

fn try_share(dir: &Path, ops: &[Op], until: usize, images: usize, seed: u64, worker: usize) -> (usize, Vec<String>) {
    let mut random = Rng::with_seed(seed + worker as u64);
    let mut cuts: Vec<usize> = (0..images).map(|_| random.usize(0..=until)).collect();
    cuts.sort_unstable();
    let (mut disk, mut oracle, mut at) = (Disk::new(), Oracle::default(), 0);
    let (mut promises, mut failures) = (0, Vec::new());
    for cut in cuts {
        for op in &ops[at..cut] {
            disk.step(op);
            if let Op::Mark(mark) = op {
                oracle.add(mark);
            }
        }
        at = cut;
        let image = dir.join(format!("image-{worker}"));
        disk.cut(&mut random, &image);
        let marks = dir.join(format!("marks-{worker}"));
        oracle.save(&marks);
        if let Err(failure) = child::check_journal(&image.join("journal"), &marks) {
            failures.push(format!("cut at {cut} of {}: {failure}", ops.len()));
        }
        std::fs::remove_dir_all(&image).unwrap();
        promises += oracle.promises();
    }
    (promises, failures)
}

#[test]
fn a_power_cut_breaks_no_promise() {
    let dir = temp_dir();
    let ops = workload::record(dir.path(), 0);
    try_images(dir.path(), &ops, ops.len(), count("PLSYNC_IMAGES", 300) * 2 / 3);
}

#[test]
fn a_power_cut_while_the_journal_is_made_leaves_no_journal_or_a_whole_one() {
    let dir = temp_dir();
    let ops = workload::record(dir.path(), 0);
    let made = ops.iter().position(|op| matches!(op, Op::Rename { to, .. } if to == "journal/lmdb")).unwrap();
    try_images(dir.path(), &ops, made + 40, count("PLSYNC_IMAGES", 300) / 6);
}

#[test]
fn a_power_cut_after_failed_syncs_breaks_no_promise() {
    let dir = temp_dir();
    let ops = workload::record(dir.path(), 3);
    assert!(ops.iter().any(|op| matches!(op, Op::SyncEnd { ok: false, .. })));
    try_images(dir.path(), &ops, ops.len(), count("PLSYNC_IMAGES", 300) / 6);
}
