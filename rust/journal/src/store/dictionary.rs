//! Dictionaries: what bodies have in common, so that a body is stored without it.
//!
//! They are part of the format. A stored body names its dictionary by number, the journal keeps a copy of each it uses, and a number
//! stands for the same bytes for ever.

use std::sync::OnceLock;

use heed::{RoTxn, RwTxn};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use super::tables::Tables;
use crate::{Error, Result};

/// The dictionary that new bodies are compressed with.
pub(crate) const CURRENT: u16 = 1;
/// Every dictionary this version ships; `benches/train_dictionary.py` makes them.
const SHIPPED: [(u16, &[u8]); 1] = [(1, include_bytes!("../../dict/1.zdict"))];
/// Larger ones are not read from a journal.
const MAX: usize = 64 << 10;

pub(crate) fn key(number: u16) -> Vec<u8> {
    format!("dict/{number}").into_bytes()
}

fn shipped(number: u16) -> Option<&'static [u8]> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == number).map(|(_, bytes)| *bytes)
}

/// The current dictionary, digested once a process.
pub(crate) fn encoder(level: i32) -> &'static EncoderDictionary<'static> {
    static DIGESTED: OnceLock<EncoderDictionary<'static>> = OnceLock::new();
    DIGESTED.get_or_init(|| EncoderDictionary::copy(shipped(CURRENT).unwrap_or_default(), level))
}

/// The current dictionary for reading, digested once a process.
pub(crate) fn decoder() -> &'static DecoderDictionary<'static> {
    static DIGESTED: OnceLock<DecoderDictionary<'static>> = OnceLock::new();
    DIGESTED.get_or_init(|| DecoderDictionary::copy(shipped(CURRENT).unwrap_or_default()))
}

/// Whether the journal has a copy of the current dictionary.
pub(crate) fn has_current(txn: &RoTxn, tables: &Tables) -> Result<bool> {
    Ok(tables.meta.get(txn, &key(CURRENT))?.is_some())
}

/// Puts a copy of the current dictionary into the journal.
pub(crate) fn keep_current(txn: &mut RwTxn, tables: &Tables) -> Result<()> {
    Ok(tables.meta.put(txn, &key(CURRENT), shipped(CURRENT).unwrap_or_default())?)
}

/// The bytes of a dictionary that a body names: this version's own, or the copy that the journal keeps of a newer one.
pub(crate) fn find<'t>(txn: &'t RoTxn, tables: &Tables, number: u16) -> Result<&'t [u8]> {
    if let Some(bytes) = shipped(number) {
        return Ok(bytes);
    }
    let kept = tables.meta.get(txn, &key(number))?.filter(|bytes| bytes.len() <= MAX);
    kept.ok_or_else(|| Error::Corrupt(format!("a stored body needs dictionary {number}, which the journal lacks")))
}
