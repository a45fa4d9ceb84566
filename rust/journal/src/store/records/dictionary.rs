//! Dictionaries: text that bodies have in common, which compression then leaves out.
//!
//! They are part of the format. A stored body names its dictionary by number, and the journal keeps a copy of each dictionary it uses.
//! The bytes of a number never change.

use std::sync::OnceLock;

use heed::{RoTxn, RwTxn};
use zstd::zstd_safe::DDict;

use crate::store::db::trees::Trees;
use crate::{Error, Result};

/// The dictionary that new bodies are compressed with.
pub(crate) const CURRENT: u16 = 3;
/// How many dictionaries this version ships. Their numbers start at 1.
pub(crate) const SHIPPED: usize = 3;
/// The largest dictionary that is read from a journal, in bytes.
const MAX: usize = 64 << 10;

/// Made by `benches/python/train_dictionary.py`.
static BYTES: [&[u8]; SHIPPED] = [
    include_bytes!("../../../dict/1.zdict"),
    include_bytes!("../../../dict/2.zdict"),
    include_bytes!("../../../dict/3.zdict"),
];

pub(crate) fn key(number: u16) -> Vec<u8> {
    format!("dict/{number}").into_bytes()
}

/// The index of a dictionary among the shipped ones.
pub(crate) fn index(number: u16) -> Option<usize> {
    usize::from(number).checked_sub(1).filter(|index| *index < SHIPPED)
}

/// The bytes of a shipped dictionary, by its index.
pub(super) fn shipped_bytes(index: usize) -> &'static [u8] {
    BYTES[index]
}

/// The bytes of the current dictionary.
pub(crate) fn current() -> &'static [u8] {
    BYTES[usize::from(CURRENT) - 1]
}

/// The error for a code of zstd.
pub(super) fn undecoded(code: usize) -> Error {
    Error::zstd_memory(code).unwrap_or_else(|| Error::Corrupt("a stored body does not decompress".into()))
}

/// The bytes of a shipped dictionary.
#[cfg(test)]
pub(crate) fn bytes(number: u16) -> &'static [u8] {
    BYTES[index(number).unwrap()]
}

/// The bytes of the dictionary with this key, if this version ships it.
pub(crate) fn shipped(found: &[u8]) -> Option<&'static [u8]> {
    (1..).zip(BYTES).find(|(number, _)| key(*number) == found).map(|(_, bytes)| bytes)
}

/// A shipped dictionary for decompression, by its index. Prepared once a process.
pub(crate) fn decoder(index: usize) -> Result<&'static DDict<'static>> {
    static PREPARED: [OnceLock<DDict<'static>>; SHIPPED] = [const { OnceLock::new() }; SHIPPED];
    if let Some(prepared) = PREPARED[index].get() {
        return Ok(prepared);
    }
    let prepared = DDict::try_create(BYTES[index]).ok_or_else(Error::memory)?;
    Ok(PREPARED[index].get_or_init(|| prepared))
}

/// Whether the journal has a copy of the current dictionary.
pub(crate) fn has_current(txn: &RoTxn, trees: &Trees) -> Result<bool> {
    Ok(trees.meta.get(txn, &key(CURRENT))?.is_some())
}

/// Stores a copy of the current dictionary in the journal.
pub(crate) fn keep_current(txn: &mut RwTxn, trees: &Trees) -> Result<()> {
    Ok(trees.meta.put(txn, &key(CURRENT), current())?)
}

/// The journal's copy of a dictionary that this version does not ship.
pub(crate) fn find<'t>(txn: &'t RoTxn, trees: &Trees, number: u16) -> Result<&'t [u8]> {
    let kept = trees.meta.get(txn, &key(number))?.filter(|bytes| bytes.len() <= MAX);
    kept.ok_or_else(|| Error::Corrupt(format!("a stored body needs dictionary {number}, which the journal lacks")))
}
