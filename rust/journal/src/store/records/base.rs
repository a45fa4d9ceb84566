//! Bases: the start of a tree's root, with which other bodies of the tree are compressed.
//!
//! Each call of an agent repeats the messages that the root received. A body that repeats its root is stored without these messages, and
//! names the root. So the start of a root stays in the store for as long as such bodies of its tree do.

use std::sync::OnceLock;

use heed::RoTxn;
use zstd::zstd_safe::CDict;

use super::members::members;
use super::transition::{Change, load};
use super::{body, dictionary, root_dictionary};
use crate::os::allocation;
use crate::state::FrameKind;
use crate::store::db::trees::{PART_END, PART_START, Trees, record_key};
use crate::{RecordId, Result, Seq};

/// zstd's level for bodies that repeat their root.
const LEVEL: i32 = 1;
/// Starts with fewer bytes have no messages worth naming. Those with more are not kept in memory.
const BYTES: std::ops::RangeInclusive<usize> = 512..=256 << 10;
/// Bytes of zstd's tables for a dictionary, about.
const TABLES: usize = 128 << 10;
/// Bodies with fewer bytes do not repeat such a start.
const MIN_BODY: usize = 512;

/// The start of a root, ready to compress with.
pub(crate) struct Base {
    pub(crate) root: RecordId,
    /// The dictionary of all bodies, then the start.
    dictionary: Vec<u8>,
    prepared: OnceLock<CDict<'static>>,
}

impl Base {
    /// `None` if the start is too short or too long.
    pub(crate) fn new(root: RecordId, start: &[u8]) -> Option<Self> {
        let dictionary = BYTES.contains(&start.len()).then(|| root_dictionary::joined(dictionary::current(), start))?;
        Some(Self { root, dictionary, prepared: OnceLock::new() })
    }

    pub(super) fn prepared(&self) -> &CDict<'static> {
        self.prepared.get_or_init(|| CDict::create(&self.dictionary, LEVEL))
    }

    /// Bytes in memory, about: zstd copies the dictionary and adds its tables.
    pub(crate) fn bytes(&self) -> usize {
        2 * self.dictionary.len() + TABLES
    }

    /// A stored body in its form without a base.
    pub(crate) fn detached(&self, stored: &[u8]) -> Result<Vec<u8>> {
        let mut body = allocation::with_room(usize::try_from(body::raw_len(stored)).unwrap_or_default())?;
        root_dictionary::decompress(body::repeated(stored)?.1, &mut body, &self.dictionary)?;
        body::uncompressed(stored, &body)
    }
}

/// Whether the body of an event in a tree may repeat the start of its root. The answer of a call is in no start.
pub(crate) fn may_repeat(kind: FrameKind, bytes: usize) -> bool {
    bytes >= MIN_BODY && matches!(kind, FrameKind::Start | FrameKind::RunStart | FrameKind::RunEnd)
}

/// Whether a stored body of another record repeats the start of this root.
pub(super) fn is_repeated(txn: &RoTxn, trees: &Trees, root: RecordId, own: Seq) -> Result<bool> {
    for seq in members(txn, trees, root)? {
        if seq != own && repeating(txn, trees, root, seq)?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stores the bodies without a base that repeat the start of this root: the start is about to be removed.
pub(crate) fn detach_members(change: &mut Change, root: RecordId, own: Seq) -> Result<()> {
    for seq in members(change.txn, change.trees, root)? {
        let parts: Vec<_> =
            if seq == own { Vec::new() } else { repeating(change.txn, change.trees, root, seq)?.collect() };
        for (part, stored) in parts {
            let id = load(change.txn, change.trees, seq)?.id;
            let body = match body::decode(change.txn, change.trees, id, part, &stored) {
                Err(error) if error.lacks_memory() => return Err(error),
                // A damaged body stays, and `check` reports it.
                Err(_) => continue,
                Ok(body) => body,
            };
            let detached = body::uncompressed(&stored, &body)?;
            change.trees.records.put(change.txn, &record_key(seq, part), &detached)?;
            change.counts.stored_bytes += (detached.len() as u64).saturating_sub(stored.len() as u64);
        }
    }
    Ok(())
}

/// The stored parts of a record that repeat the start of this root.
fn repeating(txn: &RoTxn, trees: &Trees, root: RecordId, seq: Seq) -> Result<impl Iterator<Item = (u8, Vec<u8>)>> {
    let mut found = Vec::new();
    for part in [PART_START, PART_END] {
        if let Some(stored) = trees.records.get(txn, &record_key(seq, part))?
            && body::repeated_root(stored) == Some(root)
        {
            found.push((part, allocation::copied(stored)?));
        }
    }
    Ok(found.into_iter())
}
