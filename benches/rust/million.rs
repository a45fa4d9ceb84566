//! A journal of a million records: time and memory of append, ingest, open, query, check and compact.
//!
//! `cargo run --release -p plsync-benches --bin million [records]`
#![allow(clippy::print_stdout, clippy::cast_precision_loss)] // a report

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use plsync_journal::{CallEnd, Durability, Event, FrameKind, Head, Query, RecordId, Spool, State, Store, labels};

const WORDS: &str = "the model answered once upon a time there was cassette which replayed its other side to nobody \
    in particular because temperature was zero and every token had been seen before by somebody who wrote tests";

/// The two events of a chat call as the handler writes them, 3 KB together. Each number has its own text.
fn bodies(number: usize) -> (Vec<u8>, Vec<u8>) {
    let words: Vec<&str> = WORDS.split(' ').collect();
    let mut state = number as u64 | 1;
    let mut text = |length: usize| {
        let mut text = String::new();
        while text.len() < length {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(words[(state >> 33) as usize % words.len()]);
            text.push(' ');
        }
        text
    };
    let mut start = format!(
        "{{\"v\":1,\"kind\":\"chat\",\"t\":{number},\"run_id\":\"{number:032x}\",\"parent_run_id\":null,\"class\":[\"langchain_openai\",\
         \"chat_models\",\"base\",\"ChatOpenAI\"],\"name\":\"ChatOpenAI\",\"params\":{{\"model\":\"gpt-4o\",\"temperature\":0.0,\"stop\":null}},\
         \"tags\":[\"bench\"],\"metadata\":{{\"ls_provider\":\"openai\",\"ls_model_name\":\"gpt-4o\",\"ls_model_type\":\"chat\"}},\"messages\":["
    );
    for _ in 0..4 {
        let _ = write!(
            start,
            "{{\"$\":\"HumanMessage\",\"v\":{{\"content\":\"{}\",\"additional_kwargs\":{{}},\"response_metadata\":{{}},\
            \"type\":\"human\",\"name\":null,\"id\":null}}}},",
            text(450)
        );
    }
    start.pop();
    start.push_str("]}");
    let end = format!(
        "{{\"v\":1,\"t\":{number},\"elapsed\":812345,\"generations\":[{{\"$\":\"ChatGeneration\",\"v\":{{\"text\":\"{}\",\"generation_info\":null}}}}],\
         \"llm_output\":null,\"error\":null,\"first_token\":null,\"chunks\":null}}",
        text(300)
    );
    (start.into_bytes(), end.into_bytes())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn time<T>(work: impl Fn() -> T) -> f64 {
    median(
        (0..7)
            .map(|_| {
                let start = Instant::now();
                let _ = work();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect(),
    )
}

/// The result of some work, its seconds, and the peak memory of this process in megabytes, with pages of mapped files.
fn measured<T>(work: impl FnOnce() -> T) -> (T, f64, f64) {
    // Resets the peak. Where the system forbids it, a peak counts from the start of the process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let at = Instant::now();
    let done = work();
    let seconds = at.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    let peak = line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0;
    (done, seconds, peak)
}

/// Records a call, and returns its id and the microseconds of one append.
fn record(spool: &Spool, number: usize) -> (RecordId, f64) {
    let (start, end) = bodies(number);
    let id = RecordId::new();
    let mut section = Vec::new();
    labels::push(&mut section, labels::TAG, if number % 1000 == 7 { b"rare" } else { b"bench" });
    labels::push(&mut section, labels::MODEL, b"gpt-4o");
    labels::push(&mut section, labels::RUN, &(number as u128).to_be_bytes());
    let event = Event { head: Head::new(FrameKind::Start, id), labels: &section, body: &start };
    let at = Instant::now();
    spool.append(&event).expect("room");
    let head = Head { ended: CallEnd::Ok, ..Head::new(FrameKind::End, id) };
    spool.append(&Event { head, labels: &[], body: &end }).expect("room");
    (id, at.elapsed().as_secs_f64() * 5e5)
}

/// Prints a line of the table.
fn line(work: &str, figure: &str, peak: f64) {
    println!("{work:<44} {figure:>14} {peak:>8.0} MB");
}

fn queries(path: &Path, last: RecordId) {
    let page = Query { limit: 50, ..Query::default() };
    let tagged = |tag: &[u8]| vec![(labels::TAG, tag.to_vec())];
    let both = vec![(labels::MODEL, b"gpt-4o".to_vec()), (labels::TAG, b"rare".to_vec())];
    for (name, query) in [
        ("newest", page.clone()),
        ("oldest first", Query { oldest_first: true, ..page.clone() }),
        ("by a rare tag", Query { labels: tagged(b"rare"), ..page.clone() }),
        ("by two labels", Query { labels: both, ..page.clone() }),
        ("by time", Query { until: Some(last.made_at() - Duration::from_secs(1)), ..page.clone() }),
        ("by state pending", Query { states: vec![State::Pending], ..page.clone() }),
        ("by state dead", Query { states: vec![State::Dead], ..page.clone() }),
        ("by a frequent word", Query { text: Some("cassette".into()), ..page.clone() }),
    ] {
        let store = Store::open(path, false).expect("a store");
        let (took, _, peak) = measured(|| time(|| store.query(&query).map(|page| page.len())));
        line(&format!("a page of 50, {name}"), &format!("{took:.2} ms"), peak);
    }
    let store = Store::open(path, false).expect("a store");
    let (seen, seconds, peak) = measured(|| {
        let (mut seen, mut before) = (0, None);
        loop {
            let rows = store.query(&Query { limit: 1000, before, ..Query::default() }).expect("a page");
            let Some(row) = rows.last() else { return seen };
            (seen, before) = (seen + rows.len(), Some(row.id));
        }
    });
    line("all of them, a thousand at a time", &format!("{:.1} us each", seconds * 1e6 / seen as f64), peak);
    let nowhere = Query { text: Some("xyzzy".into()), ..page };
    let (_, seconds, peak) = measured(|| store.query(&nowhere).expect("an answer"));
    line("a word that no record holds", &format!("{seconds:.2} s"), peak);
}

fn main() {
    let records: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("journal");
    let spool = Spool::open(&path, Durability::Process).expect("a spool");
    let store = Store::open(&path, true).expect("a store");
    let step = (records / 20).max(1);
    let (mut first, mut last, mut ingest_s) = (None, Vec::new(), 0.0);
    let (mut newest, mut recording, mut ingesting) = (RecordId::new(), 0.0_f64, 0.0_f64);
    for from in (0..records).step_by(step) {
        last.clear();
        let (id, _, peak) = measured(|| {
            let each = (from..records.min(from + step)).map(|number| record(&spool, number));
            each.fold(newest, |_, (id, took)| {
                last.push(took);
                id
            })
        });
        newest = id;
        recording = recording.max(peak);
        first.get_or_insert_with(|| median(last.clone()));
        let (ingested, seconds, peak) = measured(|| store.ingest(true));
        ingested.expect("an ingest");
        ingest_s += seconds;
        ingesting = ingesting.max(peak);
    }
    drop(store);
    let (stats, opened, peak) =
        measured(|| Store::open(&path, false).and_then(|store| store.stats()).expect("numbers"));
    println!(
        "records {} | raw {:.0} MB | stored {:.0} MB ({:.0} %) | file {:.0} MB",
        stats.records,
        stats.raw_bytes as f64 / 1e6,
        stats.stored_bytes as f64 / 1e6,
        100.0 * stats.stored_bytes as f64 / stats.raw_bytes as f64,
        stats.lmdb_bytes as f64 / 1e6
    );
    let (first, last) = (first.unwrap_or_default(), median(last));
    line("append, p50 of the first twentieth", &format!("{first:.2} us"), recording);
    line("append, p50 of the last", &format!("{last:.2} us"), recording);
    line("ingest, a record", &format!("{:.1} us", ingest_s * 1e6 / records as f64), ingesting);
    line("open and status", &format!("{:.2} ms", opened * 1e3), peak);
    queries(&path, newest);
    let store = Store::open(&path, false).expect("a store");
    let (report, seconds, peak) = measured(|| store.check().expect("a check"));
    assert_eq!(report.problems, []);
    line("check", &format!("{seconds:.1} s"), peak);
    let (_, seconds, peak) = measured(|| store.compact().expect("a compaction"));
    line("compact", &format!("{seconds:.1} s"), peak);
}
