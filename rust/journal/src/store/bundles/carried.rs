//! The hubs that a record was given to. An entry stays when the record is acked: a hub that has the record gets its follow-ups.

use heed::{RoTxn, RwTxn};

use super::hubs::HubNumber;
use crate::frame::array;
use crate::state::State;
use crate::store::db::trees::{Trees, seq_key, with_seal, without_seal};
use crate::store::records::row::StateRow;
use crate::{Millis, Result, Seq};

/// round u32, whose highest bit is [`DOUBT`] | number of the first bundle of the round u64.
const FIXED: usize = 12;
/// In an entry: the record may have been sent before a bundle carried it, or by a hub that lost it.
const DOUBT: u32 = 1 << 31;
/// hub u32 | received in the lowest bit, and twice the exports, u8 | at u64.
const HUB: usize = 13;
/// Exports are counted up to this number.
pub(crate) const MOST_EXPORTS: u8 = 127;

/// A hub that got a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) hub: HubNumber,
    /// Whether the hub has confirmed a bundle that has the record.
    pub(crate) is_received: bool,
    /// In how many exports the record went to the hub, where no file comes back. Else 0.
    pub(crate) exports: u8,
    pub(crate) at: Millis,
}

/// The hubs of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CarriedEntry {
    /// How often a person sent the record again after `PromptLayer` had refused it.
    pub(crate) round: u32,
    /// A receipt of a bundle before this number is of an earlier round.
    pub(crate) since: u64,
    /// Whether the record may have been sent by this journal, or by a journal that its hub lost. Each hub looks it up first.
    pub(crate) is_doubtful: bool,
    /// In the order in which they got it. The record belongs to the last one.
    pub(crate) given: Vec<Given>,
}

impl CarriedEntry {
    pub(crate) fn owner(&self) -> Option<HubNumber> {
        self.given.last().map(|given| given.hub)
    }

    /// Whether the hub that the record belongs to has confirmed it.
    pub(super) fn is_received(&self) -> bool {
        self.given.last().is_some_and(|given| given.is_received)
    }

    pub(crate) fn was_given_to(&self, hub: HubNumber) -> bool {
        self.given.iter().any(|given| given.hub == hub)
    }

    /// Notes that a bundle carries the record to a hub, to which it belongs from now on.
    pub(super) fn assign(&mut self, hub: HubNumber, at: Millis) {
        let exports = self.exports(hub);
        self.given.retain(|given| given.hub != hub);
        self.given.push(Given { hub, is_received: false, exports, at });
    }

    /// In how many exports the record went to a hub.
    pub(crate) fn exports(&self, hub: HubNumber) -> u8 {
        self.given.iter().find(|given| given.hub == hub).map_or(0, |given| given.exports)
    }

    /// Whether the record went out in this many exports to the hub that got it last.
    pub(crate) fn went_out(&self, exports: u8) -> bool {
        self.given.last().is_some_and(|given| given.exports >= exports)
    }

    /// Counts an export to a hub.
    pub(super) fn count_export(&mut self, hub: HubNumber) {
        if let Some(given) = self.given.iter_mut().find(|given| given.hub == hub) {
            given.exports = MOST_EXPORTS.min(given.exports + 1);
        }
    }

