//! The log of a hub for its origin: which bundles arrived, and which records and follow-ups `PromptLayer` has.
//!
//! Entries are appended when the hub exports, from the state of its journal. An entry never changes. Each has a hash over all entries
//! before it, so an origin recognises the log that it has read. A hub whose journal was put back from a copy begins a new epoch.

use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use super::arrived::{self, ARRIVED, Arrived};
use super::followups::{self, Outcome};
use super::{BATCH, BundleId, FollowUpId, LogId, carried};
use crate::frame::array;
use crate::state::{FLAG_RENEWED, State};
use crate::store::Store;
use crate::store::db::trees::{Trees, number_key, seq_key, tail_seq, with_seal, without_seal};
use crate::store::outbox::{ack_order, parked_records};
use crate::store::records::counts::Counts;
use crate::store::records::row::Ack;
use crate::store::records::transition::load;
use crate::{Error, Millis, RecordId, RequestId, Result, Seq};

/// The key in `meta` of the log's head.
pub(crate) const HEAD: &[u8] = b"returns";
/// A key of `returns`: an entry of the log.
const LINE: u8 = b'n';
/// A key of `returns`: a refused or held record that the log has reported.
const PARKED: u8 = b'p';
/// A key of `returns`: a run that is not a call, whose delivery the log has reported.
const RUN: u8 = b'r';

/// The head of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The epoch.
    pub epoch: LogId,
    /// The number of the last entry.
    pub number: u64,
    /// The chain hash after it.
    pub chain: LogId,
    /// The entry up to which the origin has read the log, as it stated last.
    pub told: u64,
    /// The number of the last ack that the log reports.
    pub(super) acks: u64,
}

/// A fact that the log has still to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A bundle is on this disk.
    Received(BundleId),
    /// A record has its request id.
    Ack {
        /// The number of the ack.
        number: u64,
        /// The record.
        record: RecordId,
        /// Its request id.
        request: RequestId,
        /// When the request id arrived.
        at: Millis,
        /// Whether it was sent as a second trace.
        is_renewed: bool,
    },
    /// `PromptLayer` has a run that is not a call.
    Run {
        /// Its number.
        seq: Seq,
        /// The run.
        record: RecordId,
        /// When the response arrived.
        at: Millis,
    },
    /// `PromptLayer` refused a record, or the record waits for a person.
    Parked {
        /// Its number.
        seq: Seq,
        /// The record.
        record: RecordId,
        /// Whether it waits for a person.
        is_held: bool,
        /// Why.
        reason: String,
        /// The record's round.
        round: u32,
        /// When its state changed.
        changed_at: Millis,
    },
    /// A follow-up was sent, or refused with a reason.
    FollowUp(FollowUpId, Option<String>),
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(60);
        bytes.extend_from_slice(&self.epoch);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.chain);
        bytes.extend_from_slice(&self.told.to_le_bytes());
        bytes.extend_from_slice(&self.acks.to_le_bytes());
        bytes
    }

    fn read(stored: &[u8]) -> Option<Self> {
        let value = without_seal(HEAD, stored).filter(|value| value.len() == 56)?;
        let number = |at| u64::from_le_bytes(array(value, at));
        let (epoch, chain) = (array(value, 0), array(value, 24));
        Some(Self { epoch, number: number(16), chain, told: number(40), acks: number(48) })
    }
}

impl Store {
    /// The head of the log; `None` before the first bundle arrived.
    pub fn log_head(&self) -> Result<Option<Head>> {
        self.db().read(head)
    }

    /// Up to `limit` facts that the log has still to report.
    pub fn unreported(&self, limit: usize) -> Result<Vec<Fact>> {
        self.db().read(|txn, trees| {
            let Some(head) = head(txn, trees)? else { return Ok(Vec::new()) };
            let mut facts = unreported_bundles(txn, trees, limit)?;
            facts.extend(unreported_acks(txn, trees, &head, limit.saturating_sub(facts.len()))?);
            if facts.len() < limit {
                facts.extend(unreported_runs(txn, trees, limit - facts.len())?);
            }
            if facts.len() < limit {
                facts.extend(unreported_parked(txn, trees, limit - facts.len())?);
            }
            if facts.len() < limit {
                facts.extend(unreported_followups(txn, trees, limit - facts.len())?);
            }
            Ok(facts)
        })
    }

