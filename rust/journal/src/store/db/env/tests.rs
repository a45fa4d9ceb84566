//! Limits of the environment: a map that is full, or that another process has grown, and readers that died.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::os::gate::Purpose;
use crate::store::db::trees::{Puts, number_key};

const SMALL: Limits = Limits { map: 1 << 20, readers: 2 };
/// Has the journal's path in a child process.
const JOURNAL: &str = "PLSYNC_ENV_TEST_JOURNAL";
/// The line by which a child process reports that it is ready.
const READY: &str = "ready";

fn journal() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    layout::prepare(&path, Purpose::Use).unwrap();
    (dir, path)
}

/// Writes 4 MB, in values of 100 KB.
fn write(db: &Db) -> Result<()> {
    for number in 0..40 {
        db.write(|txn, trees| Ok(trees.damage.put(txn, &number_key(number), &vec![7; 100_000])?))?;
    }
    Ok(())
}

fn entries(db: &Db) -> u64 {
    db.read(|txn, trees| Ok(trees.damage.len(txn)?)).unwrap()
}

/// One of the tests below, run as a child process.
struct OtherProcess {
    process: Child,
    /// Kept open while the process may write to it.
    _output: BufReader<ChildStdout>,
}

/// Runs a test as a child process, and returns once it is ready.
fn other_process(test: &str, journal: &Path) -> OtherProcess {
    let name = format!("store::db::env::tests::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--nocapture"]).env(JOURNAL, journal).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    assert!(output.by_ref().lines().any(|line| line.unwrap().contains(READY)), "{test} did not start");
    OtherProcess { process, _output: output }
}

impl OtherProcess {
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A child process, not a test: it grows the store.
#[test]
#[allow(clippy::print_stdout)] // the parent waits for it
fn grows_the_store() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    write(&Db::open(Path::new(&journal)).unwrap()).unwrap();
    println!("{READY}");
}

/// A child process: it holds every reader slot until it is killed.
#[test]
#[allow(clippy::print_stdout)] // the parent waits for it
fn holds_every_slot() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    let db = Db::open_with(Path::new(&journal), SMALL).unwrap();
    let guard = db.opened.read().unwrap();
    let env = &guard.as_ref().unwrap().env;
    let _readers = [env.read_txn().unwrap(), env.read_txn().unwrap()];
    println!("{READY}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// A child process: it has the store open until it is killed.
#[test]
#[allow(clippy::print_stdout)] // the parent waits for it
fn holds_the_store_open() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    let _db = Db::open(Path::new(&journal)).unwrap();
    println!("{READY}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Limits the address space of this process to `more` bytes beyond its current size.
#[cfg(target_os = "linux")]
fn limit_address_space(more: u64) {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let limits = libc::rlimit { rlim_cur: (pages * 4096).saturating_add(more), rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure is fully initialised.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limits) }, 0);
}

/// A child process: it opens the store with little address space.
#[test]
#[cfg(target_os = "linux")]
#[allow(clippy::print_stdout)] // the parent waits for it
fn opens_with_little_address_space() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    limit_address_space(512 << 20);
    let db = Db::open(Path::new(&journal)).unwrap();
    write(&db).unwrap();
    assert_eq!(entries(&db), 40);
    println!("{READY}");
}

/// A child process: it cannot grow the map, and then it can.
#[test]
#[cfg(target_os = "linux")]
#[allow(clippy::print_stdout)] // the parent waits for it
fn cannot_grow_the_map() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    let db = Db::open_with(Path::new(&journal), SMALL).unwrap();
    limit_address_space(1 << 20);
    let refused = write(&db).unwrap_err();
    assert_eq!(refused.io_cause().map(std::io::Error::kind), Some(std::io::ErrorKind::OutOfMemory), "{refused}");
    limit_address_space(u64::MAX);
    db.clear_stale_readers().unwrap();
    write(&db).unwrap();
    assert_eq!(entries(&db), 40);
    println!("{READY}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_with_little_address_space_has_a_smaller_map() {
    let (_dir, path) = journal();
    assert!(other_process("opens_with_little_address_space", &path).process.wait().unwrap().success());
}

#[test]
#[cfg(target_os = "linux")]
fn a_map_that_cannot_grow_is_an_error_and_the_store_stays_usable() {
    let (_dir, path) = journal();
    assert!(other_process("cannot_grow_the_map", &path).process.wait().unwrap().success());
}

