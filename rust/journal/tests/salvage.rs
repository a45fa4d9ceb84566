//! What is saved of a damaged journal: whatever can still be proved right, and nothing that cannot.

mod common;

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{Bench, assert_sound, event};
use plsync_journal::{
    Ended, Error, FLAG_PRUNED, Kind, Op, Query, RecordId, Row, SalvageReport, State, Store, Target, labels, salvage,
};
use tempfile::TempDir;

const PAGE: u64 = 4096;
const NOW: u64 = 1_900_000_000_000;

fn body(id: RecordId) -> Vec<u8> {
    // Some bodies are small, some take pages of their own.
    id.hex().bytes().rev().cycle().take(100 + usize::from(id.0[15]) * 40).map(|byte| byte ^ (id.0[14] & 15)).collect()
}

/// A journal of 300 calls: every third acked, some callbacks waiting, every second followed up, one dead, and 20 still in the spool.
struct Damaged {
    _dir: TempDir,
    path: PathBuf,
    target: PathBuf,
    ids: Vec<RecordId>,
}

fn journal() -> Damaged {
    let bench = Bench::new();
    let call = || {
        let id = RecordId::new();
        let mut section = Vec::new();
        labels::push(&mut section, labels::TAG, b"tagged");
        labels::push(&mut section, labels::SINK, b"app:sink");
        bench.spool.append(&event(Kind::Start, Ended::No, id, &section, &body(id))).unwrap();
        bench.spool.append(&event(Kind::End, Ended::Ok, id, &[], &body(id))).unwrap();
        id
    };
    let mut ids: Vec<_> = (0..300).map(|_| call()).collect();
    let store = bench.store();
    store.give_every_ack("exec").unwrap();
    // Not in the order of their calls.
    for seq in (1..=100).rev().map(|nth| 3 * nth - 2) {
        store.ack(&[(seq, 1000 + seq)]).unwrap();
    }
    // Two of the first five that the command was given are done, and it was not given the other 95 yet.
    store.claim_callbacks("exec", None, 5, 1000, NOW).unwrap();
    store.settle_callbacks("exec", &[298, 289], &[], &[]).unwrap();
    for id in ids.iter().step_by(2) {
        store.follow_up(Target::Record(*id), Op::Metadata, &body(*id)).unwrap();
    }
    store.park(&[2], State::Dead, "refused", 0).unwrap();
    drop(store);
    ids.extend((0..20).map(|_| call()));
    let (dir, path) = bench.after_death();
    let target = dir.path().join("saved");
    Damaged { _dir: dir, path, target, ids }
}

impl Damaged {
    fn data(&self) -> PathBuf {
        self.path.join("lmdb/data.mdb")
    }

    fn overwrite(&self, bytes: &[u8], at: u64) {
        std::fs::OpenOptions::new().write(true).open(self.data()).unwrap().write_all_at(bytes, at).unwrap();
    }

    fn salvage(&self) -> (SalvageReport, Store) {
        let before = files(&self.path);
        let report = salvage(&self.path, &self.target).unwrap();
        assert_eq!(files(&self.path), before, "the damaged journal was written to");
        (report, Store::open(&self.target, false).unwrap())
    }
}

fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

fn all(store: &Store) -> Vec<Row> {
    store.query(&Query { limit: 10_000, ..Query::default() }).unwrap()
}

