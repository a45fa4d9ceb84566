//! Stores acks within a transaction.

use super::{ack_order, request_index};
use crate::ids::{ServerId, SinkId};
use crate::state::State;
use crate::store::callbacks::{CallbackEntry, EntryKey};
use crate::store::db::trees::{seq_key, with_seal};
use crate::store::records::row::Ack;
use crate::store::records::transition::{Change, load};
use crate::store::{followups, servers};
use crate::{RequestId, Result, Seq};

/// Stores acks of the bound server, each with its number, its index entry and its callback entry, and releases the follow-ups. A record
/// that is acked keeps its id, and a call without a request id its state. Returns how many acks of calls were new.
pub(crate) fn store(change: &mut Change, acks: &[(Seq, Option<RequestId>)]) -> Result<u64> {
    let trees = change.trees;
    let (mut new, mut runs) = (0, 0);
    let mut number = ack_order::last(change.txn, trees)?.max(change.counts.last_ack);
    let bound = servers::bound(change.txn, trees)?;
    let server = bound.as_ref().map_or(ServerId::UNKNOWN, |server| server.id);
    for &(seq, request_id) in acks {
        let row = load(change.txn, trees, seq)?;
        let ack = match request_id {
            _ if row.is_run() => Ack::of_run(change.now, server),
            Some(request_id) => Ack { request_id, at: change.now, server },
            None => continue,
        };
        if row.state == State::Acked {
            continue;
        }
        let row = change.update(seq, |row| {
            row.state = State::Acked;
            row.last_error.clear();
        })?;
        trees.acks.put(change.txn, &seq_key(seq), &with_seal(&seq_key(seq), ack.encode()))?;
        if row.is_run() {
            runs += 1;
            continue;
        }
        let Ack { request_id, .. } = ack;
        request_index::list(change.txn, trees, request_id, seq)?;
        number += 1;
        ack_order::list(change.txn, trees, number, seq)?;
        if row.sink != SinkId::NONE && !row.is_forgotten() {
            EntryKey::owned(row.sink, seq, row.writer).put(change.txn, trees, &CallbackEntry::default())?;
        }
        followups::queue::release(change.txn, trees, seq)?;
        new += 1;
    }
    if let Some(server) = bound {
        servers::count_acks(change.txn, trees, server, new, change.now)?;
    }
    if runs > 0 {
        servers::note_use(change.txn, trees, change.now)?;
    }
    Ok(new)
}
