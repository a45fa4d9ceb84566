//! Salvage of a damaged journal: it keeps every entry that a checksum proves, and invents nothing.

mod common;

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{Bench, LEASE, NOW, SINK, ack, assert_sound, end, facts, ms, raw, request_id, row, start};
use plsync_journal::{
    CallEnd, Error, Event, FLAG_PRUNED, Millis, Op, ParkedState, Query, Quota, RecordId, RequestId, Row, SalvageReport,
    SentFollowUp, Seq, State, Store, Target, labels, salvage,
};
use tempfile::TempDir;

const PAGE: u64 = 4096;

fn body(id: RecordId) -> Vec<u8> {
    // Some bodies are small, and some have separate pages.
    id.hex().bytes().rev().cycle().take(100 + usize::from(id.0[15]) * 40).map(|byte| byte ^ (id.0[14] & 15)).collect()
}

fn duration(id: RecordId) -> u64 {
    1000 + u64::from(id.0[15])
}

/// A journal of 300 calls. Every third is acked, every second has a follow-up, and every sixth one that was sent before. One is dead,
/// and some callbacks wait. 20 more calls are in the spool.
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
        labels::push(&mut section, labels::SINK, SINK.as_bytes());
        section.extend(facts::of_start());
        bench.spool.append(&start(id, &section, &body(id))).unwrap();
        let labels = facts::of_end(duration(id));
        bench.spool.append(&Event { labels: &labels, ..end(id, CallEnd::Ok, &body(id)) }).unwrap();
        id
    };
    let mut ids: Vec<_> = (0..300).map(|_| call()).collect();
    let store = bench.store();
    store.subscribe("exec").unwrap();
    // Not in the order of their calls.
    for seq in (1..=100).rev().map(|nth| 3 * nth - 2) {
        ack(&store, Seq(seq), 1000 + seq);
    }
    // The command has received five request ids, of which two are done. 95 more wait.
    store.claim_callbacks("exec", None, 5, LEASE, NOW).unwrap();
    store.settle_callbacks("exec", &[Seq(298), Seq(289)], &[], &[]).unwrap();
    for id in ids.iter().step_by(6) {
        store.follow_up(Target::Record(*id), Op::Score, &body(*id)).unwrap();
    }
    for followup in store.claim_followups(common::limits(100), LEASE, NOW).unwrap() {
        store.followups_done(&[SentFollowUp { key: followup.key, status: 200 }], NOW).unwrap();
    }
    for id in ids.iter().step_by(2) {
        store.follow_up(Target::Record(*id), Op::Metadata, &body(*id)).unwrap();
    }
    store.park(&[Seq(2)], ParkedState::Dead, Millis::EPOCH, "refused").unwrap();
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

/// Asserts that every part of every salvaged record equals the recorded one.
fn assert_matches(store: &Store, journal: &Damaged, report: &SalvageReport) {
    assert_sound(store);
    let ordered: HashSet<_> = store.acks(0, 10_000).unwrap().into_iter().map(|acked| acked.row.id).collect();
    let rows = all(store);
    let seqs: Vec<Seq> = rows.iter().map(|row| row.seq).collect();
    for (row, digest) in rows.into_iter().zip(store.digests(&seqs).unwrap()) {
        let digest = digest.expect("each record has a digest");
        assert!(!digest.is_complete || digest.duration_ns == Some(duration(row.id)));
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
        // A record without its state must not be sent unchecked.
        let is_safe = row.state == expected || row.state != State::Pending && row.state != State::Acked;
        assert!(is_safe, "record {at} of {expected:?} became {:?}", row.state);
        if let Some(ack) = row.ack {
            assert_eq!(RequestId(at as u64 + 1001), ack.request_id);
            assert!(ordered.contains(&row.id), "{:?} has no place among the acks", row.id);
        }
        let sent = store.sent_followups(Target::Record(row.id)).unwrap();
        assert!(sent.len() <= 1 && sent.iter().all(|followup| followup.op == Op::Score));
        for followup in store.followups(Target::Record(row.id)).unwrap().into_iter().chain(sent) {
            assert!(followup.payload == body(row.id), "{:?} has the follow-up of another record", row.id);
        }
        if row.flags & FLAG_PRUNED != 0 {
            assert!(report.losses.iter().any(|loss| loss.contains(&row.id.hex())));
        }
        if row.sink.is_none() && row.state != State::InDoubt {
            assert!(report.lost > 0, "{:?} lost its sink, and no loss is reported", row.id);
        }
    }
}

