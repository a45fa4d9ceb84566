//! Records that crossed an air gap: the journals of an origin and of a hub, and the lines of their content.

use std::path::Path;

use plsync_journal::{
    Arrival, BundleId, CarriedFollowUp, Choice, Fact, FollowUpId, Hearing, HubNumber, LogId, Millis, NewBundle, Op,
    ParkedState, Place, RecordId, RequestId, Seq, Spool, Store, Target, Word,
};

use super::{end, limits, ms, open, start};

const NORD: [u8; 8] = [1; 8];
const SUED: [u8; 8] = [2; 8];
/// Follow-ups at the origin: waiting, delivered, refused, and with a count of exports.
const FOLLOWUPS: [FollowUpId; 4] = [[0x41; 32], [0x42; 32], [0x43; 32], [0x44; 32]];
const EPOCHS: [LogId; 2] = [[0x51; 16], [0x52; 16]];
const CALLS: u64 = 14;

/// Makes the journal of an origin: records in every state that hubs bring about, two hubs, and the counts of one-way exports.
pub fn make_origin(spool: &Spool, path: &Path) {
    let (store, ids) = &calls(spool, path);
    let [nord, sued] = [NORD, SUED].map(|key| store.hub(key, None).unwrap());
    assert_eq!(store.hub([3; 8], Some(SUED)).unwrap(), sued);
    let keys = FOLLOWUPS.map(|id| {
        let op = if id == FOLLOWUPS[3] { Op::Metadata } else { Op::Score };
        store.follow_up(Target::Record(ids[7]), op, format!("{{\"score\":{}}}", id[0]).as_bytes()).unwrap();
        let (waiting, _) = store.outgoing_followups(nord, None, 100).unwrap();
        (id, waiting.last().unwrap().followup.key)
    });
    store.note_followups(&keys).unwrap();
    write(store, [0x11; 32], 41, [1, 1], nord, &[1, 2, 3, 4, 5, 6, 8]);
    // An export was killed before its file was read back.
    begin(store, [0x12; 32], 42, [1, 2], nord, &[1, 2, 9]);
    write(store, [0x13; 32], 43, [1, 1], sued, &[10, 11]);
    read_log(store, sued, EPOCHS[0], [0x61; 16], 7, &[ack(ids[0], 70_001)]);
    let orphan = RecordId([0x71; 16]);
    let words = [
        Word::Received([0x11; 32]),
        ack(ids[0], 70_002),
        ack(ids[1], 70_003),
        ack(ids[1], 70_013),
        ack(orphan, 70_004),
        parked(ids[2], false, "422: messages must not be empty"),
        parked(ids[3], true, "413: too large"),
        Word::Done(FOLLOWUPS[1]),
        Word::Refused { id: FOLLOWUPS[2], reason: "400: no such request".into() },
    ];
    read_log(store, nord, EPOCHS[0], [0x62; 16], 17, &words);
    // The hub has lost its journal, and a person has sent a refused record again.
    read_log(store, nord, EPOCHS[1], [0x63; 16], 18, &[ack(ids[4], 70_005)]);
    store.requeue(&[Seq(3)]).unwrap();
    write(store, [0x14; 32], 44, [1, 1], nord, &[3, 6, 8]);
    store.receive_bundles(&[[0x13; 32]]).unwrap();
    store.set_repeat(Some(3)).unwrap();
    for (id, serial) in [([0x15; 32], 45), ([0x16; 32], 46)] {
        write(store, id, serial, [1, 1], nord, &[6, 12]);
        store.count_followups(&FOLLOWUPS[3..]).unwrap();
    }
}

/// Makes the journal of a hub: bundles that arrived and are missing, and a log that the origin has read in part.
pub fn make_hub(spool: &Spool, path: &Path) {
    let (store, ids) = &calls(spool, path);
    store.raise_rounds(&[(ids[2], 2)]).unwrap();
    arrive(store, [0x21; 32], 41, None, &[([0x20; 32], 40)], &[]);
    let followups = [(ids[0], FOLLOWUPS[0]), (ids[5], FOLLOWUPS[1])].map(|(record, id)| CarriedFollowUp {
        id,
        record,
        request: None,
        op: Op::Score,
        queued_at: Millis(1_760_000_000_000),
        payload: format!("{{\"score\":{}}}", id[0]).into_bytes(),
    });
    store.take_followups(&followups).unwrap();
    let leased = store.lease(limits(5), ms(60_000), Millis::now()).unwrap();
    let seqs: Vec<_> = leased.iter().map(|row| row.seq).collect();
    store.ack(&[(seqs[0], RequestId(70_001)), (seqs[1], RequestId(70_002))]).unwrap();
    store.park(&seqs[2..3], ParkedState::Dead, Millis::EPOCH, "422: messages must not be empty").unwrap();
    store.park(&seqs[3..4], ParkedState::Held, Millis::EPOCH, "413: too large").unwrap();
    let sent = store.claim_followups(limits(9), ms(60_000), Millis::now()).unwrap();
    let sent: Vec<_> = sent.iter().map(|sent| plsync_journal::SentFollowUp { key: sent.key, status: 200 }).collect();
    store.followups_done(&sent, Millis::now()).unwrap();
    report(store);
    let head = store.log_head().unwrap().unwrap();
    let (number, chain) = (head.number - 2, store.log_chain(head.number - 2).unwrap().unwrap());
    let place = Place { epoch: head.epoch, number, chain, ..Place::default() };
    let recent = [([0x21; 32], 41), ([0x22; 32], 42), ([0x23; 32], 43)];
    arrive(store, [0x24; 32], 44, Some(place), &recent, &[[0x22; 32]]);
    // Facts that the log has still to report.
    store.ack(&[(seqs[4], RequestId(70_005))]).unwrap();
}

