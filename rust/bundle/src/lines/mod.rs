//! The lines of members: records, follow-ups and entries of a log.
//!
//! A record is a header line, then the body of its start event, then the body of its end event. Each body is one line, whose length
//! the header states. A follow-up is a header line and its payload. An entry of a log is one line.

mod entry;
mod followup;
mod record;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, malformed};
use crate::ids::{Hex, Id};
use crate::json::{Fit, scan};
use crate::limits;
pub use entry::Entry;
pub use followup::{FollowUp, FollowUpHeader, Op, follow_up_id, follow_ups, push_follow_up};
pub(crate) use record::framed_records;
pub use record::{Body, Ended, Record, RecordHeader, push_checked, push_record, records};

/// The chain hash after a line, which follows the hash `chain`.
pub fn chain(chain: Id, line: &[u8]) -> Id {
    let digest: [u8; 32] = Sha256::new().chain_update(chain.0).chain_update(line).finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    Hex(half)
}

fn push_lines(raw: &mut Vec<u8>, header: &impl Serialize, bodies: &[Option<&[u8]>]) -> Result<()> {
    let before = raw.len();
    let unfit = match serde_json::to_writer(&mut *raw, header) {
        Err(_) => Some("its header has no form in JSON"),
        Ok(()) if raw.len() - before > limits::LINE => Some("its labels are too long"),
        Ok(()) => None,
    };
    if let Some(reason) = unfit {
        raw.truncate(before);
        return Err(Error::Unfit(reason));
    }
    raw.push(b'\n');
    for line in bodies.iter().flatten() {
        raw.extend_from_slice(line);
        raw.push(b'\n');
    }
    Ok(())
}

/// The lines of a member of a log, without LF.
///
/// # Errors
/// When a line is too long, or the last one has no LF.
pub fn log(raw: &[u8]) -> Result<Vec<&[u8]>> {
    let (mut rest, mut found) = (raw, Vec::new());
    while !rest.is_empty() {
        found.push(take_line(&mut rest)?);
    }
    Ok(found)
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let near = &rest[..rest.len().min(limits::LINE + 1)];
    let Some(length) = near.iter().position(|byte| *byte == b'\n') else {
        return malformed("a line is longer than 64 KiB, or is not ended");
    };
    let line = &rest[..length];
    *rest = &rest[length + 1..];
    Ok(line)
}

fn take_body<'a>(rest: &mut &'a [u8], length: Option<u32>) -> Result<Option<&'a [u8]>> {
    let Some(length) = length else { return Ok(None) };
    let Some((body, tail)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) else {
        return malformed("a body is longer than its member");
    };
    let Some((b'\n', tail)) = tail.split_first() else { return malformed("no line ends behind a body") };
    *rest = tail;
    Ok(Some(body))
}

fn from_json<'a, T: Deserialize<'a>>(line: &'a [u8], thing: &str) -> Result<T> {
    serde_json::from_slice(line).map_err(|error| Error::Malformed(format!("{thing}: {error}")))
}

/// Checks that a body is one line of JSON that every reader accepts.
pub(crate) fn check_body<'a>(body: &'a [u8], most: usize, member: impl FnMut(&'a [u8], &'a [u8])) -> Fit {
    if body.len() > most { Err("a body is too large") } else { scan(body, member) }
}
