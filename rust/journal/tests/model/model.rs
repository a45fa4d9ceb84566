//! The model of a store.

use std::collections::BTreeMap;

use plsync_journal::{
    CallEnd, FLAG_FORGOTTEN, FLAG_PRUNED, FLAG_RUN, FrameKind, Lane, Millis, RecordId, RequestId, Seq, ServerId, State,
};
use proptest::sample::Index;

use crate::common::SINK;
use crate::servers::Servers;

/// A record as the store shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub seq: Seq,
    pub state: State,
    pub ended: CallEnd,
    pub attempts: u32,
    pub flags: u8,
    pub not_before: Millis,
    pub last_error: String,
    pub sink: Option<String>,
    pub start: Option<Vec<u8>>,
    pub end: Option<Vec<u8>>,
    pub request: Option<RequestId>,
    /// The server of the request id.
    pub server: Option<ServerId>,
}

/// A record, with the properties that the store does not show.
#[derive(Clone, Debug)]
pub struct Modelled {
    pub shown: Record,
    /// The root of its tree, for a record in a tree.
    pub root: Option<RecordId>,
    /// The number of the process that recorded its first event.
    pub process: usize,
    pub lane: Lane,
    pub raw: bool,
    pub leased_at: Millis,
    /// [`Millis::MAX`] while the record waits for the end of its tree's root.
    pub lease_until: Millis,
    /// The server of a record in doubt, if it is not the bound one.
    pub elsewhere: Option<u32>,
}

#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub attempts: u32,
    pub dead: bool,
    pub due: Millis,
    pub lease_until: Millis,
    pub error: bool,
}

impl Entry {
    pub fn due_at(&self) -> Millis {
        self.due.max(self.lease_until)
    }
}

/// A record that has started: a call, or another run of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    pub id: RecordId,
    pub root: Option<RecordId>,
    pub lane: Lane,
    pub is_call: bool,
}

#[derive(Clone, Debug)]
pub struct Appended {
    pub record: Started,
    pub kind: FrameKind,
    pub ended: CallEnd,
    pub sink: bool,
    pub body: Vec<u8>,
    pub process: usize,
}

#[derive(Clone, Default)]
pub struct Model {
    pub now: Millis,
    pub spool: Vec<Appended>,
    pub started: Vec<Started>,
    /// The number of the process that records.
    pub process: usize,
    /// Whether records wait for the end of their root.
    pub waits: bool,
    pub records: BTreeMap<RecordId, Modelled>,
    pub callbacks: BTreeMap<(&'static str, Seq), Entry>,
    /// Records by the number of their ack.
    pub acks: BTreeMap<u64, Seq>,
    /// The number of the newest ack, also of a withdrawn one.
    pub last_ack: u64,
    /// The number of the last ack that the subscriber has received.
    pub received: Option<u64>,
    pub servers: Servers,
}

impl Model {
    pub fn ingest(&mut self) {
        let mut ended = Vec::new();
        for appended in std::mem::take(&mut self.spool) {
            let (id, seq) = (appended.record.id, Seq(self.records.len() as u64 + 1));
            let new = || Modelled::new(seq, appended.process);
            if self.records.entry(id).or_insert_with(new).add(appended) {
                ended.push(id);
            }
        }
        self.grow(&ended);
        self.abandon();
    }

    /// How many acks the subscriber has not received yet.
    pub fn backlog(&self) -> u64 {
        self.received.map_or(0, |received| self.acks.range(received + 1..).count() as u64)
    }

    /// The records that a lease returns, in order.
    pub fn due(&self, limit: usize, per_lane: usize) -> Vec<RecordId> {
        let waiting = |number: u8| {
            let mut lane: Vec<_> = self.records.iter().filter(|(_, record)| record.lane == Lane(number)).collect();
            let is_blocked = lane.iter().any(|(_, record)| record.blocks_lane(self.now));
            lane.retain(|(_, record)| record.is_due(self.now));
            let is_ordered = number != 0;
            lane.sort_by_key(|(_, record)| {
                (if is_ordered { Millis::EPOCH } else { record.shown.not_before }, record.shown.seq)
            });
            let max = if !is_ordered {
                limit
            } else if is_blocked {
                0
            } else {
                per_lane
            };
            lane.into_iter().take(max).map(|(id, record)| (record.shown.seq, *id)).collect::<Vec<_>>()
        };
        let mut due: Vec<_> = (0..3).flat_map(waiting).collect();
        due.sort_unstable();
        due.into_iter().take(limit).map(|(_, id)| id).collect()
    }

    pub fn choose(&self, index: Index) -> Option<RecordId> {
        (!self.records.is_empty()).then(|| *index.get(&self.records.keys().copied().collect::<Vec<_>>()))
    }

