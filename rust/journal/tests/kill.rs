//! kill -9 at any moment: what a returned append promised is there, and nothing else is.
//!
//! The oracle: the child reports an id only after `append` returned (an obligation). After the kill, every obligation must be in the
//! journal with its payload intact, nothing may be there that was never issued, and a fresh event still flows.

mod common;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{assert_sound, event};
use plsync_journal::{Durability, Ended, Kind, Query, RecordId, Spool, Store};

const CHILD: &str = "PLSYNC_TEST_KILL_CHILD";
const THREADS: usize = 4;

/// The body that belongs to an id, so that any mix-up shows.
fn body(id: RecordId) -> Vec<u8> {
    let length = 20 + usize::from(id.0[15]) * 40;
    id.hex().bytes().cycle().take(length).collect()
}

/// Not a test of its own: what the killed process runs.
#[test]
fn child() {
    let Ok(journal) = std::env::var(CHILD) else { return };
    let spool = Spool::open(Path::new(&journal), Durability::Process).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let id = RecordId::new();
                    // Issued before the append: it may be in the journal.
                    report('?', id);
                    spool.append(&event(Kind::Start, Ended::No, id, &[], &body(id))).unwrap();
                    spool.append(&event(Kind::End, Ended::Ok, id, &[], &body(id))).unwrap();
                    // Acknowledged: it must be.
                    report('!', id);
                }
            });
        }
    });
}

fn report(mark: char, id: RecordId) {
    // One write a line: a line is never torn by the kill, because pipes take up to 4,096 bytes whole.
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

/// Runs a child, kills it after about `lines` lines of output, and returns what it said: id -> acknowledged.
fn killed_after(journal: &Path, lines: usize) -> HashMap<RecordId, bool> {
    let mut child = spawn(journal);
    let mut said = HashMap::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut seen = 0;
    while output.read_line(&mut line).unwrap() > 0 {
        let text = line.trim_end();
        if let Some(id) = text.get(1..).and_then(RecordId::from_hex) {
            said.entry(id)
                .and_modify(|acknowledged| *acknowledged |= text.starts_with('!'))
                .or_insert(text.starts_with('!'));
            seen += 1;
            if seen == lines {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    said
}

#[test]
fn every_acknowledged_record_survives_kill_9_and_nothing_else_appears() {
    let rounds: usize = std::env::var("PLSYNC_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(200);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut issued = HashSet::new();
    for round in 0..rounds {
        // One journal sees many kills, the others one.
        let journal = dir.path().join(format!("journal-{}", if round % 4 == 0 { 0 } else { round }));
        let said = killed_after(&journal, 1 + (round * 37) % 401);
        issued.extend(said.keys().copied());
        // Killed early, the child has made no journal yet.
        let store = Store::open(&journal, true).unwrap();
        store.ingest(true).unwrap();
        for (id, must) in &said {
            let row = store.get(*id).unwrap();
            if *must {
                let row = row.unwrap_or_else(|| panic!("round {round}: {id:?} was acknowledged and is gone"));
                assert_eq!((row.start, row.end), (Some(body(*id)), Some(body(*id))), "round {round}");
                acknowledged += 1;
            }
        }
        for row in store.query(&Query { limit: usize::MAX, ..Query::default() }).unwrap() {
            assert_eq!(row.start.or(row.end), Some(body(row.id)), "round {round}: not what was written");
            assert!(issued.contains(&row.id), "round {round}: {:?} was never issued", row.id);
        }
        assert_sound(&store);
        let fresh = RecordId::new();
        issued.insert(fresh);
        let spool = Spool::open(&journal, Durability::Process).unwrap();
        spool.append(&event(Kind::Raw, Ended::No, fresh, &[], &body(fresh))).unwrap();
        store.ingest(true).unwrap();
        assert!(store.get(fresh).unwrap().is_some(), "round {round}: a fresh event no longer flows");
        drop(store);
        if round % 4 != 0 {
            std::fs::remove_dir_all(&journal).unwrap();
        }
    }
    assert!(acknowledged > rounds, "the children were killed before they could promise anything");
}

#[test]
fn an_ingester_killed_at_any_moment_loses_and_doubles_nothing() {
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
        // How far it gets differs from round to round; any point is a valid one to die at.
        let _ = child.wait_timeout(Duration::from_micros(round * 1500));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = bench.store();
    assert_eq!(store.stats().unwrap().records, 3000);
    assert_sound(&store);
}

/// Not a test of its own: an ingester to kill.
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
