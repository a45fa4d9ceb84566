//! Withdraws deliveries: records that were sent to a server become pending again, to be sent to the bound server.

use std::collections::BTreeSet;
use std::ops::Bound;

use heed::RwTxn;

use super::{Server, elsewhere, get, put};
use crate::ids::{ServerId, SinkId};
use crate::state::{FLAG_RENEWED, State};
use crate::store::callbacks::EntryKey;
use crate::store::db::trees::{Trees, number_key, seq_key, tail_number, tail_seq, without_seal};
use crate::store::followups::queue::Queue;
use crate::store::outbox::{ack_order, parked_records, request_index};
use crate::store::records::row::{Ack, StateRow};
use crate::store::records::transition::{Change, load};
use crate::store::{Store, followups, servers};
use crate::{Millis, Result, Seq};

/// The number of acks in a transaction.
const BATCH: usize = 1000;

/// The result of [`Store::withdraw`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Records that are pending again.
    pub records: u64,
    /// Records that are not sent again, because the quota or the user removed their content.
    pub pruned: u64,
    /// Records that stay, because their callback is being called with the request id.
    pub busy: u64,
}

impl Store {
    /// acked or in doubt at these servers -> pending, due now. A record loses its request id, with the callbacks that wait for it.
    /// [`ServerId::UNKNOWN`] stands for the server of acks of earlier versions. `reason` is stored with each record.
    ///
    /// The caller holds the lock of the sender. An interrupted call withdrew a part of the records, each as a whole.
    pub fn withdraw(&self, from: &[ServerId], now: Millis, reason: &str) -> Result<Withdrawn> {
        let from: BTreeSet<ServerId> = from.iter().copied().collect();
        let mut total = Withdrawn::default();
        while self.db().write(|txn, trees| withdraw_runs(txn, trees, &from, now, reason))? {}
        let mut after = Some(0);
        while let Some(number) = after {
            after = self.db().write(|txn, trees| withdraw_acked(txn, trees, &from, number, now, reason, &mut total))?;
        }
        self.db().write(|txn, trees| withdraw_unclear(txn, trees, &from, now, reason, &mut total))?;
        Ok(total)
    }
}

/// Withdraws among the next acks after a number. Returns the number of the last one; `None` after all.
fn withdraw_acked(
    txn: &mut RwTxn,
    trees: &Trees,
    from: &BTreeSet<ServerId>,
    after: u64,
    now: Millis,
    reason: &str,
    total: &mut Withdrawn,
) -> Result<Option<u64>> {
    let (mut last, mut chosen) = (None, Vec::new());
    let first = number_key(after);
    for entry in trees.ack_order.range(txn, &(Bound::Excluded(&first[..]), Bound::Unbounded))?.take(BATCH) {
        let (key, value) = entry?;
        let number = tail_number(key)?;
        last = Some(number);
        let seq = ack_order::record(key, value)?;
        let key = seq_key(seq);
        let stored = trees.acks.get(txn, &key)?.and_then(|stored| without_seal(&key, stored)).and_then(Ack::read);
        if let Some(ack) = stored.filter(|ack| from.contains(&ack.server)) {
            chosen.push((number, seq, ack));
        }
    }
    if chosen.is_empty() {
        return Ok(last);
    }
    let subscribers = ack_order::subscribers(txn, trees)?;
    let newest = ack_order::last(txn, trees)?;
    let mut change = Change::begin(txn, trees, now)?;
    // No later ack gets the number of a withdrawn one: programs keep such numbers as cursors.
    change.counts.last_ack = newest;
    for (number, seq, ack) in chosen {
        let row = load(change.txn, trees, seq)?;
        let own = (row.sink != SinkId::NONE).then(|| EntryKey::owned(row.sink, seq, row.writer));
        let callbacks: Vec<_> =
            own.into_iter().chain(subscribers.iter().map(|sink| EntryKey::unowned(*sink, seq))).collect();
        let mut is_busy = false;
        for callback in &callbacks {
            is_busy |= callback.is_leased(change.txn, trees, now)?;
        }
        if row.is_pruned() || is_busy {
            *(if is_busy { &mut total.busy } else { &mut total.pruned }) += 1;
            continue;
        }
        for callback in callbacks {
            callback.remove(change.txn, trees)?;
        }
        // The follow-ups wait for the next request id.
        Queue::Record(seq).change(change.txn, trees, |txn| {
            trees.acks.delete(txn, &seq_key(seq))?;
            Ok(())
        })?;
        followups::restart(change.txn, trees, Queue::Record(seq))?;
        trees.ack_order.delete(change.txn, &number_key(number))?;
        request_index::remove(change.txn, trees, ack.request_id, seq)?;
        change.update(seq, |row| make_pending(row, reason))?;
        if let Some(mut server) = get(change.txn, trees, ack.server)? {
            server.acked = server.acked.saturating_sub(1);
            put(change.txn, trees, &server)?;
            note_disuse(&mut change, server)?;
        }
        total.records += 1;
    }
    change.finish()?;
    Ok(last)
}

