//! The servers that records were sent to, and the binding of the journal to one of them.
//!
//! An ack has the number of its server. A record in doubt belongs to the bound server, unless `elsewhere` lists it.

mod binding;
pub(crate) mod check;
pub(crate) mod elsewhere;
mod stats;
mod withdraw;

use std::collections::BTreeMap;

use heed::{RoTxn, RwTxn};

pub use binding::{Account, Bind};
pub(crate) use binding::{BOUND, LAST_RUN, SECRET, bound, read_bound, read_secret, set_bound};
pub use stats::ServerStats;
pub(crate) use stats::stats;
pub use withdraw::Withdrawn;

use crate::frame::array;
use crate::ids::ServerId;
use crate::store::db::trees::{Trees, seq_key, server_key, with_seal, without_seal};
use crate::store::followups::queue::Queue;
use crate::store::records::row::Ack;
use crate::{Millis, Result};

/// flags u8 | 0 x 3 | account 16 bytes | first ack u64 | last ack u64 | acked records u64 | URL
const FIXED: usize = 44;
const STAND_IN: u8 = 1;

/// A server, and the account there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The number of the server in this journal.
    pub id: ServerId,
    /// The URL as it may be shown.
    pub url: String,
    /// A keyed hash of the URL and the API key.
    pub account: [u8; 16],
    /// Whether the server is a stand-in for tests, which has nothing but test data.
    pub is_stand_in: bool,
    /// When the first request id arrived, or it received the first follow-up or run; [`Millis::EPOCH`] before that, and while all
    /// deliveries are withdrawn.
    pub first: Millis,
    /// When the newest of these arrived; [`Millis::EPOCH`] before the first. It outlives the withdrawal.
    pub last: Millis,
    /// Records that have a request id of this server.
    pub acked: u64,
}

impl Server {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.url.len());
        bytes.extend_from_slice(&[if self.is_stand_in { STAND_IN } else { 0 }, 0, 0, 0]);
        bytes.extend_from_slice(&self.account);
        for number in [self.first.0, self.last.0, self.acked] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(self.url.as_bytes());
        bytes
    }

    /// The server in an entry of the tree, if its seal is right.
    pub(crate) fn read(key: &[u8], stored: &[u8]) -> Option<Self> {
        let id = ServerId(u32::from_be_bytes(key.try_into().ok()?));
        let bytes = without_seal(key, stored).filter(|bytes| bytes.len() >= FIXED)?;
        Some(Self {
            id,
            url: String::from_utf8(bytes[FIXED..].to_vec()).ok()?,
            account: array(bytes, 4),
            is_stand_in: bytes[0] & STAND_IN != 0,
            first: Millis(u64::from_le_bytes(array(bytes, 20))),
            last: Millis(u64::from_le_bytes(array(bytes, 28))),
            acked: u64::from_le_bytes(array(bytes, 36)),
        })
    }

    /// Whether both are one workspace. The data of stand-ins counts as one: it is test data.
    pub(crate) fn shares_workspace(&self, other: &Self) -> bool {
        self.id == other.id || (self.is_stand_in && other.is_stand_in)
    }
}

/// The server with a number; `None` for an unknown server, or a damaged entry.
pub(crate) fn get(txn: &RoTxn, trees: &Trees, id: ServerId) -> Result<Option<Server>> {
    let key = server_key(id);
    Ok(trees.servers.get(txn, &key)?.and_then(|stored| Server::read(&key, stored)))
}

/// All servers whose entries can be read.
pub(crate) fn all(txn: &RoTxn, trees: &Trees) -> Result<Vec<Server>> {
    let mut found = Vec::new();
    for entry in trees.servers.iter(txn)? {
        let (key, stored) = entry?;
        found.extend(Server::read(key, stored));
    }
    Ok(found)
}

pub(crate) fn put(txn: &mut RwTxn, trees: &Trees, server: &Server) -> Result<()> {
    let key = server_key(server.id);
    Ok(trees.servers.put(txn, &key, &with_seal(&key, server.encode()))?)
}

/// Why the follow-ups of a queue must not be sent to the bound server: their request is at another one. An unknown server counts as the
/// first one that the journal was bound to.
pub(crate) fn foreign_request(
    txn: &RoTxn,
    trees: &Trees,
    queue: Queue,
    bound: Option<&Server>,
) -> Result<Option<String>> {
    let (Queue::Record(seq), Some(bound)) = (queue, bound) else { return Ok(None) };
    let key = seq_key(seq);
    let ack = trees.acks.get(txn, &key)?.and_then(|stored| without_seal(&key, stored)).and_then(Ack::read);
    let Some(ack) = ack else { return Ok(None) };
    let server = match ack.server {
        ServerId::UNKNOWN => trees.servers.first(txn)?.and_then(|(key, stored)| Server::read(key, stored)),
        known => get(txn, trees, known)?,
    };
    let foreign = server.filter(|server| !server.shares_workspace(bound));
    Ok(foreign.map(|server| {
        let here = if server.url == bound.url { "it with another API key" } else { &bound.url };
        format!("its request is at {}, and this journal sends to {here}", server.url)
    }))
}

/// Counts new acks of a server.
pub(crate) fn count_acks(txn: &mut RwTxn, trees: &Trees, mut server: Server, new: u64, now: Millis) -> Result<()> {
    if new == 0 {
        return Ok(());
    }
    if server.first == Millis::EPOCH {
        server.first = now;
    }
    (server.last, server.acked) = (now, server.acked + new);
    put(txn, trees, &server)
}

/// Counts the acks of each server anew.
pub(crate) fn recount(txn: &mut RwTxn, trees: &Trees) -> Result<()> {
    let mut acked: BTreeMap<ServerId, u64> = BTreeMap::new();
    for entry in trees.acks.iter(txn)? {
        let (key, stored) = entry?;
        if let Some(ack) = without_seal(key, stored).and_then(Ack::read).filter(|ack| ack.is_of_call()) {
            *acked.entry(ack.server).or_default() += 1;
        }
    }
    for server in all(txn, trees)? {
        let acked = acked.get(&server.id).copied().unwrap_or_default();
        put(txn, trees, &Server { acked, ..server })?;
    }
    Ok(())
}

/// Stores that the bound server is in use without a request id: it received a follow-up, or a run that is not a call.
pub(crate) fn note_use(txn: &mut RwTxn, trees: &Trees, now: Millis) -> Result<()> {
    match bound(txn, trees)?.filter(|server| server.first == Millis::EPOCH) {
        Some(server) => put(txn, trees, &Server { first: now, last: now, ..server }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_back_under_its_own_key_only() {
        let server = Server {
            id: ServerId(7),
            url: "http://127.0.0.1:18090".into(),
            account: [9; 16],
            is_stand_in: true,
            first: Millis(1),
            last: Millis(2),
            acked: 3,
        };
        let stored = with_seal(&server_key(server.id), server.encode());
        assert_eq!(Server::read(&server_key(server.id), &stored), Some(server));
        assert_eq!(Server::read(&server_key(ServerId(8)), &stored), None);
    }
}