#[test]
fn everything_is_kept_of_an_intact_journal() {
    let journal = journal();
    let (report, store) = journal.salvage();
    assert_eq!((report.lost, report.damaged, report.losses.len()), (0, 0, 0));
    assert_eq!(store.undigested_count().unwrap(), (320, 0));
    let digest = store.digests(&[Seq(7)]).unwrap()[0].unwrap();
    assert_eq!(store.model_name(digest.model).unwrap(), Some(b"m".to_vec()));
    assert_eq!((report.records, report.events, report.acks, report.callbacks, report.frames), (320, 600, 100, 103, 40));
    assert_eq!((report.followups, report.followups_sent), (150, 50));
    assert_matches(&store, &journal, &report);
    let order: Vec<_> = store.acks(0, 1000).unwrap().iter().map(|acked| request_id(&acked.row)).collect();
    assert_eq!(order, (1..=100).rev().map(|nth| 3 * nth + 998).collect::<Vec<_>>());
    let mut received = Vec::new();
    loop {
        let claimed = store.claim_callbacks("exec", None, 10, LEASE, NOW + ms(1000)).unwrap();
        if claimed.is_empty() {
            break;
        }
        received.extend(claimed.iter().map(|callback| request_id(&callback.row)));
    }
    received.sort_unstable();
    let rest = (1..=300).step_by(3).filter(|seq| ![298, 289].contains(seq)).map(|seq| 1000 + seq);
    assert_eq!(received, rest.collect::<Vec<_>>(), "the command receives no finished request id again");
    assert_eq!(store.by_request(RequestId(1001)).unwrap(), [journal.ids[0]]);
    assert_eq!(store.by_label(labels::TAG, b"tagged", 1000).unwrap().len(), 320);
    let dead = row(&store, journal.ids[1]);
    assert_eq!(
        (dead.state, dead.last_error.as_str(), dead.sink.as_deref()),
        (State::Dead, "refused", Some("app:sink"))
    );
    assert_eq!(store.stats().unwrap().states[State::Pending as usize], 219);
}

#[test]
fn every_record_is_found_without_the_meta_pages() {
    let journal = journal();
    journal.overwrite(&vec![0xa5; 2 * usize::try_from(PAGE).unwrap()], 0);
    let (report, store) = journal.salvage();
    assert!(report.damaged > 0);
    assert_eq!(report.records, 320);
    assert_matches(&store, &journal, &report);
    assert_eq!(all(&store).iter().filter(|row| row.start.is_some() && row.end.is_some()).count(), 320);
    assert_eq!((report.acks, report.followups, report.followups_sent), (100, 150, 50));
}

#[test]
fn losing_any_page_costs_only_its_entries() {
    let journal = journal();
    let pages = std::fs::metadata(journal.data()).unwrap().len() / PAGE;
    let whole = std::fs::read(journal.data()).unwrap();
    for page in (0..pages).step_by(3) {
        journal.overwrite(&whole, 0);
        journal.overwrite(&vec![0xa5; usize::try_from(PAGE).unwrap()], page * PAGE);
        let (report, store) = journal.salvage();
        assert_matches(&store, &journal, &report);
        let kept = all(&store).iter().filter(|row| row.start.is_some() && row.end.is_some()).count();
        assert!(kept >= 280, "page {page}: {kept} of 320 records have both events");
        drop(store);
        std::fs::remove_dir_all(&journal.target).unwrap();
    }
}

