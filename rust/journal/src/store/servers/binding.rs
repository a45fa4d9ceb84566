//! The binding of the journal to one server and account.

use heed::{RoTxn, RwTxn};

use super::{Server, all, elsewhere, get, put};
use crate::frame::array;
use crate::ids::ServerId;
use crate::state::State;
use crate::store::db::trees::{Trees, server_key, with_seal, without_seal};
use crate::store::outbox::away::Away;
use crate::store::outbox::parked_records;
use crate::store::records::transition::Change;
use crate::store::{Store, followups};
use crate::{Error, Millis, Result, Seq};

/// server u32 | seal
pub(crate) const BOUND: &[u8] = b"bound";
/// 16 random bytes | seal
pub(crate) const SECRET: &[u8] = b"secret";
/// text
pub(crate) const LAST_RUN: &[u8] = b"last run";

/// A server and an account that a sender is about to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The server's URL as it may be shown.
    pub url: String,
    /// A hash of the URL and the API key, keyed with [`Store::secret`].
    pub account: [u8; 16],
    /// Whether the server responds as a stand-in for tests.
    pub is_stand_in: bool,
}

/// How a journal changes from its bound server to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// It does not, once records were sent to the bound server.
    Refuse,
    /// The bound server has a new API key for the same workspace.
    Rotate,
    /// Another workspace. Records in doubt stay with the server that they were sent to.
    Leave,
}

/// The server that the journal is bound to.
pub(crate) fn bound(txn: &RoTxn, trees: &Trees) -> Result<Option<Server>> {
    let Some(stored) = trees.meta.get(txn, BOUND)? else { return Ok(None) };
    read_bound(stored).map_or(Ok(None), |id| get(txn, trees, id))
}

pub(crate) fn read_bound(stored: &[u8]) -> Option<ServerId> {
    let value = without_seal(BOUND, stored).filter(|value| value.len() == 4)?;
    Some(ServerId(u32::from_le_bytes(array(value, 0))))
}

pub(crate) fn set_bound(txn: &mut RwTxn, trees: &Trees, id: ServerId) -> Result<()> {
    Ok(trees.meta.put(txn, BOUND, &with_seal(BOUND, id.0.to_le_bytes().to_vec()))?)
}

pub(crate) fn read_secret(stored: &[u8]) -> Option<[u8; 16]> {
    without_seal(SECRET, stored).and_then(|value| value.try_into().ok())
}

impl Store {
    /// A random key of this journal, for the hashes in [`Account`]. Made at the first call.
    pub fn secret(&self) -> Result<[u8; 16]> {
        let stored = |txn: &RoTxn, trees: &Trees| Ok(trees.meta.get(txn, SECRET)?.and_then(read_secret));
        if let Some(secret) = self.db().read(stored)? {
            return Ok(secret);
        }
        self.db().write(|txn, trees| {
            // Another process may have made it since.
            if let Some(secret) = stored(txn, trees)? {
                return Ok(secret);
            }
            let mut secret = [0; 16];
            getrandom::fill(&mut secret).map_err(|_| Error::Internal("the system has no random bytes"))?;
            trees.meta.put(txn, SECRET, &with_seal(SECRET, secret.to_vec()))?;
            Ok(secret)
        })
    }

    /// Binds the journal to an account. Returns the bound server instead if the journal stays with it: another account, `how` is
    /// [`Bind::Refuse`], and records were sent to the bound server. Stand-ins count as one account.
    ///
    /// The caller holds the lock of the sender, so that every leased record is one of a dead sender.
    pub fn bind(&self, account: &Account, how: Bind) -> Result<Option<Server>> {
        let is_bound = self.db().read(|txn, trees| {
            let bound = bound(txn, trees)?;
            Ok(bound.is_some_and(|server| {
                server.account == account.account && (server.is_stand_in || !account.is_stand_in)
            }))
        })?;
        if is_bound {
            return Ok(None);
        }
        self.db().write(|txn, trees| bind(txn, trees, account, how))
    }

    /// The report of the last run of a sender, in the words of the sender.
    pub fn last_run(&self) -> Result<Option<Vec<u8>>> {
        self.db().read(|txn, trees| Ok(trees.meta.get(txn, LAST_RUN)?.map(<[u8]>::to_vec)))
    }

