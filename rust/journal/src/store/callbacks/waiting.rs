//! Who waits for what: sinks with entries, those that are due, and dead ones brought back or dropped.

use heed::RoTxn;

use super::owners::{FAR, Owners, bounds, owners, span};
use super::sinks;
use super::{Entry, NEVER, Place};
use crate::store::Store;
use crate::store::db::tables::{Tables, callback_key, due_key};
use crate::store::outbox::ack_order;
use crate::{RecordId, Result};

/// The sinks that a process may deliver to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Those that have something due.
    pub sinks: Vec<String>,
    /// When the next of the others is, in milliseconds since the epoch.
    pub next: Option<u64>,
}

/// A sink, and how many request ids wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Its name.
    pub sink: String,
    /// Ids still to be delivered.
    pub waiting: u64,
    /// Of these, ids that processes deliver which are alive.
    pub owned: u64,
    /// Those processes.
    pub pids: Vec<u32>,
    /// Ids given up.
    pub dead: u64,
    /// Why the last delivery failed, if one of them did.
    pub last_error: Option<String>,
}

/// The sinks that have entries, and those that are given every ack.
fn all_sinks(txn: &RoTxn, tables: &Tables) -> Result<Vec<u32>> {
    let mut found = ack_order::takers(txn, tables)?;
    let mut from = vec![0];
    while let Some((key, _)) = tables.callbacks_due.get_greater_than_or_equal_to(txn, &from)? {
        let (place, _) = Place::parse(key)?;
        found.push(place.sink);
        from = [&due_key(place.sink, RecordId([0xff; 16]), NEVER, u64::MAX)[..], &[0]].concat();
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn count(txn: &RoTxn, tables: &Tables, span: &([u8; 36], [u8; 36])) -> Result<u64> {
    let mut entries = 0;
    for entry in tables.callbacks_due.range(txn, &bounds(span))? {
        entry?;
        entries += 1;
    }
    Ok(entries)
}

fn name(txn: &RoTxn, tables: &Tables, sink: u32) -> Result<String> {
    let name = sinks::name(txn, tables, sink)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// Ids that were given up, over all sinks.
pub(crate) fn dead(txn: &RoTxn, tables: &Tables) -> Result<u64> {
    let mut dead = 0;
    for sink in all_sinks(txn, tables)? {
        for owner in owners(txn, tables, sink)? {
            dead += count(txn, tables, &span(sink, owner, NEVER, NEVER))?;
        }
    }
    Ok(dead)
}

/// Why a delivery failed: of a sink and owner one that was given up, else the one that is tried again last.
fn last_error(txn: &RoTxn, tables: &Tables, sink: u32, owner: RecordId) -> Result<Option<String>> {
    let Some(entry) = tables.callbacks_due.rev_range(txn, &bounds(&span(sink, owner, 0, NEVER)))?.next() else {
        return Ok(None);
    };
    let key = callback_key(sink, Place::parse(entry?.0)?.0.seq);
    let entry = tables.callbacks.get(txn, &key)?.map(|value| Entry::decode(&key, value).unwrap_or_default());
    Ok(entry.map(|entry| entry.last_error).filter(|error| !error.is_empty()))
}

/// Why a delivery failed, of whichever sink.
pub(crate) fn any_error(txn: &RoTxn, tables: &Tables) -> Result<Option<String>> {
    for sink in all_sinks(txn, tables)? {
        for owner in owners(txn, tables, sink)? {
            if let Some(error) = last_error(txn, tables, sink, owner)? {
                return Ok(Some(error));
            }
        }
    }
    Ok(None)
}

impl Store {
    /// The sinks that have something due for the process of this `writer`, or for one that records nothing.
    pub fn due_callbacks(&self, writer: Option<RecordId>, now_ms: u64) -> Result<Due> {
        let mut asking = Owners::new(self, writer);
        self.db().read(|txn, tables| {
            let mut due = Due::default();
            for sink in all_sinks(txn, tables)? {
                let mut first = ack_order::unseen(txn, tables, sink, 1)?.first().map(|_| 0);
                for owner in owners(txn, tables, sink)? {
                    if !asking.may_take(owner)? {
                        continue;
                    }
                    let waiting = span(sink, owner, 0, NEVER - 1);
                    let edges = [
                        tables.callbacks_due.range(txn, &bounds(&waiting))?.next(),
                        tables.callbacks_due.rev_range(txn, &bounds(&waiting))?.next(),
                    ];
                    for edge in edges.into_iter().flatten() {
                        let at = Place::parse(edge?.0)?.1;
                        let at = if at > now_ms.saturating_add(FAR) { 0 } else { at };
                        first = Some(first.map_or(at, |first| first.min(at)));
                    }
                }
                match first {
                    Some(at) if at <= now_ms => due.sinks.push(name(txn, tables, sink)?),
                    Some(at) => due.next = Some(due.next.map_or(at, |next| next.min(at))),
                    None => {}
                }
            }
            Ok(due)
        })
    }

    /// Every sink that has entries, or is given every ack and has some left.
    pub fn waiting_callbacks(&self) -> Result<Vec<Waiting>> {
        let mut asking = Owners::new(self, None);
        self.db().read(|txn, tables| {
            let mut all = Vec::new();
            for sink in all_sinks(txn, tables)? {
                let mut found = Waiting { sink: name(txn, tables, sink)?, ..Waiting::default() };
                found.waiting = ack_order::backlog(txn, tables, sink)?;
                for owner in owners(txn, tables, sink)? {
                    let waiting = count(txn, tables, &span(sink, owner, 0, NEVER - 1))?;
                    found.waiting += waiting;
                    found.dead += count(txn, tables, &span(sink, owner, NEVER, NEVER))?;
                    if let Some(pid) = asking.pid(owner)?.filter(|_| waiting > 0) {
                        found.owned += waiting;
                        found.pids.push(pid);
                    }
                    found.last_error = last_error(txn, tables, sink, owner)?.or(found.last_error);
                }
                if found.waiting + found.dead > 0 {
                    all.push(found);
                }
            }
            Ok(all)
        })
    }

    /// The sinks that have entries waiting, dead entries aside.
    pub fn callback_sinks(&self) -> Result<Vec<String>> {
        let waiting = self.waiting_callbacks()?.into_iter().filter(|sink| sink.waiting > 0);
        Ok(waiting.map(|sink| sink.sink).collect())
    }

    /// Has dead entries of a sink tried again, from the first attempt on. Returns how many.
    pub fn requeue_callbacks(&self, sink: &str) -> Result<u64> {
        self.db().write(|txn, tables| {
            let Some(sink) = sinks::number(txn, tables, sink.as_bytes())? else { return Ok(0) };
            let mut dead = Vec::new();
            for owner in owners(txn, tables, sink)? {
                for entry in tables.callbacks_due.range(txn, &bounds(&span(sink, owner, NEVER, NEVER)))? {
                    dead.push(Place::parse(entry?.0)?);
                }
            }
            for (place, at) in &dead {
                place.unlist(txn, tables, *at)?;
                place.change(txn, tables, |entry| (entry.dead, entry.due, entry.attempts) = (false, 0, 0))?;
            }
            Ok(dead.len() as u64)
        })
    }

    /// Removes whatever waits for a sink, and no longer gives it every ack. Returns how many ids it is not told.
    pub fn drop_callbacks(&self, sink: &str) -> Result<u64> {
        self.db().write(|txn, tables| {
            let Some(sink) = sinks::number(txn, tables, sink.as_bytes())? else { return Ok(0) };
            let mut dropped = ack_order::backlog(txn, tables, sink)?;
            let mut places = Vec::new();
            for owner in owners(txn, tables, sink)? {
                for entry in tables.callbacks_due.range(txn, &bounds(&span(sink, owner, 0, NEVER)))? {
                    places.push(Place::parse(entry?.0)?);
                }
            }
            dropped += places.len() as u64;
            for (place, at) in places {
                place.unlist(txn, tables, at)?;
                place.remove(txn, tables)?;
            }
            ack_order::forget_position(txn, tables, sink)?;
            Ok(dropped)
        })
    }
}
