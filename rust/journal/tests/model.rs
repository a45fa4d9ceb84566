//! The store against a model of it: a map of records, and a list of the events in the spool.
//!
//! After each step, in any order of steps, both show the same, and `check` finds no problem.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use common::{LEASE, NOW, SINK, ms, workplace};
use plsync_journal::{
    ClockChange, Durability, Ended, Event, FLAG_RENEWED, FailedDelivery, FrameKind, Head, Lane, LeaseLimits, Limits,
    Millis, Parked, Query, RecordId, RequestId, Seq, Spool, State, Store, labels,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// Receives every ack, once it is subscribed.
const SUBSCRIBER: &str = "exec";

#[derive(Clone, Debug)]
enum Step {
    /// Appends a start: its lane, and whether it has a sink.
    Start(Lane, bool),
    /// Appends an end, of a call that may have ended already.
    End(Index, Ended),
    EndAlone(Ended),
    Raw,
    Ingest,
    Reopen,
    Wait(u16),
    Lease(usize, usize),
    /// Another sender takes over: the age of an old lease, and the time in which the other leases settle.
    Orphan(u16, u16),
    Ack(Index),
    Release(Index, u16),
    Park(Index, Parked, u16),
    Requeue(Index),
    Renew(Index),
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
}

fn step() -> impl Strategy<Value = Step> {
    let ended = prop::sample::select(vec![Ended::Ok, Ended::Error, Ended::Cancelled, Ended::Partial]);
    let parked = prop::sample::select(vec![Parked::InDoubt, Parked::Dead, Parked::Held]);
    let sink = prop::sample::select(vec![SINK, SUBSCRIBER]);
    // Around the ends of leases and delays.
    let time = prop::sample::select(vec![0u16, 1, 499, 500, 999, 1000, 1001, 3000]);
    prop_oneof![
        4 => (0..3u8, any::<bool>()).prop_map(|(lane, sink)| Step::Start(Lane(lane), sink)),
        4 => (any::<Index>(), ended.clone()).prop_map(|(call, ended)| Step::End(call, ended)),
        1 => ended.prop_map(Step::EndAlone),
        1 => Just(Step::Raw),
        4 => Just(Step::Ingest),
        1 => Just(Step::Reopen),
        2 => time.clone().prop_map(Step::Wait),
        3 => (1..5usize, 1..4usize).prop_map(|(limit, per_lane)| Step::Lease(limit, per_lane)),
        1 => (time.clone(), time.clone()).prop_map(|(old, settle)| Step::Orphan(old, settle)),
        3 => any::<Index>().prop_map(Step::Ack),
        2 => (any::<Index>(), time.clone()).prop_map(|(record, delay)| Step::Release(record, delay)),
        2 => (any::<Index>(), parked, time.clone()).prop_map(|(record, state, delay)| Step::Park(record, state, delay)),
        1 => any::<Index>().prop_map(Step::Requeue),
        1 => any::<Index>().prop_map(Step::Renew),
        1 => (-2000..2000i16, time.clone()).prop_map(|(by, longest)| Step::SetClock(by, longest)),
        1 => Just(Step::Subscribe),
        3 => (sink.clone(), 1..4usize).prop_map(|(sink, limit)| Step::Claim(sink, limit)),
        1 => (any::<Index>(), time.clone()).prop_map(|(entry, delay)| Step::Extend(entry, delay)),
        1 => any::<Index>().prop_map(Step::Deliver),
        2 => (any::<Index>(), time, any::<bool>()).prop_map(|(entry, delay, dead)| Step::Fail(entry, delay, dead)),
        1 => any::<Index>().prop_map(Step::ReleaseCallback),
        1 => sink.clone().prop_map(Step::RequeueCallbacks),
        1 => sink.prop_map(Step::Drop),
    ]
}

/// A record as the store shows it.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    seq: Seq,
    state: State,
    ended: Ended,
    attempts: u32,
    flags: u8,
    not_before: Millis,
    last_error: String,
    sink: Option<String>,
    start: Option<Vec<u8>>,
    end: Option<Vec<u8>>,
    request: Option<RequestId>,
}

/// A record, with the properties that the store does not show.
#[derive(Clone, Debug)]
struct Modelled {
    shown: Record,
    lane: Lane,
    raw: bool,
    leased_at: Millis,
    lease_until: Millis,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    attempts: u32,
    dead: bool,
    due: Millis,
    lease_until: Millis,
    error: bool,
}

