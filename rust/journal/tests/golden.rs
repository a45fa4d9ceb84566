//! The golden journals are read completely, and a flipped bit in the spool is noticed and costs one event at most.

mod common;

use std::path::{Path, PathBuf};

use common::{assert_sound, carried, end, facts, golden, limits, ms, runs, segments, start};
use plsync_journal::{
    Account, Bind, CallEnd, Durability, Event, FLAG_LOSSY, FLAG_RUN, FailedCallback, FrameKind, Head, Lane, Millis,
    ParkedState, RecordId, RequestId, Seq, Spool, Store, labels,
};

#[test]
fn the_golden_journals_are_read_completely() {
    for name in golden::ALL {
        let dir = common::temp_dir();
        let path = dir.path().join("journal");
        golden::copy_to(name, &path);
        let store = Store::open(&path, false).unwrap();
        assert_eq!(store.ingest(true).unwrap().damage, []);
        assert_sound(&store);
        assert_eq!(golden::contents(&store).unwrap(), golden::expected(name), "{name}");
        // Earlier versions stored no digests.
        let (records, missing) = store.undigested_count().unwrap();
        assert_eq!(records, missing);
        facts::fill(&store);
        assert_eq!(store.undigested_count().unwrap(), (records, 0));
        assert_sound(&store);
    }
}

#[test]
fn a_flipped_bit_in_the_spool_is_noticed_and_costs_one_event_at_most() {
    let name = golden::ALL[0];
    let expected = golden::expected(name);
    let flips: usize = std::env::var("PLSYNC_FLIPS").ok().and_then(|flips| flips.parse().ok()).unwrap_or(300);
    let dir = common::temp_dir();
    let path = dir.path().join("journal");
    golden::copy_to(name, &path);
    let whole = std::fs::read(&segments(&path)[0]).unwrap();
    for _ in 0..flips {
        let _ = std::fs::remove_dir_all(&path);
        golden::copy_to(name, &path);
        let (at, bit) = (fastrand::usize(..whole.len()), fastrand::u8(..8));
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        std::fs::write(&segments(&path)[0], flipped).unwrap();
        let store = Store::open(&path, false).unwrap();
        let damage = store.ingest(true).unwrap().damage;
        let found = golden::contents(&store).unwrap();
        if damage.is_empty() {
            assert_eq!(found, expected, "bit {bit} of byte {at} went unnoticed");
        }
        let records = |lines: &[String]| lines.iter().filter(|line| is_record(line)).cloned().collect::<Vec<_>>();
        // A lost record shifts the sequence numbers after it.
        let without_seq = |line: &String| {
            line.split('\t')
                .enumerate()
                .filter(|(at, _)| *at != 1)
                .map(|(_, field)| field.to_owned())
                .collect::<Vec<_>>()
        };
        let kept: Vec<_> = records(&found).iter().map(without_seq).collect();
        let lost = records(&expected).iter().map(without_seq).filter(|record| !kept.contains(record)).count();
        assert!(lost <= 1, "bit {bit} of byte {at} cost {lost} records");
        assert_sound(&store);
    }
}

fn is_record(line: &str) -> bool {
    line.split('\t').next().is_some_and(|first| RecordId::from_hex(first).is_some())
}

/// Writes the golden journal of a new format. For a new format only: a committed journal represents the journals of users.
#[test]
#[ignore = "run by hand, once a format"]
fn make_the_golden_journal() {
    let (spool, directory) = new_golden("format-1-servers");
    let path = directory.join("journal");
    for call in 0..24 {
        record(&spool, call);
    }
    let store = common::open(&path);
    send(&store);
    for call in 24..40 {
        record(&spool, call);
    }
    finish_golden(&directory);
}

