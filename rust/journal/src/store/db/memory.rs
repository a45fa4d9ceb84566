//! Bounds the memory that reading a store costs. Mapped pages of the data file count as this process's memory, and the system keeps
//! them mapped while memory is free. Without a bound, a process that reads a large journal would look as large as the journal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use heed::RoTxn;

use super::trees::Trees;
use crate::os::process_memory;

/// The time between two checks. The pages read in it come on top of [`MAX_RESIDENT`]. The system maps 16 pages for each one that is
/// read, so a walk over scattered pages adds 5 MB in a millisecond.
const CHECK_INTERVAL: Duration = Duration::from_millis(4);
/// Resident mapped bytes tolerated before pages are released, beyond the bytes of other files.
const MAX_RESIDENT: u64 = 48 << 20;

/// Releases mapped pages of a data file.
pub(crate) struct MapTrimmer {
    opened: Instant,
    /// The last check, in milliseconds after `opened`.
    checked: AtomicU64,
    /// The fewest bytes of mapped files at any check: mostly libraries.
    others: AtomicU64,
}

impl MapTrimmer {
    pub(crate) fn new() -> Self {
        Self {
            opened: Instant::now(),
            checked: AtomicU64::new(0),
            others: AtomicU64::new(process_memory::resident_of_files()),
        }
    }

    /// Releases the pages that were read, at most once in a while. For loops over many records and the end of each transaction.
    pub(crate) fn release_if_due(&self, txn: &RoTxn, trees: &Trees) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let checked = self.checked.load(Ordering::Relaxed);
        let is_due = u128::from(now.saturating_sub(checked)) >= CHECK_INTERVAL.as_millis();
        if is_due && self.checked.compare_exchange(checked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.release(anchor(txn, trees));
        }
    }

    /// Runs `work`, which reads a whole store, and releases its pages meanwhile.
    pub(crate) fn release_during<T>(&self, txn: &RoTxn, trees: &Trees, work: impl FnOnce() -> T) -> T {
        let anchor = anchor(txn, trees);
        std::thread::scope(|scope| {
            let (done, wait) = channel::<()>();
            // Without a thread the work costs memory.
            let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
                while wait.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    self.release(anchor);
                }
            });
            let result = work();
            drop(done);
            result
        })
    }

    /// Releases the pages of the map that contains the anchor, which the caller's transaction keeps in place.
    fn release(&self, anchor: Option<usize>) {
        let resident = process_memory::resident_of_files();
        let Some(anchor) =
            anchor.filter(|_| resident > self.others.load(Ordering::Relaxed).saturating_add(MAX_RESIDENT))
        else {
            self.others.fetch_min(resident, Ordering::Relaxed);
            return;
        };
        unmap(anchor);
        self.others.store(process_memory::resident_of_files(), Ordering::Relaxed);
    }
}

/// An address inside the map of the transaction's store. While the transaction runs, the map at this address is the store, even
/// when other threads map and unmap files. The oldest page of the ids has the anchor, because it is never written again. A page that the
/// transaction itself has written is outside the map, and then nothing is released.
fn anchor(txn: &RoTxn, trees: &Trees) -> Option<usize> {
    let (_, value) = trees.ids.first(txn).ok()??;
    Some(value.as_ptr().expose_provenance())
}

#[cfg(target_os = "linux")]
fn unmap(anchor: usize) {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    if let Some(map) = maps.lines().filter_map(parse).find(|map| map.contains(&anchor)) {
        // SAFETY: the range is the shared map of a file, and LMDB never writes to the file through it (no WRITEMAP). Its pages stay in
        // the page cache, and the next read, in this thread or another, finds the same bytes. It is still mapped: see `anchor`.
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(map.start), map.len(), libc::MADV_DONTNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
fn unmap(_anchor: usize) {}

/// The addresses of a line of /proc/self/maps, if it is a shared map, for reading, of a data file.
#[cfg(target_os = "linux")]
fn parse(line: &str) -> Option<std::ops::Range<usize>> {
    let mut fields = line.splitn(6, ' ');
    let (from, to) = fields.next()?.split_once('-')?;
    let (rights, name) = (fields.next()?, fields.nth(3)?);
    let range = usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?;
    (rights == "r--s" && name.ends_with("/data.mdb")).then_some(range)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_map_of_a_store_is_released() {
        let map = |rights, name| {
            format!("7f0000000000-7f0000002000 {rights} 00000000 fe:00 1234                       {name}")
        };
        let store = "/home/me/my journal/lmdb-3/data.mdb";
        assert_eq!(parse(&map("r--s", store)), Some(0x7f00_0000_0000..0x7f00_0000_2000));
        for (rights, name) in [
            ("rw-s", store),
            ("r--p", store),
            ("r--s", "/home/me/my journal/lmdb-3/data.mdb (deleted)"),
            ("r--s", "/home/me/my journal/lmdb-3/lock.mdb"),
            ("r--s", ""),
        ] {
            assert_eq!(parse(&map(rights, name)), None, "{rights} {name}");
        }
    }
}