impl Entry {
    fn due_at(&self) -> Millis {
        self.due.max(self.lease_until)
    }
}

#[derive(Clone, Debug)]
struct Appended {
    id: RecordId,
    kind: FrameKind,
    ended: Ended,
    lane: Lane,
    sink: bool,
    body: Vec<u8>,
}

#[derive(Default)]
struct Model {
    now: Millis,
    spool: Vec<Appended>,
    calls: Vec<RecordId>,
    records: BTreeMap<RecordId, Modelled>,
    callbacks: BTreeMap<(&'static str, Seq), Entry>,
    /// Records in the order of their acks.
    acks: Vec<Seq>,
    /// How many of these the subscriber has received.
    received: Option<usize>,
}

impl Model {
    fn ingest(&mut self) {
        for appended in std::mem::take(&mut self.spool) {
            let seq = Seq(self.records.len() as u64 + 1);
            let record = self.records.entry(appended.id).or_insert_with(|| Modelled::new(seq));
            record.add(appended);
        }
    }

    /// The records that a lease returns, in order.
    fn due(&self, limit: usize, per_lane: usize) -> Vec<RecordId> {
        let waiting = |number: u8| {
            let mut lane: Vec<_> = self.records.iter().filter(|(_, record)| record.lane == Lane(number)).collect();
            let is_blocked = lane.iter().any(|(_, record)| record.blocks_lane(self.now));
            lane.retain(|(_, record)| record.is_due(self.now));
            let is_ordered = number != 0;
            lane.sort_by_key(|(_, record)| {
                (if is_ordered { Millis::EPOCH } else { record.shown.not_before }, record.shown.seq)
            });
            let max = if !is_ordered {
                limit
            } else if is_blocked {
                0
            } else {
                per_lane
            };
            lane.into_iter().take(max).map(|(id, record)| (record.shown.seq, *id)).collect::<Vec<_>>()
        };
        let mut due: Vec<_> = (0..3).flat_map(waiting).collect();
        due.sort_unstable();
        due.into_iter().take(limit).map(|(_, id)| id).collect()
    }

    fn choose(&self, index: Index) -> Option<RecordId> {
        (!self.records.is_empty()).then(|| *index.get(&self.records.keys().copied().collect::<Vec<_>>()))
    }

    fn choose_entry(&self, index: Index) -> Option<(&'static str, Seq)> {
        (!self.callbacks.is_empty()).then(|| *index.get(&self.callbacks.keys().copied().collect::<Vec<_>>()))
    }

    /// Changes a record unless it is acked. Returns its number.
    fn edit(&mut self, id: RecordId, edit: impl FnOnce(&mut Modelled)) -> Seq {
        let record = self.records.get_mut(&id).unwrap();
        if record.shown.state != State::Acked {
            edit(record);
        }
        record.shown.seq
    }
}

impl Modelled {
    fn new(seq: Seq) -> Self {
        let shown = Record {
            seq,
            state: State::Pending,
            ended: Ended::No,
            attempts: 0,
            flags: 0,
            not_before: Millis::EPOCH,
            last_error: String::new(),
            sink: None,
            start: None,
            end: None,
            request: None,
        };
        Self { shown, lane: Lane(0), raw: false, leased_at: Millis::EPOCH, lease_until: Millis::EPOCH }
    }

    fn add(&mut self, event: Appended) {
        let shown = &mut self.shown;
        match event.kind {
            FrameKind::End if shown.ended != Ended::No => return,
            FrameKind::End => (shown.ended, shown.end) = (event.ended, Some(event.body)),
            FrameKind::Raw => {
                self.raw = true;
                (shown.ended, shown.state, shown.start) = (Ended::Ok, State::Held, Some(event.body));
                shown.last_error = "opaque bytes, appended without a handler: nothing to send".into();
            }
            FrameKind::Start | FrameKind::Segment => (self.lane, shown.start) = (event.lane, Some(event.body)),
        }
        shown.sink = shown.sink.take().or(event.sink.then(|| SINK.to_owned()));
    }

    fn is_unsettled(&self) -> bool {
        match self.shown.state {
            State::Pending => self.shown.ended != Ended::No,
            State::Leased | State::InDoubt => true,
            State::Acked | State::Dead | State::Held => false,
        }
    }

