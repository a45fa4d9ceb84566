//! The sender's side: follow-ups are claimed, sent, and removed or kept for another time.

use super::entry::Entry;
use super::queue::{FollowUpKey, due, first_due, put};
use super::{Failure, FollowUp, read};
use crate::Result;
use crate::store::Store;

/// Follow-ups of one record that are claimed at once.
const RUN: usize = 32;

impl Store {
    /// Takes follow-ups for sending: of up to `limit` records and requests that are due the first ones, in order, and of no more than
    /// `max_bytes` in all (one is always given). They are due again `lease_ms` from now, should nobody say how it went.
    pub fn claim_followups(&self, limit: usize, lease_ms: u64, now_ms: u64, max_bytes: usize) -> Result<Vec<FollowUp>> {
        if self.db().read(|txn, tables| due(txn, tables, now_ms, 1))?.is_empty() {
            return Ok(Vec::new());
        }
        self.db().write(|txn, tables| {
            let (mut claimed, mut bytes) = (Vec::new(), 0);
            for (work, queue) in due(txn, tables, now_ms, limit)? {
                // A place that no follow-up accounts for any more: what stood there cannot be read.
                if queue.listing(txn, tables)? != Some(work) {
                    tables.followup_work.delete(txn, &work)?;
                    continue;
                }
                let mut run = Vec::new();
                for (key, entry) in queue.waiting(txn, tables, taker(RUN, now_ms))? {
                    bytes += entry.payload.len();
                    if bytes > max_bytes && !(claimed.is_empty() && run.is_empty()) {
                        break;
                    }
                    run.push((key, entry));
                }
                let Some((first, head)) = run.first().cloned() else { break };
                let leased = Entry { due: now_ms.saturating_add(lease_ms), ..head };
                queue.change(txn, tables, |txn| put(txn, tables, &first, &leased))?;
                for (key, entry) in run {
                    let followup = read(txn, tables, queue, key, entry)?;
                    // Without a readable request id it waits for `check` to be heeded.
                    if followup.request.is_some() {
                        claimed.push(followup);
                    }
                }
                if bytes > max_bytes {
                    break;
                }
            }
            Ok(claimed)
        })
    }

    /// `PromptLayer` has them: they are removed.
    pub fn followups_done(&self, keys: &[FollowUpKey]) -> Result<()> {
        self.edit(keys, |_, _| None)
    }

    /// Tries that failed: the follow-ups wait until told, or are dead.
    pub fn followups_failed(&self, failures: &[Failure]) -> Result<()> {
        let keys: Vec<_> = failures.iter().map(|failure| failure.key).collect();
        self.edit(&keys, |at, entry| {
            let Failure { error, not_before, dead, .. } = &failures[at];
            let attempts = entry.attempts.saturating_add(1);
            Some(Entry { attempts, due: *not_before, is_dead: *dead, last_error: error.clone(), ..entry })
        })
    }

    /// Gives back what was claimed and not tried: due at once.
    pub fn release_followups(&self, keys: &[FollowUpKey]) -> Result<()> {
        self.edit(keys, |_, entry| Some(Entry { due: 0, ..entry }))
    }

    /// When the next follow-up is due that may be sent, in milliseconds since the epoch; 0: it always was.
    pub fn next_followup_due(&self) -> Result<Option<u64>> {
        self.db().read(first_due)
    }

    /// As [`Store::mend_waits`]: moves the waits along with a clock that was set from `before` to `after`, and makes none longer than
    /// `longest_ms`.
    pub fn mend_followups(&self, before: u64, after: u64, longest_ms: u64) -> Result<u64> {
        let last = after.saturating_add(longest_ms);
        let mended = |at: u64| if at > before { (at - before).saturating_add(after).min(last) } else { at };
        let keys = self.db().read(|txn, tables| {
            let mut moved = Vec::new();
            for (_, queue) in due(txn, tables, u64::MAX, usize::MAX)? {
                let waiting = queue.waiting(txn, tables, |_| true)?.into_iter();
                moved.extend(waiting.filter(|(_, entry)| mended(entry.due) != entry.due).map(|(key, _)| key));
            }
            Ok(moved)
        })?;
        self.edit(&keys, |_, entry| Some(Entry { due: mended(entry.due), ..entry }))?;
        Ok(keys.len() as u64)
    }
}

/// Lets the first `most` follow-ups through, up to one that has to wait itself.
fn taker(most: usize, now_ms: u64) -> impl FnMut(&Entry) -> bool {
    let mut left = most;
    move |entry| {
        let taken = left > 0 && entry.due <= now_ms;
        left -= usize::from(taken);
        taken
    }
}