    /// Appends the entries of facts behind `before`, each with the chain hash after it. Returns false when another process has appended
    /// entries since: nothing is appended then.
    pub fn report(&self, before: &Head, facts: &[Fact], lines: &[(String, LogId)]) -> Result<bool> {
        self.db().in_room(|| {
            self.db().write(|txn, trees| {
                let Some(mut now) = head(txn, trees)? else { return Ok(false) };
                if (now.epoch, now.number) != (before.epoch, before.number) {
                    return Ok(false);
                }
                for (line, chain) in lines {
                    now.number += 1;
                    now.chain = *chain;
                    let key = line_key(now.number);
                    trees.returns.put(txn, &key, &with_seal(&key, [&chain[..], line.as_bytes()].concat()))?;
                }
                for fact in facts {
                    note_reported(txn, trees, fact, &mut now)?;
                }
                put_head(txn, trees, &now)?;
                Ok(true)
            })
        })
    }

    /// Makes the log report these records again, if `PromptLayer` refused them or they wait for a person. They came again, so the origin
    /// may have passed over the report: it was put back from a copy, or had taken them back.
    pub fn report_again(&self, records: &[RecordId]) -> Result<()> {
        for batch in records.chunks(BATCH) {
            self.db().in_room(|| {
                self.db().write(|txn, trees| {
                    for record in batch {
                        if let Some(seq) = trees.ids.get(txn, &record.0)?.map(tail_seq).transpose()? {
                            trees.returns.delete(txn, &seq_kind(PARKED, seq))?;
                        }
                    }
                    Ok(())
                })
            })?;
        }
        Ok(())
    }

    /// Up to `limit` entries of the log after a number: the number and the line of each.
    pub fn log_after(&self, number: u64, limit: usize) -> Result<Vec<(u64, String)>> {
        self.db().read(|txn, trees| {
            let (first, last) = (line_key(number), line_key(u64::MAX));
            let mut found = Vec::new();
            let range = (Bound::Excluded(&first[..]), Bound::Included(&last[..]));
            for entry in trees.returns.range(txn, &range)?.take(limit) {
                let (key, stored) = entry?;
                let (number, _, line) = read_line(key, stored).ok_or_else(damaged)?;
                found.push((number, line));
            }
            Ok(found)
        })
    }

    /// The chain hash after an entry; `None` for an entry that is not there.
    pub fn log_chain(&self, number: u64) -> Result<Option<LogId>> {
        self.db().read(|txn, trees| chain(txn, trees, number))
    }
}

fn damaged() -> Error {
    Error::Corrupt("an entry of the log for the origin does not match its checksum; salvage begins a new log".into())
}

pub(super) fn head(txn: &RoTxn, trees: &Trees) -> Result<Option<Head>> {
    trees.meta.get(txn, HEAD)?.map(|stored| Head::read(stored).ok_or_else(damaged)).transpose()
}

pub(super) fn put_head(txn: &mut RwTxn, trees: &Trees, head: &Head) -> Result<()> {
    Ok(trees.meta.put(txn, HEAD, &with_seal(HEAD, head.encode()))?)
}

pub(super) fn chain(txn: &RoTxn, trees: &Trees, number: u64) -> Result<Option<LogId>> {
    if number == 0 {
        return Ok(Some([0; 16]));
    }
    let key = line_key(number);
    let stored = trees.returns.get(txn, &key)?;
    stored.map(|stored| read_line(&key, stored).map(|(_, chain, _)| chain).ok_or_else(damaged)).transpose()
}

