//! The memory that reading costs. Pages of the data file count as this process's for as long as they are mapped, and nothing unmaps
//! them while memory is plenty: whoever ingests or searches a large journal would come to look as large as that.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Records touched between two looks.
const EVERY: u64 = 8192;
/// Bytes of mapped files that are no matter.
const FINE: u64 = 48 << 20;

/// The map of one data file.
pub(crate) struct Mapped {
    /// Of its name, what the numbers of compacted stores leave alone.
    journal: PathBuf,
    touched: AtomicU64,
}

impl Mapped {
    pub(crate) fn new(journal: &Path) -> Self {
        Self { journal: journal.to_path_buf(), touched: AtomicU64::new(0) }
    }

    /// Says that so many more records were read or written; now and then their pages are let go.
    pub(crate) fn touch(&self, records: u64) {
        let before = self.touched.fetch_add(records, Ordering::Relaxed);
        if before / EVERY != (before + records) / EVERY {
            self.let_go();
        }
    }

    #[cfg(target_os = "linux")]
    fn let_go(&self) {
        if resident_of_files().is_none_or(|bytes| bytes < FINE) {
            return;
        }
        let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
        for map in maps.lines().filter_map(|line| parse(line, &self.journal)) {
            // SAFETY: the range is a shared map of a file that LMDB never writes to through it (no WRITEMAP): its pages stay in the
            // page cache, and whoever reads them next, in this thread or another, finds the same bytes.
            unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(map.start), map.len(), libc::MADV_DONTNEED) };
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn let_go(&self) {}
}

/// Bytes of mapped files that count as this process's.
#[cfg(target_os = "linux")]
fn resident_of_files() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(2)?.parse().ok()?;
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(size).ok()?)
}

/// The addresses of a line of /proc/self/maps, if it is a shared map, for reading, of a data file of this journal.
#[cfg(target_os = "linux")]
fn parse(line: &str, journal: &Path) -> Option<std::ops::Range<usize>> {
    let mut fields = line.splitn(6, ' ');
    let (from, to) = fields.next()?.split_once('-')?;
    let (rights, name) = (fields.next()?, Path::new(fields.nth(3)?.trim_start()));
    let is_store = name.file_name()? == "data.mdb" && name.parent()?.parent()? == journal;
    let range = usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?;
    (rights == "r--s" && is_store).then_some(range)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn of_all_maps_only_the_stores_are_taken() {
        let journal = Path::new("/home/me/my journal");
        let map = |rights, name| {
            format!("7f0000000000-7f0000002000 {rights} 00000000 fe:00 1234                       {name}")
        };
        assert_eq!(
            parse(&map("r--s", "/home/me/my journal/lmdb-3/data.mdb"), journal),
            Some(0x7f00_0000_0000..0x7f00_0000_2000)
        );
        for (rights, name) in [
            ("rw-s", "/home/me/my journal/lmdb-3/data.mdb"),
            ("r--p", "/home/me/my journal/lmdb-3/data.mdb"),
            ("r--s", "/home/me/my journal/lmdb-3/lock.mdb"),
            ("r--s", "/home/me/your journal/lmdb-3/data.mdb"),
            ("r--s", ""),
        ] {
            assert_eq!(parse(&map(rights, name), journal), None, "{rights} {name}");
        }
    }
}
