//! What the journal's tests share.
#![allow(dead_code)] // each test binary uses its own part

pub mod golden;

use std::path::{Path, PathBuf};

use plsync_journal::{Durability, Ended, Event, Kind, RecordId, Spool, Store, labels};
use tempfile::TempDir;

/// A directory to work in: in memory where there is one, for tests that a disk's own syncs would only slow down.
pub fn workplace() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

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
        labels::push(&mut section, labels::SINK, b"app:sink");
        self.spool.append(&event(Kind::Start, Ended::No, id, &section, body)).unwrap();
        id
    }

    pub fn end(&self, id: RecordId, body: &[u8]) {
        self.spool.append(&event(Kind::End, Ended::Ok, id, &[], body)).unwrap();
    }

    pub fn call(&self, tag: &str) -> RecordId {
        let id = self.start(tag, b"{\"start\":1}");
        self.end(id, b"{\"end\":1}");
        id
    }

    pub fn store(&self) -> Store {
        let store = Store::open(&self.path, false).unwrap();
        store.ingest(true).unwrap();
        store
    }

    /// The journal as it would be if this process had died now: a copy, whose writers nobody keeps locked.
    pub fn after_death(&self) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        copy(&self.path, &path);
        (dir, path)
    }
}

pub fn event<'a>(kind: Kind, ended: Ended, id: RecordId, labels: &'a [u8], body: &'a [u8]) -> Event<'a> {
    Event { kind, ended, flags: 0, lane: 0, id, labels, body }
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), target) {
            // The sync thread renames the segments it makes.
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