/// Lines for the bundles of a journal; none for a journal without bundles.
pub fn lines(store: &Store) -> plsync_journal::Result<Vec<String>> {
    let mut lines = Vec::new();
    for (key, hub) in store.hubs()? {
        lines.push(format!("hub\t{}\t{}", hex(&key), hub.0));
    }
    for bundle in store.bundles()? {
        let [part, parts] = bundle.part;
        let state = [("whole", bundle.is_whole), ("received", bundle.is_received)];
        let state: Vec<_> = state.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect();
        lines.push(format!(
            "bundle\t{}\t{}\t{}\t{part}/{parts}\t{}\t{}\t{}\t{}",
            bundle.number,
            hex(&bundle.id),
            bundle.serial,
            bundle.hub.0,
            bundle.at,
            bundle.records,
            state.join(" ")
        ));
    }
    let mut hubs: Vec<_> = store.hubs()?.into_iter().map(|(_, hub)| hub).collect();
    hubs.sort_unstable();
    hubs.dedup();
    for hub in hubs {
        lines.extend(hub_lines(store, hub)?);
    }
    for orphan in store.orphans()? {
        let kind = if orphan.is_conflict { "conflict" } else { "orphan" };
        lines.push(format!("{kind}\t{}\t{}\t{}\t{}", orphan.record.hex(), orphan.request, orphan.hub.0, orphan.at));
    }
    if let Some(repeat) = store.repeat()? {
        let counts: Vec<_> = FOLLOWUPS.iter().map(|id| store.followup_exports(id)).collect::<Result<_, _>>()?;
        lines.push(format!("one-way\t{repeat}\t{counts:?}"));
    }
    lines.extend(log_lines(store)?);
    Ok(lines)
}

fn hub_lines(store: &Store, hub: HubNumber) -> plsync_journal::Result<Vec<String>> {
    let mut lines = Vec::new();
    if let Some(place) = store.place(hub)? {
        let ended: Vec<_> = place.ended.iter().map(|epoch| hex(epoch)).collect();
        let (epoch, chain) = (hex(&place.epoch), hex(&place.chain));
        lines.push(format!(
            "place\t{}\t{epoch}\t{}\t{chain}\t{}\t{}\t{}",
            hub.0,
            place.number,
            place.serial,
            place.at,
            ended.join(" ")
        ));
    }
    for (name, choice) in [("unreceived", Choice::Unreceived), ("new", Choice::New), ("again", Choice::Again)] {
        let records = store.carriable(hub, choice, &[])?.records;
        let words: Vec<_> = records
            .iter()
            .map(|found| {
                let doubt = if found.doubt { " doubt" } else { "" };
                let again = if found.carried_at.is_some() { " again" } else { "" };
                format!("{} round {}{doubt}{again}", found.seq, found.round)
            })
            .collect();
        lines.push(format!("goes\t{}\t{name}\t{}", hub.0, words.join(", ")));
    }
    for found in store.outgoing_followups(hub, None, usize::MAX)?.0 {
        let payload = String::from_utf8_lossy(&found.followup.payload).into_owned();
        lines.push(format!("follow-up\t{}\t{}\t{:?}\t{payload}", hub.0, found.record.hex(), found.followup.op));
    }
    Ok(lines)
}

