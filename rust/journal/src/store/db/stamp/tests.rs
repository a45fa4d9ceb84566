//! A store that plsync wrote is admitted without a verification, and every other store with one.

use std::os::unix::fs::FileExt;

use super::*;
use crate::layout;
use crate::store::db::env::Db;
use crate::store::db::trees::number_key;

fn journal() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    layout::prepare(&path, crate::os::gate::Purpose::Use).unwrap();
    write(&Db::open(&path).unwrap(), 0);
    let store = layout::lmdb(&path, 0);
    (dir, store)
}

fn write(db: &Db, number: u64) {
    db.write(|txn, trees| Ok(trees.damage.put(txn, &number_key(number), &[7; 1000])?)).unwrap();
}

fn fits(store: &Path) -> bool {
    Stamp::open(store).unwrap().fits()
}

/// Writes a byte of the data file again.
fn touch(store: &Path) {
    let data = File::options().read(true).write(true).open(store.join("data.mdb")).unwrap();
    let mut byte = [0];
    data.read_exact_at(&mut byte, 5000).unwrap();
    data.write_all_at(&byte, 5000).unwrap();
}

#[test]
fn each_commit_leaves_a_stamp_that_fits() {
    let (_dir, store) = journal();
    assert!(fits(&store));
    let db = Db::open(store.parent().unwrap()).unwrap();
    for number in 0..50 {
        write(&db, number);
        assert!(fits(&store), "after commit {number}");
    }
}

#[test]
fn a_write_by_another_program_is_noticed_at_once() {
    let (_dir, store) = journal();
    for round in 0..200 {
        touch(&store);
        assert!(!fits(&store), "round {round}");
        drop(Stamp::admit(&store).unwrap());
        assert!(fits(&store), "the verification makes a stamp");
    }
}

#[test]
fn a_commit_does_not_approve_the_writes_of_another_program() {
    let (_dir, store) = journal();
    let db = Db::open(store.parent().unwrap()).unwrap();
    touch(&store);
    write(&db, 1);
    assert!(!fits(&store));
    drop(Stamp::admit(&store).unwrap());
    write(&db, 2);
    assert!(fits(&store));
}

#[test]
fn a_copy_with_its_stamp_is_verified() {
    let (dir, store) = journal();
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for name in ["data.mdb", STAMP] {
        std::fs::copy(store.join(name), copy.join(name)).unwrap();
    }
    let times = store.join("data.mdb").metadata().unwrap().modified().unwrap();
    File::options().write(true).open(copy.join("data.mdb")).unwrap().set_modified(times).unwrap();
    assert!(!fits(&copy));
}

#[test]
fn a_stamp_under_another_key_does_not_fit() {
    let (_dir, store) = journal();
    let mut opened = Stamp::open(&store).unwrap();
    assert!(opened.fits());
    opened.key = Some([7; 16]);
    assert!(!opened.fits());
    opened.key = None;
    assert!(!opened.fits(), "without a key each opening verifies");
}

#[test]
fn a_file_that_is_no_stamp_keeps_its_content() {
    let (dir, store) = journal();
    let notes = dir.path().join("notes");
    std::fs::write(&notes, "do not lose this").unwrap();
    std::fs::remove_file(store.join(STAMP)).unwrap();
    std::fs::hard_link(&notes, store.join(STAMP)).unwrap();
    let _ = Stamp::admit(&store);
    assert_eq!(std::fs::read(&notes).unwrap(), b"do not lose this");
}

#[test]
fn a_damaged_store_is_refused_before_lmdb_reads_it() {
    let (_dir, store) = journal();
    let data = File::options().read(true).write(true).open(store.join("data.mdb")).unwrap();
    let pages = data.metadata().unwrap().len() / 4096;
    for page in 2..pages {
        data.write_all_at(&[0xff; 6], page * 4096 + 10).unwrap();
    }
    let refused = Db::open(store.parent().unwrap()).err().unwrap();
    assert!(matches!(refused, Error::Damaged { .. }) && refused.needs_salvage(), "{refused}");
    assert!(matches!(Stamp::verify_always(&store), Err(Error::Damaged { .. })));
}

#[test]
fn writers_of_several_processes_keep_the_stamp() {
    let (_dir, store) = journal();
    let journal = store.parent().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_millis(300);
    std::thread::scope(|scope| {
        // One environment a process, so the other process is one that only admits.
        scope.spawn(|| {
            let db = Db::open(journal).unwrap();
            while std::time::Instant::now() < until {
                write(&db, 3);
            }
        });
        while std::time::Instant::now() < until {
            let opened = Stamp::open(&store).unwrap();
            assert!(opened.fits() || opened.locked(|| Ok(opened.fits())).unwrap(), "a commit ran, and left no stamp");
        }
    });
}
