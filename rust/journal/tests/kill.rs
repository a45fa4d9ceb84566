//! kill -9 at any moment: every acknowledged event is in the journal, and no event that was never issued.
//!
//! The child prints an id only after `append` returned, which acknowledges it. After the kill, every acknowledged event must be in the
//! journal with its payload intact, and a fresh event must be recorded.

mod common;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{assert_sound, end, raw, start};
use plsync_journal::{CallEnd, Durability, Query, RecordId, Spool, Store};

const CHILD: &str = "PLSYNC_TEST_KILL_CHILD";
const THREADS: usize = 4;

/// The body of an id, which no other id has.
fn body(id: RecordId) -> Vec<u8> {
    let length = 20 + usize::from(id.0[15]) * 40;
    id.hex().bytes().cycle().take(length).collect()
}

/// A child process, not a test: it records until it is killed.
#[test]
fn child() {
    let Ok(journal) = std::env::var(CHILD) else { return };
    let spool = Spool::open(Path::new(&journal), Durability::Process).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let id = RecordId::new();
                    // Issued: from here on the event may be in the journal.
                    report('?', id);
                    spool.append(&start(id, &[], &body(id))).unwrap();
                    spool.append(&end(id, CallEnd::Ok, &body(id))).unwrap();
                    // Acknowledged: from here on it must be in the journal.
                    report('!', id);
                }
            });
        }
    });
}

fn report(mark: char, id: RecordId) {
    // One write a line: the kill never cuts a line, because a pipe accepts up to 4,096 bytes at once.
    let line = format!("\n{mark}{}\n", id.hex());
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

fn spawn(journal: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, journal)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a child, and kills it after about `lines` lines of output. Returns the ids that it printed, and whether each was acknowledged.
fn run_and_kill(journal: &Path, lines: usize) -> HashMap<RecordId, bool> {
    let mut child = spawn(journal);
    let mut ids = HashMap::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut count = 0;
    while output.read_line(&mut line).unwrap() > 0 {
        let text = line.trim_end();
        if let Some(id) = text.get(1..).and_then(RecordId::from_hex) {
            ids.entry(id)
                .and_modify(|acknowledged| *acknowledged |= text.starts_with('!'))
                .or_insert(text.starts_with('!'));
            count += 1;
            if count == lines {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    ids
}

#[test]
fn every_acknowledged_record_survives_kill_9_and_nothing_else_appears() {
    let rounds: usize = std::env::var("PLSYNC_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(200);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut issued = HashSet::new();
    for round in 0..rounds {
        // One journal is used in many rounds, and each other journal in one.
        let journal = dir.path().join(format!("journal-{}", if round % 4 == 0 { 0 } else { round }));
        let ids = run_and_kill(&journal, 1 + (round * 37) % 401);
        issued.extend(ids.keys().copied());
        // A child that was killed early has made no journal yet.
        let store = Store::open(&journal, true).unwrap();
        store.ingest(true).unwrap();
        for (id, is_acknowledged) in &ids {
            let row = store.get(*id).unwrap();
            if *is_acknowledged {
                let row = row.unwrap_or_else(|| panic!("round {round}: {id:?} was acknowledged and is gone"));
                assert_eq!((row.start, row.end), (Some(body(*id)), Some(body(*id))), "round {round}");
                acknowledged += 1;
            }
        }
        for row in store.query(&Query { limit: usize::MAX, ..Query::default() }).unwrap() {
            assert_eq!(row.start.or(row.end), Some(body(row.id)), "round {round}: another body was written");
            assert!(issued.contains(&row.id), "round {round}: {:?} was never issued", row.id);
        }
        assert_sound(&store);
        let fresh = RecordId::new();
        issued.insert(fresh);
        let spool = Spool::open(&journal, Durability::Process).unwrap();
        spool.append(&raw(fresh, &body(fresh))).unwrap();
        store.ingest(true).unwrap();
        assert!(store.get(fresh).unwrap().is_some(), "round {round}: a fresh event is not recorded");
        drop(store);
        if round % 4 != 0 {
            std::fs::remove_dir_all(&journal).unwrap();
        }
    }
    assert!(acknowledged > rounds, "the children were killed before they acknowledged an event");
}

#[test]
fn an_ingester_killed_at_any_moment_neither_loses_nor_repeats_a_record() {
    let bench = common::Bench::new();
    for round in 0..10 {
        for _ in 0..300 {
            bench.call("kept");
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ingesting_child", "--nocapture"])
            .env(CHILD, &bench.path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Each round kills the ingester at another moment.
        let _ = child.wait_timeout(Duration::from_micros(round * 1500));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = bench.store();
    assert_eq!(store.stats().unwrap().records, 3000);
    assert_sound(&store);
}

/// A child process, not a test: it ingests until it is killed.
#[test]
fn ingesting_child() {
    let Ok(journal) = std::env::var(CHILD) else { return };
    let store = Store::open(Path::new(&journal), false).unwrap();
    loop {
        store.ingest(true).unwrap();
    }
}

trait WaitTimeout {
    fn wait_timeout(&mut self, limit: Duration) -> Option<std::process::ExitStatus>;
}

impl WaitTimeout for Child {
    fn wait_timeout(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let deadline = std::time::Instant::now() + limit;
        while std::time::Instant::now() < deadline {
            if let Ok(Some(status)) = self.try_wait() {
                return Some(status);
            }
            std::thread::yield_now();
        }
        None
    }
}
