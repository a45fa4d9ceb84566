//! The stored form of follow-ups.

use crate::frame::array;
use crate::state::stored_as_u8;
use crate::store::db::trees::{with_seal, without_seal};
use crate::{Error, Millis, Result};

/// The longest payload of a follow-up, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;
/// The longest error text of a follow-up, in bytes.
const MAX_ERROR: usize = 1000;
/// dead u8 | op u8 | length of the error u16 | attempts u32 | due u64 | queued u64, then the error, the payload and the seal.
pub(super) const FIXED: usize = 24;
/// The first byte of a follow-up that was sent. A waiting or dead follow-up begins with 0 or 1.
pub(super) const SENT: u8 = 2;

/// The operation of a follow-up on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// Scores the request.
    Score = 1,
    /// Adds metadata to the request.
    Metadata = 2,
    /// Links the request to a prompt template.
    Prompt = 3,
    /// Puts the request into a group.
    Group = 4,
}

stored_as_u8!(Op { Score, Metadata, Prompt, Group });

impl Op {
    /// The name users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Metadata => "metadata",
            Self::Prompt => "prompt",
            Self::Group => "group",
        }
    }

    /// The operation with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }
}

/// The stored value of a follow-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FollowUpEntry {
    pub(crate) is_dead: bool,
    pub(crate) op: Op,
    pub(crate) attempts: u32,
    pub(crate) due: Millis,
    pub(crate) queued_at: Millis,
    pub(crate) last_error: String,
    pub(crate) payload: Vec<u8>,
}

impl FollowUpEntry {
    /// The stored form. The seal covers the key too.
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let error = &self.last_error.as_bytes()[..self.last_error.floor_char_boundary(MAX_ERROR)];
        let mut bytes = Vec::with_capacity(FIXED + error.len() + self.payload.len() + 4);
        bytes.extend_from_slice(&[u8::from(self.is_dead), self.op as u8]);
        bytes.extend_from_slice(&u16::try_from(error.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&self.attempts.to_le_bytes());
        bytes.extend_from_slice(&self.due.0.to_le_bytes());
        bytes.extend_from_slice(&self.queued_at.0.to_le_bytes());
        bytes.extend_from_slice(error);
        bytes.extend_from_slice(&self.payload);
        with_seal(key, bytes)
    }

    pub(crate) fn decode(key: &[u8], stored: &[u8]) -> Result<Self> {
        let damaged = || Error::Corrupt("a follow-up does not match its checksum, or is malformed".into());
        let bytes = without_seal(key, stored).filter(|bytes| bytes.len() >= FIXED).ok_or_else(damaged)?;
        let error_len = usize::from(u16::from_le_bytes(array(bytes, 2)));
        let (error, payload) = bytes[FIXED..].split_at_checked(error_len).ok_or_else(damaged)?;
        Ok(Self {
            is_dead: Some(bytes[0]).filter(|state| *state < SENT).ok_or_else(damaged)? != 0,
            op: Op::from_u8(bytes[1]).ok_or_else(damaged)?,
            attempts: u32::from_le_bytes(array(bytes, 4)),
            due: Millis(u64::from_le_bytes(array(bytes, 8))),
            queued_at: Millis(u64::from_le_bytes(array(bytes, 16))),
            last_error: String::from_utf8_lossy(error).into_owned(),
            payload: payload.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> FollowUpEntry {
        FollowUpEntry {
            is_dead: true,
            op: Op::Prompt,
            attempts: 3,
            due: Millis(4),
            queued_at: Millis(5),
            last_error: "refusé".into(),
            payload: b"{}".to_vec(),
        }
    }

    #[test]
    fn an_entry_reads_back_under_its_own_key_only() {
        assert_eq!(FollowUpEntry::decode(b"key", &entry().encode(b"key")).unwrap(), entry());
        assert!(FollowUpEntry::decode(b"kez", &entry().encode(b"key")).is_err());
        assert!(FollowUpEntry::decode(b"key", &entry().encode(b"key")[1..]).is_err());
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let long = FollowUpEntry { last_error: "é".repeat(2000), ..entry() };
        let read = FollowUpEntry::decode(b"key", &long.encode(b"key")).unwrap();
        assert_eq!((read.last_error, read.payload), ("é".repeat(MAX_ERROR / 2), long.payload));
    }
}