/// Notes that all deliveries to a server are withdrawn, if they are.
fn note_disuse(change: &mut Change, server: Server) -> Result<()> {
    if server.acked > 0 || !run_acks(change, 1, |ack, _| ack.server == server.id)?.is_empty() {
        return Ok(());
    }
    put(change.txn, change.trees, &Server { first: Millis::EPOCH, ..server })
}

/// Up to `limit` acks of runs that are not calls, which fulfil a condition. The order of acks does not list them.
fn run_acks(change: &Change, limit: usize, condition: impl Fn(Ack, &StateRow) -> bool) -> Result<Vec<(Seq, Ack)>> {
    let mut found = Vec::new();
    if change.counts.acked_runs() == 0 {
        return Ok(found);
    }
    for entry in change.trees.acks.iter(change.txn)? {
        let (key, stored) = entry?;
        let Some(ack) = without_seal(key, stored).and_then(Ack::read).filter(|ack| !ack.is_of_call()) else { continue };
        let seq = tail_seq(key)?;
        if condition(ack, &load(change.txn, change.trees, seq)?) {
            found.push((seq, ack));
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

/// Withdraws runs that are not calls. Returns whether there may be more.
fn withdraw_runs(txn: &mut RwTxn, trees: &Trees, from: &BTreeSet<ServerId>, now: Millis, reason: &str) -> Result<bool> {
    let mut change = Change::begin(txn, trees, now)?;
    let chosen = run_acks(&change, BATCH, |ack, row| from.contains(&ack.server) && !row.is_pruned())?;
    if chosen.is_empty() {
        return Ok(false);
    }
    let mut left = BTreeSet::new();
    for (seq, ack) in &chosen {
        trees.acks.delete(change.txn, &seq_key(*seq))?;
        change.update(*seq, |row| make_pending(row, reason))?;
        left.insert(ack.server);
    }
    for server in left {
        if let Some(server) = get(change.txn, trees, server)? {
            note_disuse(&mut change, server)?;
        }
    }
    change.finish()?;
    Ok(chosen.len() == BATCH)
}

fn withdraw_unclear(
    txn: &mut RwTxn,
    trees: &Trees,
    from: &BTreeSet<ServerId>,
    now: Millis,
    reason: &str,
    total: &mut Withdrawn,
) -> Result<()> {
    let bound = servers::bound(txn, trees)?.map_or(ServerId::UNKNOWN, |server| server.id);
    let mut seqs: Vec<Seq> = parked_records(txn, trees, State::Leased)?;
    seqs.extend(parked_records(txn, trees, State::InDoubt)?);
    let mut change = Change::begin(txn, trees, now)?;
    for seq in seqs {
        if load(change.txn, trees, seq)?.custody().is_some() {
            continue;
        }
        let server = elsewhere::get(change.txn, trees, seq)?.unwrap_or(bound);
        if !from.contains(&server) {
            continue;
        }
        let row = change.update(seq, |row| make_pending(row, reason))?;
        if row.is_run() {
            continue;
        }
        // A forgotten record has no content to send, so it is dead now.
        *(if row.state == State::Pending { &mut total.records } else { &mut total.pruned }) += 1;
    }
    change.finish()
}

fn make_pending(row: &mut StateRow, reason: &str) {
    row.state = State::Pending;
    row.not_before = Millis::EPOCH;
    row.flags &= !FLAG_RENEWED;
    reason.clone_into(&mut row.last_error);
}