#[test]
fn a_full_map_grows() {
    let (_dir, path) = journal();
    let db = Db::open_with(&path, SMALL).unwrap();
    write(&db).unwrap();
    assert_eq!(entries(&db), 40);
    assert!(db.opened.read().unwrap().as_ref().unwrap().env.info().map_size > SMALL.map);
}

#[test]
fn a_map_that_another_process_has_grown_grows_too() {
    let (_dir, path) = journal();
    let readers = Db::open_with(&path, SMALL).unwrap();
    assert_eq!(entries(&readers), 0);
    assert!(other_process("grows_the_store", &path).process.wait().unwrap().success());
    assert_eq!(entries(&readers), 40);
    write(&readers).unwrap();
    assert_eq!(entries(&readers), 40);
}

#[test]
fn slots_of_dead_readers_are_reused() {
    let (_dir, path) = journal();
    let db = Db::open_with(&path, SMALL).unwrap();
    let others = other_process("holds_every_slot", &path);
    let full = db.read(|_, _| Ok(())).unwrap_err();
    assert!(matches!(full, Error::Lmdb(heed::Error::Mdb(MdbError::ReadersFull))), "{full}");
    others.kill();
    assert_eq!(entries(&db), 0);
}

#[test]
fn opening_a_store_clears_dead_readers() {
    let (_dir, path) = journal();
    // LMDB resets the table of readers when no other process has the store open.
    let open = other_process("holds_the_store_open", &path);
    other_process("holds_every_slot", &path).kill();
    let db = Db::open(&path).unwrap();
    assert_eq!(db.clear_stale_readers().unwrap(), 0);
    open.kill();
}

#[test]
fn ingesting_clears_dead_readers() {
    let (_dir, path) = journal();
    let store = crate::Store::open(&path, false).unwrap();
    other_process("holds_every_slot", &path).kill();
    store.ingest(true).unwrap();
    assert_eq!(store.db().clear_stale_readers().unwrap(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Long keys and values, so that the puts split many pages under the iterator.
    #[test]
    fn entries_are_stored_in_order_after_puts_in_any_order(
        before in prop::collection::vec(any::<u16>(), 0..300),
        more in prop::collection::vec(any::<u16>(), 1..600),
        in_order: bool,
    ) {
        let entry = |number: &u16, value: u8| (number.to_be_bytes().repeat(40), vec![value; 60]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        layout::prepare(&path, Purpose::Use).unwrap();
        let db = Db::open(&path).unwrap();
        let mut more = more;
        if in_order {
            more.sort_unstable();
        }
        db.write(|txn, trees| {
            for (key, value) in before.iter().map(|number| entry(number, 1)) {
                trees.damage.put(txn, &key, &value)?;
            }
            Ok(())
        }).unwrap();
        db.write(|txn, trees| {
            let mut puts = Puts::into(trees.damage, txn)?;
            more.iter().map(|number| entry(number, 2)).try_for_each(|(key, value)| puts.put(&key, &value))
        }).unwrap();
        let expected: BTreeMap<_, _> =
            before.iter().map(|number| entry(number, 1)).chain(more.iter().map(|number| entry(number, 2))).collect();
        let found = db.read(|txn, trees| {
            let entries = trees.damage.iter(txn)?.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())));
            Ok(entries.collect::<std::result::Result<Vec<_>, _>>()?)
        }).unwrap();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}

#[cfg(target_os = "linux")]
fn blocks(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).unwrap().blocks() * 512
}

#[test]
#[cfg(target_os = "linux")]
fn the_lock_file_has_disk_space_for_every_reader() {
    let (_dir, path) = journal();
    let lock = layout::lmdb(&path, 0).join("lock.mdb");
    drop(Db::open(&path).unwrap());
    let len = fs::metadata(&lock).unwrap().len();
    assert!(blocks(&lock) >= len);
    // As LMDB makes it, for older versions of plsync.
    let sparse = fs::File::create(&lock).unwrap();
    sparse.set_len(len).unwrap();
    assert!(blocks(&lock) < len);
    drop(Db::open(&path).unwrap());
    assert_eq!(fs::metadata(&lock).unwrap().len(), len);
    assert!(blocks(&lock) >= len);
    // A copy of a journal may lack it.
    fs::remove_file(&lock).unwrap();
    write(&Db::open(&path).unwrap()).unwrap();
    assert!(blocks(&lock) >= len);
}
