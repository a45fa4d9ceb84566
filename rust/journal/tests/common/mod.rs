//! Helpers that the journal's tests share.
#![allow(dead_code)] // each test binary uses its own part

pub mod carried;
pub mod facts;
pub mod golden;
pub mod runs;

use std::path::{Path, PathBuf};
use std::time::Duration;

use plsync_journal::{
    CallEnd, Durability, Event, FrameKind, Head, Lane, Limits, Millis, RecordId, RequestId, Row, Seq, Spool, Store,
    labels,
};
use tempfile::TempDir;

/// The moment at which tests lease and claim.
pub const NOW: Millis = Millis(1_900_000_000_000);
/// A moment after every wait of a test.
pub const LATER: Millis = Millis(u64::MAX >> 1);
pub const LEASE: Duration = Duration::from_secs(1);
pub const MB: u64 = 1 << 20;
/// The sink of the calls of [`Bench`].
pub const SINK: &str = "app:sink";

pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Limits of one megabyte.
pub const fn limits(records: usize) -> Limits {
    Limits { records, bytes: MB }
}

/// A directory in memory where the system has one: tests do not need a disk's syncs.
pub fn temp_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A journal, and a spool that appends to it.
pub struct Bench {
    pub dir: TempDir,
    pub path: PathBuf,
    pub spool: Spool,
}

impl Bench {
    pub fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    pub fn within(dir: TempDir) -> Self {
        let path = dir.path().join("journal");
        let spool = Spool::open(&path, Durability::Process).unwrap();
        Self { dir, path, spool }
    }

    pub fn start(&self, tag: &str, body: &[u8]) -> RecordId {
        let id = RecordId::new();
        let mut section = Vec::new();
        labels::push(&mut section, labels::TAG, tag.as_bytes());
        labels::push(&mut section, labels::SINK, SINK.as_bytes());
        self.spool.append(&start(id, &section, body)).unwrap();
        id
    }

    /// Starts a call of a lane, without labels.
    pub fn start_in(&self, lane: Lane, body: &[u8]) -> RecordId {
        let id = RecordId::new();
        let head = Head { lane, ..Head::new(FrameKind::Start, id) };
        self.spool.append(&Event { head, labels: &[], body }).unwrap();
        id
    }

    pub fn end(&self, id: RecordId, body: &[u8]) {
        self.spool.append(&end(id, CallEnd::Ok, body)).unwrap();
    }

    pub fn call(&self, tag: &str) -> RecordId {
        let id = self.start(tag, b"{\"start\":1}");
        self.end(id, b"{\"end\":1}");
        id
    }

    /// The store, with every event ingested.
    pub fn store(&self) -> Store {
        open(&self.path)
    }

    /// A copy of the journal, as it would be if this process had died now: no process holds the locks of its writers.
    pub fn after_death(&self) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        copy(&self.path, &path);
        (dir, path)
    }
}

/// Opens the store of a journal, and ingests every event.
pub fn open(journal: &Path) -> Store {
    let store = Store::open(journal, false).unwrap();
    store.ingest(true).unwrap();
    store
}

pub fn start<'a>(id: RecordId, labels: &'a [u8], body: &'a [u8]) -> Event<'a> {
    Event { head: Head::new(FrameKind::Start, id), labels, body }
}

pub fn end(id: RecordId, ended: CallEnd, body: &[u8]) -> Event<'_> {
    Event { head: Head { ended, ..Head::new(FrameKind::End, id) }, labels: &[], body }
}

pub fn raw(id: RecordId, body: &[u8]) -> Event<'_> {
    Event { head: Head::new(FrameKind::Raw, id), labels: &[], body }
}

/// Leases up to `records` records at [`NOW`].
pub fn lease(store: &Store, records: usize) -> Vec<Row> {
    lease_at(store, records, NOW)
}

pub fn lease_at(store: &Store, records: usize, now: Millis) -> Vec<Row> {
    store.lease(limits(records), LEASE, now).unwrap()
}

/// The number of the first record that is leased at [`NOW`].
pub fn lease_one(store: &Store) -> Seq {
    lease(store, 1)[0].seq
}

/// Acks one record, and returns how many acks were new.
pub fn ack(store: &Store, seq: Seq, request: u64) -> u64 {
    store.ack(&[(seq, RequestId(request))]).unwrap()
}

pub fn row(store: &Store, id: RecordId) -> Row {
    store.get(id).unwrap().unwrap()
}

/// The request id of an acked record.
pub fn request_id(row: &Row) -> u64 {
    row.ack.unwrap().request_id.0
}

/// The sinks for which request ids wait, without dead ones.
pub fn waiting_sinks(store: &Store) -> Vec<String> {
    let backlogs = store.callback_backlogs().unwrap().into_iter();
    backlogs.filter(|backlog| backlog.waiting > 0).map(|backlog| backlog.sink).collect()
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), target) {
            // The fsync thread renames the segments it makes.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

pub fn segments(journal: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(journal.join("spool"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    found.sort();
    found
}

pub fn assert_sound(store: &Store) {
    let report = store.check().unwrap();
    assert_eq!(report.problems, []);
}
