//! Rows: a record with its bodies (`Row`), and its stored state (`StateRow`).

use crate::checksum::crc32c_of;
use crate::frame::array;
use crate::ids::{ServerId, SinkId};
use crate::state::{CallEnd, Custody, FLAG_FORGOTTEN, FLAG_PRUNED, FLAG_RUN, Lane, State};
use crate::store::db::trees::{seal, seq_key};
use crate::{Error, Millis, RecordId, RequestId, Result, Seq};

/// A record: its state, its bodies and its ack.
#[derive(Clone, Debug)]
pub struct Row {
    /// The record's id.
    pub id: RecordId,
    /// The record's place in the order of ingestion.
    pub seq: Seq,
    /// Where the record is on its way.
    pub state: State,
    /// How the call ended.
    pub ended: CallEnd,
    /// The `FLAG_*` bits of its events together, [`FLAG_PRUNED`] and [`crate::FLAG_RENEWED`].
    pub flags: u8,
    /// How often the record was leased.
    pub attempts: u32,
    /// The last error; empty without one.
    pub last_error: String,
    /// The sink that receives the request id.
    pub sink: Option<String>,
    /// The writer of the first event.
    pub writer: RecordId,
    /// The start event's body.
    pub start: Option<Vec<u8>>,
    /// The end event's body.
    pub end: Option<Vec<u8>>,
    /// Why a body or the ack could not be read.
    pub damage: Option<String>,
    /// The ack, once there is one. A run that is not a call has one without a request id.
    pub ack: Option<Ack>,
    /// The URL of the server of the ack. Of a record in doubt, the server that it was sent to.
    pub server: Option<String>,
    /// When the record is due again; [`Millis::EPOCH`] for a record that never waited.
    pub not_before: Millis,
    /// The record's lane.
    pub lane: Lane,
    /// When the state last changed.
    pub changed_at: Millis,
}

impl Row {
    /// Where the record is, if bundles carried it to a hub that delivers it.
    pub fn custody(&self) -> Option<Custody> {
        custody(self.state, self.not_before)
    }

    /// Bytes of its bodies.
    pub fn size(&self) -> usize {
        [&self.start, &self.end].into_iter().flatten().map(Vec::len).sum()
    }
}

/// The response of `PromptLayer` to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The request id.
    pub request_id: RequestId,
    /// When the request id arrived.
    pub at: Millis,
    /// The server that sent it.
    pub server: ServerId,
}

impl Ack {
    /// The ack of a run that is not a call, which gets no request id.
    pub(crate) fn of_run(at: Millis, server: ServerId) -> Self {
        Self { request_id: RequestId(u64::MAX), at, server }
    }

    /// Whether the ack has a request id.
    pub fn is_of_call(self) -> bool {
        self.request_id != RequestId(u64::MAX)
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&self.request_id.0.to_le_bytes());
        bytes.extend_from_slice(&self.at.0.to_le_bytes());
        bytes.extend_from_slice(&self.server.0.to_le_bytes());
        bytes
    }

    /// The ack in a stored value without its seal. Earlier versions stored no server.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let server = match bytes.len() {
            16 => ServerId::UNKNOWN,
            20 => ServerId(u32::from_le_bytes(array(bytes, 16))),
            _ => return None,
        };
        Some(Self {
            request_id: RequestId(u64::from_le_bytes(array(bytes, 0))),
            at: Millis(u64::from_le_bytes(array(bytes, 8))),
            server,
        })
    }
}

/// When a carried record is due: in the year 9999. An earlier version reads the row as in doubt, and shows the moment as a date.
pub(crate) const CARRIED: Millis = Millis(253_370_764_800_000);
/// The same for a record that its hub has received.
pub(crate) const RECEIVED: Millis = Millis(CARRIED.0 + 1);

fn custody(state: State, not_before: Millis) -> Option<Custody> {
    match (state, not_before) {
        (State::InDoubt, CARRIED) => Some(Custody::Carried),
        (State::InDoubt, RECEIVED) => Some(Custody::Received),
        _ => None,
    }
}

/// Bytes of a state row's fixed part.
const FIXED: usize = 72;
/// The offset of its checksum, whose own bytes count as zeros.
const CRC: usize = 12;
/// The longest error text of a record, in bytes.
const MAX_ERROR: usize = 1000;

/// A state row, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateRow {
    pub(crate) state: State,
    pub(crate) ended: CallEnd,
    pub(crate) flags: u8,
    pub(crate) lane: Lane,
    pub(crate) attempts: u32,
    pub(crate) sink: SinkId,
    pub(crate) not_before: Millis,
    pub(crate) lease_until: Millis,
    pub(crate) changed_at: Millis,
    pub(crate) writer: RecordId,
    pub(crate) id: RecordId,
    pub(crate) last_error: String,
}

impl StateRow {
    pub(crate) fn new(id: RecordId, writer: RecordId, now: Millis) -> Self {
        Self {
            state: State::Pending,
            ended: CallEnd::No,
            flags: 0,
            lane: Lane::UNORDERED,
            attempts: 0,
            sink: SinkId::NONE,
            not_before: Millis::EPOCH,
            lease_until: Millis::EPOCH,
            changed_at: now,
            writer,
            id,
            last_error: String::new(),
        }
    }

    pub(crate) fn is_pruned(&self) -> bool {
        self.flags & FLAG_PRUNED != 0
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.flags & FLAG_FORGOTTEN != 0
    }

    /// Whether the record is a run that is not a call.
    pub(crate) fn is_run(&self) -> bool {
        self.flags & FLAG_RUN != 0
    }

