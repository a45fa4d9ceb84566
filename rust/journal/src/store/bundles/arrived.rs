//! The entries of bundles that arrived at a hub.

use heed::{RoTxn, RwTxn};

use super::BundleId;
use super::followups::id_key;
use crate::frame::array;
use crate::store::db::trees::{Trees, with_seal, without_seal};
use crate::{Millis, Result};

/// A key of `returns`: a bundle that arrived.
pub(super) const ARRIVED: u8 = b'g';

/// A bundle that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its id.
    pub id: BundleId,
    /// The number of the export.
    pub serial: u64,
    /// This part, and the number of parts.
    pub part: [u32; 2],
    /// When it arrived first.
    pub at: Millis,
    /// Whether the log reports it.
    pub is_reported: bool,
}

/// The bundle of an entry, if its seal is right.
pub(super) fn read(key: &[u8], stored: &[u8]) -> Option<Arrived> {
    let value = without_seal(key, stored).filter(|value| value.len() == 25)?;
    Some(Arrived {
        id: key.strip_prefix(&[ARRIVED])?.try_into().ok()?,
        serial: u64::from_le_bytes(array(value, 0)),
        part: [u32::from_le_bytes(array(value, 8)), u32::from_le_bytes(array(value, 12))],
        at: Millis(u64::from_le_bytes(array(value, 16))),
        is_reported: value[24] != 0,
    })
}

pub(super) fn put(txn: &mut RwTxn, trees: &Trees, arrived: &Arrived) -> Result<()> {
    let mut bytes = arrived.serial.to_le_bytes().to_vec();
    bytes.extend_from_slice(&arrived.part[0].to_le_bytes());
    bytes.extend_from_slice(&arrived.part[1].to_le_bytes());
    bytes.extend_from_slice(&arrived.at.0.to_le_bytes());
    bytes.push(u8::from(arrived.is_reported));
    let key = id_key(ARRIVED, &arrived.id);
    Ok(trees.returns.put(txn, &key, &with_seal(&key, bytes))?)
}

pub(super) fn note_reported(txn: &mut RwTxn, trees: &Trees, id: &BundleId) -> Result<()> {
    match get(txn, trees, id)? {
        Some(arrived) => put(txn, trees, &Arrived { is_reported: true, ..arrived }),
        None => Ok(()),
    }
}

pub(super) fn get(txn: &RoTxn, trees: &Trees, id: &BundleId) -> Result<Option<Arrived>> {
    let key = id_key(ARRIVED, id);
    Ok(trees.returns.get(txn, &key)?.and_then(|stored| read(&key, stored)))
}
