//! The setting of an origin to which no file comes back: how often each record goes out.

use heed::{RoTxn, RwTxn};

use super::FollowUpId;
use super::carried::MOST_EXPORTS;
use crate::frame::array;
use crate::store::Store;
use crate::store::db::trees::{Trees, with_seal, without_seal};
use crate::{Error, Result, Seq};

/// The key in `hubs` of the setting.
const KEY: &[u8] = b"r";
/// A key of `hubs`: in how many exports a follow-up went out.
const FOLLOWUP_EXPORTS: u8 = b'e';

/// The setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OneWay {
    /// In how many exports each record goes out.
    pub(crate) repeat: u8,
    /// No carried record before this number has bodies that the quota may remove.
    pub(crate) pruned_to: Seq,
}

impl Store {
    /// In how many exports each record goes out; `None` when a hub confirms them.
    pub fn repeat(&self) -> Result<Option<u8>> {
        self.db().read(|txn, trees| Ok(setting(txn, trees)?.map(|setting| setting.repeat)))
    }

    /// Sets in how many exports each record goes out, up to 127. Exports before do not count. `None` counts no longer: records go out
    /// until a hub confirms them.
    pub fn set_repeat(&self, repeat: Option<u8>) -> Result<()> {
        if repeat.is_some_and(|repeat| !(1..=MOST_EXPORTS).contains(&repeat)) {
            return Err(Error::Internal("the number of exports is not from 1 to 127"));
        }
        self.db().in_room(|| {
            self.db().write(|txn, trees| match repeat {
                Some(repeat) => put(txn, trees, &OneWay { repeat, pruned_to: Seq(0) }),
                None => Ok(trees.hubs.delete(txn, KEY).map(drop)?),
            })
        })
    }

    /// In how many exports a follow-up went out.
    pub fn followup_exports(&self, id: &FollowUpId) -> Result<u8> {
        self.db().read(|txn, trees| exports(txn, trees, id))
    }

    /// Counts an export of follow-ups, where no file comes back.
    pub fn count_followups(&self, ids: &[FollowUpId]) -> Result<()> {
        if ids.is_empty() || self.repeat()?.is_none() {
            return Ok(());
        }
        self.db().in_room(|| {
            self.db().write(|txn, trees| {
                for id in ids {
                    let number = MOST_EXPORTS.min(exports(txn, trees, id)? + 1);
                    let key = key_of(id);
                    trees.hubs.put(txn, &key, &with_seal(&key, vec![number]))?;
                }
                Ok(())
            })
        })
    }
}

/// The setting. A damaged one counts as missing: records go out more often.
pub(crate) fn setting(txn: &RoTxn, trees: &Trees) -> Result<Option<OneWay>> {
    let stored = trees.hubs.get(txn, KEY)?.and_then(|stored| without_seal(KEY, stored));
    let value = stored.filter(|value| value.len() == 9);
    Ok(value.map(|value| OneWay { repeat: value[0], pruned_to: Seq(u64::from_le_bytes(array(value, 1))) }))
}

pub(crate) fn put(txn: &mut RwTxn, trees: &Trees, setting: &OneWay) -> Result<()> {
    let mut value = vec![setting.repeat];
    value.extend_from_slice(&setting.pruned_to.0.to_le_bytes());
    Ok(trees.hubs.put(txn, KEY, &with_seal(KEY, value))?)
}

fn key_of(id: &FollowUpId) -> [u8; 33] {
    let mut key = [FOLLOWUP_EXPORTS; 33];
    key[1..].copy_from_slice(id);
    key
}

fn exports(txn: &RoTxn, trees: &Trees, id: &FollowUpId) -> Result<u8> {
    let key = key_of(id);
    let stored = trees.hubs.get(txn, &key)?.and_then(|stored| without_seal(&key, stored));
    Ok(stored.and_then(|value| value.first().copied()).unwrap_or_default())
}

pub(super) fn forget_followup(txn: &mut RwTxn, trees: &Trees, id: &FollowUpId) -> Result<()> {
    trees.hubs.delete(txn, &key_of(id))?;
    Ok(())
}
