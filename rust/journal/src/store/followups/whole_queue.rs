//! Changes of every follow-up of a record or request at once.

use heed::RwTxn;

use super::entry::FollowUpEntry;
use super::queue::{self, FollowUpKey, Queue, put};
use super::sent;
use crate::store::db::trees::Trees;
use crate::{Millis, Result};

/// Makes every follow-up of a record wait again, as if none had been tried: the record is sent again, to another server.
pub(crate) fn restart(txn: &mut RwTxn, trees: &Trees, queue: Queue) -> Result<()> {
    sent::resend(txn, trees, queue)?;
    for (key, entry) in queue.entries(txn, trees)?.into_iter().filter(|(_, entry)| entry.is_dead) {
        let waiting =
            FollowUpEntry { is_dead: false, attempts: 0, due: Millis::EPOCH, last_error: String::new(), ..entry };
        queue.change(txn, trees, |txn| put(txn, trees, &key, &waiting))?;
    }
    Ok(())
}

/// Removes every follow-up of a record or request, also sent and unreadable ones. Returns how many.
pub(crate) fn remove_all(txn: &mut RwTxn, trees: &Trees, queue: Queue) -> Result<u64> {
    let keys = trees.followups.prefix_iter(txn, &queue.prefix())?;
    let keys = keys.map(|entry| Ok(entry?.0.to_vec())).collect::<Result<Vec<_>>>()?;
    let sent = trees.followups_sent.prefix_iter(txn, &queue.prefix())?.count() as u64;
    sent::remove_sent(txn, trees, queue)?;
    queue.change(txn, trees, |txn| {
        for key in &keys {
            match FollowUpKey::try_from(&key[..]) {
                Ok(key) => queue::remove(txn, trees, &key)?,
                Err(_) => _ = trees.followups.delete(txn, key)?,
            }
        }
        Ok(())
    })?;
    Ok(sent + keys.len() as u64)
}