    pub fn choose_entry(&self, index: Index) -> Option<(&'static str, Seq)> {
        (!self.callbacks.is_empty()).then(|| *index.get(&self.callbacks.keys().copied().collect::<Vec<_>>()))
    }

    /// Changes a record unless it is acked. Returns its number.
    pub fn edit(&mut self, id: RecordId, edit: impl FnOnce(&mut Modelled)) -> Seq {
        let record = self.records.get_mut(&id).unwrap();
        if record.shown.state != State::Acked {
            edit(record);
            record.settle_forgotten();
            record.settle_growing();
            if record.shown.state != State::InDoubt {
                record.elsewhere = None;
            }
        }
        record.shown.seq
    }
}

impl Modelled {
    pub fn new(seq: Seq, process: usize) -> Self {
        let shown = Record {
            seq,
            state: State::Pending,
            ended: CallEnd::No,
            attempts: 0,
            flags: 0,
            not_before: Millis::EPOCH,
            last_error: String::new(),
            sink: None,
            start: None,
            end: None,
            request: None,
            server: None,
        };
        Self {
            shown,
            root: None,
            process,
            lane: Lane(0),
            raw: false,
            leased_at: Millis::EPOCH,
            lease_until: Millis::EPOCH,
            elsewhere: None,
        }
    }

    pub fn is_run(&self) -> bool {
        self.shown.flags & FLAG_RUN != 0
    }

    /// Whether the user or the quota removed its content.
    pub fn is_pruned(&self) -> bool {
        self.shown.flags & FLAG_PRUNED != 0
    }

    pub fn is_forgotten(&self) -> bool {
        self.shown.flags & FLAG_FORGOTTEN != 0
    }

    /// A forgotten record is never sent, unless it may have been sent before.
    pub fn settle_forgotten(&mut self) {
        if !self.is_forgotten() {
            return;
        }
        let shown = &mut self.shown;
        if matches!(shown.state, State::Pending | State::Held) {
            shown.state = State::Dead;
        }
        if shown.ended == CallEnd::No {
            shown.ended = CallEnd::Abandoned;
        }
        shown.last_error = match shown.state {
            State::Acked => "",
            State::Leased | State::InDoubt => "forgotten while it was being sent",
            _ => "forgotten before it was sent",
        }
        .into();
    }

    /// Adds an event. Returns whether the record was open, and has ended.
    pub fn add(&mut self, event: Appended) -> bool {
        if self.is_forgotten() {
            return false;
        }
        self.root = self.root.or(event.record.root);
        let shown = &mut self.shown;
        let was_open = shown.ended == CallEnd::No;
        match event.kind {
            FrameKind::End | FrameKind::RunEnd => {
                let is_abandoned = shown.ended == CallEnd::Abandoned && shown.state == State::Pending;
                if !was_open && !is_abandoned {
                    return false;
                }
                (shown.ended, shown.end) = (event.ended, Some(event.body));
            }
            FrameKind::Raw => {
                self.raw = true;
                (shown.ended, shown.state, shown.start) = (CallEnd::Ok, State::Held, Some(event.body));
                shown.last_error = "opaque bytes, appended without a handler: nothing to send".into();
            }
            FrameKind::Start | FrameKind::RunStart | FrameKind::Segment => {
                (self.lane, shown.start) = (event.record.lane, Some(event.body));
            }
        }
        shown.flags |= if event.kind.is_run() { FLAG_RUN } else { 0 };
        shown.sink = shown.sink.take().or(event.sink.then(|| SINK.to_owned()));
        was_open && shown.ended != CallEnd::No
    }

    pub fn is_unsettled(&self) -> bool {
        match self.shown.state {
            State::Pending => self.shown.ended != CallEnd::No,
            State::Leased | State::InDoubt => self.elsewhere.is_none(),
            State::Acked | State::Dead | State::Held => false,
        }
    }

    /// When a waiting record is due.
    pub fn waits_until(&self, now: Millis) -> Option<Millis> {
        match self.shown.state {
            State::Pending if self.is_listed() => Some(self.shown.not_before).filter(|at| *at > now),
            State::InDoubt if self.elsewhere.is_none() => Some(self.shown.not_before),
            State::InDoubt | State::Pending | State::Leased | State::Acked | State::Dead | State::Held => None,
        }
    }

    /// Whether the records after it in its lane have to wait.
    pub fn blocks_lane(&self, now: Millis) -> bool {
        match self.shown.state {
            State::Leased | State::InDoubt => self.elsewhere.is_none(),
            State::Pending => self.is_listed() && self.shown.not_before > now,
            State::Acked | State::Dead | State::Held => false,
        }
    }

    pub fn is_due(&self, now: Millis) -> bool {
        self.shown.state == State::Pending && self.is_listed() && self.shown.not_before <= now
    }

    /// Whether a pending record is in the outbox.
    fn is_listed(&self) -> bool {
        self.shown.ended != CallEnd::No && !self.is_growing()
    }
}
