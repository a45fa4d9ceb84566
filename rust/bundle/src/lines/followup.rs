//! The lines of follow-ups: a header, then the payload.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{check_body, from_json, push_lines, take_body, take_line};
use crate::error::{Error, Result, malformed};
use crate::ids::{Hex, Id, Sha};
use crate::limits;

/// The operation of a follow-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Scores the request.
    Score,
    /// Adds metadata to the request.
    Metadata,
    /// Links the request to a prompt template.
    Prompt,
    /// Puts the request into a group.
    Group,
}

/// The header line of a follow-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUpHeader {
    /// The follow-up's id: [`follow_up_id`].
    pub id: Sha,
    /// The record that it belongs to.
    pub record: Id,
    /// The request id, where the origin knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
    /// The operation.
    pub op: Op,
    /// When it was queued, in milliseconds since 1970.
    pub queued_at: u64,
    /// Its number at the origin. The follow-ups of a record are sent in the order of their numbers.
    pub number: u64,
    /// Bytes of the payload.
    pub payload: u32,
}

/// A follow-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp<'a> {
    /// The header, with the length of the payload.
    pub header: FollowUpHeader,
    /// The arguments: one line of JSON.
    pub payload: &'a [u8],
}

/// The id of a follow-up: the same one in each bundle that carries it.
pub fn follow_up_id(record: Id, op: Op, queued_at: u64, number: u64, payload: &[u8]) -> Sha {
    let mut hash = Sha256::new();
    hash.update(record.0);
    hash.update([op as u8]);
    hash.update(queued_at.to_be_bytes());
    hash.update(number.to_be_bytes());
    hash.update(payload);
    Hex(hash.finalize().into())
}

/// Appends the lines of a follow-up.
///
/// # Errors
/// When the follow-up does not fit the format: nothing is appended then.
pub fn push_follow_up(raw: &mut Vec<u8>, follow_up: &FollowUp) -> Result<()> {
    check_body(follow_up.payload, limits::PAYLOAD, |_, _| ()).map_err(Error::Unfit)?;
    let payload = u32::try_from(follow_up.payload.len()).unwrap_or(u32::MAX);
    let header = FollowUpHeader { payload, ..follow_up.header.clone() };
    push_lines(raw, &header, &[Some(follow_up.payload)])
}

/// The follow-ups of a member's uncompressed bytes.
///
/// # Errors
/// When the bytes break the format.
pub fn follow_ups(raw: &[u8]) -> Result<Vec<FollowUp<'_>>> {
    let (mut rest, mut found) = (raw, Vec::new());
    while !rest.is_empty() {
        let header: FollowUpHeader = from_json(take_line(&mut rest)?, "the header of a follow-up")?;
        let payload = take_body(&mut rest, Some(header.payload))?.unwrap_or_default();
        check_body(payload, limits::PAYLOAD, |_, _| ()).or_else(malformed)?;
        let id = follow_up_id(header.record, header.op, header.queued_at, header.number, payload);
        if id != header.id {
            return malformed("the id of a follow-up does not match its content");
        }
        found.push(FollowUp { header, payload });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follow_ups_read_back_under_their_own_id_only() {
        let payload = &b"{\"score\":90}"[..];
        let record = Hex([7; 16]);
        let id = follow_up_id(record, Op::Score, 5, 9, payload);
        let header =
            FollowUpHeader { id, record, request: Some(7), op: Op::Score, queued_at: 5, number: 9, payload: 0 };
        let mut raw = Vec::new();
        push_follow_up(&mut raw, &FollowUp { header, payload }).unwrap();
        assert_eq!(follow_ups(&raw).unwrap()[0].payload, payload);
        let changed = String::from_utf8(raw).unwrap().replace("90", "91");
        assert!(follow_ups(changed.as_bytes()).is_err());
    }
}
