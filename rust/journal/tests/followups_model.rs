//! Follow-ups against a model of them, which has a list for each record. After any steps in any order, both show the same.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Bench, LEASE, NOW, assert_sound, limits, ms, temp_dir};
use plsync_journal::{
    ClockChange, FailedFollowUp, FollowUp, FollowUpKey, FollowUpState, ListedState, Millis, Op, ParkedState, RecordId,
    RequestId, SentFollowUp, Seq, Store, Target,
};
use proptest::prelude::*;
use proptest::sample::Index;

const RECORDS: usize = 4;
/// Requests that no record has.
const BARE: [RequestId; 2] = [RequestId(7), RequestId(8)];

#[derive(Clone, Debug)]
enum Step {
    /// Queues a follow-up of a record, or of a request without one.
    FollowUp(usize),
    Ack(usize),
    Kill(usize),
    Claim(usize),
    Done(Index),
    Fail(Index, u16, bool),
    Release(Index),
    Requeue(Option<usize>),
    Resend(usize),
    Wait(u16),
    /// Sets the clock by a number of milliseconds, and limits every wait to the second number.
    SetClock(i16, u16),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let time = prop::sample::select(vec![0u16, 1, 499, 500, 999, 1000, 1001, 3000]);
    let one = 0..RECORDS + BARE.len();
    prop_oneof![
        6 => one.clone().prop_map(Step::FollowUp),
        2 => (0..RECORDS).prop_map(Step::Ack),
        1 => (0..RECORDS).prop_map(Step::Kill),
        4 => (1..4usize).prop_map(Step::Claim),
        4 => any::<Index>().prop_map(Step::Done),
        3 => (any::<Index>(), time.clone(), any::<bool>()).prop_map(|(one, delay, dead)| Step::Fail(one, delay, dead)),
        1 => any::<Index>().prop_map(Step::Release),
        1 => prop::option::of(one.clone()).prop_map(Step::Requeue),
        1 => one.prop_map(Step::Resend),
        3 => time.clone().prop_map(Step::Wait),
        1 => (-2000..2000i16, time).prop_map(|(by, longest)| Step::SetClock(by, longest)),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    number: u64,
    attempts: u32,
    due: Millis,
    is_dead: bool,
    last_error: String,
}

struct Pair {
    bench: Bench,
    store: Option<Store>,
    ids: Vec<RecordId>,
    acked: [bool; RECORDS],
    killed: [bool; RECORDS],
    queues: BTreeMap<usize, Vec<Entry>>,
    /// Number, failed attempts and time of each sent follow-up.
    sent: BTreeMap<usize, Vec<(u64, u32, Millis)>>,
    last_number: u64,
    now: Millis,
}

impl Pair {
    fn new() -> Self {
        let bench = Bench::within(temp_dir());
        let ids = (0..RECORDS).map(|_| bench.call("followed")).collect();
        let store = Some(bench.store());
        let (acked, killed) = ([false; RECORDS], [false; RECORDS]);
        Self {
            bench,
            store,
            ids,
            acked,
            killed,
            queues: BTreeMap::new(),
            sent: BTreeMap::new(),
            last_number: 0,
            now: NOW,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn target(&self, queue: usize) -> Target {
        self.ids.get(queue).map_or_else(|| Target::Request(BARE[queue - RECORDS]), |id| Target::Record(*id))
    }

    fn is_released(&self, queue: usize) -> bool {
        self.acked.get(queue).is_none_or(|acked| *acked)
    }

    /// One of all follow-ups, and its key.
    fn choose(&mut self, index: Index) -> Option<(FollowUpKey, usize, usize)> {
        let all: Vec<_> =
            self.queues.iter().flat_map(|(queue, entries)| (0..entries.len()).map(|at| (*queue, at))).collect();
        let (queue, at) = *(!all.is_empty()).then(|| index.get(&all))?;
        let found = self.store().followups(self.target(queue)).unwrap();
        Some((found[at].key, queue, at))
    }

    fn entry(&mut self, queue: usize, at: usize) -> &mut Entry {
        &mut self.queues.get_mut(&queue).unwrap()[at]
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::FollowUp(queue) => self.follow_up(*queue),
            Step::Ack(record) => {
                let seq = *record as u64 + 1;
                let new = common::ack(self.store(), Seq(seq), 100 + seq);
                assert_eq!(new, u64::from(!self.acked[*record]));
                self.acked[*record] = true;
                self.killed[*record] = false;
            }
            Step::Kill(record) => {
                self.store().park(&[Seq(*record as u64 + 1)], ParkedState::Dead, Millis::EPOCH, "refused").unwrap();
                self.killed[*record] = !self.acked[*record];
            }
            Step::Claim(limit) => self.claim(*limit),
            Step::Done(index) => {
                let Some((key, queue, at)) = self.choose(*index) else { return };
                self.store().followups_done(&[SentFollowUp { key, status: 200 }], self.now).unwrap();
                let entry = self.queues.get_mut(&queue).unwrap().remove(at);
                self.sent.entry(queue).or_default().push((entry.number, entry.attempts, self.now));
                self.sent.get_mut(&queue).unwrap().sort_unstable();
            }
            Step::Fail(index, delay, dead) => {
                let Some((key, queue, at)) = self.choose(*index) else { return };
                let not_before = self.now + ms((*delay).into());
                let failed = FailedFollowUp { key, error: "reason".into(), not_before, dead: *dead };
                self.store().followups_failed(&[failed]).unwrap();
                let entry = self.entry(queue, at);
                (entry.due, entry.is_dead, entry.attempts) = (not_before, *dead, entry.attempts + 1);
                entry.last_error = "reason".into();
            }
            Step::Release(index) => {
                let Some((key, queue, at)) = self.choose(*index) else { return };
                self.store().release_followups(&[key]).unwrap();
                self.entry(queue, at).due = Millis::EPOCH;
            }
            Step::Requeue(queue) => self.requeue(*queue),
            Step::Resend(queue) => self.resend(*queue),
            Step::Wait(wait) => self.now = self.now + ms((*wait).into()),
            Step::SetClock(by, longest) => self.set_clock((*by).into(), ms((*longest).into())),
            Step::Reopen => {
                self.store = None;
                self.store = Some(Store::open(&self.bench.path, false).unwrap());
            }
        }
    }

    fn follow_up(&mut self, queue: usize) {
        self.last_number += 1;
        let number = self.store().follow_up(self.target(queue), Op::Score, b"{}").unwrap();
        assert_eq!(number, Some(self.last_number));
        let entry = Entry {
            number: self.last_number,
            attempts: 0,
            due: Millis::EPOCH,
            is_dead: false,
            last_error: String::new(),
        };
        self.queues.entry(queue).or_default().push(entry);
    }

    fn claim(&mut self, limit: usize) {
        let claimed = self.store().claim_followups(limits(limit), LEASE, self.now).unwrap();
        // Ordered by the due time of their first follow-up, and records before requests.
        let mut due: Vec<_> = (self.queues.keys().copied())
            .filter(|queue| self.is_released(*queue))
            .filter_map(|queue| self.waiting(queue).next().map(|first| (first.due, queue)))
            .filter(|(due, _)| *due <= self.now)
            .collect();
        due.sort_unstable();
        let mut expected = Vec::new();
        for (_, queue) in due.into_iter().take(limit) {
            let ready = self.waiting(queue).take_while(|entry| entry.due <= self.now);
            let run: Vec<_> = ready.map(|entry| entry.number).collect();
            let (first, now) = (run[0], self.now);
            let entry = self.queues.get_mut(&queue).unwrap().iter_mut().find(|entry| entry.number == first).unwrap();
            entry.due = now + LEASE;
            expected.extend(run);
        }
        assert_eq!(claimed.iter().map(FollowUp::number).collect::<Vec<_>>(), expected);
        assert!(claimed.iter().all(|followup| followup.request.is_some()));
    }

    fn waiting(&self, queue: usize) -> impl Iterator<Item = &Entry> {
        self.queues.get(&queue).into_iter().flatten().filter(|entry| !entry.is_dead)
    }

    fn requeue(&mut self, queue: Option<usize>) {
        let target = queue.map(|queue| self.target(queue));
        let mut moved = 0;
        for (of, entries) in &mut self.queues {
            for entry in entries.iter_mut().filter(|entry| entry.is_dead && queue.is_none_or(|queue| queue == *of)) {
                (entry.is_dead, entry.due) = (false, Millis::EPOCH);
                moved += 1;
            }
        }
        assert_eq!(self.store().requeue_followups(target).unwrap(), moved);
    }

    fn resend(&mut self, queue: usize) {
        let sent = self.sent.remove(&queue).unwrap_or_default();
        assert_eq!(self.store().resend_followups(self.target(queue)).unwrap(), sent.len() as u64);
        if sent.is_empty() {
            return;
        }
        let entries = self.queues.entry(queue).or_default();
        for (number, _, _) in sent {
            entries.push(Entry { number, attempts: 0, due: Millis::EPOCH, is_dead: false, last_error: String::new() });
        }
        entries.sort_unstable_by_key(|entry| entry.number);
    }

    fn set_clock(&mut self, by: i64, longest: Duration) {
        let (before, after) = (self.now, Millis(self.now.0.saturating_add_signed(by)));
        self.now = after;
        let shifted = |at: Millis| {
            if at > before { (after + ms(at.0 - before.0)).min(after + longest) } else { at.min(after) }
        };
        let released: Vec<_> = self.queues.keys().copied().filter(|queue| self.is_released(*queue)).collect();
        for queue in released {
            for entry in self.queues.get_mut(&queue).unwrap().iter_mut().filter(|entry| !entry.is_dead) {
                entry.due = shifted(entry.due);
            }
        }
        self.store().shift_followup_waits(ClockChange { before, after }, longest).unwrap();
    }

    /// Asserts that the store and the model show the same.
    fn compare(&self) {
        for queue in 0..RECORDS + BARE.len() {
            let found = self.store().followups(self.target(queue)).unwrap();
            let found: Vec<_> = found
                .into_iter()
                .map(|followup| Entry {
                    number: followup.number(),
                    attempts: followup.attempts,
                    due: followup.due,
                    is_dead: followup.state == FollowUpState::Dead,
                    last_error: followup.last_error,
                })
                .collect();
            assert_eq!(&found, self.queues.get(&queue).unwrap_or(&Vec::new()));
            let sent = self.store().sent_followups(self.target(queue)).unwrap();
            let sent: Vec<_> = (sent.iter())
                .map(|followup| {
                    let FollowUpState::Sent { at, .. } = followup.state else { panic!("{followup:?} was sent") };
                    (followup.number(), followup.attempts, at)
                })
                .collect();
            assert_eq!(&sent, self.sent.get(&queue).unwrap_or(&Vec::new()));
        }
        let listed = |state| self.store().list_followups(state, None, usize::MAX).unwrap().len();
        let waiting = self.queues.values().flatten().filter(|entry| !entry.is_dead).count();
        assert_eq!(listed(ListedState::Waiting), waiting);
        assert_eq!(listed(ListedState::Sent), self.sent.values().map(Vec::len).sum::<usize>());
        let all = || self.queues.values().flatten();
        let stats = self.store().stats().unwrap();
        let dead = all().filter(|entry| entry.is_dead).count() as u64;
        assert_eq!(listed(ListedState::Dead) as u64, dead);
        assert_eq!((stats.followups, stats.followups_dead), (all().count() as u64 - dead, dead));
        let stranded = (0..RECORDS).filter(|record| self.killed[*record]).flat_map(|record| self.waiting(record));
        assert_eq!(stats.followups_stranded, stranded.count() as u64);
        let released = self.queues.keys().filter(|queue| self.is_released(**queue));
        let firsts = released.filter_map(|queue| self.waiting(*queue).next());
        assert_eq!(self.store().next_followup_due().unwrap(), firsts.map(|first| first.due).min());
        assert_sound(self.store());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn follow_ups_agree_with_their_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.run(step);
            pair.compare();
        }
    }
}
