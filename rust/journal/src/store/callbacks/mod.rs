//! The callback queue: one entry for each sink and acked record, until the sink has received the request id.
//!
//! `callbacks` holds the entries. `callbacks_due` lists each entry once more under its due time, so a search for due entries does not
//! read the waiting ones. Only [`EntryKey`] writes both.

pub(crate) mod backlog;
mod claim;
mod owners;
pub(crate) mod sinks;

pub use backlog::{DueSinks, SinkBacklog};
pub use claim::{ClaimedCallback, FailedCallback};

use heed::{RoTxn, RwTxn};

use crate::checksum::crc32c_of;
use crate::frame::array;
use crate::ids::SinkId;
use crate::store::db::trees::{Trees, callback_key, due_key, tail_seq};
use crate::store::outbox::ack_order;
use crate::store::records::transition::load;
use crate::{Error, Millis, RecordId, Result, Seq};

/// attempts u32 | dead u8 | 0 x 3 | due u64 | lease until u64 | CRC-32C of the key and of all other bytes u32 | last error
const FIXED: usize = 28;
const CRC: usize = 24;
/// The longest error text of an entry, in bytes.
const MAX_ERROR: usize = 1000;

/// The due time of a dead entry.
const NEVER: Millis = Millis::MAX;
/// The last due time of an entry that is not dead.
const LAST: Millis = Millis(u64::MAX - 1);
/// The owner of entries that any process may deliver.
const NO_OWNER: RecordId = RecordId([0; 16]);

/// The state of one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallbackEntry {
    attempts: u32,
    dead: bool,
    due: Millis,
    lease_until: Millis,
    last_error: String,
}

impl CallbackEntry {
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// The time under which the entry is listed.
    fn due_at(&self) -> Millis {
        if self.dead { NEVER } else { self.due.max(self.lease_until).min(LAST) }
    }

    /// The stored form. The checksum covers the key too.
    fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.last_error.len());
        bytes.extend_from_slice(&self.attempts.to_le_bytes());
        bytes.extend_from_slice(&[u8::from(self.dead), 0, 0, 0]);
        bytes.extend_from_slice(&self.due.0.to_le_bytes());
        bytes.extend_from_slice(&self.lease_until.0.to_le_bytes());
        let error = &self.last_error.as_bytes()[..self.last_error.floor_char_boundary(MAX_ERROR)];
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
            due: Millis(u64::from_le_bytes(array(bytes, 8))),
            lease_until: Millis(u64::from_le_bytes(array(bytes, 16))),
            last_error: String::from_utf8_lossy(&bytes[FIXED..]).into_owned(),
        })
    }
}

/// The key of an entry: its sink, its record, and its owner. The owner is the record's writer, whose process delivers the entry while
/// it lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryKey {
    sink: SinkId,
    seq: Seq,
    owner: RecordId,
}

impl EntryKey {
    /// The key of a record's entry. Reads the record to find the owner.
    pub(crate) fn find(txn: &RoTxn, trees: &Trees, sink: SinkId, seq: Seq) -> Result<Self> {
        if ack_order::position(txn, trees, sink)?.is_some() {
            return Ok(Self::unowned(sink, seq));
        }
        Ok(Self::owned(sink, seq, load(txn, trees, seq)?.writer))
    }

    /// The key of an entry whose owner is known.
    pub(crate) fn owned(sink: SinkId, seq: Seq, owner: RecordId) -> Self {
        Self { sink, seq, owner }
    }

    /// The key of an entry of a subscribed sink.
    pub(crate) fn unowned(sink: SinkId, seq: Seq) -> Self {
        Self { sink, seq, owner: NO_OWNER }
    }

    /// The entry under this key. A damaged entry counts as new, so its request id is delivered once more.
    fn get(self, txn: &RoTxn, trees: &Trees) -> Result<Option<CallbackEntry>> {
        let key = callback_key(self.sink, self.seq);
        Ok(trees.callbacks.get(txn, &key)?.map(|value| CallbackEntry::decode(&key, value).unwrap_or_default()))
    }

