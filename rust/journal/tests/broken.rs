//! A store that is damaged as a whole: opening it returns an error and does not kill the process.

mod common;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{Bench, assert_sound};
use plsync_journal::{Error, Store};
use tempfile::TempDir;

/// A journal of 2,000 calls, and the file of its store.
fn journal() -> (TempDir, PathBuf, PathBuf) {
    let bench = Bench::new();
    for number in 0..2000 {
        bench.call(&number.to_string());
    }
    drop(bench.store());
    let (dir, path) = bench.after_death();
    let data = path.join("lmdb/data.mdb");
    (dir, path, data)
}

fn cut(data: &Path, length: u64) {
    std::fs::File::options().write(true).open(data).unwrap().set_len(length).unwrap();
}

fn refused(path: &Path) -> Error {
    Store::open(path, false).err().expect("it cannot be opened")
}

#[test]
fn a_store_whose_file_has_lost_its_end_is_refused() {
    let (_dir, path, data) = journal();
    let length = data.metadata().unwrap().len();
    for left in [length / 2, 8192] {
        cut(&data, left);
        assert!(matches!(refused(&path), Error::Broken { .. }), "{left} of {length} bytes");
    }
    cut(&data, 4096);
    assert!(refused(&path).needs_salvage());
}

#[test]
fn an_empty_store_is_refused_and_not_changed() {
    let (_dir, path, data) = journal();
    cut(&data, 0);
    assert!(matches!(refused(&path), Error::Broken { .. }));
    assert_eq!(data.metadata().unwrap().len(), 0);
}

#[test]
fn a_missing_store_is_not_made_again() {
    let (_dir, path, _) = journal();
    std::fs::remove_dir_all(path.join("lmdb")).unwrap();
    assert!(matches!(refused(&path), Error::Broken { .. }));
}

#[test]
fn an_unused_page_at_the_end_may_be_missing() {
    let (_dir, path, data) = journal();
    // The newer commit then counts one page more than the file has, as after a commit that freed its last page.
    let file = std::fs::File::options().read(true).write(true).open(&data).unwrap();
    let last = data.metadata().unwrap().len() / 4096;
    for meta in [0, 4096] {
        file.write_all_at(&last.to_le_bytes(), meta + 16 + 120).unwrap();
    }
    let store = Store::open(&path, false).unwrap();
    store.ingest(true).unwrap();
    assert_eq!(store.stats().unwrap().records, 2000);
    assert_sound(&store);
}
