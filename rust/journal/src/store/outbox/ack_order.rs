//! The order in which acks came, and the positions in it of sinks that receive every ack.
//!
//! An ack gets its number in the transaction that stores it, and write transactions run one after the other. So a reader that has
//! seen a number has seen every lower one.

use std::ops::Bound;

use heed::{RoTxn, RwTxn};

use crate::frame::array;
use crate::store::db::tables::{Tables, sealed, sealed_seq, seq_key, tail_seq, unsealed};
use crate::{Error, Result};

/// The number given last.
pub(crate) fn last(txn: &RoTxn, tables: &Tables) -> Result<u64> {
    tables.ack_order.last(txn)?.map_or(Ok(0), |(key, _)| tail_seq(key))
}

/// Gives the ack of a record its number.
pub(crate) fn list(txn: &mut RwTxn, tables: &Tables, number: u64, seq: u64) -> Result<()> {
    let key = seq_key(number);
    Ok(tables.ack_order.put(txn, &key, &sealed_seq(&key, seq))?)
}

/// The record whose ack has a number, if the entry's seal is right.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Result<u64> {
    let seq = tail_seq(value)?;
    if sealed_seq(key, seq)[..] == *value {
        return Ok(seq);
    }
    Err(Error::Corrupt(
        "an entry in the order of acks does not match its checksum; salvage makes the order anew".into(),
    ))
}

/// Up to `limit` acks behind a number, each with its own and its record's.
pub(crate) fn after(txn: &RoTxn, tables: &Tables, number: u64, limit: usize) -> Result<Vec<(u64, u64)>> {
    let from = seq_key(number);
    let entries = tables.ack_order.range(txn, &(Bound::Excluded(&from[..]), Bound::Unbounded))?.take(limit);
    entries
        .map(|entry| {
            let (key, value) = entry?;
            Ok((tail_seq(key)?, record(key, value)?))
        })
        .collect()
}

/// Numbers whatever acks have none yet, in the order of their records: those of before there was an order.
pub(crate) fn list_missing(txn: &mut RwTxn, tables: &Tables) -> Result<()> {
    let mut listed = std::collections::HashSet::new();
    for entry in tables.ack_order.iter(txn)? {
        listed.insert(tail_seq(entry?.1)?);
    }
    let mut missing = Vec::new();
    for entry in tables.acks.iter(txn)? {
        let seq = tail_seq(entry?.0)?;
        if !listed.contains(&seq) {
            missing.push(seq);
        }
    }
    let before = last(txn, tables)?;
    for (number, seq) in (before + 1..).zip(missing) {
        list(txn, tables, number, seq)?;
    }
    Ok(())
}

/// How far a sink has come that is given every ack; `None` for the others.
pub(crate) fn position(txn: &RoTxn, tables: &Tables, sink: u32) -> Result<Option<u64>> {
    let key = sink.to_be_bytes();
    tables.positions.get(txn, &key)?.map(|stored| read_position(&key, stored)).transpose()
}

/// What an entry of `positions` says.
pub(crate) fn read_position(key: &[u8], stored: &[u8]) -> Result<u64> {
    let value = unsealed(key, stored).filter(|value| value.len() == 8);
    let value = value.ok_or_else(|| Error::Corrupt("the position of a sink does not match its checksum".into()))?;
    Ok(u64::from_le_bytes(array(value, 0)))
}

pub(crate) fn set_position(txn: &mut RwTxn, tables: &Tables, sink: u32, number: u64) -> Result<()> {
    let key = sink.to_be_bytes();
    Ok(tables.positions.put(txn, &key, &sealed(&key, number.to_le_bytes().to_vec()))?)
}

pub(crate) fn forget_position(txn: &mut RwTxn, tables: &Tables, sink: u32) -> Result<()> {
    tables.positions.delete(txn, &sink.to_be_bytes())?;
    Ok(())
}

/// The sinks that are given every ack.
pub(crate) fn takers(txn: &RoTxn, tables: &Tables) -> Result<Vec<u32>> {
    let sink = |key: &[u8]| key.try_into().map(u32::from_be_bytes);
    let malformed = |_| Error::Corrupt("a key of the store is malformed".into());
    tables.positions.iter(txn)?.map(|entry| sink(entry?.0).map_err(malformed)).collect()
}

/// Up to `limit` acks that a sink has not been given yet; none for sinks that are not given every ack.
pub(crate) fn unseen(txn: &RoTxn, tables: &Tables, sink: u32, limit: usize) -> Result<Vec<(u64, u64)>> {
    position(txn, tables, sink)?.map_or(Ok(Vec::new()), |position| after(txn, tables, position, limit))
}

/// How many those are in all.
pub(crate) fn backlog(txn: &RoTxn, tables: &Tables, sink: u32) -> Result<u64> {
    let last = last(txn, tables)?;
    Ok(position(txn, tables, sink)?.map_or(0, |position| last.saturating_sub(position)))
}
