//! Reads digests.

use std::collections::HashSet;

use heed::{RoTxn, RwTxn};

use super::names::{self, NameKind};
use super::row::{BLOCK, Digest, NameId, ROW, place, seq_at};
use super::writer::Progress;
use crate::store::Store;
use crate::store::db::trees::{Trees, number_key, tail_number};
use crate::store::records::transition::load;
use crate::{CallEnd, Millis, Result, Seq};

/// Reads the digests of many records. Records in the order of their numbers cost one look-up a block.
pub(crate) struct Blocks<'t> {
    txn: &'t RoTxn<'t>,
    trees: &'t Trees,
    block: Option<(u64, Option<&'t [u8]>)>,
}

impl<'t> Blocks<'t> {
    pub(crate) fn new(txn: &'t RoTxn<'t>, trees: &'t Trees) -> Self {
        Self { txn, trees, block: None }
    }

    /// The digest of a record; `None` without one, or with a damaged one.
    pub(crate) fn get(&mut self, seq: Seq) -> Result<Option<Digest>> {
        let (number, at) = place(seq);
        let stored = match self.block {
            Some((known, stored)) if known == number => stored,
            _ => {
                let stored = self.trees.digests.get(self.txn, &number_key(number))?;
                let stored = stored.filter(|stored| stored.len() == BLOCK);
                self.block = Some((number, stored));
                stored
            }
        };
        Ok(stored.and_then(|stored| Digest::decode(seq, &stored[at..at + ROW])))
    }
}

/// Reads the digests of many records. A record without one gets the facts of its row.
pub(crate) struct Digests<'t> {
    txn: &'t RoTxn<'t>,
    trees: &'t Trees,
    blocks: Blocks<'t>,
    from: Seq,
}

impl<'t> Digests<'t> {
    pub(crate) fn new(txn: &'t RoTxn<'t>, trees: &'t Trees, last_seq: Seq) -> Result<Self> {
        let from = Progress::load(txn, trees, last_seq)?.from;
        Ok(Self { txn, trees, blocks: Blocks::new(txn, trees), from })
    }

    pub(crate) fn get(&mut self, seq: Seq) -> Result<Digest> {
        let known = if seq > self.from { self.blocks.get(seq)? } else { None };
        if let Some(known) = known
            && known.ended != CallEnd::No
        {
            return Ok(known);
        }
        // An earlier version that stores the end of a call does not change its digest. `check` reports a damaged row.
        let Ok(row) = load(self.txn, self.trees, seq) else {
            return Ok(known.unwrap_or_else(|| Digest::new(Millis::EPOCH)));
        };
        Ok(known.filter(|known| known.ended == row.ended).unwrap_or_else(|| Digest::of_row(&row)))
    }
}

/// The digest of a record, if it is complete and current.
pub(crate) fn known(txn: &RoTxn, trees: &Trees, seq: Seq) -> Result<Option<Digest>> {
    let known = Blocks::new(txn, trees).get(seq)?.filter(|known| known.is_complete);
    Ok(known
        .filter(|known| known.ended != CallEnd::No || load(txn, trees, seq).is_ok_and(|row| row.ended == CallEnd::No)))
}

impl Store {
    /// The digests of records, in their order.
    pub fn digests(&self, seqs: &[Seq]) -> Result<Vec<Option<Digest>>> {
        self.db().read(|txn, trees| {
            let mut blocks = Blocks::new(txn, trees);
            seqs.iter().map(|seq| blocks.get(*seq)).collect()
        })
    }

    /// The name of a model in a digest.
    pub fn model_name(&self, id: NameId) -> Result<Option<Vec<u8>>> {
        self.db().read(|txn, trees| names::name(txn, trees, NameKind::Model, id))
    }

    /// The name of a provider in a digest.
    pub fn provider_name(&self, id: NameId) -> Result<Option<Vec<u8>>> {
        self.db().read(|txn, trees| names::name(txn, trees, NameKind::Provider, id))
    }
}

/// Removes the names that no digest has any more.
pub(crate) fn remove_unused_names(txn: &mut RwTxn, trees: &Trees) -> Result<()> {
    let mut used = HashSet::new();
    for entry in trees.digests.iter(txn)? {
        let (key, block) = entry?;
        let number = tail_number(key)?;
        for (at, row) in block.chunks_exact(ROW).enumerate() {
            if let Some(digest) = Digest::decode(seq_at(number, at), row) {
                used.insert((NameKind::Model, digest.model));
                used.insert((NameKind::Provider, digest.provider));
            }
        }
    }
    let mut unused = Vec::new();
    for entry in trees.digest_names.iter(txn)? {
        let (key, value) = entry?;
        let Some((kind, _, id)) = names::read(key, value) else { continue };
        if !used.contains(&(kind, id)) {
            unused.push((kind, id));
        }
    }
    for (kind, id) in unused {
        names::remove(txn, trees, kind, id)?;
    }
    Ok(())
}
