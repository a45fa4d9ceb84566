//! Numbers of hubs. A hub keeps its number when its keys are replaced.

use heed::{RoTxn, RwTxn};

use crate::Result;
use crate::frame::array;
use crate::store::Store;
use crate::store::db::trees::{Trees, with_seal, without_seal};

/// A key of `hubs`: the number of a hub, by the id of its key.
pub(super) const KEY: u8 = b'k';

/// The number of a hub in this journal, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubNumber(pub u32);

impl Store {
    /// The number of the hub with this key. A new hub gets the next number; `replaced` is the key that it had before.
    pub fn hub(&self, key: [u8; 8], replaced: Option<[u8; 8]>) -> Result<HubNumber> {
        if let Some(known) = self.db().read(|txn, trees| get(txn, trees, key))? {
            return Ok(known);
        }
        self.db().in_room(|| {
            self.db().write(|txn, trees| {
                if let Some(known) = get(txn, trees, key)? {
                    return Ok(known);
                }
                let before = replaced.map_or(Ok(None), |replaced| get(txn, trees, replaced))?;
                let last = all(txn, trees)?.into_iter().map(|(_, hub)| hub.0).max().unwrap_or_default();
                let hub = before.unwrap_or(HubNumber(last + 1));
                put(txn, trees, key, hub)?;
                Ok(hub)
            })
        })
    }

    /// The hubs of this journal: the id of each key, and the hub's number.
    pub fn hubs(&self) -> Result<Vec<([u8; 8], HubNumber)>> {
        self.db().read(all)
    }
}

pub(super) fn put(txn: &mut RwTxn, trees: &Trees, id: [u8; 8], hub: HubNumber) -> Result<()> {
    let key = key(id);
    Ok(trees.hubs.put(txn, &key, &with_seal(&key, hub.0.to_le_bytes().to_vec()))?)
}

pub(super) fn read(key: &[u8], stored: &[u8]) -> Option<([u8; 8], HubNumber)> {
    let id = key.strip_prefix(&[KEY])?.try_into().ok()?;
    let value = without_seal(key, stored).filter(|value| value.len() == 4)?;
    Some((id, HubNumber(u32::from_le_bytes(array(value, 0)))))
}

fn key(id: [u8; 8]) -> [u8; 9] {
    let mut key = [KEY; 9];
    key[1..].copy_from_slice(&id);
    key
}

fn get(txn: &RoTxn, trees: &Trees, id: [u8; 8]) -> Result<Option<HubNumber>> {
    let key = key(id);
    Ok(trees.hubs.get(txn, &key)?.and_then(|stored| read(&key, stored)).map(|(_, hub)| hub))
}

fn all(txn: &RoTxn, trees: &Trees) -> Result<Vec<([u8; 8], HubNumber)>> {
    let mut found = Vec::new();
    for entry in trees.hubs.prefix_iter(txn, &[KEY])? {
        let (key, stored) = entry?;
        found.extend(read(key, stored));
    }
    Ok(found)
}
