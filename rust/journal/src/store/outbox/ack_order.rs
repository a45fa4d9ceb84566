//! The order in which acks arrived, and the positions in it of subscribed sinks, which receive every ack.
//!
//! An ack gets its number in the transaction that stores it, and write transactions run one after the other. So a reader that has
//! seen a number has seen every lower number.

use std::collections::HashSet;
use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use crate::frame::array;
use crate::ids::SinkId;
use crate::store::db::trees::{
    Trees, number_key, sealed_seq, sink_key, tail_number, tail_seq, with_seal, without_seal,
};
use crate::store::records::counts::Counts;
use crate::store::records::row::Ack;
use crate::{Error, Result, Seq};

/// The number of the newest ack, also of a withdrawn one; 0 without one.
pub(crate) fn last(txn: &RoTxn, trees: &Trees) -> Result<u64> {
    let listed = trees.ack_order.last(txn)?.map_or(Ok(0), |(key, _)| tail_number(key))?;
    Ok(listed.max(Counts::load(txn, trees)?.last_ack))
}

/// Lists the ack of a record under its number.
pub(crate) fn list(txn: &mut RwTxn, trees: &Trees, number: u64, seq: Seq) -> Result<()> {
    let key = number_key(number);
    Ok(trees.ack_order.put(txn, &key, &sealed_seq(&key, seq))?)
}

/// The record whose ack an entry lists, if the entry's seal is right.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Result<Seq> {
    let seq = tail_seq(value)?;
    if sealed_seq(key, seq)[..] == *value {
        return Ok(seq);
    }
    Err(Error::Corrupt("an entry in the order of acks does not match its checksum; salvage rebuilds the order".into()))
}

/// Up to `limit` acks after a number: the number and the record of each.
pub(crate) fn after(txn: &RoTxn, trees: &Trees, number: u64, limit: usize) -> Result<Vec<(u64, Seq)>> {
    let from = number_key(number);
    let entries = trees.ack_order.range(txn, &(Bound::Excluded(&from[..]), Bound::Unbounded))?.take(limit);
    entries
        .map(|entry| {
            let (key, value) = entry?;
            Ok((tail_number(key)?, record(key, value)?))
        })
        .collect()
}

/// Lists the acks that an earlier version stored without a number, in the order of their records.
pub(crate) fn list_missing(txn: &mut RwTxn, trees: &Trees) -> Result<()> {
    let mut listed = HashSet::new();
    for entry in trees.ack_order.iter(txn)? {
        listed.insert(tail_seq(entry?.1)?);
    }
    let mut missing = Vec::new();
    for entry in trees.acks.iter(txn)? {
        let (key, stored) = entry?;
        let seq = tail_seq(key)?;
        let is_of_call = without_seal(key, stored).and_then(Ack::read).is_none_or(Ack::is_of_call);
        if is_of_call && !listed.contains(&seq) {
            missing.push(seq);
        }
    }
    let before = last(txn, trees)?;
    for (number, seq) in (before + 1..).zip(missing) {
        list(txn, trees, number, seq)?;
    }
    Ok(())
}

/// The number of the last ack that a subscribed sink received; `None` for sinks that are not subscribed.
pub(crate) fn position(txn: &RoTxn, trees: &Trees, sink: SinkId) -> Result<Option<u64>> {
    let key = sink_key(sink);
    trees.positions.get(txn, &key)?.map(|stored| read_position(&key, stored)).transpose()
}

/// The position in an entry of `positions`.
pub(crate) fn read_position(key: &[u8], stored: &[u8]) -> Result<u64> {
    let value = without_seal(key, stored).filter(|value| value.len() == 8);
    let value = value.ok_or_else(|| Error::Corrupt("the position of a sink does not match its checksum".into()))?;
    Ok(u64::from_le_bytes(array(value, 0)))
}

pub(crate) fn set_position(txn: &mut RwTxn, trees: &Trees, sink: SinkId, number: u64) -> Result<()> {
    let key = sink_key(sink);
    Ok(trees.positions.put(txn, &key, &with_seal(&key, number.to_le_bytes().to_vec()))?)
}

pub(crate) fn unsubscribe(txn: &mut RwTxn, trees: &Trees, sink: SinkId) -> Result<()> {
    trees.positions.delete(txn, &sink_key(sink))?;
    Ok(())
}

/// The subscribed sinks.
pub(crate) fn subscribers(txn: &RoTxn, trees: &Trees) -> Result<Vec<SinkId>> {
    let sink = |key: &[u8]| key.try_into().map(u32::from_be_bytes).map(SinkId);
    let malformed = |_| Error::Corrupt("a key of the store is malformed".into());
    trees.positions.iter(txn)?.map(|entry| sink(entry?.0).map_err(malformed)).collect()
}

/// Up to `limit` acks that a sink has not received yet; none for sinks that are not subscribed.
pub(crate) fn unreceived(txn: &RoTxn, trees: &Trees, sink: SinkId, limit: usize) -> Result<Vec<(u64, Seq)>> {
    position(txn, trees, sink)?.map_or(Ok(Vec::new()), |position| after(txn, trees, position, limit))
}

/// How many acks a sink has not received yet; 0 for sinks that are not subscribed.
pub(crate) fn backlog(txn: &RoTxn, trees: &Trees, sink: SinkId) -> Result<u64> {
    let Some(position) = position(txn, trees, sink)? else { return Ok(0) };
    let last = last(txn, trees)?;
    if Counts::load(txn, trees)?.last_ack <= position {
        return Ok(last.saturating_sub(position));
    }
    // The numbers of withdrawn acks are missing.
    let from = number_key(position);
    Ok(trees.ack_order.range(txn, &(Bound::Excluded(&from[..]), Bound::Unbounded))?.count() as u64)
}
