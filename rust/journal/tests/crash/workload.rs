//! The workload whose system calls are logged: several processes record, flush, ingest, send and compact.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use plsync_journal::{
    Durability, FLAG_RUN, Millis, Op as FollowUp, RecordId, RequestId, Row, SentFollowUp, Spool, Store, Target,
};

use crate::child;
use crate::common::{LATER, limits, ms};
use crate::interpose::{capture, mark};
use crate::log::{self, Op};
use crate::oracle::{END, QUEUED, SENDING, SENT, START, append, append_in, body};

/// Runs the processes of one life of a journal, and returns the log of their operations.
pub fn record(dir: &Path, failing_syncs: u64) -> Vec<Op> {
    let log = dir.join("log");
    std::fs::create_dir(dir.join("disk")).unwrap();
    let spawn = |role: &str| {
        let paths = [dir.join("disk"), log.clone()];
        let [disk, log] = paths.each_ref().map(|path| path.to_str().unwrap());
        child::spawn("workload::working", &[disk, log, &failing_syncs.to_string(), role])
    };
    for roles in [&["everything"][..], &["writer"], &["writer", "everything"], &["reader"]] {
        let children: Vec<_> = roles.iter().map(|role| spawn(role)).collect();
        for child in children {
            child::output(child).unwrap();
        }
    }
    log::read(&log)
}

/// A child process, not a test: one process of the workload.
#[test]
fn working() {
    let Some(arguments) = child::arguments() else { return };
    let [disk, log, failing_syncs, role] = &arguments[..] else { panic!("four arguments") };
    let journal = Path::new(disk).join("journal");
    capture(Path::new(disk), Path::new(log), failing_syncs.parse().unwrap());
    match role.as_str() {
        "writer" => {
            write(&journal);
            // SAFETY: _exit has no preconditions. The process ends as if it were killed: its segment keeps its size, its calls stay open.
            unsafe { libc::_exit(0) };
        }
        "reader" => {
            read(&journal, &Unpromised::default());
            compact(&journal);
            read(&journal, &Unpromised::default());
        }
        _ => everything(&journal),
    }
}

/// Events whose appends have returned, and which are not synced yet.
#[derive(Default)]
struct Unpromised(Mutex<Vec<(char, RecordId)>>);

impl Unpromised {
    fn add(&self, part: char, id: RecordId) {
        self.0.lock().unwrap().push((part, id));
    }

    /// Runs a sync, and marks the events as promised if it succeeds.
    fn settle(&self, work: impl FnOnce() -> bool) {
        let returned = std::mem::take(&mut *self.0.lock().unwrap());
        if work() {
            for (part, id) in returned {
                mark(format!("{part} {}", id.hex()));
            }
        }
    }
}

fn write(journal: &Path) {
    let spools = [Durability::Process, Durability::Power].map(|durability| Spool::open(journal, durability).unwrap());
    let unpromised = Unpromised::default();
    for round in 0..40 {
        call(spools[usize::from(round % 3 == 0)], round % 3 == 0, round % 7 == 0, &unpromised);
        if round % 16 == 0 {
            tree(spools[usize::from(round == 16)], round == 16, round == 32, &unpromised);
        }
        if round % 10 == 9 {
            unpromised.settle(|| spools[0].flush().is_ok());
        }
    }
}

/// Records one model call. Errors are ignored: an event that is not promised is not expected.
fn call(spool: Spool, power: bool, left_open: bool, unpromised: &Unpromised) {
    let id = RecordId::new();
    mark(format!("? {}", id.hex()));
    for part in if left_open { &[START][..] } else { &[START, END] } {
        note(append(&spool, id, *part).is_ok(), id, *part, power, unpromised);
    }
}

