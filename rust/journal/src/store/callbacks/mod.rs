//! The callback queue: one entry a sink and acked record, there until the sink has taken the request id.
//!
//! `callbacks` holds the entries. `callbacks_due` lists each once more under the time it is due, so that finding what is due costs what
//! is found, however much waits. Both are written by [`Place`] alone.

mod claim;
mod owners;
pub(crate) mod sinks;
pub(crate) mod waiting;

pub use claim::{Callback, Refusal};
pub use waiting::{Due, Waiting};

use heed::{RoTxn, RwTxn};

use crate::checksum::crc32c_of;
use crate::frame::array;
use crate::store::db::tables::{Tables, callback_key, due_key, tail_seq};
use crate::store::outbox::ack_order;
use crate::store::records::transition::load;
use crate::{Error, RecordId, Result};

/// attempts u32 | dead u8 | 0 x 3 | due u64 | lease until u64 | CRC-32C of the key and of all but itself u32 | last error
const FIXED: usize = 28;
const CRC: usize = 24;

/// When a dead entry is due.
const NEVER: u64 = u64::MAX;
/// The owner of entries that no process in particular delivers.
const NOBODY: RecordId = RecordId([0; 16]);

/// How far the delivery of one request id has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    attempts: u32,
    dead: bool,
    due: u64,
    lease_until: u64,
    last_error: String,
}

impl Entry {
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// The time it is listed under.
    fn due_at(&self) -> u64 {
        if self.dead { NEVER } else { self.due.max(self.lease_until).min(NEVER - 1) }
    }

    /// The entry as it stands under `key`, which its checksum covers too.
    fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.last_error.len());
        bytes.extend_from_slice(&self.attempts.to_le_bytes());
        bytes.extend_from_slice(&[u8::from(self.dead), 0, 0, 0]);
        bytes.extend_from_slice(&self.due.to_le_bytes());
        bytes.extend_from_slice(&self.lease_until.to_le_bytes());
        let error = &self.last_error.as_bytes()[..self.last_error.floor_char_boundary(1000)];
        let crc = crc32c_of([key, &bytes, error]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(error);
        bytes
    }

    pub(crate) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self> {
        if bytes.len() < FIXED {
            return Err(Error::Corrupt("a callback entry is malformed".into()));
        }
        let crc = crc32c_of([key, &bytes[..CRC], &bytes[FIXED..]]);
        if crc != u32::from_le_bytes(array(bytes, CRC)) {
            return Err(Error::Corrupt("a callback entry does not match its checksum".into()));
        }
        Ok(Self {
            attempts: u32::from_le_bytes(array(bytes, 0)),
            dead: bytes[4] != 0,
            due: u64::from_le_bytes(array(bytes, 8)),
            lease_until: u64::from_le_bytes(array(bytes, 16)),
            last_error: String::from_utf8_lossy(&bytes[FIXED..]).into_owned(),
        })
    }
}

/// Where an entry stands: its sink and record, and the process that delivers it as long as it lives, which is the record's writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    sink: u32,
    seq: u64,
    owner: RecordId,
}

impl Place {
    pub(crate) fn of(txn: &RoTxn, tables: &Tables, sink: u32, seq: u64) -> Result<Self> {
        if ack_order::position(txn, tables, sink)?.is_some() {
            return Ok(Self::of_nobody(sink, seq));
        }
        Ok(Self { sink, seq, owner: load(txn, tables, seq)?.writer })
    }

    /// The place of an entry whose record's writer is at hand.
    pub(crate) fn of_writer(sink: u32, seq: u64, owner: RecordId) -> Self {
        Self { sink, seq, owner }
    }

    /// The place of an entry of a sink that is given every ack.
    pub(crate) fn of_nobody(sink: u32, seq: u64) -> Self {
        Self { sink, seq, owner: NOBODY }
    }

    /// The entry that is there. A damaged one counts as new: what it stood for is delivered once more.
    fn get(self, txn: &RoTxn, tables: &Tables) -> Result<Option<Entry>> {
        let key = callback_key(self.sink, self.seq);
        Ok(tables.callbacks.get(txn, &key)?.map(|value| Entry::decode(&key, value).unwrap_or_default()))
    }

    /// Stores an entry instead of the one that is there.
    pub(crate) fn put(self, txn: &mut RwTxn, tables: &Tables, entry: &Entry) -> Result<()> {
        self.remove(txn, tables)?;
        let key = callback_key(self.sink, self.seq);
        tables.callbacks.put(txn, &key, &entry.encode(&key))?;
        Ok(tables.callbacks_due.put(txn, &self.listed(entry.due_at()), &[])?)
    }

    /// Removes the entry, if there is one.
    fn remove(self, txn: &mut RwTxn, tables: &Tables) -> Result<()> {
        if let Some(entry) = self.get(txn, tables)? {
            tables.callbacks.delete(txn, &callback_key(self.sink, self.seq))?;
            self.unlist(txn, tables, entry.due_at())?;
        }
        Ok(())
    }

    /// Changes the entry, if there is one.
    fn change(self, txn: &mut RwTxn, tables: &Tables, edit: impl FnOnce(&mut Entry)) -> Result<()> {
        let Some(mut entry) = self.get(txn, tables)? else { return Ok(()) };
        edit(&mut entry);
        self.put(txn, tables, &entry)
    }

    /// Removes the entry from the list, where it stands under this time.
    fn unlist(self, txn: &mut RwTxn, tables: &Tables, due: u64) -> Result<()> {
        tables.callbacks_due.delete(txn, &self.listed(due))?;
        Ok(())
    }

    fn listed(self, due: u64) -> [u8; 36] {
        due_key(self.sink, self.owner, due, self.seq)
    }

    /// A place by the key it is listed under, and the time in that key.
    fn parse(key: &[u8]) -> Result<(Self, u64)> {
        let key: &[u8; 36] = key.try_into().map_err(|_| Error::Corrupt("a key of the store is malformed".into()))?;
        let place =
            Self { sink: u32::from_be_bytes(array(key, 0)), owner: RecordId(array(key, 4)), seq: tail_seq(key)? };
        Ok((place, u64::from_be_bytes(array(key, 20))))
    }
}

/// Whether an entry, which stands under this key, is listed where it is looked for.
pub(crate) fn is_listed(txn: &RoTxn, tables: &Tables, key: &[u8], entry: &Entry) -> Result<bool> {
    let key: &[u8; 12] = key.try_into().map_err(|_| Error::Corrupt("a key of the store is malformed".into()))?;
    let place = Place::of(txn, tables, u32::from_be_bytes(array(key, 0)), tail_seq(key)?)?;
    Ok(tables.callbacks_due.get(txn, &place.listed(entry.due_at()))?.is_some())
}

/// Makes the list of what is due anew.
pub(crate) fn list_again(txn: &mut RwTxn, tables: &Tables) -> Result<()> {
    tables.callbacks_due.clear(txn)?;
    let mut listed = Vec::new();
    for entry in tables.callbacks.iter(txn)? {
        let (key, value) = entry?;
        let [a, b, c, d, ..] = *key else { continue };
        let (sink, seq) = (u32::from_be_bytes([a, b, c, d]), tail_seq(key)?);
        // A damaged record must not keep the journal from being opened.
        let place = Place::of(txn, tables, sink, seq).unwrap_or(Place::of_nobody(sink, seq));
        listed.push(place.listed(Entry::decode(key, value).unwrap_or_default().due_at()));
    }
    // In order, so that the tree's pages are filled one after the other.
    listed.sort_unstable();
    for key in listed {
        tables.callbacks_due.put(txn, &key, &[])?;
    }
    Ok(())
}