    pub(crate) fn custody(&self) -> Option<Custody> {
        custody(self.state, self.not_before)
    }

    /// Makes the record one that a hub delivers.
    pub(crate) fn carry(&mut self, custody: Custody) {
        self.state = State::InDoubt;
        self.not_before = match custody {
            Custody::Carried => CARRIED,
            Custody::Received => RECEIVED,
        };
        self.lease_until = Millis::EPOCH;
        self.last_error.clear();
    }

    /// Whether the record has ended and waits for the end of its tree's root, at most until `not_before`.
    pub(crate) fn is_growing(&self) -> bool {
        self.state == State::Pending && self.ended != CallEnd::No && self.lease_until == Millis::MAX
    }

    /// Makes an ended record wait for the end of its tree's root.
    pub(crate) fn grow_until(&mut self, until: Millis) {
        (self.not_before, self.lease_until) = (until, Millis::MAX);
    }

    /// Ends that wait.
    pub(crate) fn stop_growing(&mut self) {
        (self.not_before, self.lease_until) = (Millis::EPOCH, Millis::EPOCH);
    }

    /// Lets a record that is not pending wait for its root no longer.
    pub(crate) fn settle_growing(&mut self) {
        if self.state != State::Pending && self.lease_until == Millis::MAX {
            self.lease_until = Millis::EPOCH;
        }
    }

    /// Whether the record is dead because it was forgotten before it was sent.
    pub(crate) fn is_forgotten_unsent(&self) -> bool {
        self.is_forgotten() && self.state == State::Dead
    }

    /// Makes the row of a forgotten record one without content, which no sender sends. A record that is being sent, or may have been,
    /// keeps its state: its request id may still arrive.
    pub(crate) fn settle_forgotten(&mut self) {
        if !self.is_forgotten() {
            return;
        }
        if matches!(self.state, State::Pending | State::Held) {
            self.state = State::Dead;
        }
        if self.ended == CallEnd::No {
            self.ended = CallEnd::Abandoned;
        }
        // An error of PromptLayer may quote the content.
        let reason = match self.state {
            State::Acked => "",
            State::Leased | State::InDoubt => "forgotten while it was being sent",
            State::Pending | State::Dead | State::Held => "forgotten before it was sent",
        };
        reason.clone_into(&mut self.last_error);
    }

    /// The stored form. The checksum covers the record's number too.
    pub(crate) fn encode(&self, seq: Seq) -> Vec<u8> {
        let error = &self.last_error.as_bytes()[..self.last_error.floor_char_boundary(MAX_ERROR)];
        let mut bytes = Vec::with_capacity(FIXED + error.len());
        bytes.extend_from_slice(&[self.state as u8, self.ended as u8, self.flags, self.lane.0]);
        bytes.extend_from_slice(&self.attempts.to_le_bytes());
        bytes.extend_from_slice(&self.sink.0.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for moment in [self.not_before, self.lease_until, self.changed_at] {
            bytes.extend_from_slice(&moment.0.to_le_bytes());
        }
        bytes.extend_from_slice(&self.writer.0);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(error);
        let crc = seal(&seq_key(seq), &bytes);
        bytes[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(seq: Seq, bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::Corrupt("a state row is malformed".into());
        if bytes.len() < FIXED {
            return Err(damaged());
        }
        let seq = seq_key(seq);
        let crc = crc32c_of([&seq[..], &bytes[..CRC], &[0; 4], &bytes[CRC + 4..]]);
        if crc != u32::from_le_bytes(array(bytes, CRC)) {
            return Err(Error::Corrupt("a state row does not match its checksum".into()));
        }
        Ok(Self {
            state: State::from_u8(bytes[0]).ok_or_else(damaged)?,
            ended: CallEnd::from_u8(bytes[1]).ok_or_else(damaged)?,
            flags: bytes[2],
            lane: Lane(bytes[3]),
            attempts: u32::from_le_bytes(array(bytes, 4)),
            sink: SinkId(u32::from_le_bytes(array(bytes, 8))),
            not_before: Millis(u64::from_le_bytes(array(bytes, 16))),
            lease_until: Millis(u64::from_le_bytes(array(bytes, 24))),
            changed_at: Millis(u64::from_le_bytes(array(bytes, 32))),
            writer: RecordId(array(bytes, 40)),
            id: RecordId(array(bytes, 56)),
            last_error: String::from_utf8_lossy(&bytes[FIXED..]).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_row_reads_back() {
        let mut row = StateRow::new(RecordId::new(), RecordId::new(), Millis(7));
        row.state = State::InDoubt;
        row.ended = CallEnd::Partial;
        (row.flags, row.lane, row.attempts, row.sink) = (5, Lane(200), 9, SinkId(3));
        (row.not_before, row.lease_until) = (Millis(1), Millis(2));
        row.last_error = "réponse perdue".into();
        assert_eq!(StateRow::decode(Seq(9), &row.encode(Seq(9))).unwrap(), row);
        assert!(StateRow::decode(Seq(8), &row.encode(Seq(9))).is_err());
        assert!(StateRow::decode(Seq(9), &row.encode(Seq(9))[..FIXED - 1]).is_err());
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let mut row = StateRow::new(RecordId::new(), RecordId::new(), Millis(7));
        row.last_error = "é".repeat(2000);
        assert_eq!(StateRow::decode(Seq(9), &row.encode(Seq(9))).unwrap().last_error, "é".repeat(MAX_ERROR / 2));
    }
}