    /// When a waiting record is due.
    fn waits_until(&self, now: Millis) -> Option<Millis> {
        match self.shown.state {
            State::Pending if self.shown.ended != Ended::No => Some(self.shown.not_before).filter(|at| *at > now),
            State::InDoubt => Some(self.shown.not_before),
            State::Pending | State::Leased | State::Acked | State::Dead | State::Held => None,
        }
    }

    /// Whether the records after it in its lane have to wait.
    fn blocks_lane(&self, now: Millis) -> bool {
        match self.shown.state {
            State::Leased | State::InDoubt => true,
            State::Pending => self.shown.ended != Ended::No && self.shown.not_before > now,
            State::Acked | State::Dead | State::Held => false,
        }
    }

    fn is_due(&self, now: Millis) -> bool {
        self.shown.state == State::Pending && self.shown.ended != Ended::No && self.shown.not_before <= now
    }
}

/// A store and its model.
struct Pair {
    path: PathBuf,
    spool: Spool,
    store: Option<Store>,
    model: Model,
    next_request: u64,
}

impl Pair {
    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn append(&mut self, id: RecordId, kind: FrameKind, ended: Ended, lane: Lane, sink: bool) {
        let body = format!("{{\"{kind:?}\":\"{}\"}}", id.hex().repeat(1 + usize::from(id.0[15] % 4))).into_bytes();
        let mut section = Vec::new();
        labels::push(&mut section, labels::TAG, b"model");
        if sink {
            labels::push(&mut section, labels::SINK, SINK.as_bytes());
        }
        let head = Head { ended, lane, ..Head::new(kind, id) };
        self.spool.append(&Event { head, labels: &section, body: &body }).unwrap();
        self.model.spool.push(Appended { id, kind, ended, lane, sink, body });
    }

    fn run(&mut self, step: &Step) {
        let now = self.model.now;
        match step {
            Step::Start(lane, sink) => {
                let id = RecordId::new();
                self.model.calls.push(id);
                self.append(id, FrameKind::Start, Ended::No, *lane, *sink);
            }
            Step::End(call, ended) if !self.model.calls.is_empty() => {
                let id = *call.get(&self.model.calls);
                self.append(id, FrameKind::End, *ended, Lane(0), false);
            }
            Step::EndAlone(ended) => self.append(RecordId::new(), FrameKind::End, *ended, Lane(0), true),
            Step::Raw => self.append(RecordId::new(), FrameKind::Raw, Ended::No, Lane(0), false),
            Step::Ingest => {
                self.store().ingest(true).unwrap();
                self.model.ingest();
            }
            Step::Reopen => {
                self.store = None;
                self.store = Some(Store::open(&self.path, false).unwrap());
            }
            Step::Wait(wait) => self.model.now = now + ms((*wait).into()),
            Step::Lease(limit, per_lane) => self.lease(*limit, *per_lane),
            Step::Orphan(old, settle) => self.orphan(ms((*old).into()), ms((*settle).into())),
            Step::Ack(record) => self.ack(*record),
            Step::Release(record, delay) => self.park(*record, None, now + ms((*delay).into())),
            Step::Park(record, state, delay) => self.park(*record, Some(*state), now + ms((*delay).into())),
            Step::Requeue(record) => self.requeue(*record),
            Step::Renew(record) => self.renew(*record),
            Step::SetClock(by, longest) => self.set_clock((*by).into(), ms((*longest).into())),
            Step::Subscribe => {
                self.store().subscribe(SUBSCRIBER).unwrap();
                self.model.received.get_or_insert(self.model.acks.len());
            }
            Step::Claim(sink, limit) => self.claim(sink, *limit),
            Step::Extend(entry, _) | Step::Deliver(entry) | Step::Fail(entry, ..) | Step::ReleaseCallback(entry) => {
                if let Some((sink, seq)) = self.model.choose_entry(*entry) {
                    self.settle(step, sink, seq);
                }
            }
            Step::RequeueCallbacks(sink) => self.requeue_callbacks(sink),
            Step::Drop(sink) => self.drop_sink(sink),
            Step::End(..) => {}
        }
    }

