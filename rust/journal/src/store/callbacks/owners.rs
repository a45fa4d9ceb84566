//! Owners: which process may deliver an entry.

use std::collections::HashMap;
use std::ops::Bound;
use std::path::PathBuf;

use heed::RoTxn;

use super::{NEVER, NOBODY, Place};
use crate::spool::lock::observe;
use crate::store::Store;
use crate::store::db::tables::{Tables, due_key};
use crate::{RecordId, Result, layout};

/// Nobody waits so long. A time further ahead, in ms, was set by a clock that has been put right since.
pub(super) const FAR: u64 = 24 * 3600 * 1000;
/// Who may take what: entries of a process that lives are given to that process only.
pub(super) struct Owners {
    spool: PathBuf,
    /// The writer that asks.
    writer: Option<RecordId>,
    seen: HashMap<RecordId, Option<u32>>,
}

impl Owners {
    pub(super) fn new(store: &Store, writer: Option<RecordId>) -> Self {
        Self { spool: layout::spool(store.path()), writer, seen: HashMap::new() }
    }

    /// The process id of an owner that lives.
    pub(super) fn pid(&mut self, owner: RecordId) -> Result<Option<u32>> {
        if owner == NOBODY {
            return Ok(None);
        }
        if let Some(pid) = self.seen.get(&owner) {
            return Ok(*pid);
        }
        let info = observe(&self.spool, owner)?.info;
        Ok(*self.seen.entry(owner).or_insert(info.alive.then_some(info.pid)))
    }

    pub(super) fn may_take(&mut self, owner: RecordId) -> Result<bool> {
        Ok(Some(owner) == self.writer || self.pid(owner)?.is_none())
    }

    /// Up to `limit` due entries of a sink that may be taken, of each owner the longest due first, each with its time.
    pub(super) fn due(
        &mut self,
        txn: &RoTxn,
        tables: &Tables,
        sink: u32,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<(Place, u64)>> {
        let mut due = Vec::new();
        for owner in owners(txn, tables, sink)? {
            if !self.may_take(owner)? {
                continue;
            }
            for (from, to) in [(0, now_ms.min(NEVER - 1)), (now_ms.saturating_add(FAR), NEVER - 1)] {
                if from > to {
                    continue;
                }
                let entries = tables.callbacks_due.range(txn, &bounds(&span(sink, owner, from, to)))?;
                for entry in entries.take(limit - due.len()) {
                    due.push(Place::parse(entry?.0)?);
                }
            }
            if due.len() == limit {
                break;
            }
        }
        Ok(due)
    }
}

/// The owners that have entries of a sink.
pub(super) fn owners(txn: &RoTxn, tables: &Tables, sink: u32) -> Result<Vec<RecordId>> {
    let mut found = Vec::new();
    let mut from = due_key(sink, NOBODY, 0, 0).to_vec();
    while let Some((key, _)) = tables.callbacks_due.get_greater_than_or_equal_to(txn, &from)? {
        let (place, _) = Place::parse(key)?;
        if place.sink != sink {
            break;
        }
        found.push(place.owner);
        from = [&due_key(sink, place.owner, NEVER, u64::MAX)[..], &[0]].concat();
    }
    Ok(found)
}

/// The span of keys under which entries of a sink and owner are listed that are due from `from` to `to`, both included.
pub(super) fn span(sink: u32, owner: RecordId, from: u64, to: u64) -> ([u8; 36], [u8; 36]) {
    (due_key(sink, owner, from, 0), due_key(sink, owner, to, u64::MAX))
}

pub(super) fn bounds(span: &([u8; 36], [u8; 36])) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(&span.0[..]), Bound::Included(&span.1[..]))
}