/// The same, for the journal with trees.
#[test]
#[ignore = "run by hand, once a format"]
fn make_the_golden_journal_with_trees() {
    let (spool, directory) = new_golden("format-1-trees");
    for call in 0..3 {
        record(&spool, call);
    }
    let sent = runs::growing(&spool);
    sent[2].end(&spool, CallEnd::Ok);
    sent[0].end(&spool, CallEnd::Ok);
    let waiting = runs::growing(&spool);
    waiting[2].end(&spool, CallEnd::Interrupted);
    let store = common::open(&directory.join("journal"));
    let account = Account { url: "https://promptlayer.example".into(), account: [1; 16], is_stand_in: false };
    store.bind(&account, Bind::Refuse).unwrap();
    let leased = store.lease(limits(9), ms(60_000), Millis::now()).unwrap();
    let acks = leased.iter().map(|row| (row.seq, (row.flags & FLAG_RUN == 0).then_some(RequestId(70_000 + row.seq.0))));
    store.ack_tree(&acks.collect::<Vec<_>>()).unwrap();
    runs::growing(&spool)[2].end(&spool, CallEnd::Error);
    waiting[0].end(&spool, CallEnd::Interrupted);
    finish_golden(&directory);
}

/// The same, for the journal whose calls repeat the start of their root.
#[test]
#[ignore = "run by hand, once a format"]
fn make_the_golden_journal_with_repeated_bodies() {
    let (spool, directory) = new_golden("format-1-repeated");
    let history = "The station has measured four degrees, light rain and a westerly wind. ".repeat(20);
    let append = |root: RecordId, id: RecordId, kind: FrameKind, text: &str| {
        let mut section = Vec::new();
        labels::push(&mut section, labels::ROOT, &root.0);
        let (lane, ended) = if kind.is_end() { (Lane::UNORDERED, CallEnd::Ok) } else { (Lane(9), CallEnd::No) };
        let head = Head { lane, ended, ..Head::new(kind, id) };
        let body = format!("{{\"v\":1,\"text\":\"{text}\",\"error\":null}}");
        spool.append(&Event { head, labels: &section, body: body.as_bytes() }).unwrap();
    };
    for number in 0..2 {
        let root = RecordId::new();
        append(root, root, FrameKind::RunStart, &format!("{number} {history}"));
        for turn in 0..3 {
            let call = RecordId::new();
            append(root, call, FrameKind::Start, &format!("{number} {history} turn {turn}"));
            append(root, call, FrameKind::End, "It rains.");
        }
        append(root, root, FrameKind::RunEnd, &format!("{number} {history} It rains."));
        if number == 0 {
            common::open(&directory.join("journal"));
        }
    }
    finish_golden(&directory);
}

/// The same, for the journals of an origin and of a hub.
#[test]
#[ignore = "run by hand, once a format"]
fn make_the_golden_journals_with_bundles() {
    for (name, make) in
        [("format-1-origin", carried::make_origin as fn(&Spool, &Path)), ("format-1-hub", carried::make_hub)]
    {
        let (spool, directory) = new_golden(name);
        make(&spool, &directory.join("journal"));
        finish_golden(&directory);
    }
}

/// The spool of a new golden journal, and its directory.
fn new_golden(name: &str) -> (Spool, PathBuf) {
    let directory = golden::directory(name);
    (Spool::open(&directory.join("journal"), Durability::Power).unwrap(), directory)
}

/// Writes the manifest.
fn finish_golden(directory: &Path) {
    let path = directory.join("journal");
    // The journal as a reader finds it once this process is gone.
    let dir = common::temp_dir();
    let copy = dir.path().join("journal");
    common::copy(&path, &copy);
    let read = Store::open(&copy, false).unwrap();
    read.ingest(true).unwrap();
    std::fs::write(directory.join("manifest.tsv"), golden::contents(&read).unwrap().join("\n") + "\n").unwrap();
    std::fs::remove_file(path.join("lmdb/lock.mdb")).unwrap();
    std::fs::remove_file(path.join("lmdb/stamp")).unwrap();
    std::fs::remove_file(path.join("ingest.lock")).unwrap();
}

