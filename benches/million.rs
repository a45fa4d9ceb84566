//! A journal of a million records: what appending, ingesting, opening and asking cost. `cargo run --release -p plsync-benches --bin million [records]`.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)] // a report

use std::fmt::Write;
use std::time::Instant;

use plsync_journal::{Durability, Ended, Event, Kind, Query, RecordId, Spool, State, Store, labels};

const WORDS: &str = "the model answered once upon a time there was cassette which replayed its other side to nobody \
    in particular because temperature was zero and every token had been seen before by somebody who wrote tests";

/// About three kilobytes of a chat call as the handler writes it; no two alike.
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

/// The most memory this process has had at once, in megabytes, pages of mapped files included.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn main() {
    let records: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("journal");
    let spool = Spool::open(&path, Durability::Process).expect("a spool");
    let store = Store::open(&path, true).expect("a store");
    let step = (records / 20).max(1);
    let (mut appends, mut ingest_s, mut last, mut first) = (Vec::new(), 0.0, RecordId::new(), Vec::new());
    for number in 0..records {
        let (start, end) = bodies(number);
        let id = RecordId::new();
        let mut section = Vec::new();
        labels::push(&mut section, labels::TAG, if number % 1000 == 7 { b"rare" } else { b"bench" });
        labels::push(&mut section, labels::MODEL, b"gpt-4o");
        labels::push(&mut section, labels::RUN, &(number as u128).to_be_bytes());
        let event =
            Event { kind: Kind::Start, ended: Ended::No, flags: 0, lane: 0, id, labels: &section, body: &start };
        let at = Instant::now();
        spool.append(&event).expect("room");
        spool.append(&Event { kind: Kind::End, ended: Ended::Ok, labels: &[], body: &end, ..event }).expect("room");
        appends.push(at.elapsed().as_secs_f64() * 5e5);
        last = id;
        if (number + 1) % step == 0 {
            if first.is_empty() {
                first.clone_from(&appends);
            }
            if number + 1 < records {
                appends.clear();
            }
            let at = Instant::now();
            store.ingest(true).expect("an ingest");
            ingest_s += at.elapsed().as_secs_f64();
        }
    }
    store.ingest(true).expect("an ingest");
    let recording = peak_mb();
    let stats = store.stats().expect("numbers");
    drop(store);
    let found = |query: Query| {
        let store = Store::open(&path, false).expect("a store");
        time(|| store.query(&query).map(|page| page.len()))
    };
    let page = Query { limit: 50, ..Query::default() };
    println!(
        "records {} | raw {:.0} MB | stored {:.0} MB ({:.0} %) | file {:.0} MB",
        stats.records,
        stats.raw_bytes as f64 / 1e6,
        stats.stored_bytes as f64 / 1e6,
        100.0 * stats.stored_bytes as f64 / stats.raw_bytes as f64,
        stats.lmdb_bytes as f64 / 1e6
    );
    println!("append p50, us: first {:.2}, last {:.2}", median(first), median(appends));
    println!("ingest, us a record: {:.1}", ingest_s * 1e6 / records as f64);
    println!("open + status, ms: {:.2}", time(|| Store::open(&path, false).and_then(|store| store.stats())));
    println!("a page of 50, ms: newest {:.2}", found(page.clone()));
    println!("  oldest first {:.2}", found(Query { oldest_first: true, ..page.clone() }));
    println!("  by rare tag {:.2}", found(Query { labels: vec![(labels::TAG, b"rare".to_vec())], ..page.clone() }));
    println!(
        "  by two labels {:.2}",
        found(Query {
            labels: vec![(labels::MODEL, b"gpt-4o".to_vec()), (labels::TAG, b"rare".to_vec())],
            ..page.clone()
        })
    );
    println!("  by time {:.2}", found(Query { until: Some(last.unix_ms() - 1000), ..page.clone() }));
    println!("  by state pending {:.2}", found(Query { states: vec![State::Pending], ..page.clone() }));
    println!("  by state dead {:.2}", found(Query { states: vec![State::Dead], ..page.clone() }));
    println!("  by frequent text {:.2}", found(Query { text: Some("cassette".into()), ..page.clone() }));
    println!("a text that is nowhere, ms: {:.0}", {
        let store = Store::open(&path, false).expect("a store");
        let at = Instant::now();
        let _ = store.query(&Query { text: Some("xyzzy".into()), ..page.clone() });
        at.elapsed().as_secs_f64() * 1e3
    });
    println!("peak memory, MB: {recording:.0} until all was ingested, {:.0} after the searches", peak_mb());
}
