//! The cursors: how far each segment was ingested.

use heed::RoTxn;

use crate::store::db::trees::{Trees, cursor_key, without_seal};
use crate::{RecordId, Result};

/// The offset up to which a segment was ingested; 0 for a new one.
pub(crate) fn offset(txn: &RoTxn, trees: &Trees, writer: RecordId, index: u32) -> Result<u64> {
    let key = cursor_key(writer, index);
    let stored = trees.cursors.get(txn, &key)?.and_then(|stored| without_seal(&key, stored));
    Ok(stored.and_then(|value| value.first_chunk()).map_or(0, |offset| u64::from_le_bytes(*offset)))
}
