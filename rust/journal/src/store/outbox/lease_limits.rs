//! The limits of a lease, and the size that counts.

use heed::RoTxn;

use crate::store::db::trees::{PART_END, PART_START, Trees, record_key};
use crate::store::records::body;
use crate::{Result, Seq};

/// How much to take at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The number of records.
    pub records: usize,
    /// Bytes of their events. One record of any size is always returned.
    pub bytes: u64,
}

/// How much one lease may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLimits {
    /// Of all lanes together.
    pub total: Limits,
    /// Of each ordered lane. The rest of the lane waits until these records are settled.
    pub per_lane: Limits,
    /// Of a tree. A tree within these limits is leased whole or not at all, and may exceed the bytes of `total` and `per_lane`.
    pub per_tree: Limits,
    /// Whether the first record must fit as well. Otherwise a record of any size may be leased.
    pub fitting: bool,
}

impl From<Limits> for LeaseLimits {
    fn from(total: Limits) -> Self {
        Self { total, per_lane: total, per_tree: total, fitting: false }
    }
}

/// The bytes of a record's events.
pub(super) fn size(txn: &RoTxn, trees: &Trees, seq: Seq) -> Result<u64> {
    let bytes = |part| Ok(trees.records.get(txn, &record_key(seq, part))?.map_or(0, body::raw_len));
    bytes(PART_START).and_then(|start: u64| Ok(start + bytes(PART_END)?))
}
