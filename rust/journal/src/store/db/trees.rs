//! The trees of the store, and their keys. `docs/reference/format.md` has the byte tables.
//!
//! Data and state have different trees, so a change of state never rewrites a page of payload. Numbers in keys are big-endian,
//! because LMDB orders keys as bytes.

use heed::types::Bytes;
use heed::{Database, Env, MdbError, PutFlags, RoTxn, RwIter, RwTxn, WithoutTls};

use crate::checksum::crc32c_of;
use crate::ids::{ServerId, SinkId};
use crate::state::{Lane, State};
use crate::{Error, Millis, RecordId, RequestId, Result, Seq};

pub(crate) type Tree = Database<Bytes, Bytes>;

/// How many named trees an environment may hold, with room for later versions.
pub(crate) const MAX_TREES: u32 = 32;

macro_rules! trees {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Handles to every tree.
        #[derive(Clone, Copy)]
        pub(crate) struct Trees { $($(#[$doc])* pub(crate) $name: Tree,)* }

        impl Trees {
            pub(crate) fn all(&self) -> Vec<(&'static str, Tree)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            /// Opens every tree, and makes the missing ones.
            pub(crate) fn create(env: &Env<WithoutTls>, txn: &mut RwTxn) -> Result<Self> {
                Ok(Self { $($name: env.create_database(txn, Some(stringify!($name)))?,)* })
            }

            pub(crate) fn open(env: &Env<WithoutTls>, txn: &RoTxn) -> Result<Self> {
                let missing = || Error::Corrupt("the store lacks a tree".into());
                Ok(Self { $($name: env.open_database(txn, Some(stringify!($name)))?.ok_or_else(missing)?,)* })
            }
        }
    };
}

trees! {
    /// Name -> bytes: the format, the counters.
    meta,
    /// (writer, segment) -> the offset up to which it was ingested.
    cursors,
    /// (seq, part) -> an event's stored body.
    records,
    /// Record id -> seal, seq. Records are listed in the order of this tree: ids sort by time.
    ids,
    /// (label, record id) -> seal, seq.
    labels,
    /// seq -> state row.
    state,
    /// (lane, not before, seq): closed records that wait to be sent.
    outbox,
    /// (writer, seq): records without an end.
    open,
    /// (state, seq): leased, in doubt, dead and held records. (6, until, seq): records that wait for the end of their tree's root.
    parked,
    /// seq -> request id, and when it arrived.
    acks,
    /// n, from 1 without gaps -> seal, seq: acks in the order they arrived.
    ack_order,
    /// Sink -> the number of the last ack it received, for sinks that receive every ack.
    positions,
    /// Request id, or request id and seq -> seq: the records of a request id.
    by_request,
    /// Server -> URL, account, and the number of its acks.
    servers,
    /// seq -> server: records in doubt at a server that the journal is no longer bound to.
    elsewhere,
    /// 'n' name -> number, 'i' number -> name; each with a seal.
    sinks,
    /// (sink, seq) -> delivery state.
    callbacks,
    /// (sink, owner, when due, seq): the same entries, ordered for the search for due ones.
    callbacks_due,
    /// Number -> text: damage found while ingesting.
    damage,
    /// (record or request, number) -> a follow-up.
    followups,
    /// When queues of follow-ups are due, and which follow-ups are dead.
    followup_work,
    /// (record or request, number) -> a follow-up that was sent.
    followups_sent,
    /// seq -> the hubs that got a record.
    carried,
    /// Bundle id -> a bundle that this journal has written.
    bundles,
    /// (number of a bundle, first seq) -> last seq: the records of a bundle.
    bundle_rows,
    /// Hubs: their numbers, how far their logs were read, and their request ids for records that the journal does not have.
    hubs,
    /// At a hub: the log for the origin, and the facts that it has still to report.
    returns,
    /// Block -> 85 digests, of records with consecutive numbers.
    digests,
    /// (kind, 'n' name) -> number, (kind, 'i' number) -> name; each with a seal. The names in digests.
    digest_names,
}

/// Trees that a store of this format may lack, because an earlier version made it without them.
const LATER_TREES: [&str; 15] = [
    "ack_order",
    "positions",
    "callbacks_due",
    "followups",
    "followup_work",
    "followups_sent",
    "servers",
    "elsewhere",
    "carried",
    "bundles",
    "bundle_rows",
    "hubs",
    "returns",
    "digests",
    "digest_names",
];

/// Whether an earlier version made the store without some of the trees.
pub(crate) fn lacks_later_trees(env: &Env<WithoutTls>, txn: &RoTxn) -> Result<bool> {
    for name in LATER_TREES {
        if env.open_database::<Bytes, Bytes>(txn, Some(name))?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes those trees. Any other missing tree is damage.
pub(crate) fn create_later_trees(env: &Env<WithoutTls>, txn: &mut RwTxn) -> Result<()> {
    for name in LATER_TREES {
        env.create_database::<Bytes, Bytes>(txn, Some(name))?;
    }
    Ok(())
}

/// The part of a record that its start event is.
pub(crate) const PART_START: u8 = 0;
/// The part of a record that its end event is.
pub(crate) const PART_END: u8 = 1;

/// The segment index of a cursor that marks a writer's failures as counted.
pub(crate) const FAILURES_COUNTED: u32 = u32::MAX;

pub(crate) fn seq_key(seq: Seq) -> [u8; 8] {
    number_key(seq.0)
}

pub(crate) fn number_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(crate) fn request_key(request_id: RequestId) -> [u8; 8] {
    number_key(request_id.0)
}

/// The key of a record that shares its request id with another.
pub(crate) fn second_request_key(request_id: RequestId, seq: Seq) -> [u8; 16] {
    join(&[&request_key(request_id), &seq_key(seq)])
}

pub(crate) fn server_key(server: ServerId) -> [u8; 4] {
    server.0.to_be_bytes()
}

pub(crate) fn sink_key(sink: SinkId) -> [u8; 4] {
    sink.0.to_be_bytes()
}

pub(crate) fn record_key(seq: Seq, part: u8) -> [u8; 9] {
    join(&[&seq_key(seq), &[part]])
}

pub(crate) fn cursor_key(writer: RecordId, segment: u32) -> [u8; 20] {
    join(&[&writer.0, &segment.to_be_bytes()])
}

pub(crate) fn outbox_key(lane: Lane, not_before: Millis, seq: Seq) -> [u8; 17] {
    join(&[&[lane.0], &number_key(not_before.0), &seq_key(seq)])
}

pub(crate) fn open_key(writer: RecordId, seq: Seq) -> [u8; 24] {
    join(&[&writer.0, &seq_key(seq)])
}

pub(crate) fn parked_key(state: State, seq: Seq) -> [u8; 9] {
    join(&[&[state as u8], &seq_key(seq)])
}

/// The first byte of keys in `parked` for records that wait for the end of their tree's root. No state has this number.
pub(crate) const GROWING: u8 = 6;

pub(crate) fn growing_key(until: Millis, seq: Seq) -> [u8; 17] {
    join(&[&[GROWING], &number_key(until.0), &seq_key(seq)])
}

/// The part of a key in `parked` that all records of a state share.
pub(crate) fn parked_prefix(state: State) -> [u8; 1] {
    [state as u8]
}

pub(crate) fn callback_key(sink: SinkId, seq: Seq) -> [u8; 12] {
    join(&[&sink_key(sink), &seq_key(seq)])
}

pub(crate) fn due_key(sink: SinkId, owner: RecordId, due: Millis, seq: Seq) -> [u8; 36] {
    join(&[&sink_key(sink), &owner.0, &number_key(due.0), &seq_key(seq)])
}

/// The part of a label's key that all its records share.
pub(crate) fn label_prefix(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + value.len() + 16);
    push_prefix(&mut key, kind, value);
    key
}

pub(crate) fn label_key(kind: u8, value: &[u8], id: RecordId) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + value.len() + 16);
    push_label(&mut key, kind, value, id);
    key
}

/// Like [`label_key`], appended to memory that the caller reuses.
pub(crate) fn push_label(key: &mut Vec<u8>, kind: u8, value: &[u8], id: RecordId) {
    push_prefix(key, kind, value);
    key.extend_from_slice(&id.0);
}

fn push_prefix(key: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let value = &value[..value.len().min(crate::labels::MAX_VALUE)];
    key.extend_from_slice(&[kind, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
    key.extend_from_slice(value);
}

/// CRC-32C of key and seq u32 | seq u64: the sequence number is last, as in every index.
pub(crate) fn sealed_seq(key: &[u8], seq: Seq) -> [u8; 12] {
    join(&[&seal(key, &seq_key(seq)).to_le_bytes(), &seq_key(seq)])
}

/// The sequence number in the last eight bytes of a key or value.
pub(crate) fn tail_seq(key: &[u8]) -> Result<Seq> {
    tail_number(key).map(Seq)
}

/// The number in the last eight bytes of a key or value.
pub(crate) fn tail_number(key: &[u8]) -> Result<u64> {
    key.last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| Error::Corrupt("a key of the store is too short".into()))
}

/// CRC-32C of an entry, because LMDB stores no checksums. It covers the key, so it also proves that the value belongs to the key.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> u32 {
    crc32c_of([key, value])
}

/// A value followed by its seal.
pub(crate) fn with_seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let seal = seal(key, &value);
    value.extend_from_slice(&seal.to_le_bytes());
    value
}

/// The value without its seal, if the seal is right.
pub(crate) fn without_seal<'a>(key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (value, kept) = stored.split_last_chunk::<4>()?;
    (seal(key, value).to_le_bytes() == *kept).then_some(value)
}