    /// Stores an entry, and replaces the one under this key.
    pub(crate) fn put(self, txn: &mut RwTxn, trees: &Trees, entry: &CallbackEntry) -> Result<()> {
        self.remove(txn, trees)?;
        let key = callback_key(self.sink, self.seq);
        trees.callbacks.put(txn, &key, &entry.encode(&key))?;
        Ok(trees.callbacks_due.put(txn, &self.due_key(entry.due_at()), &[])?)
    }

    /// Whether a process calls the sink with the request id now.
    pub(crate) fn is_leased(self, txn: &RoTxn, trees: &Trees, now: Millis) -> Result<bool> {
        Ok(self.get(txn, trees)?.is_some_and(|entry| !entry.dead && entry.lease_until > now))
    }

    /// Removes the entry, and returns whether there was one.
    pub(crate) fn remove(self, txn: &mut RwTxn, trees: &Trees) -> Result<bool> {
        let found = self.get(txn, trees)?;
        if let Some(entry) = &found {
            trees.callbacks.delete(txn, &callback_key(self.sink, self.seq))?;
            self.unlist(txn, trees, entry.due_at())?;
        }
        Ok(found.is_some())
    }

    /// Changes the entry, if there is one.
    fn change(self, txn: &mut RwTxn, trees: &Trees, edit: impl FnOnce(&mut CallbackEntry)) -> Result<()> {
        let Some(mut entry) = self.get(txn, trees)? else { return Ok(()) };
        edit(&mut entry);
        self.put(txn, trees, &entry)
    }

    /// Removes the entry from the list of due times.
    fn unlist(self, txn: &mut RwTxn, trees: &Trees, due: Millis) -> Result<()> {
        trees.callbacks_due.delete(txn, &self.due_key(due))?;
        Ok(())
    }

    fn due_key(self, due: Millis) -> [u8; 36] {
        due_key(self.sink, self.owner, due, self.seq)
    }

    /// Reads a key of the list of due times: the entry's key, and its time.
    fn parse(key: &[u8]) -> Result<(Self, Millis)> {
        let key: &[u8; 36] = key.try_into().map_err(|_| malformed())?;
        let sink = SinkId(u32::from_be_bytes(array(key, 0)));
        let entry = Self { sink, owner: RecordId(array(key, 4)), seq: tail_seq(key)? };
        Ok((entry, Millis(u64::from_be_bytes(array(key, 20)))))
    }
}

/// Whether the entry under a key is listed under its due time.
pub(crate) fn is_listed(txn: &RoTxn, trees: &Trees, key: &[u8], entry: &CallbackEntry) -> Result<bool> {
    let key: &[u8; 12] = key.try_into().map_err(|_| malformed())?;
    let sink = SinkId(u32::from_be_bytes(array(key, 0)));
    let due_key = EntryKey::find(txn, trees, sink, tail_seq(key)?)?.due_key(entry.due_at());
    Ok(trees.callbacks_due.get(txn, &due_key)?.is_some())
}

/// Rebuilds the list of due times.
pub(crate) fn rebuild_due_list(txn: &mut RwTxn, trees: &Trees) -> Result<()> {
    trees.callbacks_due.clear(txn)?;
    let mut listed = Vec::new();
    for entry in trees.callbacks.iter(txn)? {
        let (key, value) = entry?;
        let [a, b, c, d, ..] = *key else { continue };
        let (sink, seq) = (SinkId(u32::from_be_bytes([a, b, c, d])), tail_seq(key)?);
        // A damaged record must not keep the journal from being opened.
        let entry_key = EntryKey::find(txn, trees, sink, seq).unwrap_or(EntryKey::unowned(sink, seq));
        listed.push(entry_key.due_key(CallbackEntry::decode(key, value).unwrap_or_default().due_at()));
    }
    // In order, so that the tree's pages are filled one after the other.
    listed.sort_unstable();
    for key in listed {
        trees.callbacks_due.put(txn, &key, &[])?;
    }
    Ok(())
}

fn malformed() -> Error {
    Error::Corrupt("a key of the store is malformed".into())
}
