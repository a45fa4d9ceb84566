//! Dictionaries: what bodies have in common, so that a body is stored without it.
//!
//! They are part of the format. A stored body names its dictionary by number, the journal keeps a copy of each it uses, and a number
//! stands for the same bytes for ever.

use std::sync::OnceLock;

use heed::{RoTxn, RwTxn};
use zstd::dict::DecoderDictionary;

use crate::store::db::tables::Tables;
use crate::{Error, Result};

/// The dictionary that new bodies are compressed with.
pub(crate) const CURRENT: u16 = 2;
/// How many dictionaries this version ships: those numbered from 1.
pub(crate) const SHIPPED: usize = 2;
/// Larger ones are not read from a journal.
const MAX: usize = 64 << 10;

/// `benches/python/train_dictionary.py` made them.
static BYTES: [&[u8]; SHIPPED] = [include_bytes!("../../../dict/1.zdict"), include_bytes!("../../../dict/2.zdict")];

pub(crate) fn key(number: u16) -> Vec<u8> {
    format!("dict/{number}").into_bytes()
}

/// The place of a dictionary among those that this version ships.
pub(crate) fn place(number: u16) -> Option<usize> {
    usize::from(number).checked_sub(1).filter(|place| *place < SHIPPED)
}

/// The bytes of the current dictionary.
pub(crate) fn current() -> &'static [u8] {
    BYTES[usize::from(CURRENT) - 1]
}

/// The bytes of any that is shipped.
#[cfg(test)]
pub(crate) fn bytes(number: u16) -> &'static [u8] {
    BYTES[place(number).unwrap()]
}

/// The bytes of the dictionary with this key, if this version ships it.
pub(crate) fn shipped(found: &[u8]) -> Option<&'static [u8]> {
    (1..).zip(BYTES).find(|(number, _)| key(*number) == found).map(|(_, bytes)| bytes)
}

/// A dictionary for reading, by its place; digested once a process.
pub(crate) fn decoder(place: usize) -> &'static DecoderDictionary<'static> {
    static DIGESTED: [OnceLock<DecoderDictionary<'static>>; SHIPPED] = [const { OnceLock::new() }; SHIPPED];
    DIGESTED[place].get_or_init(|| DecoderDictionary::copy(BYTES[place]))
}

/// Whether the journal has a copy of the current dictionary.
pub(crate) fn has_current(txn: &RoTxn, tables: &Tables) -> Result<bool> {
    Ok(tables.meta.get(txn, &key(CURRENT))?.is_some())
}

/// Puts a copy of the current dictionary into the journal.
pub(crate) fn keep_current(txn: &mut RwTxn, tables: &Tables) -> Result<()> {
    Ok(tables.meta.put(txn, &key(CURRENT), current())?)
}

/// The bytes of a dictionary that this version lacks: the copy that the journal keeps of a newer one.
pub(crate) fn find<'t>(txn: &'t RoTxn, tables: &Tables, number: u16) -> Result<&'t [u8]> {
    let kept = tables.meta.get(txn, &key(number))?.filter(|bytes| bytes.len() <= MAX);
    kept.ok_or_else(|| Error::Corrupt(format!("a stored body needs dictionary {number}, which the journal lacks")))
}
