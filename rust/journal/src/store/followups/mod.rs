//! Follow-ups: scores, metadata, prompt links and groups that wait for a request id, or to be sent.
//!
//! The follow-ups of one record are sent in order, once the record has its request id. Follow-ups of different records do not wait for
//! each other. One that `PromptLayer` refused is dead: it is kept, and blocks no other. One that was sent is kept too: `sent`.

mod check;
mod claim;
mod entry;
mod list;
pub(crate) mod queue;
pub(crate) mod sent;
mod whole_queue;

use heed::{RoTxn, RwTxn};

use crate::frame::array;
use crate::state::State;
use crate::store::Store;
use crate::store::db::trees::{Trees, parked_prefix, seq_key, tail_seq, without_seal};
use crate::store::outbox::request_index;
use crate::store::records::row::Ack;
use crate::store::records::transition::{Change, load};
use crate::{Error, Millis, RecordId, RequestId, Result};
pub(crate) use check::problems;
pub use claim::FailedFollowUp;
pub(crate) use entry::FollowUpEntry;
use entry::MAX_PAYLOAD;
pub use entry::Op;
pub use list::ListedState;
pub use queue::FollowUpKey;
use queue::{Queue, put, put_work};
pub(crate) use sent::SentEntry;
pub use sent::SentFollowUp;
pub(crate) use whole_queue::{remove_all, restart};

/// How many entries are counted at most for a number that has no counter.
const COUNT_AT_MOST: usize = 100_000;

/// The record or request of a follow-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A record, whether or not it has its request id.
    Record(RecordId),
    /// A request by its id. If records have that id, the first of them is meant.
    Request(RequestId),
}

/// Where a follow-up is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowUpState {
    /// It waits for a request id, or to be sent.
    Waiting,
    /// `PromptLayer` refused it. It is sent again only when it is requeued.
    Dead,
    /// `PromptLayer` has it.
    Sent {
        /// When the response came.
        at: Millis,
        /// The HTTP status of the response; 0 when it is unknown.
        status: u16,
    },
}

/// A follow-up and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// The follow-up's key in the store.
    pub key: FollowUpKey,
    /// The operation.
    pub op: Op,
    /// The operation's arguments as JSON, without the request id.
    pub payload: Vec<u8>,
    /// The record, if the journal has it.
    pub record: Option<RecordId>,
    /// The request id, once it is known.
    pub request: Option<RequestId>,
    /// Whether it waits, is dead, or was sent.
    pub state: FollowUpState,
    /// How many tries failed.
    pub attempts: u32,
    /// When it is due; [`Millis::EPOCH`] after it was sent.
    pub due: Millis,
    /// When it was queued.
    pub queued_at: Millis,
    /// The error of the last try; empty without one.
    pub last_error: String,
}

impl FollowUp {
    /// The follow-up's number, unique in the journal. Later follow-ups have higher numbers.
    pub fn number(&self) -> u64 {
        u64::from_be_bytes(array(&self.key, 9))
    }
}

/// The numbers of follow-ups in [`Store::stats`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) waiting: u64,
    /// How many of these belong to dead or held records.
    pub(crate) stranded: u64,
    pub(crate) dead: u64,
    pub(crate) sent: u64,
    pub(crate) error: Option<String>,
}

