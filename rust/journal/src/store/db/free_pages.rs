//! The free pages inside the data file: whether they have room for a commit, and their return to the file system.
//!
//! LMDB's file never shrinks. A store that once filled its disk would keep all of the disk, although a quota has removed its content. So
//! on a short disk the blocks of its free pages are returned in place. The file keeps its length, and becomes sparse.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

use super::env::Db;
use super::files::{self, DATA};
use super::pages::{FreedPages, Pages};
use super::reserve::Reserve;
use crate::os::disk;
use crate::os::gate::{self, Access};
use crate::store::records::transition::Change;
use crate::{Error, Millis, Result};

/// With less disk space than this, free pages are returned to the file system.
const SHORT: u64 = 64 << 20;
/// Fewer bytes of free pages are kept.
const WORTHWHILE: u64 = 512 << 10;
/// Bytes of pages that a commit changes beside the pages of its content.
const OVERHEAD: u64 = 64 << 10;

impl Db {
    /// Whether the disk is short of space, so that other programs need every free block.
    pub(crate) fn is_disk_short(&self) -> bool {
        disk::available(self.journal()).is_some_and(|available| available < SHORT)
    }

    /// Whether the disk has room for a commit of `bytes`, in free pages or by growth of the file. The reserve is not counted.
    pub(crate) fn has_room(&self, bytes: u64) -> Result<bool> {
        let Some(available) = disk::available(self.journal()) else { return Ok(true) };
        let (occupied, used) = self.sizes()?;
        let growth = (bytes + bytes / 4 + OVERHEAD).saturating_sub(occupied.saturating_sub(used));
        let left = self.with(|opened| Ok(Some(opened.reserve.left(opened.env.real_disk_size()?))))?;
        let reserve = Reserve::KEPT.saturating_sub(left);
        Ok(growth == 0 || available >= growth + reserve)
    }

    /// Whether the reserve has room for a commit of `bytes`, and enough is left for small transactions.
    pub(crate) fn has_room_in_reserve(&self, bytes: u64) -> Result<bool> {
        self.with(|opened| {
            let left = opened.reserve.left(opened.env.real_disk_size()?);
            Ok(Some(left >= bytes + bytes / 4 + OVERHEAD + Reserve::KEPT))
        })
    }

    /// Commits twice. LMDB reuses the pages that a commit freed from the second commit after it on.
    pub(crate) fn age_free_pages(&self) -> Result<()> {
        for _ in 0..2 {
            self.in_room(|| self.write(|txn, trees| Change::begin(txn, trees, Millis::now())?.finish()))?;
        }
        Ok(())
    }

    /// Runs a small transaction. On a full disk it runs again, in the space of the pages that the newest commit has freed.
    ///
    /// A store needs that without its reserve: in a copy of its directory, or when its disk was full from the start.
    pub(crate) fn in_room<T>(&self, mut transaction: impl FnMut() -> Result<T>) -> Result<T> {
        match transaction() {
            Err(error) if error.is_full_disk() => match self.return_pages(Returned::Newest) {
                Ok(returned) if returned > 0 => transaction(),
                _ => Err(error),
            },
            done => done,
        }
    }

    /// Returns free pages to the file system if the disk is short of space. Returns the number of bytes.
    pub(crate) fn return_free_pages_if_short(&self) -> Result<u64> {
        if !self.is_disk_short() {
            return Ok(0);
        }
        let (occupied, used) = self.sizes()?;
        if occupied.saturating_sub(used) < WORTHWHILE + Reserve::KEPT {
            return Ok(0);
        }
        self.age_free_pages()?;
        self.return_free_pages()
    }

    /// Returns the free pages that no reader needs to the file system, except for some that the next transactions use. Returns the
    /// number of bytes.
    pub(crate) fn return_free_pages(&self) -> Result<u64> {
        self.return_pages(Returned::Reusable)
    }

