//! Takes records back from hubs.

use super::{BATCH, carried, written};
use crate::state::State;
use crate::store::Store;
use crate::store::records::transition::{Change, load};
use crate::{Millis, Result, Seq};

impl Store {
    /// carried or received -> in doubt, due now: the records are looked up before they are sent. Returns how many.
    ///
    /// The caller holds the lock of the sender.
    pub fn take_back(&self) -> Result<u64> {
        let seqs = self.db().read(|txn, trees| {
            let mut seqs = self.all_parked(txn, trees, State::InDoubt)?;
            // A record without content cannot be sent.
            seqs.retain(|seq| load(txn, trees, *seq).is_ok_and(|row| row.custody().is_some() && !row.is_pruned()));
            Ok(seqs)
        })?;
        for batch in seqs.chunks(BATCH) {
            self.db().in_room(|| self.take_back_batch(batch))?;
        }
        Ok(seqs.len() as u64)
    }

    fn take_back_batch(&self, seqs: &[Seq]) -> Result<()> {
        self.db().write(|txn, trees| {
            let since = written::next_number(txn, trees)?;
            let mut change = Change::begin(txn, trees, Millis::now())?;
            for seq in seqs {
                let mut entry = carried::get(change.txn, trees, *seq)?;
                carried::renew(&mut entry, since);
                carried::put(change.txn, trees, *seq, &entry)?;
                change.update(*seq, |row| {
                    row.not_before = Millis::EPOCH;
                    "taken back from a hub, which may have sent it".clone_into(&mut row.last_error);
                })?;
            }
            change.finish()
        })
    }
}
