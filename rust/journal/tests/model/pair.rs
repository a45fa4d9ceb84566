//! A store and its model, and the steps on both.

use std::path::PathBuf;
use std::time::Duration;

use plsync_journal::{
    CallEnd, ClockChange, Event, FLAG_FORGOTTEN, FLAG_PRUNED, FLAG_RENEWED, FailedCallback, FrameKind, Head, Lane,
    LeaseLimits, Limits, Millis, ParkedState, RecordId, RequestId, Seq, ServerId, Spool, State, Store, TREE_WAIT,
    labels,
};
use proptest::sample::Index;
use tempfile::TempDir;

use crate::SUBSCRIBER;
use crate::common::{LEASE, SINK, facts, ms};
use crate::model::{Appended, Entry, Model, Started};
use crate::step::Step;

/// A store and its model.
pub struct Pair {
    pub dir: TempDir,
    pub path: PathBuf,
    pub spool: Spool,
    pub store: Option<Store>,
    pub model: Model,
    pub next_request: u64,
}

impl Pair {
    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub fn append(&mut self, record: Started, kind: FrameKind, ended: CallEnd, sink: bool) {
        let id = record.id;
        let body = format!("{{\"{kind:?}\":\"{}\"}}", id.hex().repeat(1 + usize::from(id.0[15] % 4))).into_bytes();
        let mut section = Vec::new();
        if let Some(root) = record.root {
            labels::push(&mut section, labels::ROOT, &root.0);
        }
        labels::push(&mut section, labels::TAG, b"model");
        if sink {
            labels::push(&mut section, labels::SINK, SINK.as_bytes());
        }
        // Other writers leave no facts.
        if !id.0[14].is_multiple_of(3) {
            match kind {
                FrameKind::Start => section.extend(facts::of_start()),
                FrameKind::End => section.extend(facts::of_end(body.len() as u64)),
                _ => {}
            }
        }
        let lane = if kind.is_end() { Lane::UNORDERED } else { record.lane };
        let head = Head { ended, lane, ..Head::new(kind, id) };
        self.spool.append(&Event { head, labels: &section, body: &body }).unwrap();
        self.model.spool.push(Appended { record, kind, ended, sink, body, process: self.model.process });
    }

    /// Appends the start of a record.
    pub fn start(&mut self, record: Started, sink: bool) {
        self.model.started.push(record);
        let kind = if record.is_call { FrameKind::Start } else { FrameKind::RunStart };
        self.append(record, kind, CallEnd::No, sink);
    }

    /// Appends an event of a new call outside trees.
    fn append_alone(&mut self, kind: FrameKind, ended: CallEnd, sink: bool) {
        let record = Started { id: RecordId::new(), root: None, lane: Lane::UNORDERED, is_call: true };
        self.append(record, kind, ended, sink);
    }