    /// Notes whether a hub has received the record. Returns whether that is new.
    pub(super) fn receive(&mut self, hub: HubNumber, is_received: bool) -> bool {
        let given = self.given.iter_mut().find(|given| given.hub == hub && given.is_received != is_received);
        given.map(|given| given.is_received = is_received).is_some()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + HUB * self.given.len() + 4);
        let doubt = if self.is_doubtful { DOUBT } else { 0 };
        bytes.extend_from_slice(&(self.round | doubt).to_le_bytes());
        bytes.extend_from_slice(&self.since.to_le_bytes());
        for Given { hub, is_received, exports, at } in &self.given {
            bytes.extend_from_slice(&hub.0.to_le_bytes());
            bytes.push(u8::from(*is_received) | (exports << 1));
            bytes.extend_from_slice(&at.0.to_le_bytes());
        }
        bytes
    }

    /// The entry under a key, if its seal is right.
    pub(crate) fn read(key: &[u8], stored: &[u8]) -> Option<Self> {
        let value = without_seal(key, stored)?;
        let (fixed, given) = value.split_at_checked(FIXED)?;
        if given.len() % HUB != 0 {
            return None;
        }
        let given = given.chunks_exact(HUB).map(|given| Given {
            hub: HubNumber(u32::from_le_bytes(array(given, 0))),
            is_received: given[4] & 1 != 0,
            exports: given[4] >> 1,
            at: Millis(u64::from_le_bytes(array(given, 5))),
        });
        let (round, since) = (u32::from_le_bytes(array(fixed, 0)), u64::from_le_bytes(array(fixed, 4)));
        Some(Self { round: round & !DOUBT, since, is_doubtful: round & DOUBT != 0, given: given.collect() })
    }
}

/// The hubs of a record. A damaged entry counts as missing: the record goes out again, in doubt.
pub(crate) fn get(txn: &RoTxn, trees: &Trees, seq: Seq) -> Result<CarriedEntry> {
    Ok(of(seq, trees.carried.get(txn, &seq_key(seq))?))
}

/// The hubs of a record, from its entry in the tree.
pub(super) fn of(seq: Seq, stored: Option<&[u8]>) -> CarriedEntry {
    stored.and_then(|stored| CarriedEntry::read(&seq_key(seq), stored)).unwrap_or_default()
}

/// Whether this journal may have sent a record: it is in doubt, and no entry explains that.
pub(super) fn is_unclear(row: &StateRow, entry: &CarriedEntry) -> bool {
    row.state == State::InDoubt && (row.custody().is_none() || entry.given.is_empty())
}

pub(crate) fn put(txn: &mut RwTxn, trees: &Trees, seq: Seq, entry: &CarriedEntry) -> Result<()> {
    let key = seq_key(seq);
    Ok(trees.carried.put(txn, &key, &with_seal(&key, entry.encode()))?)
}

/// Starts the next round of a record that hubs got: a hub that refused it tries it again. Bundles before `since` do not count for it.
pub(crate) fn start_round(txn: &mut RwTxn, trees: &Trees, seq: Seq, since: u64) -> Result<()> {
    let mut entry = get(txn, trees, seq)?;
    if entry.given.is_empty() {
        return Ok(());
    }
    entry.round += 1;
    renew(&mut entry, since);
    put(txn, trees, seq, &entry)
}

/// Makes a record's earlier bundles count no longer.
pub(super) fn renew(entry: &mut CarriedEntry, since: u64) {
    entry.since = since;
    entry.given.iter_mut().for_each(|given| (given.is_received, given.exports) = (false, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_under_its_own_key_only() {
        let mut entry = CarriedEntry { round: 2, since: 9, is_doubtful: true, given: Vec::new() };
        entry.assign(HubNumber(1), Millis(5));
        entry.assign(HubNumber(2), Millis(6));
        assert!(entry.receive(HubNumber(1), true));
        assert!(!entry.receive(HubNumber(1), true));
        (0..200).for_each(|_| entry.count_export(HubNumber(1)));
        entry.assign(HubNumber(1), Millis(7));
        assert_eq!((entry.exports(HubNumber(1)), entry.exports(HubNumber(2))), (MOST_EXPORTS, 0));
        assert_eq!((entry.owner(), entry.given.len()), (Some(HubNumber(1)), 2));
        assert!(!entry.given[1].is_received);
        let stored = with_seal(b"key", entry.encode());
        assert_eq!(CarriedEntry::read(b"key", &stored), Some(entry));
        assert_eq!(CarriedEntry::read(b"kez", &stored), None);
    }
}