impl Store {
    /// Queues a follow-up, durably, and returns its number. Returns `None` when the journal has no such record; nothing is queued then.
    pub fn follow_up(&self, target: Target, op: Op, payload: &[u8]) -> Result<Option<u64>> {
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::FollowUpTooLarge { len: payload.len(), max: MAX_PAYLOAD });
        }
        self.db().write(|txn, trees| {
            let Some(queue) = find(txn, trees, target)? else { return Ok(None) };
            if is_gone(txn, trees, queue)? {
                return Ok(None);
            }
            let mut change = Change::begin(txn, trees, Millis::now())?;
            change.counts.last_followup += 1;
            let number = change.counts.last_followup;
            let entry = FollowUpEntry {
                is_dead: false,
                op,
                attempts: 0,
                due: Millis::EPOCH,
                queued_at: change.now,
                last_error: String::new(),
                payload: payload.to_vec(),
            };
            queue.change(change.txn, trees, |txn| put(txn, trees, &queue.key(number), &entry))?;
            change.finish()?;
            Ok(Some(number))
        })
    }

    /// The follow-ups of a record or request that wait or are dead, in order.
    pub fn followups(&self, target: Target) -> Result<Vec<FollowUp>> {
        self.db().read(|txn, trees| {
            let Some(queue) = find(txn, trees, target)? else { return Ok(Vec::new()) };
            let entries = queue.entries(txn, trees)?.into_iter();
            entries.map(|(key, entry)| read(txn, trees, queue, key, entry)).collect()
        })
    }

    /// Up to `limit` dead follow-ups.
    pub fn dead_followups(&self, limit: usize) -> Result<Vec<FollowUp>> {
        self.db().read(|txn, trees| {
            let mut found = Vec::new();
            for key in queue::dead_keys(txn, trees, None, limit)? {
                if let (Some(queue), Some(entry)) = (Queue::of(&key), stored(txn, trees, &key)?) {
                    found.push(read(txn, trees, queue, key, entry)?);
                }
            }
            Ok(found)
        })
    }

    /// dead -> waiting, due now: the follow-ups of a record or request, or all. Returns how many.
    pub fn requeue_followups(&self, target: Option<Target>) -> Result<u64> {
        let keys = self.db().read(|txn, trees| {
            let of = target.map(|target| find(txn, trees, target)).transpose()?;
            match of {
                Some(None) => Ok(Vec::new()),
                of => queue::dead_keys(txn, trees, of.flatten(), usize::MAX),
            }
        })?;
        self.edit(&keys, |_, entry| FollowUpEntry { is_dead: false, due: Millis::EPOCH, ..entry })?;
        Ok(keys.len() as u64)
    }

    /// Changes follow-ups in one transaction. A missing one is skipped.
    fn edit(&self, keys: &[FollowUpKey], edit: impl Fn(usize, FollowUpEntry) -> FollowUpEntry) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.db().write(|txn, trees| {
            for (at, key) in keys.iter().enumerate() {
                let (Some(queue), Some(entry)) = (Queue::of(key), stored(txn, trees, key)?) else { continue };
                queue.change(txn, trees, |txn| put(txn, trees, key, &edit(at, entry)))?;
            }
            Ok(())
        })
    }
}

/// Makes the waiting follow-ups of bare request ids dead: the journal is bound to another server now, whose request ids are others.
pub(crate) fn refuse_bare(txn: &mut RwTxn, trees: &Trees, reason: &str) -> Result<()> {
    for queue in queue::bare(txn, trees)? {
        for (key, entry) in queue.waiting(txn, trees, |_| true)? {
            refuse(txn, trees, queue, &key, entry, reason)?;
        }
    }
    Ok(())
}

/// Makes a follow-up dead, with the reason.
pub(crate) fn refuse(
    txn: &mut RwTxn,
    trees: &Trees,
    queue: Queue,
    key: &FollowUpKey,
    entry: FollowUpEntry,
    reason: &str,
) -> Result<()> {
    let dead = FollowUpEntry { is_dead: true, last_error: reason.to_owned(), ..entry };
    queue.change(txn, trees, |txn| put(txn, trees, key, &dead))
}

/// Whether the record was forgotten before it was sent. No follow-up of it can be sent, so its content must not be kept either.
fn is_gone(txn: &RoTxn, trees: &Trees, queue: Queue) -> Result<bool> {
    match queue {
        Queue::Record(seq) => load(txn, trees, seq).map(|row| row.is_forgotten() && row.state != State::Acked),
        Queue::Request(_) => Ok(false),
    }
}