/// Every record that is there is what was recorded, as far as it is there.
fn assert_honest(store: &Store, journal: &Damaged, report: &SalvageReport) {
    assert_sound(store);
    let ordered: HashSet<_> = store.acks(0, 10_000).unwrap().into_iter().map(|(_, row)| row.id).collect();
    for row in all(store) {
        let bodies: Vec<_> = [row.start, row.end].into_iter().flatten().collect();
        let Some(at) = journal.ids.iter().position(|id| *id == row.id) else {
            assert!(row.last_error.contains("without its id"), "{:?} was never recorded", row.id);
            assert_eq!(row.state, State::Held);
            let one = journal.ids.iter().any(|id| bodies.iter().all(|found| *found == body(*id)));
            assert!(one && !bodies.is_empty(), "{:?} is made up of several", row.id);
            continue;
        };
        assert!(bodies.iter().all(|found| *found == body(row.id)), "{:?} has another's body", row.id);
        let expected = if at < 300 && at % 3 == 0 {
            State::Acked
        } else if at == 1 {
            State::Dead
        } else {
            State::Pending
        };
        // Where the state is lost nothing is sent by guess.
        let is_safe = row.state == expected || row.state != State::Pending && row.state != State::Acked;
        assert!(is_safe, "record {at} of {expected:?} became {:?}", row.state);
        if let Some((request_id, _)) = row.ack {
            assert_eq!(at as u64 + 1001, request_id);
            assert!(ordered.contains(&row.id), "{:?} has no place among the acks", row.id);
        }
        for followup in store.followups(Target::Record(row.id)).unwrap() {
            assert!(followup.payload == body(row.id), "{:?} is followed by what is another's", row.id);
        }
        if row.flags & FLAG_PRUNED != 0 {
            assert!(report.losses.iter().any(|loss| loss.contains(&row.id.hex())));
        }
        if row.sink.is_none() && row.state != State::InDoubt {
            assert!(report.lost > 0, "{:?} lost its sink, and nobody says so", row.id);
        }
    }
}

#[test]
fn of_a_sound_journal_everything_is_kept() {
    let journal = journal();
    let (report, store) = journal.salvage();
    assert_eq!((report.lost, report.damaged, report.losses.len()), (0, 0, 0));
    assert_eq!((report.records, report.events, report.acks, report.callbacks, report.frames), (320, 600, 100, 103, 40));
    assert_eq!(report.followups, 150);
    assert_honest(&store, &journal, &report);
    let order: Vec<_> = store.acks(0, 1000).unwrap().iter().map(|(_, row)| row.ack.unwrap().0).collect();
    assert_eq!(order, (1..=100).rev().map(|nth| 3 * nth + 998).collect::<Vec<_>>());
    let mut given = Vec::new();
    loop {
        let claimed = store.claim_callbacks("exec", None, 10, 1000, NOW + 1000).unwrap();
        if claimed.is_empty() {
            break;
        }
        given.extend(claimed.iter().map(|callback| callback.row.ack.unwrap().0));
    }
    given.sort_unstable();
    let rest = (1..=300).step_by(3).filter(|seq| ![298, 289].contains(seq)).map(|seq| 1000 + seq);
    assert_eq!(given, rest.collect::<Vec<_>>(), "what the command had done is not done again");
    assert_eq!(store.by_request(1001).unwrap(), Some(journal.ids[0]));
    assert_eq!(store.by_label(labels::TAG, b"tagged", 1000).unwrap().len(), 320);
    let dead = store.get(journal.ids[1]).unwrap().unwrap();
    assert_eq!(
        (dead.state, dead.last_error.as_str(), dead.sink.as_deref()),
        (State::Dead, "refused", Some("app:sink"))
    );
    assert_eq!(store.stats().unwrap().states[State::Pending as usize], 219);
}

#[test]
fn without_the_pages_where_everything_begins_every_record_is_found() {
    let journal = journal();
    journal.overwrite(&vec![0xa5; 2 * usize::try_from(PAGE).unwrap()], 0);
    let (report, store) = journal.salvage();
    assert!(report.damaged > 0);
    assert_eq!(report.records, 320);
    assert_honest(&store, &journal, &report);
    assert_eq!(all(&store).iter().filter(|row| row.start.is_some() && row.end.is_some()).count(), 320);
    assert_eq!((report.acks, report.followups), (100, 150));
}

