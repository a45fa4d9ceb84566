//! The memory that reading costs. Pages of the data file count as this process's for as long as they are mapped, and nothing unmaps
//! them while memory is plenty: whoever ingests, sends or searches a large journal would come to look as large as that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use heed::RoTxn;

use crate::store::db::tables::Tables;

/// Between two looks. As much as can be read meanwhile comes on top of what is fine.
const EVERY: Duration = Duration::from_millis(20);
/// The same where pages are read without a pause.
const EVERY_IN_BULK: Duration = Duration::from_millis(4);
/// Bytes of mapped files that are no matter, on top of those that are not the store's.
const FINE: u64 = 48 << 20;

/// What of a data file is mapped.
pub(crate) struct Mapped {
    opened: Instant,
    /// Milliseconds after that.
    looked: AtomicU64,
    /// Bytes of mapped files when there were fewest: libraries, for the most part.
    others: AtomicU64,
}

impl Mapped {
    pub(crate) fn new() -> Self {
        Self { opened: Instant::now(), looked: AtomicU64::new(0), others: AtomicU64::new(resident_of_files()) }
    }

    /// Lets the pages go that were read, now and then. For loops over many records; each transaction ends with it, too.
    pub(crate) fn look(&self, txn: &RoTxn, tables: &Tables) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let looked = self.looked.load(Ordering::Relaxed);
        let is_due = u128::from(now.saturating_sub(looked)) >= EVERY.as_millis();
        if is_due && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.let_go(anchor(txn, tables));
        }
    }

    /// Does what reads a whole store, and lets its pages go meanwhile.
    pub(crate) fn during<T>(&self, txn: &RoTxn, tables: &Tables, work: impl FnOnce() -> T) -> T {
        let anchor = anchor(txn, tables);
        std::thread::scope(|scope| {
            let (done, wait) = channel::<()>();
            // Where the system has no thread to give, it costs memory.
            let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
                while wait.recv_timeout(EVERY_IN_BULK) == Err(RecvTimeoutError::Timeout) {
                    self.let_go(anchor);
                }
            });
            let result = work();
            drop(done);
            result
        })
    }

    /// Lets go what is mapped where the anchor lies, which the caller's transaction keeps there.
    fn let_go(&self, anchor: Option<usize>) {
        let resident = resident_of_files();
        let Some(anchor) = anchor.filter(|_| resident > self.others.load(Ordering::Relaxed).saturating_add(FINE))
        else {
            self.others.fetch_min(resident, Ordering::Relaxed);
            return;
        };
        unmap(anchor);
        self.others.store(resident_of_files(), Ordering::Relaxed);
    }
}

/// An address inside the map of the transaction's store. While the transaction runs nothing else can come to lie there: so what is
/// mapped at this address is the store, whatever other threads map and unmap. The ids have the anchor since their oldest page is not
/// written again; a page that the transaction itself has written lies elsewhere, and then nothing is let go.
fn anchor(txn: &RoTxn, tables: &Tables) -> Option<usize> {
    let (_, value) = tables.ids.first(txn).ok()??;
    Some(value.as_ptr().expose_provenance())
}

#[cfg(target_os = "linux")]
fn unmap(anchor: usize) {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    if let Some(map) = maps.lines().filter_map(parse).find(|map| map.contains(&anchor)) {
        // SAFETY: the range is the shared map of a file that LMDB never writes to through it (no WRITEMAP): its pages stay in the page
        // cache, and whoever reads them next, in this thread or another, finds the same bytes. It is still mapped: see `anchor`.
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(map.start), map.len(), libc::MADV_DONTNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
fn unmap(_anchor: usize) {}

/// Bytes of mapped files that count as this process's; none where the system does not say.
fn resident_of_files() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(2).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * page_size()
}

#[cfg(unix)]
fn page_size() -> u64 {
    // SAFETY: sysconf has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(not(unix))]
fn page_size() -> u64 {
    4096
}

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
    fn of_all_maps_only_the_stores_are_taken() {
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
