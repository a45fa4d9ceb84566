//! The backlog of each sink: which sinks have due entries, how many entries wait, and the dead ones, which can be requeued or dropped.

use heed::RoTxn;

use super::owners::{MAX_DUE_AHEAD, Owners, Span, owners};
use super::{CallbackEntry, EntryKey, NEVER, sinks};
use crate::ids::SinkId;
use crate::store::Store;
use crate::store::db::trees::{Trees, callback_key, due_key};
use crate::store::outbox::ack_order;
use crate::{Millis, RecordId, Result, Seq};

/// The sinks to which a process may deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueSinks {
    /// Sinks that have a due entry.
    pub sinks: Vec<String>,
    /// When the first entry of the remaining sinks is due.
    pub next: Option<Millis>,
}

/// The request ids that wait for a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkBacklog {
    /// The sink's name.
    pub sink: String,
    /// Request ids still to be delivered.
    pub waiting: u64,
    /// How many of the waiting ones are left to living processes.
    pub owned: u64,
    /// The process ids of those processes.
    pub pids: Vec<u32>,
    /// Request ids that are not tried again.
    pub dead: u64,
    /// Why the last delivery failed, if one failed.
    pub last_error: Option<String>,
}

/// The sinks that have entries or are subscribed.
fn all_sinks(txn: &RoTxn, trees: &Trees) -> Result<Vec<SinkId>> {
    let mut found = ack_order::subscribers(txn, trees)?;
    let mut from = vec![0];
    while let Some((key, _)) = trees.callbacks_due.get_greater_than_or_equal_to(txn, &from)? {
        let (EntryKey { sink, .. }, _) = EntryKey::parse(key)?;
        found.push(sink);
        from = [&due_key(sink, RecordId([0xff; 16]), NEVER, Seq::MAX)[..], &[0]].concat();
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn name(txn: &RoTxn, trees: &Trees, sink: SinkId) -> Result<String> {
    let name = sinks::name(txn, trees, sink)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// The number of dead entries of all sinks.
pub(crate) fn count_dead(txn: &RoTxn, trees: &Trees) -> Result<u64> {
    let mut dead = 0;
    for sink in all_sinks(txn, trees)? {
        for owner in owners(txn, trees, sink)? {
            dead += Span::dead(sink, owner).count(txn, trees)?;
        }
    }
    Ok(dead)
}

/// Why a delivery of a sink and an owner failed: of a dead entry, or else of the entry that is due last.
fn last_error(txn: &RoTxn, trees: &Trees, sink: SinkId, owner: RecordId) -> Result<Option<String>> {
    let Some(entry) = trees.callbacks_due.rev_range(txn, &Span::all(sink, owner).bounds())?.next() else {
        return Ok(None);
    };
    let key = callback_key(sink, EntryKey::parse(entry?.0)?.0.seq);
    let entry = trees.callbacks.get(txn, &key)?.map(|value| CallbackEntry::decode(&key, value).unwrap_or_default());
    Ok(entry.map(|entry| entry.last_error).filter(|error| !error.is_empty()))
}

/// Why a delivery failed, of the first sink that has a failed one.
pub(crate) fn any_error(txn: &RoTxn, trees: &Trees) -> Result<Option<String>> {
    for sink in all_sinks(txn, trees)? {
        for owner in owners(txn, trees, sink)? {
            if let Some(error) = last_error(txn, trees, sink, owner)? {
                return Ok(Some(error));
            }
        }
    }
    Ok(None)
}

/// When the first entry of a sink and an owner is due.
fn first_due(txn: &RoTxn, trees: &Trees, sink: SinkId, owner: RecordId, now: Millis) -> Result<Option<Millis>> {
    let span = Span::alive(sink, owner);
    // A time too far ahead counts as due, so the last entry matters as well as the first.
    let edges = [
        trees.callbacks_due.range(txn, &span.bounds())?.next(),
        trees.callbacks_due.rev_range(txn, &span.bounds())?.next(),
    ];
    let mut first: Option<Millis> = None;
    for edge in edges.into_iter().flatten() {
        let (_, at) = EntryKey::parse(edge?.0)?;
        let at = if at > now + MAX_DUE_AHEAD { Millis::EPOCH } else { at };
        first = Some(first.map_or(at, |first| first.min(at)));
    }
    Ok(first)
}

impl Store {
    /// The sinks that have due entries for the process of `writer`; without a writer, for a process that records nothing.
    pub fn due_callbacks(&self, writer: Option<RecordId>, now: Millis) -> Result<DueSinks> {
        let mut takers = Owners::new(self, writer);
        self.db().read(|txn, trees| {
            let mut due = DueSinks::default();
            for sink in all_sinks(txn, trees)? {
                let mut first = ack_order::unreceived(txn, trees, sink, 1)?.first().map(|_| Millis::EPOCH);
                for owner in owners(txn, trees, sink)? {
                    if takers.may_take(owner)? {
                        first = first.into_iter().chain(first_due(txn, trees, sink, owner, now)?).min();
                    }
                }
                match first {
                    Some(at) if at <= now => due.sinks.push(name(txn, trees, sink)?),
                    Some(at) => due.next = Some(due.next.map_or(at, |next| next.min(at))),
                    None => {}
                }
            }
            Ok(due)
        })
    }

    /// The backlog of every sink that has one.
    pub fn callback_backlogs(&self) -> Result<Vec<SinkBacklog>> {
        let mut takers = Owners::new(self, None);
        self.db().read(|txn, trees| {
            let mut all = Vec::new();
            for sink in all_sinks(txn, trees)? {
                let mut backlog = SinkBacklog { sink: name(txn, trees, sink)?, ..SinkBacklog::default() };
                backlog.waiting = ack_order::backlog(txn, trees, sink)?;
                for owner in owners(txn, trees, sink)? {
                    let waiting = Span::alive(sink, owner).count(txn, trees)?;
                    backlog.waiting += waiting;
                    backlog.dead += Span::dead(sink, owner).count(txn, trees)?;
                    if let Some(pid) = takers.pid(owner)?.filter(|_| waiting > 0) {
                        backlog.owned += waiting;
                        backlog.pids.push(pid);
                    }
                    backlog.last_error = last_error(txn, trees, sink, owner)?.or(backlog.last_error);
                }
                if backlog.waiting + backlog.dead > 0 {
                    all.push(backlog);
                }
            }
            Ok(all)
        })
    }

    /// dead -> due now, with all attempts left, for every dead entry of a sink. Returns how many.
    pub fn requeue_callbacks(&self, sink: &str) -> Result<u64> {
        self.db().write(|txn, trees| {
            let Some(sink) = sinks::number(txn, trees, sink.as_bytes())? else { return Ok(0) };
            let mut dead = Vec::new();
            for owner in owners(txn, trees, sink)? {
                for entry in trees.callbacks_due.range(txn, &Span::dead(sink, owner).bounds())? {
                    dead.push(EntryKey::parse(entry?.0)?);
                }
            }
            for (key, due) in &dead {
                key.unlist(txn, trees, *due)?;
                key.change(txn, trees, |entry| (entry.dead, entry.due, entry.attempts) = (false, Millis::EPOCH, 0))?;
            }
            Ok(dead.len() as u64)
        })
    }

    /// Drops every entry of a sink, and unsubscribes it. Returns how many request ids the sink will not receive.
    pub fn drop_callbacks(&self, sink: &str) -> Result<u64> {
        self.db().write(|txn, trees| {
            let Some(sink) = sinks::number(txn, trees, sink.as_bytes())? else { return Ok(0) };
            let mut keys = Vec::new();
            for owner in owners(txn, trees, sink)? {
                for entry in trees.callbacks_due.range(txn, &Span::all(sink, owner).bounds())? {
                    keys.push(EntryKey::parse(entry?.0)?);
                }
            }
            let dropped = ack_order::backlog(txn, trees, sink)? + keys.len() as u64;
            for (key, due) in keys {
                key.unlist(txn, trees, due)?;
                key.remove(txn, trees)?;
            }
            ack_order::unsubscribe(txn, trees, sink)?;
            Ok(dropped)
        })
    }
}
