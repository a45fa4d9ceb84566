//! The sender's side: it claims follow-ups, and releases or fails them.

use std::time::Duration;

use super::entry::FollowUpEntry;
use super::queue::{FollowUpKey, due, first_due, put};
use super::{FollowUp, read, refuse};
use crate::store::Store;
use crate::store::outbox::Limits;
use crate::store::servers;
use crate::{ClockChange, Millis, Result};

/// Follow-ups of one record that are claimed at once.
const MAX_OF_RECORD: usize = 32;

/// A follow-up that could not be sent.
#[derive(Clone, Debug)]
pub struct FailedFollowUp {
    /// The follow-up.
    pub key: FollowUpKey,
    /// Why it could not be sent.
    pub error: String,
    /// When to try again.
    pub not_before: Millis,
    /// Whether the follow-up is dead: it is not tried again.
    pub dead: bool,
}

impl Store {
    /// Claims follow-ups: the first ones, in order, of the records and requests that are due. `limits` bounds the number of these and
    /// the bytes of payload; one follow-up is always returned. A follow-up that is not settled is due again `lease` from `now`.
    pub fn claim_followups(&self, limits: Limits, lease: Duration, now: Millis) -> Result<Vec<FollowUp>> {
        if self.db().read(|txn, trees| due(txn, trees, now, 1))?.is_empty() {
            return Ok(Vec::new());
        }
        self.db().write(|txn, trees| {
            let (mut claimed, mut bytes) = (Vec::new(), 0);
            let bound = servers::bound(txn, trees)?;
            for (work, queue) in due(txn, trees, now, limits.records)? {
                // An entry that no follow-up explains any more: the follow-up of this entry cannot be read.
                if queue.work_key(txn, trees)? != Some(work) {
                    trees.followup_work.delete(txn, &work)?;
                    continue;
                }
                if let Some(reason) = servers::foreign_request(txn, trees, queue, bound.as_ref())? {
                    for (key, entry) in queue.waiting(txn, trees, |_| true)? {
                        refuse(txn, trees, queue, &key, entry, &reason)?;
                    }
                    continue;
                }
                let mut of_record = Vec::new();
                for (key, entry) in queue.waiting(txn, trees, first_due_ones(MAX_OF_RECORD, now))? {
                    bytes += entry.payload.len() as u64;
                    if bytes > limits.bytes && !(claimed.is_empty() && of_record.is_empty()) {
                        break;
                    }
                    of_record.push((key, entry));
                }
                let Some((first, head)) = of_record.first().cloned() else { break };
                let leased = FollowUpEntry { due: now + lease, ..head };
                queue.change(txn, trees, |txn| put(txn, trees, &first, &leased))?;
                for (key, entry) in of_record {
                    let followup = read(txn, trees, queue, key, entry)?;
                    // Without a readable request id the follow-up waits until the journal is repaired.
                    if followup.request.is_some() {
                        claimed.push(followup);
                    }
                }
                if bytes > limits.bytes {
                    break;
                }
            }
            Ok(claimed)
        })
    }

    /// Stores failed tries: each follow-up waits until its time, or is dead.
    pub fn followups_failed(&self, failed: &[FailedFollowUp]) -> Result<()> {
        let keys: Vec<_> = failed.iter().map(|failed| failed.key).collect();
        self.edit(&keys, |at, entry| {
            let FailedFollowUp { error, not_before, dead, .. } = &failed[at];
            let attempts = entry.attempts.saturating_add(1);
            FollowUpEntry { attempts, due: *not_before, is_dead: *dead, last_error: error.clone(), ..entry }
        })
    }

    /// Releases claimed follow-ups that were not tried: they are due at once.
    pub fn release_followups(&self, keys: &[FollowUpKey]) -> Result<()> {
        self.edit(keys, |_, entry| FollowUpEntry { due: Millis::EPOCH, ..entry })
    }

    /// When the next follow-up that may be sent is due; [`Millis::EPOCH`] for one that never waited.
    pub fn next_followup_due(&self) -> Result<Option<Millis>> {
        self.db().read(first_due)
    }

    /// Like [`Store::shift_waits`], for follow-ups.
    pub fn shift_followup_waits(&self, clock: ClockChange, longest: Duration) -> Result<u64> {
        let keys = self.db().read(|txn, trees| {
            let mut moved = Vec::new();
            for (_, queue) in due(txn, trees, Millis::MAX, usize::MAX)? {
                let waiting = queue.waiting(txn, trees, |_| true)?.into_iter();
                let shifted = waiting.filter(|(_, entry)| clock.shift(entry.due, longest) != entry.due);
                moved.extend(shifted.map(|(key, _)| key));
            }
            Ok(moved)
        })?;
        self.edit(&keys, |_, entry| FollowUpEntry { due: clock.shift(entry.due, longest), ..entry })?;
        Ok(keys.len() as u64)
    }
}

/// A filter that accepts the first `max` follow-ups, up to the first one that is not due.
fn first_due_ones(max: usize, now: Millis) -> impl FnMut(&FollowUpEntry) -> bool {
    let mut left = max;
    move |entry| {
        let accepted = left > 0 && entry.due <= now;
        left -= usize::from(accepted);
        accepted
    }
}