    fn return_pages(&self, which: Returned) -> Result<u64> {
        self.clear_stale_readers()?;
        self.with(|opened| {
            // Until it ends, no other process writes, and a new reader reads the newest commit.
            let txn = opened.env.write_txn()?;
            if !self.is_current(opened)? {
                return Ok(None);
            }
            let store = opened.path(self.journal());
            let returned = opened.stamp.commit(|| punch(&store, which))?;
            txn.abort();
            Ok(Some(returned))
        })
    }
}

/// The free pages to return.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Returned {
    /// The pages that LMDB may reuse: the commit before the newest stays whole as well.
    Reusable,
    /// Also the pages that the newest commit has freed.
    Newest,
}

/// Returns pages of the data file. The caller excludes writers.
fn punch(store: &Path, which: Returned) -> Result<u64> {
    let path = store.join(DATA);
    let pages = Pages::open(&path)?;
    let Some((newest, freed)) = pages.freed() else { return Ok(0) };
    let Some(readers) = files::oldest_reader(store) else { return Ok(0) };
    let oldest = newest.min(readers);
    let file = gate::open(&path, Access::Write)?;
    if which == Returned::Newest {
        // After a power cut LMDB falls back to the commit before, if the newest one is not on the disk. Its process may have died.
        file.sync_data().map_err(Error::io("cannot sync", &path))?;
    }
    let len = file.metadata().map_err(Error::io("cannot read", &path))?.len();
    let mut returned = 0;
    for run in runs(returnable(freed, oldest, which, Reserve::KEPT / pages.size())) {
        let part = run.start * pages.size()..(run.end * pages.size()).min(len);
        if part.is_empty() {
            continue;
        }
        match disk::punch(&file, part.clone()) {
            Ok(()) => returned += part.end - part.start,
            // The file system has no such operation.
            Err(error) if error.kind() != ErrorKind::StorageFull => return Ok(returned),
            Err(error) => return Err(Error::io("cannot return free pages of", &path)(error)),
        }
    }
    Ok(returned)
}

/// The free pages to return, in order. LMDB takes the pages of the earliest commits first, and needs them allocated.
fn returnable(mut freed: Vec<FreedPages>, oldest: u64, which: Returned, kept: u64) -> Vec<u64> {
    freed.sort_unstable_by_key(|entry| entry.commit);
    let mut left = kept;
    let mut chosen = Vec::new();
    for FreedPages { commit, pages: mut numbers } in freed {
        // A reader of a commit needs the pages that later commits freed.
        if commit > oldest || commit == oldest && which == Returned::Reusable {
            break;
        }
        numbers.sort_unstable();
        if commit == oldest {
            left = 0;
        }
        let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(numbers.len());
        left -= skipped as u64;
        chosen.extend_from_slice(&numbers[skipped..]);
    }
    chosen.sort_unstable();
    chosen
}

/// Numbers in order, as ranges.
fn runs(numbers: Vec<u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_late_commits_and_the_first_pages_of_early_ones_stay() {
        let freed = || {
            [(7, vec![30, 31]), (3, vec![12, 10, 11]), (5, vec![20, 21, 13])]
                .map(|(commit, pages)| FreedPages { commit, pages })
                .to_vec()
        };
        let reusable = |oldest, kept| returnable(freed(), oldest, Returned::Reusable, kept);
        assert_eq!(reusable(7, 0), [10, 11, 12, 13, 20, 21]);
        assert_eq!(reusable(5, 0), [10, 11, 12]);
        assert_eq!(reusable(7, 2), [12, 13, 20, 21]);
        assert_eq!(reusable(8, 7), [31]);
        assert_eq!(returnable(freed(), 5, Returned::Newest, 2), [12, 13, 20, 21]);
        assert_eq!(returnable(freed(), 7, Returned::Newest, 7), [30, 31]);
        assert_eq!(runs(vec![10, 11, 12, 20, 21]), [10..13, 20..22]);
        assert_eq!(runs(Vec::new()), []);
    }
}
