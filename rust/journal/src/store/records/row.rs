//! State rows: what the store knows of a record beside its bodies.

use crate::checksum::crc32c_of;
use crate::frame::array;
use crate::state::{Ended, FLAG_PRUNED, State};
use crate::store::db::tables::{seal, seq_key};
use crate::{Error, RecordId, Result};

/// A record as it is read.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: RecordId,
    /// Its place in the order of ingestion, from 1, without gaps.
    pub seq: u64,
    /// Where it is on its way.
    pub state: State,
    /// How the call ended.
    pub ended: Ended,
    /// `FLAG_*` bits of its events together, [`FLAG_PRUNED`] and [`crate::FLAG_RENEWED`].
    pub flags: u8,
    /// How often it was leased.
    pub attempts: u32,
    /// What went wrong last; empty when nothing did.
    pub last_error: String,
    /// Where its request id is delivered.
    pub sink: Option<String>,
    /// The writer of its first event.
    pub writer: RecordId,
    /// The start event's body.
    pub start: Option<Vec<u8>>,
    /// The end event's body.
    pub end: Option<Vec<u8>>,
    /// What is wrong with a body that could not be read.
    pub damage: Option<String>,
    /// `PromptLayer`'s id, and when it came in milliseconds since the epoch.
    pub ack: Option<(u64, u64)>,
    /// When it is due again, in milliseconds since the epoch; 0 when it always was.
    pub not_before: u64,
    /// Records of one lane are sent in order; 0 keeps none.
    pub lane: u8,
    /// When its state last changed, in milliseconds since the epoch.
    pub changed_at: u64,
}

/// The fixed part of a state row.
const FIXED: usize = 72;
/// Where its checksum stands, which counts as zeros in itself.
const CRC: usize = 12;
/// Longest error text kept with a record.
const MAX_ERROR: usize = 1000;

/// A state row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateRow {
    pub(crate) state: State,
    pub(crate) ended: Ended,
    pub(crate) flags: u8,
    pub(crate) lane: u8,
    pub(crate) attempts: u32,
    pub(crate) sink: u32,
    pub(crate) not_before: u64,
    pub(crate) lease_until: u64,
    pub(crate) changed_at: u64,
    pub(crate) writer: RecordId,
    pub(crate) id: RecordId,
    pub(crate) last_error: String,
}

impl StateRow {
    pub(crate) fn new(id: RecordId, writer: RecordId, now_ms: u64) -> Self {
        Self {
            state: State::Pending,
            ended: Ended::No,
            flags: 0,
            lane: 0,
            attempts: 0,
            sink: 0,
            not_before: 0,
            lease_until: 0,
            changed_at: now_ms,
            writer,
            id,
            last_error: String::new(),
        }
    }

    pub(crate) fn is_pruned(&self) -> bool {
        self.flags & FLAG_PRUNED != 0
    }

    /// The row of record `seq`, which its checksum covers too.
    pub(crate) fn encode(&self, seq: u64) -> Vec<u8> {
        let error = &self.last_error.as_bytes()[..self.last_error.floor_char_boundary(MAX_ERROR)];
        let mut bytes = Vec::with_capacity(FIXED + error.len());
        bytes.extend_from_slice(&[self.state as u8, self.ended as u8, self.flags, self.lane]);
        bytes.extend_from_slice(&self.attempts.to_le_bytes());
        bytes.extend_from_slice(&self.sink.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for number in [self.not_before, self.lease_until, self.changed_at] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.writer.0);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(error);
        let crc = seal(&seq_key(seq), &bytes);
        bytes[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(seq: u64, bytes: &[u8]) -> Result<Self> {
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
            ended: Ended::from_u8(bytes[1]).ok_or_else(damaged)?,
            flags: bytes[2],
            lane: bytes[3],
            attempts: u32::from_le_bytes(array(bytes, 4)),
            sink: u32::from_le_bytes(array(bytes, 8)),
            not_before: u64::from_le_bytes(array(bytes, 16)),
            lease_until: u64::from_le_bytes(array(bytes, 24)),
            changed_at: u64::from_le_bytes(array(bytes, 32)),
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
        let mut row = StateRow::new(RecordId::new(), RecordId::new(), 7);
        row.state = State::InDoubt;
        row.ended = Ended::Partial;
        (row.flags, row.lane, row.attempts, row.sink) = (5, 200, 9, 3);
        (row.not_before, row.lease_until) = (1, 2);
        row.last_error = "réponse perdue".into();
        assert_eq!(StateRow::decode(9, &row.encode(9)).unwrap(), row);
        assert!(StateRow::decode(8, &row.encode(9)).is_err());
        assert!(StateRow::decode(9, &row.encode(9)[..FIXED - 1]).is_err());
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let mut row = StateRow::new(RecordId::new(), RecordId::new(), 7);
        row.last_error = "é".repeat(2000);
        assert_eq!(StateRow::decode(9, &row.encode(9)).unwrap().last_error, "é".repeat(MAX_ERROR / 2));
    }
}
