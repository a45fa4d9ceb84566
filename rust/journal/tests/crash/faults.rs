//! I/O failures: one system call of a journal's life fails, a different one in each run.
//!
//! After each failure the program continues and has received an error. Acknowledged events are in the journal. Afterwards everything
//! works again, in the same process and in the next.

use std::path::Path;

use plsync_journal::{Durability, Millis, RecordId, RequestId, Result, Spool, Store};

use crate::child::{self, print};
use crate::common::{LATER, LEASE, SINK, limits, ms, temp_dir};
use crate::count;
use crate::interpose::{Plan, fail, stop};
use crate::oracle::{END, Oracle, START, append, body};

/// A child process, not a test: its disk fails.
#[test]
fn working() {
    let Some(arguments) = child::arguments() else { return };
    let number = |at: usize| arguments[at].parse::<u64>().unwrap();
    let errno = i32::try_from(number(2)).unwrap();
    let plan = Plan { at: number(1), errno, lasting: number(3) != 0, short: number(4) != 0 };
    let disk = Path::new(&arguments[0]);
    let journal = disk.join("journal");
    // A panic must end the process, also on the fsync thread.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::abort();
    }));
    fail(disk, plan);
    // Kept open, as a long-lived reader does.
    let mut store = None;
    let mut errors = exercise(&journal, &mut store);
    let (calls, failed) = stop();
    let spool = Spool::open(&journal, Durability::Power).unwrap();
    errors += usize::try_from(spool.failures()).unwrap();
    print(&format!("calls {calls}\nerrors {errors}\nfailed {}", failed.unwrap_or_default()));
    let fresh = RecordId::new();
    print(&format!("? {}", fresh.hex()));
    append(&spool, fresh, START).expect("a fresh event is appended");
    print(&format!("{START} {}", fresh.hex()));
    let store = Store::open(&journal, true).expect("the store opens again");
    store.ingest(true).expect("the spool is ingested again");
    assert_eq!(
        store.get(fresh).unwrap().and_then(|row| row.start),
        Some(body(fresh, START)),
        "a fresh event is recorded"
    );
    store.stats().expect("the numbers can be read again");
}

/// Uses the whole journal, and returns the number of errors. Only an operation without an error makes a promise.
fn exercise(journal: &Path, store: &mut Option<Store>) -> usize {
    let spools = [Durability::Process, Durability::Power].map(|durability| Spool::open(journal, durability).unwrap());
    let mut errors = 0;
    let mut note = |result: Result<()>| errors += usize::from(result.is_err());
    for spool in [spools[0], spools[1], spools[0]] {
        note(call(spool, RecordId::new()));
    }
    note(spools[0].flush());
    // Enough for the second segment.
    for _ in 0..13 {
        let large = std::iter::repeat_with(RecordId::new).find(|id| id.0[14] < 16 && id.0[15] > 220).unwrap();
        note(call(spools[0], large));
    }
    note(read(journal, store));
    note(call(spools[1], RecordId::new()));
    note(read(journal, store));
    note(spools[0].flush());
    errors
}

fn call(spool: Spool, id: RecordId) -> Result<()> {
    print(&format!("? {}", id.hex()));
    for part in [START, END] {
        append(&spool, id, part)?;
        print(&format!("{part} {}", id.hex()));
    }
    Ok(())
}

/// Does the work of a sender.
fn read(journal: &Path, kept: &mut Option<Store>) -> Result<()> {
    let store = Store::open(journal, true)?;
    *kept = Some(store.clone());
    store.ingest(true)?;
    let leased = store.lease(limits(4), LEASE, LATER)?;
    let [first, rest @ ..] = &leased[..] else { return Ok(()) };
    let request_id = RequestId(1_000_000 + first.seq.0);
    store.ack(&[(first.seq, request_id)])?;
    print(&format!("a {} {request_id}", first.id.hex()));
    store.release(&rest.iter().map(|row| row.seq).collect::<Vec<_>>(), Millis::EPOCH, "offline")?;
    for callback in store.claim_callbacks(SINK, Some(first.writer), 10, LEASE, LATER)? {
        store.extend_callbacks(SINK, &[callback.seq], LATER + ms(2000))?;
        store.settle_callbacks(SINK, &[callback.seq], &[], &[])?;
    }
    store.subscribe("exec")?;
    store.claim_callbacks("exec", None, 10, LEASE, LATER)?;
    store.compact()?;
    store.check()?;
    store.stats().map(drop)
}

