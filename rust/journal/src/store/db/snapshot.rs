//! Whole commits of a store: their copy, their pages and their size.

use std::fs;
use std::path::Path;
use std::time::Duration;

use heed::RoTxn;

use super::copy::{copy_data, finish_copy};
use super::env::Db;
use super::files::{self, DATA};
use super::trees::Trees;
use crate::os::disk;
use crate::{Error, Result};

/// The time between two looks at a copy that begins.
const POLL: Duration = Duration::from_millis(1);

impl Db {
    /// Copies the newest commit into a new data file in `store`, without free pages, and returns the result of `read` for the same commit.
    /// Writers wait only until the copy has begun.
    pub(crate) fn copy_snapshot<T>(
        &self,
        store: &Path,
        mut read: impl FnMut(&RoTxn, &Trees) -> Result<T>,
    ) -> Result<T> {
        if self.is_read_only() {
            return self.with(|opened| {
                let file = files::create_data(store)?;
                let found = opened.stamp.shared(|| {
                    copy_data(&opened.env, &file)?;
                    let txn = opened.env.read_txn()?;
                    read(&txn, &opened.trees)
                })?;
                finish_copy(&file, store)?;
                Ok(Some(found))
            });
        }
        self.with(|opened| {
            let writers = opened.env.write_txn()?;
            if !self.is_current(opened)? {
                return Ok(None);
            }
            let txn = opened.env.read_txn()?;
            let file = files::create_data(store)?;
            let mut writers = Some(writers);
            let found = std::thread::scope(|scope| {
                let copying = scope.spawn(|| copy_data(&opened.env, &file));
                // LMDB takes its snapshot before it writes the first byte. No commit came in between, so both snapshots are of one
                // commit.
                while !copying.is_finished() && file.metadata().is_ok_and(|found| found.len() == 0) {
                    std::thread::sleep(POLL);
                }
                drop(writers.take());
                let found = self.trimmer.release_during(&txn, &opened.trees, || read(&txn, &opened.trees));
                copying.join().map_err(|_| Error::Internal("the thread that copies the store panicked"))??;
                found
            })?;
            finish_copy(&file, store)?;
            Ok(Some(found))
        })
    }

    /// Verifies every page of the store. The snapshot of a read transaction keeps its pages in place meanwhile.
    pub(crate) fn verify_pages(&self) -> Result<()> {
        self.with(|opened| {
            self.guarded(opened, || {
                let _snapshot = opened.env.read_txn()?;
                opened.stamp.verify().map(Some)
            })
        })
    }

    /// Bytes of disk space of the data file, and bytes of its pages in use.
    pub(crate) fn sizes(&self) -> Result<(u64, u64)> {
        self.with(|opened| {
            let data = opened.path(self.journal()).join(DATA);
            let meta = fs::metadata(&data).map_err(Error::io("cannot read", &data))?;
            let occupied = disk::occupied(&meta, opened.reserve.left(meta.len()));
            self.guarded(opened, || Ok(Some((occupied, opened.env.non_free_pages_size()?))))
        })
    }
}