/// Counts follow-ups, from tree sizes, the work list, and the records that will not get a request id.
pub(crate) fn tally(txn: &RoTxn, trees: &Trees) -> Result<Tally> {
    let dead = queue::dead_keys(txn, trees, None, COUNT_AT_MOST)?;
    let mut tally = Tally { dead: dead.len() as u64, ..Tally::default() };
    tally.waiting = trees.followups.len(txn)?.saturating_sub(tally.dead);
    tally.sent = trees.followups_sent.len(txn)?;
    tally.error = match dead.last() {
        Some(key) => stored(txn, trees, key)?.map(|entry| entry.last_error),
        None => None,
    };
    if tally.waiting > 0 {
        for state in [State::Dead, State::Held] {
            for entry in trees.parked.prefix_iter(txn, &parked_prefix(state))?.take(COUNT_AT_MOST) {
                let queue = Queue::Record(tail_seq(entry?.0)?);
                tally.stranded += queue.waiting(txn, trees, |_| true)?.len() as u64;
            }
        }
    }
    Ok(tally)
}

/// Stores the follow-ups of an empty queue, and lists them in the work lists. For salvage.
pub(crate) fn restore<'e>(
    change: &mut Change,
    queue: Queue,
    entries: impl Iterator<Item = (u64, &'e FollowUpEntry)>,
) -> Result<u64> {
    let mut restored = 0;
    let trees = change.trees;
    for (number, entry) in entries {
        put(change.txn, trees, &queue.key(number), entry)?;
        change.counts.last_followup = change.counts.last_followup.max(number);
        restored += 1;
    }
    if let Some(key) = queue.work_key(change.txn, trees)? {
        put_work(change.txn, trees, &key)?;
    }
    Ok(restored)
}

fn find(txn: &RoTxn, trees: &Trees, target: Target) -> Result<Option<Queue>> {
    match target {
        Target::Record(id) => {
            let Some(seq) = trees.ids.get(txn, &id.0)?.map(tail_seq).transpose()? else { return Ok(None) };
            // A run that is not a call gets no request id, so no follow-up could be sent.
            Ok(Some(Queue::Record(seq)).filter(|_| load(txn, trees, seq).map_or(true, |row| !row.is_run())))
        }
        Target::Request(id) => {
            let first = request_index::records(txn, trees, id)?.first().copied();
            Ok(Some(first.map_or(Queue::Request(id), Queue::Record)))
        }
    }
}

/// The entry under a key, if it can be read.
pub(crate) fn stored(txn: &RoTxn, trees: &Trees, key: &FollowUpKey) -> Result<Option<FollowUpEntry>> {
    Ok(trees.followups.get(txn, key)?.and_then(|value| FollowUpEntry::decode(key, value).ok()))
}

/// The record and the request of a queue, as far as they are known.
fn targets(txn: &RoTxn, trees: &Trees, queue: Queue) -> Result<(Option<RecordId>, Option<RequestId>)> {
    Ok(match queue {
        Queue::Record(seq) => {
            let ack = trees.acks.get(txn, &seq_key(seq))?.and_then(|stored| without_seal(&seq_key(seq), stored));
            let request = ack.and_then(Ack::read).filter(|ack| ack.is_of_call()).map(|ack| ack.request_id);
            (load(txn, trees, seq).ok().map(|row| row.id), request)
        }
        Queue::Request(id) => (None, Some(id)),
    })
}

pub(crate) fn read(
    txn: &RoTxn,
    trees: &Trees,
    queue: Queue,
    key: FollowUpKey,
    entry: FollowUpEntry,
) -> Result<FollowUp> {
    let (record, request) = targets(txn, trees, queue)?;
    Ok(FollowUp {
        key,
        op: entry.op,
        payload: entry.payload,
        record,
        request,
        state: if entry.is_dead { FollowUpState::Dead } else { FollowUpState::Waiting },
        attempts: entry.attempts,
        due: entry.due,
        queued_at: entry.queued_at,
        last_error: entry.last_error,
    })
}
