//! The steps of a run.

use plsync_journal::{Bind, CallEnd, Lane, ParkedState};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::SUBSCRIBER;
use crate::common::SINK;
use crate::servers::ACCOUNTS;

#[derive(Clone, Debug)]
pub enum Step {
    /// Appends a start: its lane, and whether it has a sink.
    Start(Lane, bool),
    /// Appends an end, of a call that may have ended already.
    End(Index, CallEnd),
    EndAlone(CallEnd),
    /// Appends the start of a root, in a lane.
    Root(Lane),
    /// Appends the start of a record in the tree of a root: whether it is a call, and whether it has a sink.
    Member(Index, bool, bool),
    Raw,
    Ingest,
    Reopen,
    /// The process dies. Its successor reads the journal.
    Die,
    Wait(u16),
    /// Whether records wait for the end of their root.
    TreeWait(bool),
    Lease(usize, usize),
    /// Another sender takes over: the age of an old lease, and the time in which the other leases settle.
    Orphan(u16, u16),
    Ack(Index),
    /// Acks a record without a request id.
    AckRun(Index),
    Release(Index, u16),
    Park(Index, ParkedState, u16),
    Requeue(Index),
    Renew(Index),
    Forget(Index),
    /// Prunes all content of sent records, and of records that were not sent if the policy drops them.
    Prune(bool),
    /// Sets the clock by a number of milliseconds, and limits every wait to the second number.
    SetClock(i16, u16),
    Subscribe,
    Claim(&'static str, usize),
    Extend(Index, u16),
    Deliver(Index),
    Fail(Index, u16, bool),
    ReleaseCallback(Index),
    RequeueCallbacks(&'static str),
    Drop(&'static str),
    /// Binds the journal to an account.
    Bind(u8, Bind),
    /// Withdraws the deliveries to a server.
    Withdraw(u32),
    /// Makes the missing digests.
    Fill,
}

pub fn step() -> impl Strategy<Value = Step> {
    let ended = prop::sample::select(vec![CallEnd::Ok, CallEnd::Error, CallEnd::Cancelled, CallEnd::Partial]);
    let parked = prop::sample::select(vec![ParkedState::InDoubt, ParkedState::Dead, ParkedState::Held]);
    let how = prop::sample::select(vec![Bind::Refuse, Bind::Rotate, Bind::Leave]);
    let sink = prop::sample::select(vec![SINK, SUBSCRIBER]);
    // Around the ends of leases and delays.
    let time = prop::sample::select(vec![0u16, 1, 499, 500, 999, 1000, 1001, 3000]);
    prop_oneof![
        4 => (0..3u8, any::<bool>()).prop_map(|(lane, sink)| Step::Start(Lane(lane), sink)),
        4 => (any::<Index>(), ended.clone()).prop_map(|(call, ended)| Step::End(call, ended)),
        1 => ended.prop_map(Step::EndAlone),
        2 => (1..3u8).prop_map(|lane| Step::Root(Lane(lane))),
        4 => (any::<Index>(), any::<bool>(), any::<bool>())
            .prop_map(|(root, is_call, sink)| Step::Member(root, is_call, sink)),
        1 => Just(Step::Raw),
        4 => Just(Step::Ingest),
        1 => Just(Step::Reopen),
        1 => Just(Step::Die),
        2 => time.clone().prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::TreeWait),
        3 => (1..5usize, 1..4usize).prop_map(|(limit, per_lane)| Step::Lease(limit, per_lane)),
        1 => (time.clone(), time.clone()).prop_map(|(old, settle)| Step::Orphan(old, settle)),
        3 => any::<Index>().prop_map(Step::Ack),
        1 => any::<Index>().prop_map(Step::AckRun),
        2 => (any::<Index>(), time.clone()).prop_map(|(record, delay)| Step::Release(record, delay)),
        2 => (any::<Index>(), parked, time.clone()).prop_map(|(record, state, delay)| Step::Park(record, state, delay)),
        1 => any::<Index>().prop_map(Step::Requeue),
        1 => any::<Index>().prop_map(Step::Renew),
        1 => any::<Index>().prop_map(Step::Forget),
        1 => any::<bool>().prop_map(Step::Prune),
        1 => (-2000..2000i16, time.clone()).prop_map(|(by, longest)| Step::SetClock(by, longest)),
        1 => Just(Step::Subscribe),
        3 => (sink.clone(), 1..4usize).prop_map(|(sink, limit)| Step::Claim(sink, limit)),
        1 => (any::<Index>(), time.clone()).prop_map(|(entry, delay)| Step::Extend(entry, delay)),
        1 => any::<Index>().prop_map(Step::Deliver),
        2 => (any::<Index>(), time, any::<bool>()).prop_map(|(entry, delay, dead)| Step::Fail(entry, delay, dead)),
        1 => any::<Index>().prop_map(Step::ReleaseCallback),
        1 => sink.clone().prop_map(Step::RequeueCallbacks),
        1 => sink.prop_map(Step::Drop),
        2 => (1..=ACCOUNTS, how).prop_map(|(account, how)| Step::Bind(account, how)),
        1 => (0..5u32).prop_map(Step::Withdraw),
        1 => Just(Step::Fill),
    ]
}
