//! The servers of the model, and the steps that bind the journal to one of them or withdraw its deliveries.

use std::collections::BTreeMap;

use plsync_journal::{Account, Bind, FLAG_RENEWED, Millis, ServerId, State, Withdrawn};

use crate::model::Model;
use crate::pair::Pair;

/// Accounts from this number on are of stand-ins.
const FIRST_STAND_IN: u8 = 3;
pub const ACCOUNTS: u8 = 4;

/// A server of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Modelled {
    pub account: u8,
    pub is_stand_in: bool,
    pub acked: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Servers {
    pub known: BTreeMap<u32, Modelled>,
    /// The number of the bound server; 0 without one.
    pub bound: u32,
}

impl Servers {
    /// Counts an ack, and returns the number of its server.
    pub fn count_ack(&mut self) -> ServerId {
        if let Some(server) = self.known.get_mut(&self.bound) {
            server.acked += 1;
        }
        ServerId(self.bound)
    }
}

impl Model {
    /// The number of the server that a record in doubt was sent to.
    fn unclear_at(&self, record: &crate::model::Modelled) -> Option<u32> {
        matches!(record.shown.state, State::Leased | State::InDoubt)
            .then(|| record.elsewhere.unwrap_or(self.servers.bound))
    }

    /// Whether the journal stays with its server.
    fn bind(&mut self, account: u8, how: Bind) -> bool {
        let is_stand_in = account >= FIRST_STAND_IN;
        let known = self.servers.known.iter().find(|(_, server)| server.account == account).map(|(id, _)| *id);
        let bound = self.servers.bound;
        if let Some(old) = self.servers.known.get(&bound).cloned().filter(|old| old.account != account) {
            let is_sent_there = |record: &crate::model::Modelled| {
                record.shown.server == Some(ServerId(bound)) || self.unclear_at(record) == Some(bound)
            };
            if !self.records.values().any(is_sent_there) {
                self.servers.known.remove(&bound);
            } else if how == Bind::Rotate && known.is_none() {
                self.servers.known.get_mut(&bound).unwrap().account = account;
                return false;
            } else if !(old.is_stand_in && is_stand_in) {
                if how == Bind::Refuse {
                    return true;
                }
                self.leave(bound);
            }
        }
        let id = known.unwrap_or_else(|| self.servers.known.keys().last().map_or(1, |last| last + 1));
        let new = Modelled { account, is_stand_in, acked: 0 };
        self.servers.known.entry(id).or_insert(new).is_stand_in |= is_stand_in;
        self.servers.bound = id;
        for record in self.records.values_mut().filter(|record| record.elsewhere == Some(id)) {
            record.elsewhere = None;
        }
        false
    }

    fn leave(&mut self, old: u32) {
        for record in self.records.values_mut() {
            let shown = &mut record.shown;
            if !matches!(shown.state, State::Leased | State::InDoubt) || record.elsewhere.is_some() {
                continue;
            }
            if shown.state == State::Leased {
                shown.state = State::InDoubt;
                shown.last_error = "its sender stopped before the response was stored".into();
            }
            shown.not_before = Millis::EPOCH;
            record.settle_forgotten();
            record.elsewhere = Some(old);
        }
    }

    fn withdraw(&mut self, from: u32) -> Withdrawn {
        let mut done = Withdrawn::default();
        let bound = self.servers.bound;
        for record in self.records.values_mut() {
            let seq = record.shown.seq;
            let is_unclear = matches!(record.shown.state, State::Leased | State::InDoubt);
            let is_at = is_unclear && record.elsewhere.unwrap_or(bound) == from;
            let is_acked = record.shown.server == Some(ServerId(from));
            if !is_at && !is_acked {
                continue;
            }
            if is_acked {
                let is_called = |entry: &crate::model::Entry| !entry.dead && entry.lease_until > self.now;
                if self.callbacks.iter().any(|((_, of), entry)| *of == seq && is_called(entry)) {
                    done.busy += 1;
                    continue;
                }
            }
            if record.is_pruned() && is_acked {
                done.pruned += u64::from(!record.is_run());
                continue;
            }
            if is_acked && !record.is_run() {
                self.callbacks.retain(|(_, of), _| *of != seq);
                self.acks.retain(|_, of| *of != seq);
                if let Some(server) = self.servers.known.get_mut(&from) {
                    server.acked -= 1;
                }
            }
            let shown = &mut record.shown;
            (shown.state, shown.not_before, shown.request, shown.server) = (State::Pending, Millis::EPOCH, None, None);
            shown.flags &= !FLAG_RENEWED;
            shown.last_error = "withdrawn".into();
            record.elsewhere = None;
            record.settle_forgotten();
            if record.is_run() {
                continue;
            }
            *(if record.shown.state == State::Pending { &mut done.records } else { &mut done.pruned }) += 1;
        }
        done
    }
}

impl Pair {
    pub fn bind(&mut self, account: u8, how: Bind) {
        let wanted = Account {
            url: format!("http://server-{account}"),
            account: [account; 16],
            is_stand_in: account >= FIRST_STAND_IN,
        };
        assert_eq!(self.store().bind(&wanted, how).unwrap().is_some(), self.model.bind(account, how));
    }

    pub fn withdraw(&mut self, from: u32) {
        let done = self.store().withdraw(&[ServerId(from)], self.model.now, "withdrawn").unwrap();
        assert_eq!(done, self.model.withdraw(from));
    }

    /// Compares the servers with their numbers.
    pub fn compare_servers(&self) {
        let model = &self.model;
        let unclear = |id| {
            let of = |record: &&crate::model::Modelled| {
                record.shown.state == State::InDoubt && model.unclear_at(record) == Some(id) && !record.is_run()
            };
            model.records.values().filter(of).count() as u64
        };
        let shown = self.store().servers().unwrap().into_iter().map(|stats| {
            let (server, is_bound) = (stats.server, stats.is_bound);
            let modelled =
                Modelled { account: server.account[0], is_stand_in: server.is_stand_in, acked: server.acked };
            (server.id.0, modelled, is_bound, stats.in_doubt)
        });
        let expected = model
            .servers
            .known
            .iter()
            .map(|(id, server)| (*id, server.clone(), *id == model.servers.bound, unclear(*id)));
        assert_eq!(shown.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}
