//! The bytes of a data file.

use std::fs::File;

use crate::os::fs;

/// Bytes with a length, read at offsets.
pub(crate) trait Source {
    fn len(&self) -> u64;
    /// Reads up to `bytes.len()` bytes; 0 at the end and for a sector that cannot be read.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> usize;
}

impl Source for File {
    fn len(&self) -> u64 {
        self.metadata().map_or(0, |meta| meta.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> usize {
        fs::read_at(self, bytes, offset).unwrap_or_default()
    }
}

impl Source for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> usize {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let read = rest.len().min(bytes.len());
        bytes[..read].copy_from_slice(&rest[..read]);
        read
    }
}

/// Whether all of `bytes` could be read.
pub(super) fn read_whole(file: &(impl Source + ?Sized), bytes: &mut [u8], offset: u64) -> bool {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
            0 => return false,
            read => filled += read,
        }
    }
    true
}
