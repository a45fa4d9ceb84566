//! Owners: which process may deliver an entry. While the process of an owner lives, only that process may.

use std::collections::HashMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::time::Duration;

use heed::RoTxn;

use super::{EntryKey, LAST, NEVER, NO_OWNER};
use crate::ids::SinkId;
use crate::spool::writer_file::observe;
use crate::store::Store;
use crate::store::db::trees::{Trees, due_key};
use crate::{Millis, RecordId, Result, Seq, layout};

/// A due time further ahead than this is treated as due: it was set while the clock was wrong.
pub(super) const MAX_DUE_AHEAD: Duration = Duration::from_hours(24);

/// Which owners' entries one process may take.
pub(super) struct Owners {
    spool: PathBuf,
    /// The writer of the process.
    writer: Option<RecordId>,
    /// The process ids of known owners; `None` for dead ones.
    pids: HashMap<RecordId, Option<u32>>,
}

impl Owners {
    pub(super) fn new(store: &Store, writer: Option<RecordId>) -> Self {
        Self { spool: layout::spool(store.path()), writer, pids: HashMap::new() }
    }

    /// The process id of a living owner; `None` for a dead one.
    pub(super) fn pid(&mut self, owner: RecordId) -> Result<Option<u32>> {
        if owner == NO_OWNER {
            return Ok(None);
        }
        if let Some(pid) = self.pids.get(&owner) {
            return Ok(*pid);
        }
        let info = observe(&self.spool, owner)?.info;
        Ok(*self.pids.entry(owner).or_insert(info.alive.then_some(info.pid)))
    }

    pub(super) fn may_take(&mut self, owner: RecordId) -> Result<bool> {
        Ok(Some(owner) == self.writer || self.pid(owner)?.is_none())
    }

    /// Up to `limit` due entries of a sink that the process may take, each with its due time. The entries of one owner are ordered by
    /// due time.
    pub(super) fn due(
        &mut self,
        txn: &RoTxn,
        trees: &Trees,
        sink: SinkId,
        now: Millis,
        limit: usize,
    ) -> Result<Vec<(EntryKey, Millis)>> {
        let mut due = Vec::new();
        for owner in owners(txn, trees, sink)? {
            if !self.may_take(owner)? {
                continue;
            }
            for (from, to) in [(Millis::EPOCH, now.min(LAST)), (now + MAX_DUE_AHEAD, LAST)] {
                if from > to {
                    continue;
                }
                let entries = trees.callbacks_due.range(txn, &Span::of(sink, owner, from, to).bounds())?;
                for entry in entries.take(limit - due.len()) {
                    due.push(EntryKey::parse(entry?.0)?);
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
pub(super) fn owners(txn: &RoTxn, trees: &Trees, sink: SinkId) -> Result<Vec<RecordId>> {
    let mut found = Vec::new();
    let mut from = due_key(sink, NO_OWNER, Millis::EPOCH, Seq(0)).to_vec();
    while let Some((key, _)) = trees.callbacks_due.get_greater_than_or_equal_to(txn, &from)? {
        let (entry, _) = EntryKey::parse(key)?;
        if entry.sink != sink {
            break;
        }
        found.push(entry.owner);
        from = [&due_key(sink, entry.owner, NEVER, Seq::MAX)[..], &[0]].concat();
    }
    Ok(found)
}

/// A range of keys in the list of due times: the entries of a sink and an owner within a range of time.
pub(super) struct Span {
    first: [u8; 36],
    last: [u8; 36],
}

impl Span {
    /// Entries that are due from `from` to `to`, both included.
    pub(super) fn of(sink: SinkId, owner: RecordId, from: Millis, to: Millis) -> Self {
        Self { first: due_key(sink, owner, from, Seq(0)), last: due_key(sink, owner, to, Seq::MAX) }
    }

    /// Entries that are not dead.
    pub(super) fn alive(sink: SinkId, owner: RecordId) -> Self {
        Self::of(sink, owner, Millis::EPOCH, LAST)
    }

    /// Dead entries.
    pub(super) fn dead(sink: SinkId, owner: RecordId) -> Self {
        Self::of(sink, owner, NEVER, NEVER)
    }

    /// All entries.
    pub(super) fn all(sink: SinkId, owner: RecordId) -> Self {
        Self::of(sink, owner, Millis::EPOCH, NEVER)
    }

    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(&self.first[..]), Bound::Included(&self.last[..]))
    }

    /// The number of entries in the span.
    pub(super) fn count(&self, txn: &RoTxn, trees: &Trees) -> Result<u64> {
        let mut entries = 0;
        for entry in trees.callbacks_due.range(txn, &self.bounds())? {
            entry?;
            entries += 1;
        }
        Ok(entries)
    }
}
