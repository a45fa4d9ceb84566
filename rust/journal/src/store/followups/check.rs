//! Checks follow-ups and their work list.

use heed::RoTxn;

use super::entry::FollowUpEntry;
use super::queue::{FollowUpKey, Queue, is_listed_dead};
use super::sent::SentEntry;
use crate::Result;
use crate::store::db::trees::{Trees, without_seal};
use crate::store::records::transition::load;

/// The problems of follow-ups and their work list, in words.
pub(crate) fn problems(txn: &RoTxn, trees: &Trees) -> Result<Vec<&'static str>> {
    let mut found = Vec::new();
    let (mut listed, mut last) = (0, None);
    for stored in trees.followups.iter(txn)? {
        let (key, value) = stored?;
        let (Some(queue), Ok(entry)) = (Queue::of(key), FollowUpEntry::decode(key, value)) else {
            found.push("a follow-up is damaged");
            continue;
        };
        if matches!(queue, Queue::Record(seq) if load(txn, trees, seq).is_err()) {
            found.push("a follow-up has no record");
        }
        let whole = FollowUpKey::try_from(key).ok();
        if whole.map(|key| is_listed_dead(txn, trees, &key)).transpose()? != Some(entry.is_dead) {
            found.push("the list of dead follow-ups does not match them");
        }
        listed += u64::from(entry.is_dead);
        if last != Some(queue) {
            last = Some(queue);
            let place = queue.work_key(txn, trees)?;
            listed += u64::from(place.is_some());
            if let Some(place) = place
                && trees.followup_work.get(txn, &place)?.is_none()
            {
                found.push("follow-ups that may be sent are not in the work list");
            }
        }
    }
    if trees.followup_work.len(txn)? != listed {
        found.push("the work list of follow-ups has entries without a follow-up");
    }
    for entry in trees.followup_work.iter(txn)? {
        let (key, value) = entry?;
        if without_seal(key, value).is_none() {
            found.push("an entry of the work list of follow-ups is damaged");
        }
    }
    for stored in trees.followups_sent.iter(txn)? {
        let (key, value) = stored?;
        let (Some(queue), Ok(_)) = (Queue::of(key), SentEntry::decode(key, value)) else {
            found.push("a sent follow-up is damaged");
            continue;
        };
        if matches!(queue, Queue::Record(seq) if load(txn, trees, seq).is_err()) {
            found.push("a sent follow-up has no record");
        }
        if trees.followups.get(txn, key)?.is_some() {
            found.push("a follow-up was sent, and waits too");
        }
    }
    Ok(found)
}