#[test]
fn whichever_page_is_lost_the_rest_is_saved_and_nothing_is_made_up() {
    let journal = journal();
    let pages = std::fs::metadata(journal.data()).unwrap().len() / PAGE;
    let whole = std::fs::read(journal.data()).unwrap();
    for page in (0..pages).step_by(3) {
        journal.overwrite(&whole, 0);
        journal.overwrite(&vec![0xa5; usize::try_from(PAGE).unwrap()], page * PAGE);
        let (report, store) = journal.salvage();
        assert_honest(&store, &journal, &report);
        let kept = all(&store).iter().filter(|row| row.start.is_some() && row.end.is_some()).count();
        assert!(kept >= 280, "page {page}: {kept} of 320 records have both events");
        drop(store);
        std::fs::remove_dir_all(&journal.target).unwrap();
    }
}

#[test]
fn a_file_cut_in_half_gives_what_is_in_its_first_half() {
    let journal = journal();
    let len = std::fs::metadata(journal.data()).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(journal.data()).unwrap().set_len(len / 2 + 100).unwrap();
    let (report, store) = journal.salvage();
    assert!(report.damaged > 0 && report.records > 20);
    assert_honest(&store, &journal, &report);
}

#[test]
fn flipped_bits_cost_what_they_hit() {
    let journal = journal();
    let whole = std::fs::read(journal.data()).unwrap();
    let rounds = std::env::var("PLSYNC_SALVAGES").ok().and_then(|flips| flips.parse().ok()).unwrap_or(120);
    for _ in 0..rounds {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = whole.clone();
        let flips = random.usize(1..=8);
        for _ in 0..flips {
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
        }
        journal.overwrite(&bytes, 0);
        let saved = std::panic::catch_unwind(|| {
            let (report, store) = journal.salvage();
            assert_honest(&store, &journal, &report);
            let kept = all(&store).iter().filter(|row| row.start.is_some() && row.end.is_some()).count();
            assert!(kept >= 320 - flips * 40, "{flips} flips: {kept} of 320 records have both events");
        });
        if saved.is_err() {
            // Ids are new each time, so the seed alone would not bring this journal back.
            let path = journal.path.clone();
            std::mem::forget(journal);
            panic!("seed {seed}; the damaged journal stays at {}", path.display());
        }
        std::fs::remove_dir_all(&journal.target).unwrap();
    }
}

#[test]
fn without_a_store_the_spool_is_saved() {
    let journal = journal();
    std::fs::remove_file(journal.data()).unwrap();
    let (report, store) = journal.salvage();
    // All that the spool holds may have been in the store, and sent.
    assert!(report.records >= 20 && report.lost == report.records + 1);
    assert!(all(&store).iter().all(|row| row.state == State::InDoubt));
    assert_honest(&store, &journal, &report);
}

#[test]
fn a_store_that_holds_nothing_any_more_is_said_to_be_lost() {
    let journal = journal();
    let data = std::fs::File::options().write(true).open(journal.data()).unwrap();
    data.set_len(0).unwrap();
    let (report, _) = journal.salvage();
    assert!(report.losses.iter().any(|loss| loss.starts_with("the store: nothing")), "{:?}", report.losses);
}

#[test]
fn a_journal_of_a_newer_format_is_refused() {
    let bench = Bench::new();
    bench.call("of tomorrow");
    std::fs::write(bench.path.join("FORMAT"), "plsync journal\nformat 99\nid 0\n").unwrap();
    let target = bench.dir.path().join("target");
    assert!(matches!(salvage(&bench.path, &target), Err(Error::Newer { .. })));
    assert!(!target.exists());
}

#[test]
fn a_format_that_the_store_contradicts_is_not_believed() {
    let journal = journal();
    std::fs::write(journal.path.join("FORMAT"), "plsync journal\nformat 99\nid 0\n").unwrap();
    let (report, _) = journal.salvage();
    assert_eq!((report.records, report.lost), (journal.ids.len() as u64, 0));
}

#[test]
fn what_is_there_already_is_not_written_over() {
    let journal = journal();
    std::fs::create_dir(&journal.target).unwrap();
    assert!(salvage(&journal.path, &journal.target).unwrap_err().to_string().contains("exists"));
    assert!(salvage(&journal.path.join("none"), &journal.target).is_err());
}