    fn settle(&mut self, step: &Step, sink: &'static str, seq: Seq) {
        let now = self.model.now;
        let store = self.store.clone().unwrap();
        let entry = self.model.callbacks.get_mut(&(sink, seq)).unwrap();
        match step {
            Step::Extend(_, delay) => {
                entry.lease_until = now + ms((*delay).into());
                store.extend_callbacks(sink, &[seq], entry.lease_until).unwrap();
            }
            Step::Fail(_, delay, dead) => {
                let not_before = now + ms((*delay).into());
                (entry.due, entry.lease_until, entry.dead, entry.error) = (not_before, Millis::EPOCH, *dead, true);
                let failed = FailedDelivery { seq, error: "no".into(), not_before, dead: *dead };
                store.settle_callbacks(sink, &[], &[failed], &[]).unwrap();
            }
            Step::ReleaseCallback(_) => {
                (entry.due, entry.lease_until) = (Millis::EPOCH, Millis::EPOCH);
                entry.attempts = entry.attempts.saturating_sub(1);
                store.settle_callbacks(sink, &[], &[], &[seq]).unwrap();
            }
            _ => {
                self.model.callbacks.remove(&(sink, seq));
                store.settle_callbacks(sink, &[seq], &[], &[]).unwrap();
            }
        }
    }

    fn requeue_callbacks(&mut self, sink: &str) {
        let mut requeued = 0;
        for ((_, _), entry) in self.model.callbacks.iter_mut().filter(|((of, _), entry)| *of == sink && entry.dead) {
            (entry.dead, entry.due, entry.attempts) = (false, Millis::EPOCH, 0);
            requeued += 1;
        }
        assert_eq!(self.store().requeue_callbacks(sink).unwrap(), requeued);
    }

    fn drop_sink(&mut self, sink: &str) {
        let before = self.model.callbacks.len();
        self.model.callbacks.retain(|(of, _), _| *of != sink);
        let mut dropped = (before - self.model.callbacks.len()) as u64;
        if sink == SUBSCRIBER {
            dropped += self.model.received.take().map_or(0, |received| self.model.acks.len() - received) as u64;
        }
        assert_eq!(self.store().drop_callbacks(sink).unwrap(), dropped);
    }

    fn lease(&mut self, limit: usize, per_lane: usize) {
        let now = self.model.now;
        let limits = |records| Limits { records, bytes: u64::MAX };
        let limits = LeaseLimits { total: limits(limit), per_lane: limits(per_lane) };
        let leased = self.store().lease(limits, LEASE, now).unwrap();
        let expected = self.model.due(limit, per_lane);
        assert_eq!(leased.iter().map(|row| row.id).collect::<Vec<_>>(), expected);
        for id in expected {
            self.model.edit(id, |record| {
                record.shown.state = State::Leased;
                record.shown.attempts += 1;
                (record.leased_at, record.lease_until) = (now, now + LEASE);
            });
        }
    }

    fn orphan(&mut self, old: Duration, settle: Duration) {
        let now = self.model.now;
        let mut orphans = 0;
        for record in self.model.records.values_mut() {
            if record.shown.state == State::Leased {
                record.shown.state = State::InDoubt;
                record.shown.not_before = if record.leased_at < now - old { Millis::EPOCH } else { now + settle };
                record.shown.last_error = "its sender stopped before the answer was stored".into();
                orphans += 1;
            }
        }
        assert_eq!(self.store().orphan_leases(now - old, now + settle).unwrap(), orphans);
    }

    fn ack(&mut self, record: Index) {
        let Some(id) = self.model.choose(record) else { return };
        self.next_request += 1;
        let request = RequestId(self.next_request);
        let mut new = false;
        let mut sink = false;
        let seq = self.model.edit(id, |record| {
            record.shown.state = State::Acked;
            record.shown.request = Some(request);
            record.shown.last_error.clear();
            (new, sink) = (true, record.shown.sink.is_some());
        });
        if new {
            self.model.acks.push(seq);
        }
        if sink {
            self.model.callbacks.insert((SINK, seq), Entry::default());
        }
        assert_eq!(self.store().ack(&[(seq, request)]).unwrap(), u64::from(new));
        assert_eq!(self.store().by_request(request).unwrap(), new.then_some(id));
    }

