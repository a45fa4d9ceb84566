//! A store that is damaged as a whole: whoever opens it is told, and goes on living.

mod common;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{Bench, assert_sound};
use plsync_journal::{Error, Store};
use tempfile::TempDir;

/// A journal of 2,000 calls, and its store's file.
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
fn an_emptied_store_is_refused_and_left_as_it_is() {
    let (_dir, path, data) = journal();
    cut(&data, 0);
    assert!(matches!(refused(&path), Error::Broken { .. }));
    assert_eq!(data.metadata().unwrap().len(), 0);
}

#[test]
fn a_store_that_is_gone_is_not_made_anew() {
    let (_dir, path, _) = journal();
    std::fs::remove_dir_all(path.join("lmdb")).unwrap();
    assert!(matches!(refused(&path), Error::Broken { .. }));
}

#[test]
fn a_page_at_the_end_that_no_commit_leads_to_may_be_missing() {
    let (_dir, path, data) = journal();
    // The newest of the two commits then claims a page more than the file has, as after one that let go of its last page.
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