/// Records a tree: a root with two calls, and a tool between them. Left open, the tool and the root have no end.
fn tree(spool: Spool, power: bool, left_open: bool, unpromised: &Unpromised) {
    let [root, first, tool, second] = [(); 4].map(|()| RecordId::new());
    for id in [root, first, tool, second] {
        mark(format!("? {}", id.hex()));
    }
    let before_tool = [(root, START), (first, START), (first, END), (tool, START)];
    let after = [(tool, END), (second, START), (second, END), (root, END)];
    let events = before_tool.iter().chain(if left_open { &[][..] } else { &after });
    for (id, part) in events {
        let appended = append_in(&spool, root, *id, [first, second].contains(id), *part);
        note(appended.is_ok(), *id, *part, power, unpromised);
    }
}

/// Notes an append that has returned.
fn note(is_appended: bool, id: RecordId, part: char, power: bool, unpromised: &Unpromised) {
    match (is_appended, power) {
        (true, true) => mark(format!("{part} {}", id.hex())),
        (true, false) => unpromised.add(part, id),
        (false, _) => {}
    }
}

fn everything(journal: &Path) {
    let unpromised = Unpromised::default();
    let over = AtomicBool::new(false);
    let spool = Spool::open(journal, Durability::Process).unwrap();
    call(spool, false, false, &unpromised);
    std::thread::scope(|scope| {
        let threads = [Durability::Process, Durability::Process, Durability::Power].map(|durability| {
            let (spool, unpromised) = (Spool::open(journal, durability).unwrap(), &unpromised);
            scope.spawn(move || {
                for round in 0..60 {
                    call(spool, durability == Durability::Power, round % 9 == 0, unpromised);
                    if round % 20 == 0 {
                        tree(spool, durability == Durability::Power, round % 40 == 0, unpromised);
                    }
                }
            })
        });
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                unpromised.settle(|| spool.flush().is_ok());
                read(journal, &unpromised);
                compact(journal);
            }
        });
        for thread in threads {
            thread.join().unwrap();
        }
        over.store(true, Ordering::Release);
    });
    call(spool, false, false, &unpromised);
    unpromised.settle(|| spool.flush().is_ok());
    call(spool, false, true, &unpromised);
}

/// Ingests, sends a few records and stores their request ids.
fn read(journal: &Path, unpromised: &Unpromised) {
    let store = Store::open(journal, true).unwrap();
    unpromised.settle(|| store.ingest(true).is_ok());
    let leased = store.lease(limits(5), ms(60_000), LATER).unwrap();
    let is_call = |row: &&Row| row.flags & FLAG_RUN == 0;
    let request = |row: &Row| is_call(&row).then(|| RequestId(1_000_000 + row.seq.0));
    let acks: Vec<_> = leased.iter().map(|row| (row.seq, request(row))).collect();
    if store.ack_tree(&acks[..acks.len() / 2]).is_ok() {
        for row in leased[..acks.len() / 2].iter().filter(is_call) {
            mark(format!("a {} {}", row.id.hex(), 1_000_000 + row.seq.0));
        }
    }
    // An acked record, because it is not leased again.
    follow_up(&store, leased[..acks.len() / 2].iter().find(is_call).map(|row| row.id));
    let rest: Vec<_> = acks[acks.len() / 2..].iter().map(|(seq, _)| *seq).collect();
    store.release(&rest, Millis::EPOCH, "offline").unwrap();
}

/// Compacts the store. When that fails the old store stays.
fn compact(journal: &Path) {
    let _ = Store::open(journal, false).unwrap().compact();
}

/// Queues a follow-up of a record, and sends some that are due.
fn follow_up(store: &Store, id: Option<RecordId>) {
    let Some(id) = id else { return };
    if let Ok(Some(_)) = store.follow_up(Target::Record(id), FollowUp::Metadata, &body(id, QUEUED)) {
        mark(format!("{QUEUED} {}", id.hex()));
    }
    for followup in store.claim_followups(limits(2), ms(60_000), LATER).unwrap_or_default() {
        let Some(id) = followup.record else { continue };
        mark(format!("{SENDING} {}", id.hex()));
        if store.followups_done(&[SentFollowUp { key: followup.key, status: 200 }], LATER).is_ok() {
            mark(format!("{SENT} {}", id.hex()));
        }
    }
}
