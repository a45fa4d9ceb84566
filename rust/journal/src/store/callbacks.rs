//! The callback queue: one entry a sink and acked record, there until the sink has taken the request id.

use super::Store;
use super::query::read_row;
use super::row::Row;
use super::sinks;
use super::tables::{callback_key, seal, tail_seq};
use super::transition::load;
use crate::frame::array;
use crate::spool::lock::observe;
use crate::{Error, RecordId, Result, layout};

/// attempts u32 | dead u8 | 0 x 3 | due u64 | lease until u64 | CRC-32C of the key and of all but itself u32 | last error
const FIXED: usize = 28;
const CRC: usize = 24;

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

    pub(crate) fn error(&self) -> Option<String> {
        (!self.last_error.is_empty()).then(|| self.last_error.clone())
    }

    /// The entry as it stands under `key`, which its checksum covers too.
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.last_error.len());
        bytes.extend_from_slice(&self.attempts.to_le_bytes());
        bytes.extend_from_slice(&[u8::from(self.dead), 0, 0, 0]);
        bytes.extend_from_slice(&self.due.to_le_bytes());
        bytes.extend_from_slice(&self.lease_until.to_le_bytes());
        let error = &self.last_error.as_bytes()[..self.last_error.floor_char_boundary(1000)];
        let crc = crc32c::crc32c_append(seal(key, &bytes), error);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(error);
        bytes
    }

    pub(crate) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self> {
        if bytes.len() < FIXED {
            return Err(Error::Corrupt("a callback entry is malformed".into()));
        }
        let crc = crc32c::crc32c_append(seal(key, &bytes[..CRC]), &bytes[FIXED..]);
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

/// A claimed entry.
#[derive(Clone, Debug)]
pub struct Callback {
    /// The record's sequence number, which with the sink names the entry.
    pub seq: u64,
    /// Where to deliver.
    pub sink: String,
    /// Deliveries that were tried before.
    pub attempts: u32,
    /// The record, with its request id.
    pub row: Row,
}

impl Store {
    /// Up to `limit` due entries of these sinks, leased to the caller. Entries of records whose process still lives are given
    /// only to that process, which names itself by its `writer`.
    pub fn claim_callbacks(
        &self,
        sinks: &[&str],
        writer: Option<RecordId>,
        limit: usize,
        lease_ms: u64,
        now_ms: u64,
    ) -> Result<Vec<Callback>> {
        if self.db().read(|txn, tables| Ok(tables.callbacks.is_empty(txn)?))? {
            return Ok(Vec::new());
        }
        let spool = layout::spool(self.path());
        let mut alive: std::collections::HashMap<RecordId, bool> = std::collections::HashMap::new();
        self.db().write(|txn, tables| {
            let mut claimed = Vec::new();
            for sink in sinks {
                if claimed.len() >= limit {
                    break;
                }
                let Some(number) = sinks::number(txn, tables, sink.as_bytes())? else { continue };
                let mut due = Vec::new();
                for entry in tables.callbacks.prefix_iter(txn, &number.to_be_bytes())? {
                    let (key, value) = entry?;
                    let entry = Entry::decode(key, value)?;
                    if entry.dead || entry.due > now_ms || entry.lease_until > now_ms {
                        continue;
                    }
                    let seq = tail_seq(key)?;
                    let state = load(txn, tables, seq)?;
                    let theirs = Some(state.writer) != writer
                        && match alive.get(&state.writer) {
                            Some(alive) => *alive,
                            None => *alive.entry(state.writer).or_insert(observe(&spool, state.writer)?.info.alive),
                        };
                    if !theirs {
                        due.push((seq, state, entry));
                    }
                    if claimed.len() + due.len() == limit {
                        break;
                    }
                }
                for (seq, state, mut entry) in due {
                    entry.lease_until = now_ms + lease_ms;
                    entry.attempts += 1;
                    let key = callback_key(number, seq);
                    tables.callbacks.put(txn, &key, &entry.encode(&key))?;
                    let row = read_row(txn, tables, seq, state)?;
                    claimed.push(Callback { seq, sink: (*sink).to_owned(), attempts: entry.attempts - 1, row });
                }
            }
            Ok(claimed)
        })
    }

    /// The sinks that have entries waiting, dead entries aside.
    pub fn callback_sinks(&self) -> Result<Vec<String>> {
        self.db().read(|txn, tables| {
            let mut found = Vec::new();
            let mut last = None;
            for entry in tables.callbacks.iter(txn)? {
                let (key, value) = entry?;
                let number: [u8; 4] = array(key, 0);
                if last != Some(number) && !Entry::decode(key, value)?.dead {
                    last = Some(number);
                    let name = sinks::name(txn, tables, u32::from_be_bytes(number))?.unwrap_or_default();
                    found.push(String::from_utf8_lossy(&name).into_owned());
                }
            }
            Ok(found)
        })
    }

    /// The sink has the id: the entry is done.
    pub fn callback_done(&self, sink: &str, seq: u64) -> Result<()> {
        self.db().write(|txn, tables| {
            if let Some(number) = sinks::number(txn, tables, sink.as_bytes())? {
                tables.callbacks.delete(txn, &callback_key(number, seq))?;
            }
            Ok(())
        })
    }

    /// The sink refused: the entry is tried again at `not_before`, or kept as dead.
    pub fn callback_failed(&self, sink: &str, seq: u64, error: &str, not_before: u64, dead: bool) -> Result<()> {
        self.db().write(|txn, tables| {
            let Some(number) = sinks::number(txn, tables, sink.as_bytes())? else { return Ok(()) };
            let key = callback_key(number, seq);
            let Some(entry) = tables.callbacks.get(txn, &key)?.map(|value| Entry::decode(&key, value)).transpose()?
            else {
                return Ok(());
            };
            let changed = Entry { due: not_before, lease_until: 0, dead, last_error: error.to_owned(), ..entry };
            Ok(tables.callbacks.put(txn, &key, &changed.encode(&key))?)
        })
    }
}