/// The offset up to which a segment was ingested, and whether it is damaged before. `None` also for a damaged cursor: the segment is
/// then read from its start, and events that are stored already are skipped.
pub(crate) fn cursor(txn: &RoTxn, trees: &Trees, writer: RecordId, segment: u32) -> Result<Option<(u64, bool)>> {
    let key = cursor_key(writer, segment);
    let value = trees.cursors.get(txn, &key)?.and_then(|value| without_seal(&key, value));
    Ok(value.and_then(|value| Some((u64::from_le_bytes(*value.first_chunk()?), *value.get(8)? != 0))))
}

/// Puts an entry at the end of its tree without a search. An entry that does not belong there is put where it belongs.
pub(crate) fn put_last(tree: Tree, txn: &mut RwTxn, key: &[u8], value: &[u8]) -> Result<()> {
    match tree.put_with_flags(txn, PutFlags::APPEND, key, value) {
        Err(heed::Error::Mdb(MdbError::KeyExist)) => Ok(tree.put(txn, key, value)?),
        done => Ok(done?),
    }
}

/// Puts many entries into a tree. LMDB looks for a key's place beside the previous one first, so entries in the order of their keys
/// hardly cost a search.
pub(crate) struct Puts<'t>(RwIter<'t, Bytes, Bytes>);

impl<'t> Puts<'t> {
    pub(crate) fn into(tree: Tree, txn: &'t mut RwTxn) -> Result<Self> {
        Ok(Self(tree.iter_mut(txn)?))
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        // SAFETY: no data read from the tree is held: this iterator never returns an entry.
        Ok(unsafe { self.0.put_current_with_options::<Bytes>(PutFlags::empty(), key, value) }?)
    }
}

fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let mut at = 0;
    for part in parts {
        key[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    key
}
