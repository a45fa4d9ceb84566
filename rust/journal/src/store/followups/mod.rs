//! Follow-ups: scores, metadata, prompt links and groups that wait for a request id, or to be sent.
//!
//! Those of one record go out in the order they came, once it has its request id; those of different records do not wait for each
//! other. One that `PromptLayer` refused is dead, is kept, and holds up nothing.

mod check;
mod entry;
pub(crate) mod queue;
mod sending;

use heed::RoTxn;

use crate::frame::array;
use crate::state::State;
use crate::store::Store;
use crate::store::db::tables::{Tables, parked_key, seq_key, tail_seq, unsealed};
use crate::store::records::transition::{Change, load};
use crate::{Error, RecordId, Result, ids};
pub(crate) use check::problems;
pub(crate) use entry::Entry;
use entry::MAX_PAYLOAD;
pub use entry::Op;
pub use queue::FollowUpKey;
use queue::{Queue, put, put_work, remove};

/// How many entries are looked at for a number that nobody keeps.
const LOOK_AT: usize = 100_000;

/// What a follow-up is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A record, whether or not it has its request id.
    Record(RecordId),
    /// A request by its id. If a record has that id, it is about the record.
    Request(u64),
}

/// A follow-up as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// What names it to the store.
    pub key: FollowUpKey,
    /// What it does.
    pub op: Op,
    /// With what: JSON, without the request id.
    pub payload: Vec<u8>,
    /// The record it is about, if the journal has it.
    pub record: Option<RecordId>,
    /// The id of the request, once there is one.
    pub request: Option<u64>,
    /// It was refused, and is not sent again by itself.
    pub is_dead: bool,
    /// Tries that failed.
    pub attempts: u32,
    /// Not sent before this, in milliseconds since the epoch.
    pub due: u64,
    /// When it was queued, in milliseconds since the epoch.
    pub queued_at: u64,
    /// What the last try met; empty when there was none.
    pub last_error: String,
}

impl FollowUp {
    /// Its number, unique in the journal; later ones are higher.
    pub fn number(&self) -> u64 {
        u64::from_be_bytes(array(&self.key, 9))
    }
}

/// A try that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Of which follow-up.
    pub key: FollowUpKey,
    /// What it met.
    pub error: String,
    /// Not again before this, in milliseconds since the epoch.
    pub not_before: u64,
    /// Not again at all.
    pub dead: bool,
}

/// What [`Store::stats`] tells of follow-ups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) waiting: u64,
    /// Of those, the ones of records that are dead or held.
    pub(crate) stranded: u64,
    pub(crate) dead: u64,
    pub(crate) error: Option<String>,
}

impl Store {
    /// Queues a follow-up, durably, and returns its number; `None` when the journal has no such record, and nothing was queued.
    pub fn follow_up(&self, target: Target, op: Op, payload: &[u8]) -> Result<Option<u64>> {
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::FollowUpTooLarge { len: payload.len(), max: MAX_PAYLOAD });
        }
        self.db().write(|txn, tables| {
            let Some(queue) = find(txn, tables, target)? else { return Ok(None) };
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            change.counts.last_followup += 1;
            let number = change.counts.last_followup;
            let entry = Entry {
                is_dead: false,
                op,
                attempts: 0,
                due: 0,
                queued_at: change.now_ms,
                last_error: String::new(),
                payload: payload.to_vec(),
            };
            queue.change(change.txn, tables, |txn| put(txn, tables, &queue.key(number), &entry))?;
            change.finish()?;
            Ok(Some(number))
        })
    }

    /// The follow-ups of a record or request, in order.
    pub fn followups(&self, target: Target) -> Result<Vec<FollowUp>> {
        self.db().read(|txn, tables| {
            let Some(queue) = find(txn, tables, target)? else { return Ok(Vec::new()) };
            let entries = queue.entries(txn, tables)?.into_iter();
            entries.map(|(key, entry)| read(txn, tables, queue, key, entry)).collect()
        })
    }

    /// Up to `limit` follow-ups that were refused.
    pub fn dead_followups(&self, limit: usize) -> Result<Vec<FollowUp>> {
        self.db().read(|txn, tables| {
            let mut found = Vec::new();
            for key in queue::dead(txn, tables, None, limit)? {
                if let (Some(queue), Some(entry)) = (Queue::of(&key), stored(txn, tables, &key)?) {
                    found.push(read(txn, tables, queue, key, entry)?);
                }
            }
            Ok(found)
        })
    }

    /// dead -> waiting, due now: of a record or request, or all. Returns how many.
    pub fn requeue_followups(&self, target: Option<Target>) -> Result<u64> {
        let keys = self.db().read(|txn, tables| {
            let of = target.map(|target| find(txn, tables, target)).transpose()?;
            match of {
                Some(None) => Ok(Vec::new()),
                of => queue::dead(txn, tables, of.flatten(), usize::MAX),
            }
        })?;
        self.edit(&keys, |_, entry| Some(Entry { is_dead: false, due: 0, ..entry }))?;
        Ok(keys.len() as u64)
    }

    /// Changes follow-ups in one transaction, or removes those that become `None`. One that is gone is left alone.
    fn edit(&self, keys: &[FollowUpKey], edit: impl Fn(usize, Entry) -> Option<Entry>) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.db().write(|txn, tables| {
            for (at, key) in keys.iter().enumerate() {
                let (Some(queue), Some(entry)) = (Queue::of(key), stored(txn, tables, key)?) else { continue };
                queue.change(txn, tables, |txn| match edit(at, entry) {
                    Some(entry) => put(txn, tables, key, &entry),
                    None => remove(txn, tables, key),
                })?;
            }
            Ok(())
        })
    }
}

