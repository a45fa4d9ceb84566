//! What the program under test was promised, and whether a journal keeps it.
//!
//! Five properties: every acknowledged event is there; nothing is there that was not issued; bodies belong to their ids; acks that
//! were committed are there, and so are follow-ups until they are sent; a fresh event still flows.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use plsync_journal::{Durability, Ended, Event, Kind, Query, RecordId, Spool, Store, Target};

/// Event parts, as marks name them.
pub const START: char = 's';
pub const END: char = 'e';
/// Marks of a follow-up: it is promised, it is about to be removed, its removal is promised.
pub const FOLLOWED: char = 'f';
pub const SENDING: char = 'x';
pub const SENT: char = 'd';

/// `? id`: about to be appended. `s id`, `e id`: its start, its end is promised. `a id number`: this request id is. `f id`, `x id`,
/// `d id`: its follow-up.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    issued: HashSet<RecordId>,
    promised: HashSet<(char, RecordId)>,
    acked: HashMap<RecordId, u64>,
    followed: HashMap<RecordId, char>,
}

/// The body that belongs to an event, so that any mix-up shows. Some are larger than a page.
pub fn body(id: RecordId, part: char) -> Vec<u8> {
    let length = 20 + usize::from(id.0[15]) * if id.0[14] < 16 { 90 } else { 12 };
    let seed = format!("{part}{}", id.hex());
    seed.bytes().cycle().take(length).collect()
}

/// One half of a record.
pub fn append(spool: &Spool, id: RecordId, part: char) -> plsync_journal::Result<()> {
    let (kind, ended) = if part == START { (Kind::Start, Ended::No) } else { (Kind::End, Ended::Ok) };
    let mut labels = Vec::new();
    plsync_journal::labels::push(&mut labels, plsync_journal::labels::SINK, b"app:sink");
    spool.append(&Event { kind, ended, flags: 0, lane: 0, id, labels: &labels, body: &body(id, part) })
}

impl Oracle {
    pub fn hear(&mut self, mark: &str) {
        let mut words = mark.split(' ');
        let kind = words.next().and_then(|word| word.chars().next());
        let (Some(kind), Some(id)) = (kind, words.next().and_then(RecordId::from_hex)) else { return };
        match (kind, words.next()) {
            ('?', None) => _ = self.issued.insert(id),
            (START | END, None) => _ = self.promised.insert((kind, id)),
            (FOLLOWED | SENDING | SENT, None) => self.follow(id, kind),
            ('a', Some(number)) => _ = self.acked.insert(id, number.parse().unwrap()),
            _ => {}
        }
    }

    /// The process that sends a follow-up may be heard before the one that queued it.
    fn follow(&mut self, id: RecordId, mark: char) {
        let rank = |mark: char| [FOLLOWED, SENDING, SENT].iter().position(|known| *known == mark);
        let known = self.followed.entry(id).or_insert(mark);
        if rank(mark) > rank(*known) {
            *known = mark;
        }
    }

    pub fn promises(&self) -> usize {
        self.promised.len() + self.acked.len() + self.followed.len()
    }

    pub fn save(&self, path: &Path) {
        let issued = self.issued.iter().map(|id| format!("? {}\n", id.hex()));
        let promised = self.promised.iter().map(|(part, id)| format!("{part} {}\n", id.hex()));
        let acked = self.acked.iter().map(|(id, number)| format!("a {} {number}\n", id.hex()));
        let followed = self.followed.iter().map(|(id, mark)| format!("{mark} {}\n", id.hex()));
        let lines = issued.chain(promised).chain(acked).chain(followed);
        std::fs::write(path, lines.collect::<String>()).unwrap();
    }

    pub fn load(path: &Path) -> Self {
        let mut oracle = Self::default();
        std::fs::read_to_string(path).unwrap().lines().for_each(|line| oracle.hear(line));
        oracle
    }

    /// Opens the journal and panics on any property it breaks.
    pub fn judge(&self, journal: &Path) {
        // Where nothing was promised there may be no journal yet; then one can be made.
        let store = Store::open(journal, self.promises() == 0).expect("the journal opens");
        store.ingest(true).expect("the spool is ingested");
        for (part, id) in &self.promised {
            let row = store.get(*id).unwrap().unwrap_or_else(|| panic!("{id:?} was acknowledged and is gone"));
            let kept = if *part == START { row.start } else { row.end };
            assert!(kept == Some(body(*id, *part)), "{id:?}: its {part} was acknowledged and is gone");
        }
        for row in store.query(&Query { limit: usize::MAX, ..Query::default() }).unwrap() {
            assert!(self.issued.contains(&row.id), "{:?} was never issued", row.id);
            for (kept, part) in [(row.start, START), (row.end, END)] {
                assert!(kept.is_none_or(|kept| kept == body(row.id, part)), "{:?} holds another's {part}", row.id);
            }
        }
        for (id, number) in &self.acked {
            let ack = store.get(*id).unwrap().and_then(|row| row.ack);
            assert_eq!(ack.map(|(number, _)| number), Some(*number), "{id:?} was acked");
        }
        for (id, mark) in &self.followed {
            let found = store.followups(Target::Record(*id)).unwrap();
            assert!(
                found.iter().all(|followup| followup.payload == body(*id, FOLLOWED)),
                "{id:?} is followed by another's"
            );
            match *mark {
                FOLLOWED => assert_eq!(found.len(), 1, "{id:?}: its follow-up was acknowledged and is gone"),
                SENT => assert_eq!(found.len(), 0, "{id:?}: its follow-up was sent and is here again"),
                _ => assert!(found.len() <= 1),
            }
        }
        assert_eq!(store.check().expect("the journal is checked").problems, []);
        let fresh = RecordId::new();
        let spool = Spool::open(journal, Durability::Power).unwrap();
        append(&spool, fresh, START).expect("a fresh event is taken");
        store.ingest(true).unwrap();
        assert_eq!(
            store.get(fresh).unwrap().and_then(|row| row.start),
            Some(body(fresh, START)),
            "a fresh event flows"
        );
    }
}
