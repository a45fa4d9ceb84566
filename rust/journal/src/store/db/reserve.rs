//! Disk space that a store keeps behind the end of its data file, so that small transactions succeed on a full disk.
//!
//! LMDB writes each changed page to a new place. So even a transaction that removes data writes some pages first. Without a free block
//! nothing could be removed, acked or leased. The blocks behind the end belong to the file, and no other program can take
//! them. Length and content of the file stay. An ingest, which may write many megabytes, leaves [`Reserve::KEPT`] bytes alone.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::files::DATA;
use crate::os::disk;
use crate::os::gate::{self, Access};

/// The least and the most bytes of a reserve.
const LEAST: u64 = 1 << 20;
const MOST: u64 = 4 << 20;

/// The reserve of an open store.
pub(super) struct Reserve {
    /// The offset up to which disk space is allocated.
    end: AtomicU64,
}

impl Reserve {
    /// Bytes for small transactions. One of a sender changes up to 1200 records, on some 150 pages.
    pub(super) const KEPT: u64 = 256 << 10;

    pub(super) fn none() -> Self {
        Self { end: AtomicU64::new(0) }
    }

    /// The reserve that an earlier process has left behind the end of the data file. Holes in the file hide a part of it.
    pub(super) fn found(store: &Path) -> Self {
        let end = std::fs::metadata(store.join(DATA)).map_or(0, |data| {
            let behind = disk::behind_end(&data).min(MOST);
            if behind > 0 { data.len() + behind } else { 0 }
        });
        Self { end: AtomicU64::new(end) }
    }

    /// Bytes of the reserve of a data file of `len` bytes.
    pub(super) fn size(len: u64) -> u64 {
        (len / 8).clamp(LEAST, MOST)
    }

    /// Bytes that are allocated behind the end of a data file of `len` bytes.
    pub(super) fn left(&self, len: u64) -> u64 {
        self.end.load(Ordering::Relaxed).saturating_sub(len)
    }

    /// Allocates the reserve anew when half of it is used. The caller renews the stamp of the file, whose time of change may change.
    ///
    /// A failure is no error: the store works without a reserve until its disk is full.
    pub(super) fn renew(&self, store: &Path, len: u64) {
        if self.left(len) >= Self::size(len) / 2 {
            return;
        }
        // On a small disk the spool needs the space as well.
        let wanted = Self::size(len).min(disk::available(store).unwrap_or(u64::MAX) / 4);
        if wanted <= self.left(len).max(Self::KEPT / 2) {
            return;
        }
        let Ok(file) = gate::open(&store.join(DATA), Access::Write) else { return };
        let end = match disk::allocate(&file, len..len + wanted) {
            Ok(()) => len + wanted,
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return,
            // The file system has no such operation.
            Err(_) => u64::MAX,
        };
        self.end.store(end, Ordering::Relaxed);
    }
}
