//! Reads a tree at ascending numbers of records. A neighbour of the last entry needs no search from the root of the tree.

use std::ops::Bound;

use heed::types::Bytes;
use heed::{RoRange, RoTxn};

use super::trees::{Tree, seq_key};
use crate::{Result, Seq};

/// Entries that are passed before a search is quicker.
const NEAR: usize = 8;

type Entry<'t> = (&'t [u8], &'t [u8]);

/// A tree whose keys begin with the number of a record.
pub(crate) struct Walk<'t> {
    txn: &'t RoTxn<'t>,
    tree: Tree,
    entries: Option<RoRange<'t, Bytes, Bytes>>,
    /// The entry after the last one that the walk returned.
    next: Option<Entry<'t>>,
}

impl<'t> Walk<'t> {
    pub(crate) fn new(txn: &'t RoTxn<'t>, tree: Tree) -> Self {
        Self { txn, tree, entries: None, next: None }
    }

    /// Passes the entries of a record on: the rest of each key, and the value. `seq` is above the one of the call before.
    pub(crate) fn each(&mut self, seq: Seq, mut each: impl FnMut(&'t [u8], &'t [u8])) -> Result<()> {
        let key = seq_key(seq);
        self.go_to(&key)?;
        while let Some((rest, value)) = self.next.and_then(|(found, value)| Some((found.strip_prefix(&key)?, value))) {
            each(rest, value);
            self.step()?;
        }
        Ok(())
    }

    /// The value of a record, in a tree with one entry for each.
    pub(crate) fn value(&mut self, seq: Seq) -> Result<Option<&'t [u8]>> {
        let mut found = None;
        self.each(seq, |_, value| found = Some(value))?;
        Ok(found)
    }

    fn go_to(&mut self, key: &[u8]) -> Result<()> {
        for _ in 0..NEAR {
            match self.next {
                Some((found, _)) if found < key => self.step()?,
                Some(_) => return Ok(()),
                None if self.entries.is_some() => return Ok(()),
                None => break,
            }
        }
        if self.next.is_none_or(|(found, _)| found < key) {
            self.entries = Some(self.tree.range(self.txn, &(Bound::Included(key), Bound::Unbounded))?);
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        self.next = self.entries.as_mut().and_then(Iterator::next).transpose()?;
        Ok(())
    }
}
