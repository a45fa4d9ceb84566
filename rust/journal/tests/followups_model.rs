//! Follow-ups against a model of them: for each record a list. Whatever is done in whatever order, both show the same.

mod common;

use std::collections::BTreeMap;

use common::{Bench, assert_sound, workplace};
use plsync_journal::{Failure, FollowUp, FollowUpKey, Op, RecordId, State, Store, Target};
use proptest::prelude::*;
use proptest::sample::Index;

const LEASE: u64 = 1000;
const RECORDS: usize = 4;
/// No record has these ids.
const BARE: [u64; 2] = [7, 8];

#[derive(Clone, Debug)]
enum Step {
    /// Of one of the records, or of a bare request.
    FollowUp(usize),
    Ack(usize),
    Kill(usize),
    Claim(usize),
    Done(Index),
    Fail(Index, u16, bool),
    Release(Index),
    Requeue(Option<usize>),
    Wait(u16),
    /// The clock is set by so much; no wait is longer than the second number.
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
        1 => prop::option::of(one).prop_map(Step::Requeue),
        3 => time.clone().prop_map(Step::Wait),
        1 => (-2000..2000i16, time).prop_map(|(by, longest)| Step::SetClock(by, longest)),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    number: u64,
    attempts: u32,
    due: u64,
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
    given: u64,
    now: u64,
}

impl Pair {
    fn new() -> Self {
        let bench = Bench::within(workplace());
        let ids = (0..RECORDS).map(|_| bench.call("followed")).collect();
        let store = Some(bench.store());
        let (acked, killed) = ([false; RECORDS], [false; RECORDS]);
        Self { bench, store, ids, acked, killed, queues: BTreeMap::new(), given: 0, now: 1_900_000_000_000 }
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
                let new = self.store().ack(&[(seq, 100 + seq)]).unwrap();
                assert_eq!(new, u64::from(!self.acked[*record]));
                self.acked[*record] = true;
                self.killed[*record] = false;
            }
            Step::Kill(record) => {
                self.store().park(&[*record as u64 + 1], State::Dead, "refused", 0).unwrap();
                self.killed[*record] = !self.acked[*record];
            }
            Step::Claim(limit) => self.claim(*limit),
            Step::Done(index) => {
                let Some((key, queue, at)) = self.choose(*index) else { return };
                self.store().followups_done(&[key]).unwrap();
                self.queues.get_mut(&queue).unwrap().remove(at);
            }
            Step::Fail(index, delay, dead) => {
                let Some((key, queue, at)) = self.choose(*index) else { return };
                let not_before = self.now + u64::from(*delay);
                let failure = Failure { key, error: "reason".into(), not_before, dead: *dead };
                self.store().followups_failed(&[failure]).unwrap();
                let entry = self.entry(queue, at);
                (entry.due, entry.is_dead, entry.attempts) = (not_before, *dead, entry.attempts + 1);
                entry.last_error = "reason".into();
            }
            Step::Release(index) => {
                let Some((key, queue, at)) = self.choose(*index) else { return };
                self.store().release_followups(&[key]).unwrap();
                self.entry(queue, at).due = 0;
            }
            Step::Requeue(queue) => self.requeue(*queue),
            Step::Wait(ms) => self.now += u64::from(*ms),
            Step::SetClock(by, longest) => self.set_clock(i64::from(*by), u64::from(*longest)),
            Step::Reopen => {
                self.store = None;
                self.store = Some(Store::open(&self.bench.path, false).unwrap());
            }
        }
    }

    fn follow_up(&mut self, queue: usize) {
        self.given += 1;
        let number = self.store().follow_up(self.target(queue), Op::Score, b"{}").unwrap();
        assert_eq!(number, Some(self.given));
        let entry = Entry { number: self.given, attempts: 0, due: 0, is_dead: false, last_error: String::new() };
        self.queues.entry(queue).or_default().push(entry);
    }

    fn claim(&mut self, limit: usize) {
        let claimed = self.store().claim_followups(limit, LEASE, self.now, 1 << 20).unwrap();
        // By when their first is due, records before bare requests.
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
                (entry.is_dead, entry.due) = (false, 0);
                moved += 1;
            }
        }
        assert_eq!(self.store().requeue_followups(target).unwrap(), moved);
    }

    fn set_clock(&mut self, by: i64, longest: u64) {
        let (before, after) = (self.now, self.now.saturating_add_signed(by));
        self.now = after;
        let mended = |at: u64| if at > before { (at - before + after).min(after + longest) } else { at };
        let released: Vec<_> = self.queues.keys().copied().filter(|queue| self.is_released(*queue)).collect();
        for queue in released {
            for entry in self.queues.get_mut(&queue).unwrap().iter_mut().filter(|entry| !entry.is_dead) {
                entry.due = mended(entry.due);
            }
        }
        self.store().mend_followups(before, after, longest).unwrap();
    }

    /// Both show the same.
    fn compare(&self) {
        for queue in 0..RECORDS + BARE.len() {
            let found = self.store().followups(self.target(queue)).unwrap();
            let found: Vec<_> = found
                .into_iter()
                .map(|followup| Entry {
                    number: followup.number(),
                    attempts: followup.attempts,
                    due: followup.due,
                    is_dead: followup.is_dead,
                    last_error: followup.last_error,
                })
                .collect();
            assert_eq!(&found, self.queues.get(&queue).unwrap_or(&Vec::new()));
        }
        let all = || self.queues.values().flatten();
        let stats = self.store().stats().unwrap();
        let dead = all().filter(|entry| entry.is_dead).count() as u64;
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
    fn follow_ups_do_what_their_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.run(step);
            pair.compare();
        }
    }
}
