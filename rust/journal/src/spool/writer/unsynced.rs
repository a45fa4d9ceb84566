//! The parts of a writer's files that may not be on disk yet.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::mutex::lock;
use crate::spool::segment::Segment;

pub(super) struct Unsynced {
    /// Full segments whose last frames may not be on disk yet.
    pub(super) full: Mutex<Vec<Segment>>,
    /// Whether an appended frame may not be on disk yet.
    pub(super) dirty: AtomicBool,
    /// Whether a segment's name may not be on disk yet.
    pub(super) names_dirty: AtomicBool,
    /// Whether the last sync of names failed.
    pub(super) names_failing: AtomicBool,
    /// Syncs requested, and how many of these the last successful sync covers; the lock is held while syncing.
    pub(super) requested: AtomicU64,
    pub(super) covered: Mutex<u64>,
    /// A sync of the segment before this index failed. Its data may never reach the disk, and a later sync of that file would
    /// not report that. So nothing more is written to the segment, and nothing in it is promised.
    pub(super) abandoned: AtomicU32,
    /// Syncs that failed, and how many of them a flush has reported.
    pub(super) failed: AtomicU64,
    pub(super) reported: AtomicU64,
}

impl Unsynced {
    /// For a new writer, whose first segment has yet to be synced.
    pub(super) fn new() -> Self {
        Self {
            full: Mutex::default(),
            dirty: AtomicBool::new(true),
            names_dirty: AtomicBool::new(true),
            names_failing: AtomicBool::new(false),
            requested: AtomicU64::new(0),
            covered: Mutex::new(0),
            abandoned: AtomicU32::new(0),
            failed: AtomicU64::new(0),
            reported: AtomicU64::new(0),
        }
    }

    /// Adds a full segment, whose end the next sync brings to disk.
    pub(super) fn add_full(&self, full: Segment) {
        if full.index >= self.abandoned.load(Ordering::Acquire) {
            lock(&self.full).push(full);
        }
        self.names_dirty.store(true, Ordering::Release);
    }
}