    pub fn run(&mut self, step: &Step) {
        let now = self.model.now;
        match step {
            Step::Start(lane, sink) => {
                self.start(Started { id: RecordId::new(), root: None, lane: *lane, is_call: true }, *sink);
            }
            Step::End(record, ended) if !self.model.started.is_empty() => {
                let record = *record.get(&self.model.started);
                let kind = if record.is_call { FrameKind::End } else { FrameKind::RunEnd };
                self.append(record, kind, *ended, false);
            }
            Step::EndAlone(ended) => self.append_alone(FrameKind::End, *ended, true),
            Step::Root(lane) => self.start_root(*lane),
            Step::Member(root, is_call, sink) => self.start_member(*root, *is_call, *sink),
            Step::Raw => self.append_alone(FrameKind::Raw, CallEnd::No, false),
            Step::Ingest => {
                self.store().ingest(true).unwrap();
                self.model.ingest();
            }
            Step::Reopen => {
                self.store = None;
                self.store = Some(Store::open(&self.path, false).unwrap());
                self.set_tree_wait();
            }
            Step::Die => self.die(),
            Step::TreeWait(waits) => {
                self.model.waits = *waits;
                self.set_tree_wait();
            }
            Step::Wait(wait) => self.model.now = now + ms((*wait).into()),
            Step::Lease(limit, per_lane) => self.lease(*limit, *per_lane),
            Step::Orphan(old, settle) => self.orphan(ms((*old).into()), ms((*settle).into())),
            Step::Ack(record) => self.ack(*record),
            Step::AckRun(record) => self.ack_run(*record),
            Step::Release(record, delay) => self.park(*record, None, now + ms((*delay).into())),
            Step::Park(record, state, delay) => self.park(*record, Some(*state), now + ms((*delay).into())),
            Step::Requeue(record) => self.requeue(*record),
            Step::Renew(record) => self.renew(*record),
            Step::Forget(record) => self.forget(*record),
            Step::Prune(drops) => self.prune(*drops),
            Step::SetClock(by, longest) => self.set_clock((*by).into(), ms((*longest).into())),
            Step::Bind(account, how) => self.bind(*account, *how),
            Step::Withdraw(from) => self.withdraw(*from),
            Step::Fill => {
                facts::fill(self.store());
                assert_eq!(self.store().undigested_count().unwrap().1, 0);
            }
            Step::Subscribe => {
                self.store().subscribe(SUBSCRIBER).unwrap();
                self.model.received.get_or_insert(self.model.last_ack);
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
                let failed = FailedCallback { seq, error: "no".into(), not_before, dead: *dead };
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
            dropped += self.model.backlog();
            self.model.received = None;
        }
        assert_eq!(self.store().drop_callbacks(sink).unwrap(), dropped);
    }

    fn lease(&mut self, limit: usize, per_lane: usize) {
        let now = self.model.now;
        let limits = |records| Limits { records, bytes: u64::MAX };
        let limits =
            LeaseLimits { total: limits(limit), per_lane: limits(per_lane), per_tree: limits(limit), fitting: false };
        let leased = self.store().lease(limits, LEASE, now).unwrap();
        self.model.release_overdue();
        let expected = self.model.units(self.model.due(limit, per_lane), limit);
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
                record.shown.last_error = "its sender stopped before the response was stored".into();
                orphans += 1;
                record.settle_forgotten();
            }
        }
        assert_eq!(self.store().orphan_leases(now - old, now + settle).unwrap(), orphans);
    }

    fn ack(&mut self, record: Index) {
        let Some(id) = self.model.choose(record) else { return };
        if self.model.records[&id].is_run() {
            return self.ack_run(record);
        }
        self.next_request += 1;
        // Two servers send the same ids now and then.
        let request = RequestId(1 + self.next_request % 7);
        let mut new = false;
        let mut sink = false;
        let server = ServerId(self.model.servers.bound);
        let seq = self.model.edit(id, |record| {
            record.shown.state = State::Acked;
            (record.shown.request, record.shown.server) = (Some(request), Some(server));
            record.shown.last_error.clear();
            (new, sink) = (true, record.shown.sink.is_some() && !record.is_forgotten());
        });
        if new {
            self.model.last_ack += 1;
            self.model.acks.insert(self.model.last_ack, seq);
            assert_eq!(self.model.servers.count_ack(), server);
        }
        if sink {
            self.model.callbacks.insert((SINK, seq), Entry::default());
        }
        assert_eq!(self.store().ack(&[(seq, request)]).unwrap(), u64::from(new));
        let mut found = self.store().by_request(request).unwrap();
        found.sort_unstable();
        let of_request = self.model.records.iter().filter(|(_, record)| record.shown.request == Some(request));
        assert_eq!(found, of_request.map(|(id, _)| *id).collect::<Vec<_>>());
    }

    fn park(&mut self, record: Index, parked: Option<ParkedState>, not_before: Millis) {
        let Some(id) = self.model.choose(record) else { return };
        // A sender moves records that it has leased, and leases no run that is open.
        let of = &self.model.records[&id];
        if of.root.is_some() && of.shown.ended == CallEnd::No {
            return;
        }
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
            if !record.raw && !record.is_pruned() && matches!(record.shown.state, State::Dead | State::Held) {
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

    fn forget(&mut self, record: Index) {
        let Some(id) = self.model.choose(record) else { return };
        self.model.ingest();
        let report = self.store().forget(&[id], &[]).unwrap();
        let record = self.model.records.get_mut(&id).unwrap();
        assert_eq!(report.records[0].was_forgotten, record.is_forgotten());
        assert_eq!(report.records[0].request_id, record.shown.request.filter(|_| !record.is_run()));
        record.shown.flags |= FLAG_FORGOTTEN | FLAG_PRUNED;
        (record.shown.start, record.shown.end) = (None, None);
        if !report.records[0].was_forgotten {
            // The store takes the time of this machine's clock, which is before the time of the model.
            record.leased_at = Millis::EPOCH;
        }
        let was_open = record.shown.ended == CallEnd::No;
        record.settle_forgotten();
        record.settle_growing();
        let seq = record.shown.seq;
        if was_open {
            self.model.release_members(id);
        }
        self.model.callbacks.retain(|(_, of), _| *of != seq);
    }

    fn set_clock(&mut self, by: i64, longest: Duration) {
        let (before, after) = (self.model.now, Millis(self.model.now.0.saturating_add_signed(by)));
        self.model.now = after;
        let shifted = |at: Millis, longest: Duration| {
            if at > before { (after + ms(at.0 - before.0)).min(after + longest) } else { at.min(after) }
        };
        for record in self.model.records.values_mut() {
            // A record of any other state keeps its old time, which has no effect.
            let shown = &mut record.shown;
            let is_sendable = shown.state == State::Pending && shown.ended != CallEnd::No;
            if is_sendable || matches!(shown.state, State::Leased | State::InDoubt) {
                let is_growing = record.lease_until == Millis::MAX;
                let waits = if is_growing {
                    (shifted(shown.not_before, longest.min(TREE_WAIT)), Millis::MAX)
                } else {
                    (shifted(shown.not_before, longest), shifted(record.lease_until, longest))
                };
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
        let forgotten = self.model.records.values().filter(|record| record.is_forgotten());
        let forgotten: Vec<_> = forgotten.map(|record| record.shown.seq).collect();
        if let Some(received) = self.model.received.as_mut().filter(|_| sink == SUBSCRIBER) {
            for (number, seq) in self.model.acks.range(*received + 1..).take(limit) {
                *received = *number;
                if forgotten.contains(seq) {
                    continue;
                }
                self.model.callbacks.insert((sink, *seq), Entry::default());
                expected.push((*seq, 0));
            }
        }
        let waiting = self.model.callbacks.iter().filter(|((of, _), entry)| *of == sink && !entry.dead);
        // The entries of one process follow each other.
        let mut due: Vec<_> = waiting
            .filter(|(_, entry)| entry.due_at() <= now)
            .map(|((_, seq), entry)| (self.model.owner(sink, *seq), entry.due_at(), *seq, entry.attempts))
            .collect();
        due.sort_unstable();
        due.retain(|(_, _, seq, _)| !expected.iter().any(|(taken, _)| taken == seq));
        for (_, _, seq, attempts) in due {
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
}
