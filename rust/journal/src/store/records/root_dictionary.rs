//! zstd's dictionaries of the bodies that repeat the start of their root: a dictionary of all bodies, followed by this start.

use std::cell::RefCell;

use zstd::zstd_safe::DCtx;

use super::dictionary::{self, undecoded};
use crate::{Error, RecordId, Result};

/// A longer dictionary, of a crafted store, is not kept for the next body.
const KEPT: usize = 1 << 20;

/// A dictionary in zstd's format stays one when content is appended.
pub(super) fn joined(dictionary: &[u8], start: &[u8]) -> Vec<u8> {
    [dictionary, start].concat()
}

/// The source of the last dictionary: the root, the length and checksum of its start, and the number of the other dictionary.
type Made = (RecordId, [u8; 8], u16);

thread_local! {
    /// The calls of a tree are read one after the other.
    static LAST: RefCell<Option<(Made, Vec<u8>)>> = const { RefCell::new(None) };
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// Reads the data of a body that repeats a root.
///
/// `made` identifies the dictionary, `start` returns the start of the root, and `dictionary` a dictionary that this version does not
/// ship.
pub(super) fn read(
    made: Made,
    data: &[u8],
    body: &mut Vec<u8>,
    start: impl FnOnce() -> Result<Vec<u8>>,
    dictionary: &impl Fn(u16) -> Result<Vec<u8>>,
) -> Result<()> {
    LAST.with_borrow_mut(|last| {
        if last.as_ref().is_none_or(|(of, _)| *of != made) {
            let start = start()?;
            let shipped = dictionary::index(made.2).map(dictionary::shipped_bytes);
            let joined = match shipped {
                Some(bytes) => joined(bytes, &start),
                None => joined(&dictionary(made.2)?, &start),
            };
            *last = Some((made, joined));
        }
        let (_, dictionary) = last.as_ref().ok_or(Error::Internal("a dictionary was just made"))?;
        let done = decompress(data, body, dictionary);
        last.take_if(|(_, dictionary)| dictionary.len() > KEPT);
        done
    })
}

pub(super) fn decompress(data: &[u8], body: &mut Vec<u8>, dictionary: &[u8]) -> Result<()> {
    CONTEXT.with_borrow_mut(|context| {
        if context.is_none() {
            *context = Some(DCtx::try_create().ok_or_else(Error::memory)?);
        }
        let context = context.as_mut().ok_or(Error::Internal("a context was just made"))?;
        let done = context.decompress_using_dict(body, data, dictionary);
        done.map(drop).map_err(undecoded)
    })
}