/// Records one call. Some have no end, some end with an error, some are opaque, and one is larger than a page of the store.
fn record(spool: &Spool, call: usize) {
    let id = RecordId::new();
    let mut section = Vec::new();
    labels::push(&mut section, labels::RUN, &id.0);
    labels::push(&mut section, labels::TAG, golden::TAGS[call % 2].as_bytes());
    labels::push(&mut section, labels::MODEL, golden::MODEL.as_bytes());
    if call.is_multiple_of(3) {
        labels::push(&mut section, labels::SINK, b"app:on_request_id");
    }
    // Most bodies compress well. One is larger than a page of the store even when it is compressed.
    let words = match call {
        7 => std::iter::repeat_with(|| RecordId::new().hex()).take(200).collect(),
        _ => "Once upon a time there was a llama that kept a journal. ".repeat(1 + call),
    };
    let body = format!(
        "{{\"v\":1,\"kind\":\"llm\",\"prompts\":[\"Tell me story {call}\"],\"tags\":[\"{}\"]}}",
        golden::TAGS[call % 2]
    );
    if call % 13 == 12 {
        let head = Head::new(FrameKind::Raw, id);
        return spool.append(&Event { head, labels: &section, body: body.as_bytes() }).unwrap();
    }
    let mut event = start(id, &section, body.as_bytes());
    event.head.lane = Lane(u8::from(call.is_multiple_of(4)));
    spool.append(&event).unwrap();
    if call % 11 == 10 {
        return;
    }
    let ended = [CallEnd::Ok, CallEnd::Ok, CallEnd::Error, CallEnd::Cancelled, CallEnd::Partial][call % 5];
    let body = format!("{{\"v\":1,\"generations\":[{{\"text\":\"{words}\"}}],\"error\":null}}");
    let mut event = end(id, ended, body.as_bytes());
    event.head.flags = if call.is_multiple_of(6) { FLAG_LOSSY } else { 0 };
    spool.append(&event).unwrap();
}

/// Brings records into every state.
fn send(store: &Store) {
    const LATER: Millis = Millis(4_000_000_000_000);
    const SINK: &str = "app:on_request_id";
    let account = |url: &str, number, is_stand_in| Account { url: url.into(), account: [number; 16], is_stand_in };
    store.bind(&account("http://127.0.0.1:18090", 1, true), Bind::Refuse).unwrap();
    let [first] = &store.lease(limits(1), ms(60_000), LATER).unwrap()[..] else { panic!("one record is leased") };
    store.ack(&[(first.seq, RequestId(70_003))]).unwrap();
    store.bind(&account("https://promptlayer.example", 2, false), Bind::Leave).unwrap();
    let leased = store.lease(limits(14), ms(60_000), LATER).unwrap();
    let seqs: Vec<_> = leased.iter().map(|row| row.seq).collect();
    let acks = seqs[..7].iter().map(|seq| (*seq, RequestId(70_000 + seq.0)));
    store.ack(&acks.collect::<Vec<(Seq, RequestId)>>()).unwrap();
    store.release(&seqs[7..9], LATER, "offline").unwrap();
    store.park(&seqs[9..11], ParkedState::InDoubt, LATER, "no answer within 30 s").unwrap();
    store.park(&seqs[11..12], ParkedState::Dead, Millis::EPOCH, "422: messages must not be empty").unwrap();
    store.park(&seqs[12..13], ParkedState::Held, Millis::EPOCH, "by hand").unwrap();
    let [callback, ..] = &store.claim_callbacks(SINK, Some(leased[0].writer), 9, ms(0), LATER).unwrap()[..] else {
        panic!("a callback waits")
    };
    // A third server gets the rest.
    store.bind(&account("https://another.promptlayer.example", 3, false), Bind::Leave).unwrap();
    let error = "connection refused".into();
    let failed = FailedCallback { seq: callback.seq, error, not_before: LATER, dead: false };
    store.settle_callbacks(SINK, &[], &[failed], &[]).unwrap();
}
