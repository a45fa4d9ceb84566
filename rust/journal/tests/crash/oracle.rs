//! The oracle: the promises made to the program under test, and whether a journal keeps them.
//!
//! Five properties: the journal has every acknowledged event. It has no event that was not issued. Bodies belong to their ids. It has
//! every committed ack, and every follow-up, waiting until it is sent. A fresh event is recorded.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use plsync_journal::{
    CallEnd, Durability, Event, FrameKind, Head, Lane, Query, RecordId, RequestId, Spool, Store, Target, labels,
};

/// Event parts, as marks name them.
pub const START: char = 's';
pub const END: char = 'e';
/// Marks of a follow-up: it is promised, it is about to be sent, its delivery is promised.
pub const QUEUED: char = 'f';
pub const SENDING: char = 'x';
pub const SENT: char = 'd';

/// The promises, read from marks. `? id`: the event is about to be appended. `s id`, `e id`: its start or its end is promised.
/// `a id number`: its request id is promised. `f id`, `x id`, `d id`: marks of its follow-up.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    issued: HashSet<RecordId>,
    promised: HashSet<(char, RecordId)>,
    acked: HashMap<RecordId, RequestId>,
    followups: HashMap<RecordId, char>,
}

/// The body of an event, which no other event has. Some bodies are larger than a page.
pub fn body(id: RecordId, part: char) -> Vec<u8> {
    let length = 20 + usize::from(id.0[15]) * if id.0[14] < 16 { 90 } else { 12 };
    let seed = format!("{part}{}", id.hex());
    let mut body: Vec<u8> = seed.bytes().cycle().take(length).collect();
    if id.0[13].is_multiple_of(2) {
        body.extend(history());
    }
    body
}

/// The messages that the root of a tree and its calls have in common.
fn history() -> impl Iterator<Item = u8> {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(move || random.u8(b'a'..=b'z')).take(1500)
}

/// One half of a record in the tree of `root`: of a call, or of another run.
pub fn append_in(spool: &Spool, root: RecordId, id: RecordId, is_call: bool, part: char) -> plsync_journal::Result<()> {
    let kind = match (is_call, part) {
        (true, START) => FrameKind::Start,
        (true, _) => FrameKind::End,
        (false, START) => FrameKind::RunStart,
        (false, _) => FrameKind::RunEnd,
    };
    let mut section = Vec::new();
    labels::push(&mut section, labels::ROOT, &root.0);
    let (lane, ended) = if part == START { (Lane(9), CallEnd::No) } else { (Lane::UNORDERED, CallEnd::Ok) };
    let head = Head { ended, lane, ..Head::new(kind, id) };
    spool.append(&Event { head, labels: &section, body: &body(id, part) })
}

/// One half of a record.
pub fn append(spool: &Spool, id: RecordId, part: char) -> plsync_journal::Result<()> {
    let (kind, ended) = if part == START { (FrameKind::Start, CallEnd::No) } else { (FrameKind::End, CallEnd::Ok) };
    let mut section = Vec::new();
    labels::push(&mut section, labels::SINK, b"app:sink");
    let head = Head { ended, ..Head::new(kind, id) };
    spool.append(&Event { head, labels: &section, body: &body(id, part) })
}

impl Oracle {
    /// Adds the promise of a mark.
    pub fn add(&mut self, mark: &str) {
        let mut words = mark.split(' ');
        let kind = words.next().and_then(|word| word.chars().next());
        let (Some(kind), Some(id)) = (kind, words.next().and_then(RecordId::from_hex)) else { return };
        match (kind, words.next()) {
            ('?', None) => _ = self.issued.insert(id),
            (START | END, None) => _ = self.promised.insert((kind, id)),
            (QUEUED | SENDING | SENT, None) => self.add_followup(id, kind),
            ('a', Some(number)) => _ = self.acked.insert(id, RequestId(number.parse().unwrap())),
            _ => {}
        }
    }

    /// The mark of the process that sends a follow-up may come before the mark of the process that queued it.
    fn add_followup(&mut self, id: RecordId, mark: char) {
        let rank = |mark: char| [QUEUED, SENDING, SENT].iter().position(|known| *known == mark);
        let known = self.followups.entry(id).or_insert(mark);
        if rank(mark) > rank(*known) {
            *known = mark;
        }
    }

    pub fn promises(&self) -> usize {
        self.promised.len() + self.acked.len() + self.followups.len()
    }

    pub fn save(&self, path: &Path) {
        let issued = self.issued.iter().map(|id| format!("? {}\n", id.hex()));
        let promised = self.promised.iter().map(|(part, id)| format!("{part} {}\n", id.hex()));
        let acked = self.acked.iter().map(|(id, number)| format!("a {} {number}\n", id.hex()));
        let followups = self.followups.iter().map(|(id, mark)| format!("{mark} {}\n", id.hex()));
        let lines = issued.chain(promised).chain(acked).chain(followups);
        std::fs::write(path, lines.collect::<String>()).unwrap();
    }

    pub fn load(path: &Path) -> Self {
        let mut oracle = Self::default();
        std::fs::read_to_string(path).unwrap().lines().for_each(|line| oracle.add(line));
        oracle
    }

    /// Opens the journal, and panics on any property that it breaks.
    pub fn check(&self, journal: &Path) {
        // Without a promise there may be no journal yet. Then it must be possible to make one.
        let store = Store::open(journal, self.promises() == 0).expect("the journal opens");
        store.ingest(true).expect("the spool is ingested");
        for (part, id) in &self.promised {
            let row = store.get(*id).unwrap().unwrap_or_else(|| panic!("{id:?} was acknowledged and is gone"));
            let kept = if *part == START { row.start } else { row.end };
            assert!(kept == Some(body(*id, *part)), "{id:?}: its {part} was acknowledged and is gone");
        }
        for row in store.query(&Query { limit: usize::MAX, runs: true, ..Query::default() }).unwrap() {
            assert!(self.issued.contains(&row.id), "{:?} was never issued", row.id);
            for (kept, part) in [(row.start, START), (row.end, END)] {
                assert!(kept.is_none_or(|kept| kept == body(row.id, part)), "{:?} holds another's {part}", row.id);
            }
        }
        for (id, number) in &self.acked {
            let ack = store.get(*id).unwrap().and_then(|row| row.ack);
            assert_eq!(ack.map(|ack| ack.request_id), Some(*number), "{id:?} was acked");
        }
        for (id, mark) in &self.followups {
            let found = store.followups(Target::Record(*id)).unwrap();
            let sent = store.sent_followups(Target::Record(*id)).unwrap();
            assert!(
                found.iter().chain(&sent).all(|followup| followup.payload == body(*id, QUEUED)),
                "{id:?} has the follow-up of another record"
            );
            let expected: &[_] = match *mark {
                QUEUED => &[(1, 0)],
                SENT => &[(0, 1)],
                _ => &[(1, 0), (0, 1)],
            };
            let known = (found.len(), sent.len());
            assert!(expected.contains(&known), "{id:?}: of its follow-up {mark} there are {known:?}");
        }
        assert_eq!(store.check().expect("the journal is checked").problems, []);
        let fresh = RecordId::new();
        let spool = Spool::open(journal, Durability::Power).unwrap();
        append(&spool, fresh, START).expect("a fresh event is appended");
        store.ingest(true).unwrap();
        assert_eq!(
            store.get(fresh).unwrap().and_then(|row| row.start),
            Some(body(fresh, START)),
            "a fresh event is recorded"
        );
    }
}