    /// Replaces that report.
    pub fn set_last_run(&self, report: &[u8]) -> Result<()> {
        self.db().write(|txn, trees| Ok(trees.meta.put(txn, LAST_RUN, report)?))
    }
}

fn bind(txn: &mut RwTxn, trees: &Trees, account: &Account, how: Bind) -> Result<Option<Server>> {
    let known = all(txn, trees)?.into_iter().find(|server| server.account == account.account);
    let old = bound(txn, trees)?;
    if let Some(old) = &old
        && old.account != account.account
    {
        let is_same_test_data = old.is_stand_in && account.is_stand_in;
        if !has_sent(txn, trees, old)? {
            // Nothing is there, so no record can be confused. Programs may still hold request ids of withdrawn deliveries.
            if old.last != Millis::EPOCH && !is_same_test_data {
                refuse_bare(txn, trees, old, account)?;
            }
            trees.servers.delete(txn, &server_key(old.id))?;
        } else if how == Bind::Rotate && known.is_none() {
            put(txn, trees, &Server { account: account.account, url: account.url.clone(), ..old.clone() })?;
            return Ok(None);
        } else if !is_same_test_data {
            if how == Bind::Refuse {
                return Ok(Some(old.clone()));
            }
            leave(txn, trees, old)?;
            refuse_bare(txn, trees, old, account)?;
        }
    }
    let new = match known {
        Some(server) => Server { is_stand_in: server.is_stand_in || account.is_stand_in, ..server },
        None => Server {
            id: next_id(txn, trees)?,
            url: account.url.clone(),
            account: account.account,
            is_stand_in: account.is_stand_in,
            first: Millis::EPOCH,
            last: Millis::EPOCH,
            acked: 0,
        },
    };
    put(txn, trees, &new)?;
    set_bound(txn, trees, new.id)?;
    // Records in doubt at this server can be looked up again.
    for seq in elsewhere::of(txn, trees, new.id)? {
        elsewhere::remove(txn, trees, seq)?;
    }
    Ok(None)
}

/// Makes the waiting follow-ups of bare request ids dead: these ids are of the old server.
fn refuse_bare(txn: &mut RwTxn, trees: &Trees, old: &Server, new: &Account) -> Result<()> {
    let key = if old.url == new.url { ", with another API key" } else { "" };
    followups::refuse_bare(txn, trees, &format!("it was queued for {}{key}", old.url))
}

/// Whether a record may have reached the bound server.
fn has_sent(txn: &RoTxn, trees: &Trees, bound: &Server) -> Result<bool> {
    Ok(bound.first != Millis::EPOCH || !unclear(txn, trees)?.is_empty())
}

/// Records that were sent to the bound server without a clear response.
fn unclear(txn: &RoTxn, trees: &Trees) -> Result<Vec<Seq>> {
    let mut seqs = parked_records(txn, trees, State::Leased)?;
    seqs.extend(Away::load(txn, trees)?.in_doubt_here(txn, trees)?);
    Ok(seqs)
}

/// Leaves every record in doubt to the server that it was sent to.
fn leave(txn: &mut RwTxn, trees: &Trees, old: &Server) -> Result<()> {
    let seqs = unclear(txn, trees)?;
    let mut change = Change::begin(txn, trees, Millis::now())?;
    for seq in seqs {
        change.update(seq, |row| {
            if row.state == State::Leased {
                row.state = State::InDoubt;
                row.last_error = "its sender stopped before the response was stored".into();
            }
            row.not_before = Millis::EPOCH;
        })?;
        elsewhere::put(change.txn, trees, seq, old.id)?;
    }
    change.finish()
}

/// The number after the last one. Entries whose seal is damaged count too.
fn next_id(txn: &RoTxn, trees: &Trees) -> Result<ServerId> {
    let last = trees.servers.last(txn)?.and_then(|(key, _)| key.try_into().ok()).map_or(0, u32::from_be_bytes);
    Ok(ServerId(last.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binding_is_sealed() {
        let mut stored = with_seal(BOUND, 3_u32.to_le_bytes().to_vec());
        assert_eq!(read_bound(&stored), Some(ServerId(3)));
        stored[0] ^= 1;
        assert_eq!(read_bound(&stored), None);
    }
}
