//! Compaction while other processes read, write and die.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Bench, ack, assert_sound, end, request_id, row, start};
use plsync_journal::{CallEnd, Durability, Query, Quota, RecordId, RequestId, Seq, Spool, State, Store};

const CHILD: &str = "PLSYNC_TEST_COMPACT_CHILD";

fn body(id: RecordId) -> Vec<u8> {
    id.hex().repeat(20).into_bytes()
}

fn spawn(role: &str, journal: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", role, "--nocapture"])
        .env(CHILD, journal)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A child process, not a test: it appends some events for each line it reads, and prints the ids of acknowledged ones.
#[test]
fn appending_child() {
    let Ok(journal) = std::env::var(CHILD) else { return };
    let spool = Spool::open(Path::new(&journal), Durability::Process).unwrap();
    for _ in std::io::stdin().lines() {
        for _ in 0..200 {
            let id = RecordId::new();
            spool.append(&start(id, &[], &body(id))).unwrap();
            spool.append(&end(id, CallEnd::Ok, &body(id))).unwrap();
            writeln!(std::io::stdout(), "\n!{}", id.hex()).unwrap();
        }
    }
}

/// A child process, not a test: it compacts until it is killed.
#[test]
fn compacting_child() {
    let Ok(journal) = std::env::var(CHILD) else { return };
    let store = Store::open(Path::new(&journal), false).unwrap();
    loop {
        store.compact().unwrap();
        writeln!(std::io::stdout(), "\n!").unwrap();
    }
}

/// A child process, not a test: it keeps the store open, and acks the record of each line it reads.
#[test]
fn acking_child() {
    let Ok(journal) = std::env::var(CHILD) else { return };
    let store = Store::open(Path::new(&journal), false).unwrap();
    for line in std::io::stdin().lines() {
        let seq: u64 = line.unwrap().parse().unwrap();
        writeln!(std::io::stdout(), "\n!{}", ack(&store, Seq(seq), seq)).unwrap();
    }
}

/// The next line that a child printed, without its mark.
fn next_line(output: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if let Some(text) = line.trim_end().strip_prefix('!') {
            return Some(text.to_owned());
        }
        line.clear();
    }
    None
}

fn stores(journal: &Path) -> Vec<String> {
    let names = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("lmdb")).collect()
}

#[test]
fn compaction_frees_the_space_of_pruned_records() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..2000)
        .map(|_| {
            let id = RecordId::new();
            bench.spool.append(&start(id, &[], &body(id))).unwrap();
            bench.spool.append(&end(id, CallEnd::Ok, &body(id))).unwrap();
            id
        })
        .collect();
    let store = bench.store();
    store.ack(&(1..=2000).map(|seq| (Seq(seq), RequestId(seq))).collect::<Vec<_>>()).unwrap();
    store.set_quota(&Quota { max_bytes: Some(0), ..Quota::default() }).unwrap();
    let report = store.compact().unwrap();
    assert_eq!(report.pruned.acked, 2000);
    assert!(report.after < report.before / 2, "{report:?}");
    assert_eq!(stores(&bench.path), ["lmdb-1"]);
    assert_eq!(store.by_request(RequestId(1000)).unwrap(), [ids[999]]);
    assert_sound(&store);
}

#[test]
fn every_acknowledged_record_survives_compactions_under_a_writer() {
    let bench = Bench::new();
    let mut child = spawn("appending_child", &bench.path);
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    writeln!(input, "go").unwrap();
    let mut acknowledged = vec![next_line(&mut output).unwrap()];
    let store = Store::open(&bench.path, false).unwrap();
    let reading = std::thread::spawn(move || {
        acknowledged.extend(std::iter::from_fn(|| next_line(&mut output)));
        acknowledged
    });
    for _ in 0..10 {
        writeln!(input, "go").unwrap();
        store.ingest(true).unwrap();
        store.compact().unwrap();
    }
    drop(input);
    child.wait().unwrap();
    let acknowledged = reading.join().unwrap();
    assert_eq!(acknowledged.len(), 11 * 200);
    store.ingest(true).unwrap();
    for id in &acknowledged {
        let id = RecordId::from_hex(id).unwrap();
        assert_eq!(row(&store, id).end, Some(body(id)));
    }
    assert_sound(&store);
}

#[test]
fn a_process_with_an_open_store_continues_with_the_new_one() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..4).map(|_| bench.call("acked elsewhere")).collect();
    let store = bench.store();
    let mut child = spawn("acking_child", &bench.path);
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for (id, seq) in ids.iter().zip(1..) {
        writeln!(input, "{seq}").unwrap();
        assert_eq!(next_line(&mut output).unwrap(), "1");
        assert_eq!(request_id(&row(&store, *id)), seq, "written to a store that no process reads any more");
        store.compact().unwrap();
    }
    drop(input);
    child.wait().unwrap();
    assert_sound(&store);
}

#[test]
fn acks_between_compactions_are_not_lost() {
    let bench = Bench::new();
    for _ in 0..60 {
        bench.call("acked");
    }
    let store = bench.store();
    let mut child = spawn("compacting_child", &bench.path);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for seq in 1..=60 {
        if seq % 20 == 1 {
            next_line(&mut output).expect("a compaction");
        }
        assert_eq!(ack(&store, Seq(seq), seq), 1);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(store.stats().unwrap().states[State::Acked as usize], 60);
    assert_sound(&store);
}

#[test]
fn a_compaction_killed_at_any_moment_leaves_one_whole_store() {
    let bench = Bench::new();
    for round in 0..20_u64 {
        for _ in 0..50 {
            bench.call("kept");
        }
        drop(bench.store());
        let mut child = spawn("compacting_child", &bench.path);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        next_line(&mut output).unwrap();
        // The process may die at any moment of the next compaction.
        let until = Instant::now() + Duration::from_micros(round * 400);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = bench.store();
        assert_eq!(store.stats().unwrap().records, (round + 1) * 50);
        assert_sound(&store);
    }
    let store = bench.store();
    store.compact().unwrap();
    assert_eq!(stores(&bench.path).len(), 1, "the leftovers of killed compactions are gone");
    assert_eq!(store.query(&Query { limit: 2000, ..Query::default() }).unwrap().len(), 1000);
}
