//! Limits that are met: a map that is full, or outgrown by another process, and readers that died.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::store::db::tables::{Puts, seq_key};

const SMALL: Limits = Limits { map: 1 << 20, readers: 2 };
/// Names the journal to a test that is run as another process.
const JOURNAL: &str = "PLSYNC_ENV_TEST_JOURNAL";

fn journal() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    layout::prepare(&path).unwrap();
    (dir, path)
}

/// Writes 4 MB, in values of 100 KB.
fn write(db: &Db) -> Result<()> {
    for seq in 0..40 {
        db.write(|txn, tables| Ok(tables.damage.put(txn, &seq_key(seq), &vec![7; 100_000])?))?;
    }
    Ok(())
}

fn entries(db: &Db) -> u64 {
    db.read(|txn, tables| Ok(tables.damage.len(txn)?)).unwrap()
}

/// One of the tests below, run as a process of its own.
struct Other {
    process: Child,
    /// Kept for as long as it may write to it.
    _said: BufReader<ChildStdout>,
}

/// Runs it on a journal, and returns when it has said that it has begun.
fn other_process(test: &str, journal: &Path) -> Other {
    let name = format!("store::db::env::tests::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--nocapture"]).env(JOURNAL, journal).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap());
    assert!(said.by_ref().lines().any(|line| line.unwrap().contains("begun")), "{test} did not begin");
    Other { process, _said: said }
}

impl Other {
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Not a test but what another process does: it grows the store.
#[test]
#[allow(clippy::print_stdout)] // the parent waits for it
fn growing() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    write(&Db::open(Path::new(&journal)).unwrap()).unwrap();
    println!("begun");
}

/// Likewise: it reads until it is killed, in every slot there is.
#[test]
#[allow(clippy::print_stdout)] // the parent waits for it
fn reading() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    let db = Db::open_with(Path::new(&journal), SMALL).unwrap();
    let guard = db.opened.read().unwrap();
    let env = &guard.as_ref().unwrap().env;
    let _readers = [env.read_txn().unwrap(), env.read_txn().unwrap()];
    println!("begun");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Likewise: it has the store open until it is killed.
#[test]
#[allow(clippy::print_stdout)] // the parent waits for it
fn holding() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    let _db = Db::open(Path::new(&journal)).unwrap();
    println!("begun");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Lets this process have so many bytes of address space more than it has now.
#[cfg(target_os = "linux")]
fn limit(more: u64) {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let limits = libc::rlimit { rlim_cur: (pages * 4096).saturating_add(more), rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure is whole.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limits) }, 0);
}

/// Likewise: it may not map much.
#[test]
#[cfg(target_os = "linux")]
#[allow(clippy::print_stdout)] // the parent waits for it
fn narrow() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    limit(512 << 20);
    let db = Db::open(Path::new(&journal)).unwrap();
    write(&db).unwrap();
    assert_eq!(entries(&db), 40);
    println!("begun");
}

/// Likewise: it may not map more, and then it may.
#[test]
#[cfg(target_os = "linux")]
#[allow(clippy::print_stdout)] // the parent waits for it
fn hemmed() {
    let Some(journal) = std::env::var_os(JOURNAL) else { return };
    let db = Db::open_with(Path::new(&journal), SMALL).unwrap();
    limit(1 << 20);
    let refused = write(&db).unwrap_err();
    assert_eq!(refused.io_cause().map(std::io::Error::kind), Some(std::io::ErrorKind::OutOfMemory), "{refused}");
    limit(u64::MAX);
    db.clear_stale_readers().unwrap();
    write(&db).unwrap();
    assert_eq!(entries(&db), 40);
    println!("begun");
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_may_not_map_much_has_a_smaller_map() {
    let (_dir, path) = journal();
    assert!(other_process("narrow", &path).process.wait().unwrap().success());
}

#[test]
#[cfg(target_os = "linux")]
fn a_map_that_cannot_be_grown_is_an_error_and_no_end() {
    let (_dir, path) = journal();
    assert!(other_process("hemmed", &path).process.wait().unwrap().success());
}

#[test]
fn a_full_map_is_grown() {
    let (_dir, path) = journal();
    let db = Db::open_with(&path, SMALL).unwrap();
    write(&db).unwrap();
    assert_eq!(entries(&db), 40);
    assert!(db.opened.read().unwrap().as_ref().unwrap().env.info().map_size > SMALL.map);
}

#[test]
fn a_map_that_another_process_outgrew_is_grown_too() {
    let (_dir, path) = journal();
    let readers = Db::open_with(&path, SMALL).unwrap();
    assert_eq!(entries(&readers), 0);
    assert!(other_process("growing", &path).process.wait().unwrap().success());
    assert_eq!(entries(&readers), 40);
    write(&readers).unwrap();
    assert_eq!(entries(&readers), 40);
}

#[test]
fn slots_of_readers_that_died_are_given_to_the_living() {
    let (_dir, path) = journal();
    let db = Db::open_with(&path, SMALL).unwrap();
    let others = other_process("reading", &path);
    let full = db.read(|_, _| Ok(())).unwrap_err();
    assert!(matches!(full, Error::Lmdb(heed::Error::Mdb(MdbError::ReadersFull))), "{full}");
    others.kill();
    assert_eq!(entries(&db), 0);
}

#[test]
fn readers_that_died_are_forgotten_when_a_store_is_opened() {
    let (_dir, path) = journal();
    // Without another that has it open LMDB begins anew.
    let open = other_process("holding", &path);
    other_process("reading", &path).kill();
    let db = Db::open(&path).unwrap();
    assert_eq!(db.clear_stale_readers().unwrap(), 0);
    open.kill();
}

#[test]
fn readers_that_died_are_forgotten_when_a_store_takes_frames_in() {
    let (_dir, path) = journal();
    let store = crate::Store::open(&path, false).unwrap();
    other_process("reading", &path).kill();
    store.ingest(true).unwrap();
    assert_eq!(store.db().clear_stale_readers().unwrap(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Long keys and values, so that pages are split again and again under the iterator that puts.
    #[test]
    fn entries_are_put_where_they_belong_in_any_order(
        before in prop::collection::vec(any::<u16>(), 0..300),
        more in prop::collection::vec(any::<u16>(), 1..600),
        in_order: bool,
    ) {
        let entry = |number: &u16, value: u8| (number.to_be_bytes().repeat(40), vec![value; 60]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        layout::prepare(&path).unwrap();
        let db = Db::open(&path).unwrap();
        let mut more = more;
        if in_order {
            more.sort_unstable();
        }
        db.write(|txn, tables| {
            for (key, value) in before.iter().map(|number| entry(number, 1)) {
                tables.damage.put(txn, &key, &value)?;
            }
            Ok(())
        }).unwrap();
        db.write(|txn, tables| {
            let mut puts = Puts::into(tables.damage, txn)?;
            more.iter().map(|number| entry(number, 2)).try_for_each(|(key, value)| puts.put(&key, &value))
        }).unwrap();
        let expected: BTreeMap<_, _> =
            before.iter().map(|number| entry(number, 1)).chain(more.iter().map(|number| entry(number, 2))).collect();
        let found = db.read(|txn, tables| {
            let entries = tables.damage.iter(txn)?.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())));
            Ok(entries.collect::<std::result::Result<Vec<_>, _>>()?)
        }).unwrap();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}