/// What [`Store::stats`] tells, from sizes, the work list, and the records that will get no request id.
pub(crate) fn tally(txn: &RoTxn, tables: &Tables) -> Result<Tally> {
    let dead = queue::dead(txn, tables, None, LOOK_AT)?;
    let mut tally = Tally { dead: dead.len() as u64, ..Tally::default() };
    tally.waiting = tables.followups.len(txn)?.saturating_sub(tally.dead);
    tally.error = match dead.last() {
        Some(key) => stored(txn, tables, key)?.map(|entry| entry.last_error),
        None => None,
    };
    if tally.waiting > 0 {
        for state in [State::Dead, State::Held] {
            for entry in tables.parked.prefix_iter(txn, &parked_key(state, 0)[..1])?.take(LOOK_AT) {
                let queue = Queue::Record(tail_seq(entry?.0)?);
                tally.stranded += queue.waiting(txn, tables, |_| true)?.len() as u64;
            }
        }
    }
    Ok(tally)
}

/// Stores follow-ups of a queue that has none, with the places they take in the work list. For salvage.
pub(crate) fn restore<'e>(
    change: &mut Change,
    queue: Queue,
    entries: impl Iterator<Item = (u64, &'e Entry)>,
) -> Result<u64> {
    let mut restored = 0;
    let tables = change.tables;
    for (number, entry) in entries {
        put(change.txn, tables, &queue.key(number), entry)?;
        change.counts.last_followup = change.counts.last_followup.max(number);
        restored += 1;
    }
    if let Some(key) = queue.listing(change.txn, tables)? {
        put_work(change.txn, tables, &key)?;
    }
    Ok(restored)
}

fn find(txn: &RoTxn, tables: &Tables, target: Target) -> Result<Option<Queue>> {
    match target {
        Target::Record(id) => Ok(tables.ids.get(txn, &id.0)?.map(tail_seq).transpose()?.map(Queue::Record)),
        Target::Request(id) => {
            let seq = tables.by_request.get(txn, &id.to_be_bytes())?.map(tail_seq).transpose()?;
            Ok(Some(seq.map_or(Queue::Request(id), Queue::Record)))
        }
    }
}

/// An entry that is there and can be read.
fn stored(txn: &RoTxn, tables: &Tables, key: &FollowUpKey) -> Result<Option<Entry>> {
    Ok(tables.followups.get(txn, key)?.and_then(|value| Entry::decode(key, value).ok()))
}

fn read(txn: &RoTxn, tables: &Tables, queue: Queue, key: FollowUpKey, entry: Entry) -> Result<FollowUp> {
    let (record, request) = match queue {
        Queue::Record(seq) => {
            let ack = tables.acks.get(txn, &seq_key(seq))?.and_then(|stored| unsealed(&seq_key(seq), stored));
            let request = ack.filter(|ack| ack.len() >= 8).map(|ack| u64::from_le_bytes(array(ack, 0)));
            (load(txn, tables, seq).ok().map(|row| row.id), request)
        }
        Queue::Request(id) => (None, Some(id)),
    };
    Ok(FollowUp {
        key,
        op: entry.op,
        payload: entry.payload,
        record,
        request,
        is_dead: entry.is_dead,
        attempts: entry.attempts,
        due: entry.due,
        queued_at: entry.queued_at,
        last_error: entry.last_error,
    })
}
