//! The index of request ids. Two servers may send one id for two records, so an id leads to one record or more.
//!
//! The first record of an id has the key `request id`. Each further one has the key `request id | seq`.

use heed::{MdbError, PutFlags, RoTxn, RwTxn};

use crate::store::db::trees::{Trees, request_key, second_request_key, seq_key, tail_seq, without_seal};
use crate::store::records::counts::Counts;
use crate::store::records::row::Ack;
use crate::{RequestId, Result, Seq};

/// Lists a record under its request id.
pub(crate) fn list(txn: &mut RwTxn, trees: &Trees, request: RequestId, seq: Seq) -> Result<()> {
    match trees.by_request.put_with_flags(txn, PutFlags::NO_OVERWRITE, &request_key(request), &seq_key(seq)) {
        Err(heed::Error::Mdb(MdbError::KeyExist)) if has(txn, trees, request, seq)? => Ok(()),
        Err(heed::Error::Mdb(MdbError::KeyExist)) => {
            Ok(trees.by_request.put(txn, &second_request_key(request, seq), &seq_key(seq))?)
        }
        listed => Ok(listed?),
    }
}

/// Whether a record is listed under a request id.
pub(crate) fn has(txn: &RoTxn, trees: &Trees, request: RequestId, seq: Seq) -> Result<bool> {
    let is_first = trees.by_request.get(txn, &request_key(request))? == Some(&seq_key(seq)[..]);
    Ok(is_first || trees.by_request.get(txn, &second_request_key(request, seq))? == Some(&seq_key(seq)[..]))
}

/// Removes a record from the index.
pub(crate) fn remove(txn: &mut RwTxn, trees: &Trees, request: RequestId, seq: Seq) -> Result<()> {
    if trees.by_request.get(txn, &request_key(request))? == Some(&seq_key(seq)[..]) {
        trees.by_request.delete(txn, &request_key(request))?;
    }
    trees.by_request.delete(txn, &second_request_key(request, seq))?;
    Ok(())
}

/// The records that have a request id, the first one first.
pub(crate) fn records(txn: &RoTxn, trees: &Trees, request: RequestId) -> Result<Vec<Seq>> {
    let entries = trees.by_request.prefix_iter(txn, &request_key(request))?;
    entries.map(|entry| tail_seq(entry?.1)).collect()
}

/// Records with an ack that are not listed: an earlier version kept one record of each id.
pub(crate) fn missing(txn: &RoTxn, trees: &Trees) -> Result<Vec<(RequestId, Seq)>> {
    let mut found = Vec::new();
    if trees.by_request.len(txn)? + Counts::load(txn, trees)?.acked_runs() == trees.acks.len(txn)? {
        return Ok(found);
    }
    for entry in trees.acks.iter(txn)? {
        let (key, stored) = entry?;
        let seq = tail_seq(key)?;
        if let Some(ack) = without_seal(key, stored).and_then(Ack::read).filter(|ack| ack.is_of_call())
            && !has(txn, trees, ack.request_id, seq)?
        {
            found.push((ack.request_id, seq));
        }
    }
    Ok(found)
}