/// Why the log is not whole, in words.
pub(super) fn problem(txn: &RoTxn, trees: &Trees) -> Result<Option<String>> {
    let Ok(head) = head(txn, trees) else {
        return Ok(Some("the head of the log for the origin is damaged; salvage begins a new log".into()));
    };
    let Head { number, chain: last, .. } = head.unwrap_or_default();
    let (first, end) = (line_key(0), line_key(u64::MAX));
    let listed = trees.returns.range(txn, &(Bound::Included(&first[..]), Bound::Included(&end[..])))?.count() as u64;
    let is_whole = listed == number && chain(txn, trees, number).is_ok_and(|found| found == Some(last));
    Ok((!is_whole)
        .then(|| format!("the log for the origin has {listed} of {number} entries; salvage begins a new log")))
}

/// Begins the log of a new epoch, which reports everything again.
pub(super) fn begin_epoch(txn: &mut RwTxn, trees: &Trees) -> Result<()> {
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).map_err(|_| Error::Internal("the system has no random bytes"))?;
    for kind in [LINE, PARKED, RUN] {
        trees.returns.delete_range(txn, &(Bound::Included(&[kind][..]), Bound::Excluded(&[kind + 1][..])))?;
    }
    let mut found = Vec::new();
    for entry in trees.returns.prefix_iter(txn, &[ARRIVED])? {
        let (key, stored) = entry?;
        found.extend(arrived::read(key, stored));
    }
    for arrived in found {
        arrived::put(txn, trees, &Arrived { is_reported: false, ..arrived })?;
    }
    let mut reported = Vec::new();
    for entry in trees.returns.prefix_iter(txn, &[followups::REPORTED])? {
        let (key, stored) = entry?;
        reported.extend(followups::read_key(key, stored));
    }
    for (id, key) in reported {
        followups::remove_key(txn, trees.returns, followups::REPORTED, &id)?;
        followups::put_key(txn, trees.returns, followups::WAITING, &id, &key)?;
    }
    put_head(txn, trees, &Head { epoch, ..Head::default() })
}

/// Begins a new epoch if the log quotes why `PromptLayer` refused a record. The record is forgotten, and a reason may quote its content.
pub(crate) fn forget(txn: &mut RwTxn, trees: &Trees, seq: Seq) -> Result<()> {
    if trees.returns.get(txn, &seq_kind(PARKED, seq))?.is_some() { begin_epoch(txn, trees) } else { Ok(()) }
}