#[test]
fn the_first_half_of_a_file_is_salvaged() {
    let journal = journal();
    let len = std::fs::metadata(journal.data()).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(journal.data()).unwrap().set_len(len / 2 + 100).unwrap();
    let (report, store) = journal.salvage();
    assert!(report.damaged > 0 && report.records > 20);
    assert_matches(&store, &journal, &report);
}

#[test]
fn flipped_bits_cost_only_the_entries_they_hit() {
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
            assert_matches(&store, &journal, &report);
            let kept = all(&store).iter().filter(|row| row.start.is_some() && row.end.is_some()).count();
            assert!(kept >= 320 - flips * 40, "{flips} flips: {kept} of 320 records have both events");
        });
        if saved.is_err() {
            // Ids are new in each run, so the seed alone does not reproduce this journal.
            let path = journal.path.clone();
            std::mem::forget(journal);
            panic!("seed {seed}; the damaged journal is kept at {}", path.display());
        }
        std::fs::remove_dir_all(&journal.target).unwrap();
    }
}

#[test]
fn the_spool_is_salvaged_without_a_store() {
    let journal = journal();
    std::fs::remove_file(journal.data()).unwrap();
    let (report, store) = journal.salvage();
    // Every event of the spool may have been in the store, and may have been sent.
    assert!(report.records >= 20 && report.lost == report.records + 1);
    assert!(all(&store).iter().all(|row| row.state == State::InDoubt));
    assert_matches(&store, &journal, &report);
}

#[test]
fn an_opaque_record_that_was_sent_and_pruned_stays_sent() {
    let bench = Bench::new();
    let id = RecordId::new();
    bench.spool.append(&raw(id, b"opaque")).unwrap();
    let store = bench.store();
    store.ack(&[(row(&store, id).seq, RequestId(7))]).unwrap();
    store.set_quota(&Quota { max_bytes: Some(0), ..Quota::default() }).unwrap();
    store.ingest(true).unwrap();
    drop(store);
    let copy = bench.dir.path().join("salvaged");
    salvage(&bench.path, &copy).unwrap();
    let salvaged = Store::open(&copy, false).unwrap();
    assert_sound(&salvaged);
    assert_eq!(row(&salvaged, id).state, State::Acked);
}

#[test]
fn an_empty_store_is_reported_as_lost() {
    let journal = journal();
    let data = std::fs::File::options().write(true).open(journal.data()).unwrap();
    data.set_len(0).unwrap();
    let (report, _) = journal.salvage();
    assert!(report.losses.iter().any(|loss| loss.starts_with("the store: nothing")), "{:?}", report.losses);
}

#[test]
fn a_journal_of_a_newer_format_is_refused() {
    let bench = Bench::new();
    bench.call("newer");
    std::fs::write(bench.path.join("FORMAT"), "plsync journal\nformat 99\nid 0\n").unwrap();
    let target = bench.dir.path().join("target");
    assert!(matches!(salvage(&bench.path, &target), Err(Error::Newer { .. })));
    assert!(!target.exists());
}

#[test]
fn a_format_that_the_store_contradicts_is_ignored() {
    let journal = journal();
    std::fs::write(journal.path.join("FORMAT"), "plsync journal\nformat 99\nid 0\n").unwrap();
    let (report, _) = journal.salvage();
    assert_eq!((report.records, report.lost), (journal.ids.len() as u64, 0));
}

#[test]
fn an_existing_target_is_not_overwritten() {
    let journal = journal();
    std::fs::create_dir(&journal.target).unwrap();
    assert!(salvage(&journal.path, &journal.target).unwrap_err().to_string().contains("exists"));
    assert!(salvage(&journal.path.join("none"), &journal.target).is_err());
}
