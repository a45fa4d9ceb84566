//! Allocations for contents of any size. A failed one is an error, where Rust's collections would end the process.

use crate::{Error, Result};

/// Makes room for `more` bytes.
pub(crate) fn reserve(bytes: &mut Vec<u8>, more: usize) -> Result<()> {
    bytes.try_reserve(more).map_err(|_| Error::memory())
}

/// An empty vector with room for `len` bytes.
pub(crate) fn with_room(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Error::memory())?;
    Ok(bytes)
}

/// A copy of these bytes.
pub(crate) fn copied(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = with_room(bytes.len())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}