struct Outcome {
    calls: u64,
    errors: u64,
    failed: String,
}

/// Runs one life with one failure. The next process checks the journal.
fn try_plan(plan: Plan) -> std::result::Result<Outcome, String> {
    let dir = temp_dir();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let numbers = [plan.at, u64::try_from(plan.errno).unwrap(), u64::from(plan.lasting), u64::from(plan.short)];
    let numbers = numbers.map(|number| number.to_string());
    let [at, errno, lasting, short] = numbers.each_ref().map(String::as_str);
    let output = child::output(child::spawn("faults::working", &[disk.to_str().unwrap(), at, errno, lasting, short]))?;
    let mut oracle = Oracle::default();
    output.lines().for_each(|line| oracle.add(line));
    let marks = dir.path().join("marks");
    oracle.save(&marks);
    child::check_journal(&disk.join("journal"), &marks)?;
    let value =
        |key: &str| output.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned();
    let number = |key: &str| value(key).parse().unwrap();
    Ok(Outcome { calls: number("calls "), errors: number("errors "), failed: value("failed ") })
}

/// Tries a failure of this kind at some of the calls, and panics with the broken promises.
fn try_everywhere(kind: Plan) {
    let calls = try_plan(Plan { at: u64::MAX, ..kind }).unwrap().calls;
    assert!(calls > 0, "no call was intercepted");
    let step = (calls / u64::try_from(count("PLSYNC_FAULTS", 160) / 4).unwrap()).max(1);
    let first = fastrand::u64(1..=step);
    let mut failures = Vec::new();
    for at in (first..=calls).step_by(usize::try_from(step).unwrap()) {
        let plan = Plan { at, ..kind };
        match try_plan(plan) {
            Err(failure) => failures.push(format!("\ncall {at}: {failure}")),
            Ok(outcome)
                if outcome.errors == 0 && !may_be_silent(&outcome.failed) && !is_repeated(plan, &outcome.failed) =>
            {
                failures.push(format!("\ncall {at}: {} failed without an error", outcome.failed));
            }
            Ok(_) => {}
        }
    }
    let shown = failures[..failures.len().min(10)].concat();
    assert!(failures.is_empty(), "{} of {} runs fail with {kind:?}:{shown}", failures.len(), calls / step);
}

/// Whether a call may fail without an error. A writer's file is written again with the next event. A rotation makes the segment that
/// could not be made ahead. The next compaction removes an old store. A store without its stamp is verified when it is opened. Of two
/// processes that make a store at once, the second removes its own. A store that cannot open its file once more has no reserve of disk
/// space. The first failure of a process makes the file that counts it. A run with fewer calls has no failure.
fn may_be_silent(failed: &str) -> bool {
    let name = failed.rsplit('/').next().unwrap_or_default();
    failed.is_empty()
        || failed.contains("journal/lmdb.old-")
        || name == "stamp"
        || name == "FORMAT.failures"
        || failed.starts_with("open journal/lmdb") && name == "data.mdb"
        || failed.starts_with("name journal/lmdb.new-")
        || failed.starts_with("name journal/lmdb") && !name.contains('.')
        || failed.contains("/spool/")
            && (!name.contains('-') || name.rsplit_once('.').is_some_and(|(_, end)| end == "new"))
}

/// Whether an ingest or a removal that found the disk full was repeated in smaller parts, with success.
fn is_repeated(plan: Plan, failed: &str) -> bool {
    plan.errno == libc::ENOSPC && !plan.lasting && failed.ends_with("/data.mdb") && !failed.starts_with("read")
}

const ONCE: Plan = Plan { at: 0, errno: libc::EIO, lasting: false, short: false };

#[test]
fn any_call_may_fail_with_eio() {
    try_everywhere(ONCE);
}

#[test]
fn any_call_may_find_the_disk_full() {
    try_everywhere(Plan { errno: libc::ENOSPC, ..ONCE });
}

#[test]
fn the_disk_may_stay_full() {
    try_everywhere(Plan { errno: libc::ENOSPC, lasting: true, short: true, ..ONCE });
}

#[test]
fn the_disk_may_stay_broken() {
    try_everywhere(Plan { lasting: true, ..ONCE });
}