fn unreported_bundles(txn: &RoTxn, trees: &Trees, limit: usize) -> Result<Vec<Fact>> {
    let mut found = Vec::new();
    for entry in trees.returns.prefix_iter(txn, &[ARRIVED])? {
        let (key, stored) = entry?;
        if let Some(arrived) = arrived::read(key, stored).filter(|arrived| !arrived.is_reported) {
            found.push(Fact::Received(arrived.id));
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

fn unreported_acks(txn: &RoTxn, trees: &Trees, head: &Head, limit: usize) -> Result<Vec<Fact>> {
    let mut found = Vec::new();
    for (number, seq) in ack_order::after(txn, trees, head.acks, limit)? {
        let key = seq_key(seq);
        let ack = trees.acks.get(txn, &key)?.and_then(|stored| without_seal(&key, stored)).and_then(Ack::read);
        let row = load(txn, trees, seq)?;
        // A damaged ack is damage that `check` reports. All other acks go on their way.
        let Some(ack) = ack else { continue };
        let is_renewed = row.flags & FLAG_RENEWED != 0;
        found.push(Fact::Ack { number, record: row.id, request: ack.request_id, at: ack.at, is_renewed });
    }
    Ok(found)
}

fn unreported_runs(txn: &RoTxn, trees: &Trees, limit: usize) -> Result<Vec<Fact>> {
    let counts = Counts::load(txn, trees)?;
    let mut found = Vec::new();
    if counts.acked_runs() == 0 {
        return Ok(found);
    }
    for entry in trees.acks.iter(txn)? {
        let (key, stored) = entry?;
        let seq = tail_seq(key)?;
        let ack = without_seal(key, stored).and_then(Ack::read).filter(|ack| !ack.is_of_call());
        if let Some(ack) = ack
            && trees.returns.get(txn, &seq_kind(RUN, seq))?.is_none()
        {
            found.push(Fact::Run { seq, record: load(txn, trees, seq)?.id, at: ack.at });
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

fn unreported_parked(txn: &RoTxn, trees: &Trees, limit: usize) -> Result<Vec<Fact>> {
    let mut found = Vec::new();
    for state in [State::Dead, State::Held] {
        for seq in parked_records(txn, trees, state)? {
            if found.len() == limit {
                return Ok(found);
            }
            let row = load(txn, trees, seq)?;
            let key = seq_kind(PARKED, seq);
            let reported = trees.returns.get(txn, &key)?.and_then(|stored| without_seal(&key, stored));
            if reported == Some(&number_key(row.changed_at.0)[..]) {
                continue;
            }
            let round = carried::get(txn, trees, seq)?.round;
            let (record, is_held, reason) = (row.id, state == State::Held, row.last_error);
            found.push(Fact::Parked { seq, record, is_held, reason, round, changed_at: row.changed_at });
        }
    }
    Ok(found)
}

fn unreported_followups(txn: &RoTxn, trees: &Trees, limit: usize) -> Result<Vec<Fact>> {
    let mut found = Vec::new();
    for entry in trees.returns.prefix_iter(txn, &[followups::WAITING])? {
        let (key, stored) = entry?;
        let Some((id, followup)) = followups::read_key(key, stored) else { continue };
        match followups::outcome(txn, trees, &followup)? {
            Outcome::Waits => {}
            Outcome::Done => found.push(Fact::FollowUp(id, None)),
            Outcome::Refused(reason) => found.push(Fact::FollowUp(id, Some(reason))),
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

fn note_reported(txn: &mut RwTxn, trees: &Trees, fact: &Fact, head: &mut Head) -> Result<()> {
    match fact {
        Fact::Received(id) => arrived::note_reported(txn, trees, id),
        Fact::Ack { number, .. } => {
            head.acks = head.acks.max(*number);
            Ok(())
        }
        Fact::Run { seq, .. } => {
            let key = seq_kind(RUN, *seq);
            Ok(trees.returns.put(txn, &key, &with_seal(&key, Vec::new()))?)
        }
        Fact::Parked { seq, changed_at, .. } => {
            let key = seq_kind(PARKED, *seq);
            Ok(trees.returns.put(txn, &key, &with_seal(&key, number_key(changed_at.0).to_vec()))?)
        }
        Fact::FollowUp(id, _) => {
            let Some(key) = followups::get_key(txn, trees.returns, followups::WAITING, id)? else { return Ok(()) };
            followups::remove_key(txn, trees.returns, followups::WAITING, id)?;
            followups::put_key(txn, trees.returns, followups::REPORTED, id, &key)
        }
    }
}

/// The number, the chain hash and the line of an entry.
fn read_line(key: &[u8], stored: &[u8]) -> Option<(u64, LogId, String)> {
    let number = u64::from_be_bytes(key.strip_prefix(&[LINE])?.try_into().ok()?);
    let (chain, line) = without_seal(key, stored)?.split_first_chunk()?;
    Some((number, *chain, String::from_utf8(line.to_vec()).ok()?))
}

fn line_key(number: u64) -> [u8; 9] {
    let mut key = [LINE; 9];
    key[1..].copy_from_slice(&number_key(number));
    key
}

fn seq_kind(kind: u8, seq: Seq) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&seq_key(seq));
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back() {
        let head = Head { epoch: [1; 16], number: 2, chain: [3; 16], told: 4, acks: 5 };
        let stored = with_seal(HEAD, head.encode());
        assert_eq!(Head::read(&stored), Some(head));
        assert_eq!(Head::read(&stored[1..]), None);
    }
}
