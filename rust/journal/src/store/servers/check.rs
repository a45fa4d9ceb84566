//! Checks the servers, the binding, and the records in doubt elsewhere.

use std::collections::BTreeMap;

use heed::RoTxn;

use super::{BOUND, SECRET, Server, binding, elsewhere};
use crate::Result;
use crate::ids::ServerId;
use crate::state::State;
use crate::store::db::trees::{Trees, tail_number, tail_seq, without_seal};
use crate::store::records::row::Ack;
use crate::store::records::transition::load;

/// The problems of the entries about servers, in words.
pub(crate) fn problems(txn: &RoTxn, trees: &Trees) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut acked: BTreeMap<ServerId, u64> = BTreeMap::new();
    for entry in trees.acks.iter(txn)? {
        let (key, stored) = entry?;
        if let Some(ack) = without_seal(key, stored).and_then(Ack::read).filter(|ack| ack.is_of_call()) {
            *acked.entry(ack.server).or_default() += 1;
        }
    }
    acked.remove(&ServerId::UNKNOWN);
    let mut known = BTreeMap::new();
    for entry in trees.servers.iter(txn)? {
        let (key, stored) = entry?;
        let Some(server) = Server::read(key, stored) else {
            found.push("the entry of a server is damaged".to_owned());
            continue;
        };
        let counted = acked.remove(&server.id).unwrap_or_default();
        if counted != server.acked {
            found.push(format!("{} has {} acks, and {counted} are stored", server.url, server.acked));
        }
        known.insert(server.id, server);
    }
    if !acked.is_empty() {
        found.push("a request id is of a server that is not listed".to_owned());
    }
    let bound = trees.meta.get(txn, BOUND)?;
    if bound.is_some_and(|stored| binding::read_bound(stored).is_none_or(|id| !known.contains_key(&id))) {
        found.push("the server that the journal is bound to is damaged, or not listed".to_owned());
    }
    if trees.meta.get(txn, SECRET)?.is_some_and(|stored| binding::read_secret(stored).is_none()) {
        found.push("the key of its hashes is damaged, so it takes every API key for a new one".to_owned());
    }
    for entry in trees.elsewhere.iter(txn)? {
        let (key, stored) = entry?;
        let is_known = elsewhere::read(key, stored).is_some_and(|id| known.contains_key(&id));
        if !is_known || !load(txn, trees, tail_seq(key)?).is_ok_and(|row| row.state == State::InDoubt) {
            found.push("the server of a record in doubt is damaged, or the record is not in doubt".to_owned());
        }
    }
    Ok(found)
}

/// Request ids that several records of one server share, in words.
pub(crate) fn repeated_ids(txn: &RoTxn, trees: &Trees) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut last = None;
    for entry in trees.by_request.iter(txn)? {
        let (key, _) = entry?;
        // Only an id with several records has a key with a record.
        let Some(request) = key.first_chunk::<8>().map(|id| u64::from_be_bytes(*id)).filter(|_| key.len() > 8) else {
            continue;
        };
        if last == Some(request) {
            continue;
        }
        last = Some(request);
        found.extend(repeats(txn, trees, request)?);
    }
    Ok(found)
}

fn repeats(txn: &RoTxn, trees: &Trees, request: u64) -> Result<Vec<String>> {
    let mut by_server: BTreeMap<ServerId, Vec<String>> = BTreeMap::new();
    for entry in trees.by_request.prefix_iter(txn, &request.to_be_bytes())? {
        let seq = tail_number(entry?.1)?;
        let key = seq.to_be_bytes();
        let ack = trees.acks.get(txn, &key)?.and_then(|stored| without_seal(&key, stored)).and_then(Ack::read);
        if let (Some(ack), Ok(row)) = (ack, load(txn, trees, crate::Seq(seq))) {
            by_server.entry(ack.server).or_default().push(row.id.hex());
        }
    }
    let mut found = Vec::new();
    for (server, records) in by_server.into_iter().filter(|(_, records)| records.len() > 1) {
        let url = super::get(txn, trees, server)?.map_or_else(|| "an unknown server".to_owned(), |server| server.url);
        found.push(format!("request id {request} is of {} records of {url}: {}", records.len(), records.join(", ")));
    }
    Ok(found)
}