    fn park(&mut self, record: Index, parked: Option<Parked>, not_before: Millis) {
        let Some(id) = self.model.choose(record) else { return };
        let seq = self.model.edit(id, |record| {
            (record.shown.state, record.shown.not_before) = (parked.map_or(State::Pending, State::from), not_before);
            record.shown.last_error = "reason".into();
        });
        match parked {
            None => self.store().release(&[seq], not_before, "reason").unwrap(),
            Some(state) => self.store().park(&[seq], state, not_before, "reason").unwrap(),
        }
    }

    fn requeue(&mut self, record: Index) {
        let Some(id) = self.model.choose(record) else { return };
        let mut moved = 0;
        let seq = self.model.edit(id, |record| {
            if !record.raw && matches!(record.shown.state, State::Dead | State::Held) {
                (record.shown.state, record.shown.not_before) = (State::Pending, Millis::EPOCH);
                moved = 1;
            }
        });
        assert_eq!(self.store().requeue(&[seq]).unwrap(), moved);
    }

    fn renew(&mut self, record: Index) {
        let Some(id) = self.model.choose(record) else { return };
        let seq = self.model.edit(id, |record| {
            if record.shown.state == State::InDoubt {
                (record.shown.state, record.shown.not_before) = (State::Pending, Millis::EPOCH);
                record.shown.last_error = "no log".into();
                record.shown.flags |= FLAG_RENEWED;
            }
        });
        self.store().renew(&[seq], "no log").unwrap();
    }

    fn set_clock(&mut self, by: i64, longest: Duration) {
        let (before, after) = (self.model.now, Millis(self.model.now.0.saturating_add_signed(by)));
        self.model.now = after;
        let shifted = |at: Millis| {
            if at > before { (after + ms(at.0 - before.0)).min(after + longest) } else { at }
        };
        for record in self.model.records.values_mut() {
            // A record of any other state keeps its old time, which has no effect.
            let shown = &mut record.shown;
            let is_sendable = shown.state == State::Pending && shown.ended != Ended::No;
            if is_sendable || matches!(shown.state, State::Leased | State::InDoubt) {
                let waits = (shifted(shown.not_before), shifted(record.lease_until));
                if waits != (shown.not_before, record.lease_until) {
                    record.leased_at = after;
                }
                (shown.not_before, record.lease_until) = waits;
            }
        }
        self.store().shift_waits(ClockChange { before, after }, longest).unwrap();
    }

    fn claim(&mut self, sink: &'static str, limit: usize) {
        let now = self.model.now;
        let writer = self.spool.writer_id().unwrap();
        let claimed = self.store().claim_callbacks(sink, Some(writer), limit, LEASE, now).unwrap();
        let claimed: Vec<_> = claimed.iter().map(|callback| (callback.seq, callback.attempts)).collect();
        let mut expected = Vec::new();
        if let Some(received) = self.model.received.as_mut().filter(|_| sink == SUBSCRIBER) {
            for seq in self.model.acks[*received..].iter().take(limit) {
                self.model.callbacks.insert((sink, *seq), Entry::default());
                expected.push((*seq, 0));
                *received += 1;
            }
        }
        let waiting = self.model.callbacks.iter().filter(|((of, _), entry)| *of == sink && !entry.dead);
        let mut due: Vec<_> = waiting
            .filter(|(_, entry)| entry.due_at() <= now)
            .map(|((_, seq), entry)| (entry.due_at(), *seq, entry.attempts))
            .collect();
        due.sort_unstable();
        due.retain(|(_, seq, _)| !expected.iter().any(|(taken, _)| taken == seq));
        for (_, seq, attempts) in due {
            // An entry that was tried before is claimed alone.
            if expected.len() == limit || (!expected.is_empty() && (attempts > 0 || expected[0].1 > 0)) {
                break;
            }
            expected.push((seq, attempts));
        }
        for (seq, attempts) in &expected {
            let entry = self.model.callbacks.get_mut(&(sink, *seq)).unwrap();
            (entry.attempts, entry.lease_until) = (attempts + 1, now + LEASE);
        }
        assert_eq!(claimed, expected);
    }

