//! Changes of digests within a transaction. Blocks are changed in memory, and written once when the transaction ends.
//!
//! The entry `digests` in `meta` shows which records lack a digest. Up to its first number no record has one: an earlier version stored
//! them. Beyond it the entry counts the records whose digest is missing or incomplete.

use std::collections::{BTreeMap, HashMap};

use heed::{RoTxn, RwTxn};

use super::names::{self, NameKind};
use super::row::{BLOCK, Digest, NameId, ROW, place};
use crate::frame::array;
use crate::store::db::trees::{Trees, number_key, put_last, with_seal, without_seal};
use crate::store::records::row::StateRow;
use crate::{CallEnd, FLAG_CACHED, Result, Seq};

pub(crate) const KEY: &[u8] = b"digests";

/// Which records lack a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// No record up to this number has a digest.
    pub(crate) from: Seq,
    /// The newest record that `incomplete` covers.
    pub(crate) last: Seq,
    /// Records after `from` whose digest is missing or incomplete.
    pub(crate) incomplete: u64,
}

impl Progress {
    /// Of a store whose newest record is `last_seq`.
    pub(crate) fn load(txn: &RoTxn, trees: &Trees, last_seq: Seq) -> Result<Self> {
        let stored = trees.meta.get(txn, KEY)?.and_then(|stored| without_seal(KEY, stored));
        let Some(stored) = stored.filter(|stored| stored.len() == 24) else {
            return Ok(Self { from: last_seq, last: last_seq, incomplete: 0 });
        };
        let field = |at| u64::from_le_bytes(array(stored, at));
        let mut found = Self { from: Seq(field(0)), last: Seq(field(8)), incomplete: field(16) };
        found.reach(last_seq);
        Ok(found)
    }

    /// Counts the records up to `last_seq` as incomplete: an earlier version ingested them.
    fn reach(&mut self, last_seq: Seq) {
        if last_seq > self.last {
            self.incomplete = self.incomplete.saturating_add(last_seq.0 - self.last.0);
            self.last = last_seq;
        }
    }

    /// The records without a complete digest.
    pub(crate) fn pending(&self) -> u64 {
        self.from.0.saturating_add(self.incomplete)
    }

    fn encode(&self) -> Vec<u8> {
        let fields = [self.from.0, self.last.0, self.incomplete];
        with_seal(KEY, fields.iter().flat_map(|field| field.to_le_bytes()).collect())
    }
}

/// The digests that a transaction changes.
pub(crate) struct Writer {
    stored: Progress,
    pub(crate) progress: Progress,
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
    names: [HashMap<Vec<u8>, NameId>; NameKind::ALL.len()],
}

impl Writer {
    pub(crate) fn begin(txn: &RoTxn, trees: &Trees, last_seq: Seq) -> Result<Self> {
        let progress = Progress::load(txn, trees, last_seq)?;
        Ok(Self { stored: progress, progress, blocks: BTreeMap::new(), names: Default::default() })
    }

    /// The digest of a record; `None` without one, or with a damaged one.
    pub(crate) fn get(&mut self, txn: &RoTxn, trees: &Trees, seq: Seq) -> Result<Option<Digest>> {
        let (block, at) = place(seq);
        let block = self.block(txn, trees, block)?;
        Ok(Digest::decode(seq, &block[at..at + ROW]))
    }

    /// Stores the digest of a record.
    pub(crate) fn put(&mut self, txn: &RoTxn, trees: &Trees, seq: Seq, digest: &Digest) -> Result<()> {
        self.progress.reach(seq);
        let (block, at) = place(seq);
        let row = &mut self.block(txn, trees, block)?[at..at + ROW];
        let was_complete = Digest::decode(seq, row).is_some_and(|known| known.is_complete);
        row.copy_from_slice(&digest.encode(seq));
        if seq > self.progress.from {
            match (was_complete, digest.is_complete) {
                (false, true) => self.progress.incomplete = self.progress.incomplete.saturating_sub(1),
                (true, false) => self.progress.incomplete += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Changes the digest of a record whose row changed.
    pub(crate) fn follow(
        &mut self,
        txn: &RoTxn,
        trees: &Trees,
        seq: Seq,
        before: (CallEnd, u8),
        row: &StateRow,
    ) -> Result<()> {
        if before == (row.ended, row.flags) || seq <= self.progress.from {
            return Ok(());
        }
        let Some(known) = self.get(txn, trees, seq)? else { return Ok(()) };
        let mut digest = known;
        digest.ended = row.ended;
        digest.is_run = row.is_run();
        digest.is_cached = row.flags & FLAG_CACHED != 0;
        if row.is_forgotten() {
            digest = digest.forgotten();
        }
        if digest == known { Ok(()) } else { self.put(txn, trees, seq, &digest) }
    }

    /// The number of a name. A new name gets one.
    pub(crate) fn name(&mut self, txn: &mut RwTxn, trees: &Trees, kind: NameKind, name: &[u8]) -> Result<NameId> {
        let known = &mut self.names[usize::from(kind == NameKind::Provider)];
        if let Some(number) = known.get(name) {
            return Ok(*number);
        }
        let number = names::intern(txn, trees, kind, name)?;
        known.insert(name.to_vec(), number);
        Ok(number)
    }

    /// Every record after this number has a digest, complete or not.
    pub(crate) fn begin_at(&mut self, from: Seq, incomplete: u64) {
        self.progress.from = from;
        self.progress.incomplete += incomplete;
    }

    /// Writes the changes.
    pub(crate) fn save(mut self, txn: &mut RwTxn, trees: &Trees, last_seq: Seq) -> Result<()> {
        for (number, block) in &self.blocks {
            put_last(trees.digests, txn, &number_key(*number), &block[..])?;
        }
        self.progress.reach(last_seq);
        let is_missing = || -> Result<bool> { Ok(trees.meta.get(txn, KEY)?.is_none()) };
        if self.progress != self.stored || is_missing()? {
            trees.meta.put(txn, KEY, &self.progress.encode())?;
        }
        Ok(())
    }

    fn block(&mut self, txn: &RoTxn, trees: &Trees, number: u64) -> Result<&mut [u8; BLOCK]> {
        use std::collections::btree_map::Entry;
        match self.blocks.entry(number) {
            Entry::Occupied(block) => Ok(block.into_mut()),
            Entry::Vacant(place) => {
                let stored = trees.digests.get(txn, &number_key(number))?;
                let block = stored.and_then(|stored| stored.try_into().ok()).unwrap_or([0; BLOCK]);
                Ok(place.insert(Box::new(block)))
            }
        }
    }
}