fn log_lines(store: &Store) -> plsync_journal::Result<Vec<String>> {
    let mut lines = Vec::new();
    let Some(head) = store.log_head()? else { return Ok(lines) };
    lines.push(format!("log\t{}\t{}\t{}\t{}", hex(&head.epoch), head.number, hex(&head.chain), head.told));
    for (number, line) in store.log_after(0, usize::MAX)? {
        lines.push(format!("entry\t{number}\t{}\t{line}", hex(&store.log_chain(number)?.unwrap_or_default())));
    }
    for found in store.arrived()? {
        let [part, parts] = found.part;
        let (id, serial, at) = (hex(&found.id), found.serial, found.at);
        lines.push(format!("arrived\t{id}\t{serial}\t{part}/{parts}\t{at}\t{}", found.is_reported));
    }
    for hole in store.holes()? {
        lines.push(format!("hole\t{}\t{}\t{}", hex(&hole.id), hole.serial, hole.is_repeated));
    }
    for fact in store.unreported(usize::MAX)? {
        lines.push(format!("unreported\t{}", entry(&fact)));
    }
    Ok(lines)
}

/// The entry of a fact in a log, without its number.
fn entry(fact: &Fact) -> String {
    match fact {
        Fact::Received(id) => format!("\"received\":\"{}\"", hex(id)),
        Fact::Ack { record, request, at, is_renewed, .. } => {
            format!("\"ack\":\"{}\",\"request\":{request},\"at\":{at},\"renewed\":{is_renewed}", record.hex())
        }
        Fact::Run { record, at, .. } => format!("\"ack\":\"{}\",\"at\":{at},\"renewed\":false", record.hex()),
        Fact::Parked { record, is_held, reason, round, .. } => {
            let kind = if *is_held { "held" } else { "dead" };
            format!("\"{kind}\":\"{}\",\"reason\":\"{reason}\",\"round\":{round}", record.hex())
        }
        Fact::FollowUp(id, None) => format!("\"done\":\"{}\"", hex(id)),
        Fact::FollowUp(id, Some(reason)) => format!("\"refused\":\"{}\",\"reason\":\"{reason}\"", hex(id)),
    }
}

/// Appends all facts to the log.
fn report(store: &Store) {
    let mut head = store.log_head().unwrap().unwrap();
    let before = head;
    let facts = store.unreported(100).unwrap();
    let lines: Vec<_> = facts
        .iter()
        .map(|fact| {
            head.number += 1;
            // A journal stores the hashes, and only the reader of a bundle computes them.
            head.chain = [u8::try_from(head.number).unwrap(); 16];
            (format!("{{\"n\":{},{}}}", head.number, entry(fact)), head.chain)
        })
        .collect();
    assert!(store.report(&before, &facts, &lines).unwrap());
}

fn calls(spool: &Spool, path: &Path) -> (Store, Vec<RecordId>) {
    let record = |number| {
        let id = RecordId::new();
        spool.append(&start(id, &[], format!("{{\"v\":1,\"prompts\":[\"question {number}\"]}}").as_bytes())).unwrap();
        spool.append(&end(id, plsync_journal::CallEnd::Ok, b"{\"v\":1,\"text\":\"answer\"}")).unwrap();
        id
    };
    let ids = (0..CALLS).map(record).collect();
    (open(path), ids)
}

fn begin(store: &Store, id: BundleId, serial: u64, part: [u32; 2], hub: HubNumber, seqs: &[u64]) {
    let seqs: Vec<_> = seqs.iter().copied().map(Seq).collect();
    store.begin_bundle(&NewBundle { id, serial, part, hub }, &seqs).unwrap();
}

fn write(store: &Store, id: BundleId, serial: u64, part: [u32; 2], hub: HubNumber, seqs: &[u64]) {
    begin(store, id, serial, part, hub, seqs);
    store.bundle_written(&id).unwrap();
}

fn read_log(store: &Store, hub: HubNumber, epoch: LogId, chain: LogId, serial: u64, words: &[Word]) {
    let place = store.enter_epoch(hub, epoch).unwrap().unwrap();
    let mut hearing = Hearing::new(hub, true);
    store.apply_log(&mut hearing, words).unwrap();
    let number = place.number + hearing.held_at.unwrap_or(hearing.entries);
    store.set_place(hub, &Place { number, chain, serial, at: Millis::now(), ..place }).unwrap();
}

fn arrive(
    store: &Store,
    id: BundleId,
    serial: u64,
    place: Option<Place>,
    recent: &[(BundleId, u64)],
    repeats: &[BundleId],
) {
    let (recent, repeats) = (recent.to_vec(), repeats.to_vec());
    store.arrive(&Arrival { id, serial, part: [1, 1], place, recent, repeats }).unwrap();
}

fn ack(record: RecordId, request: u64) -> Word {
    Word::Ack { record, request: Some(RequestId(request)) }
}

fn parked(record: RecordId, is_held: bool, reason: &str) -> Word {
    Word::Parked { record, is_held, reason: reason.into(), round: 0 }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