    /// Compares the backlog of each sink, and the sinks with due entries.
    fn compare_callbacks(&self) {
        let (store, model) = (self.store(), &self.model);
        let writer = self.spool.writer_id().unwrap();
        let due = store.due_callbacks(Some(writer), model.now).unwrap();
        let backlogs = store.callback_backlogs().unwrap();
        let mut next: Option<Millis> = None;
        for sink in [SINK, SUBSCRIBER] {
            let of: Vec<_> =
                model.callbacks.iter().filter(|((of, _), _)| *of == sink).map(|(_, entry)| entry).collect();
            let backlog =
                model.received.filter(|_| sink == SUBSCRIBER).map_or(0, |received| model.acks.len() - received);
            let dead = of.iter().filter(|entry| entry.dead).count();
            let first = of.iter().filter(|entry| !entry.dead).map(|entry| entry.due_at()).min();
            let first = if backlog > 0 { Some(Millis::EPOCH) } else { first };
            assert_eq!(due.sinks.iter().any(|due| due == sink), first.is_some_and(|first| first <= model.now));
            next = next.into_iter().chain(first.filter(|first| *first > model.now)).min();
            let shown = backlogs.iter().find(|backlog| backlog.sink == sink).cloned().unwrap_or_default();
            assert_eq!((shown.waiting, shown.dead), ((of.len() - dead + backlog) as u64, dead as u64));
            assert_eq!(shown.owned, if sink == SINK { (of.len() - dead) as u64 } else { 0 });
            assert!(shown.last_error.is_none() || of.iter().any(|entry| entry.error));
        }
        assert_eq!(due.next, next);
    }

    /// Asserts that the store and the model show the same.
    fn compare(&self) {
        let (store, model) = (self.store(), &self.model);
        let all = Query { limit: usize::MAX, oldest_first: true, ..Query::default() };
        let rows = store.query(&all).unwrap();
        let shown = rows.into_iter().map(|row| {
            let record = Record {
                seq: row.seq,
                state: row.state,
                ended: row.ended,
                attempts: row.attempts,
                flags: row.flags,
                not_before: row.not_before,
                last_error: row.last_error,
                sink: row.sink,
                start: row.start,
                end: row.end,
                request: row.ack.map(|ack| ack.request_id),
            };
            (row.id, record)
        });
        let expected = model.records.iter().map(|(id, record)| (*id, record.shown.clone()));
        assert_eq!(shown.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        for state in State::ALL {
            let of_state = Query { states: vec![state], ..all.clone() };
            let found: Vec<_> = store.query(&of_state).unwrap().iter().map(|row| row.id).collect();
            let expected = model.records.iter().filter(|(_, record)| record.shown.state == state).map(|(id, _)| *id);
            assert_eq!(found, expected.collect::<Vec<_>>());
        }
        let doubtful = model.records.values().filter(|record| record.shown.state == State::InDoubt);
        let doubtful = doubtful.filter(|record| record.shown.not_before <= model.now).count();
        assert_eq!(store.in_doubt(usize::MAX, model.now).unwrap().len(), doubtful);
        let unsettled = model.records.values().filter(|record| record.is_unsettled()).map(|record| record.shown.seq);
        let first = unsettled.min();
        assert!(!store.is_unsettled(first.map_or(Seq::MAX, |first| Seq(first.0 - 1))).unwrap());
        assert!(first.is_none_or(|first| store.is_unsettled(first).unwrap()));
        let waits = model.records.values().filter_map(|record| record.waits_until(model.now));
        assert_eq!(store.next_due(model.now).unwrap(), waits.min());
        let stats = store.stats().unwrap();
        let dead = model.callbacks.values().filter(|entry| entry.dead).count() as u64;
        let backlog = model.received.map_or(0, |received| model.acks.len() - received);
        let waiting = (model.callbacks.len() + backlog) as u64 - dead;
        assert_eq!((stats.callbacks, stats.callbacks_dead), (waiting, dead));
        assert_eq!(stats.records, model.records.len() as u64);
        let acked: Vec<_> =
            store.acks(0, usize::MAX).unwrap().into_iter().map(|acked| (acked.number, acked.row.seq)).collect();
        assert_eq!(acked, (1..).zip(model.acks.iter().copied()).collect::<Vec<_>>());
        self.compare_callbacks();
        common::assert_sound(store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_its_model(steps in prop::collection::vec(step(), 1..60)) {
        let dir = workplace();
        let path = dir.path().join("journal");
        let store = Some(Store::open(&path, true).unwrap());
        let spool = Spool::open(&path, Durability::Process).unwrap();
        let model = Model { now: NOW, ..Model::default() };
        let mut pair = Pair { path, spool, store, model, next_request: 0 };
        for step in &steps {
            pair.run(step);
            pair.compare();
        }
    }
}
