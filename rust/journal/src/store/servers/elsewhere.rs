//! Records in doubt that were sent to a server that the journal is no longer bound to. They are never looked up at, or sent to, the
//! bound server.

use std::collections::HashSet;

use heed::{RoTxn, RwTxn};

use crate::frame::array;
use crate::ids::ServerId;
use crate::store::db::trees::{Trees, seq_key, tail_seq, with_seal, without_seal};
use crate::{Result, Seq};

/// The records in doubt at other servers.
pub(crate) fn seqs(txn: &RoTxn, trees: &Trees) -> Result<HashSet<Seq>> {
    trees.elsewhere.iter(txn)?.map(|entry| tail_seq(entry?.0)).collect()
}

/// The server of an entry, if its seal is right.
pub(crate) fn read(key: &[u8], stored: &[u8]) -> Option<ServerId> {
    let value = without_seal(key, stored).filter(|value| value.len() == 4)?;
    Some(ServerId(u32::from_le_bytes(array(value, 0))))
}

/// The server that a record in doubt was sent to, if it is not the bound one. A damaged entry counts as an unknown server.
pub(crate) fn get(txn: &RoTxn, trees: &Trees, seq: Seq) -> Result<Option<ServerId>> {
    let key = seq_key(seq);
    Ok(trees.elsewhere.get(txn, &key)?.map(|stored| read(&key, stored).unwrap_or(ServerId::UNKNOWN)))
}

pub(crate) fn put(txn: &mut RwTxn, trees: &Trees, seq: Seq, server: ServerId) -> Result<()> {
    let key = seq_key(seq);
    Ok(trees.elsewhere.put(txn, &key, &with_seal(&key, server.0.to_le_bytes().to_vec()))?)
}

pub(crate) fn remove(txn: &mut RwTxn, trees: &Trees, seq: Seq) -> Result<()> {
    trees.elsewhere.delete(txn, &seq_key(seq))?;
    Ok(())
}

/// The records of one server.
pub(crate) fn of(txn: &RoTxn, trees: &Trees, server: ServerId) -> Result<Vec<Seq>> {
    let mut seqs = Vec::new();
    for entry in trees.elsewhere.iter(txn)? {
        let (key, stored) = entry?;
        if read(key, stored) == Some(server) {
            seqs.push(tail_seq(key)?);
        }
    }
    Ok(seqs)
}
