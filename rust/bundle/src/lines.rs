//! The lines of members: records, follow-ups and entries of a log.
//!
//! A record is a header line, then the body of its start event, then the body of its end event. Each body is one line, whose length
//! the header states. A follow-up is a header line and its payload. An entry of a log is one line.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, malformed};
use crate::ids::{Hex, Id, Sha};
use crate::json::{Fit, scan};
use crate::limits;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// The model answered.
    Ok,
    /// The model raised an error.
    Error,
    /// The program cancelled the call.
    Cancelled,
    /// The program stopped reading the answer.
    Partial,
    /// The process ended without recording an end.
    Abandoned,
    /// A graph waits for a person. Only a run that is not a call ends like this.
    Interrupted,
}

/// The header line of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordHeader {
    /// The record's id.
    pub id: Id,
    /// How the call ended.
    pub ended: Ended,
    /// The flags of the record.
    pub flags: u8,
    /// The record's lane.
    pub lane: u8,
    /// `LangChain`'s id of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Id>,
    /// `LangChain`'s id of the parent run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// The record of the root, of a record in a tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Id>,
    /// The tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The model's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Bytes of the start event's body; absent when there is no start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u32>,
    /// Bytes of the end event's body; absent when there is no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u32>,
    /// Whether the record may have been sent, so that the hub looks it up before it sends it.
    pub doubt: bool,
    /// How often a person sent the record again after `PromptLayer` refused it.
    pub round: u32,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The header, with the lengths of the bodies.
    pub header: RecordHeader,
    /// The start event's body: one line of JSON.
    pub start: Option<&'a [u8]>,
    /// The end event's body: one line of JSON.
    pub end: Option<&'a [u8]>,
}

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

/// An entry of a hub's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The hub has a bundle on its disk.
    Received(Sha),
    /// `PromptLayer` has a record.
    Ack {
        /// The record.
        record: Id,
        /// Its request id; `None` for a run that is not a call.
        request: Option<u64>,
        /// When the request id arrived, in milliseconds since 1970.
        at: u64,
        /// Whether it was sent as a second trace.
        renewed: bool,
    },
    /// `PromptLayer` refused a record, or the record waits for a person at the hub.
    Parked {
        /// The record.
        record: Id,
        /// Whether it waits for a person. Otherwise it was refused.
        held: bool,
        /// The reason.
        reason: String,
        /// The round of the record.
        round: u32,
    },
    /// A follow-up was sent.
    Done(Sha),
    /// `PromptLayer` refused a follow-up.
    Refused {
        /// The follow-up.
        id: Sha,
        /// The reason.
        reason: String,
    },
}

/// The line of an [`Entry`].
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    n: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received: Option<Sha>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ack: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renewed: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dead: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<Sha>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Sha>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    round: Option<u32>,
}

impl Entry {
    /// The line of the entry with its number, without LF.
    pub fn line(&self, number: u64) -> String {
        let line = EntryLine { n: number, ..EntryLine::default() };
        let line = match self.clone() {
            Self::Received(id) => EntryLine { received: Some(id), ..line },
            Self::Ack { record, request, at, renewed } => {
                EntryLine { ack: Some(record), request, at: Some(at), renewed: Some(renewed), ..line }
            }
            Self::Parked { record, held, reason, round } => EntryLine {
                dead: (!held).then_some(record),
                held: held.then_some(record),
                reason: Some(reason),
                round: Some(round),
                ..line
            },
            Self::Done(id) => EntryLine { done: Some(id), ..line },
            Self::Refused { id, reason } => EntryLine { refused: Some(id), reason: Some(reason), ..line },
        };
        // Numbers, digits and text always have a form in JSON.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The number and the entry of a line without LF.
    ///
    /// # Errors
    /// When the line has a form that [`Entry::line`] does not make.
    pub fn parse(line: &[u8]) -> Result<(u64, Self)> {
        if line.len() > limits::LINE {
            return malformed("an entry of the log is too long");
        }
        let read: EntryLine = from_json(line, "an entry of the log")?;
        let entry = match read {
            EntryLine { received: Some(id), .. } => Self::Received(id),
            EntryLine { ack: Some(record), request, at: Some(at), renewed: Some(renewed), .. } => {
                Self::Ack { record, request, at, renewed }
            }
            EntryLine { dead: Some(record), reason: Some(ref reason), round: Some(round), .. } => {
                Self::Parked { record, held: false, reason: reason.clone(), round }
            }
            EntryLine { held: Some(record), reason: Some(ref reason), round: Some(round), .. } => {
                Self::Parked { record, held: true, reason: reason.clone(), round }
            }
            EntryLine { done: Some(id), .. } => Self::Done(id),
            EntryLine { refused: Some(id), reason: Some(ref reason), .. } => {
                Self::Refused { id, reason: reason.clone() }
            }
            _ => return malformed("an entry of the log has an unknown kind"),
        };
        // The same line again: no entry has fields of two kinds, and each has one form.
        if entry.line(read.n).as_bytes() != line {
            return malformed("an entry of the log has another form than its own");
        }
        Ok((read.n, entry))
    }
}

/// The chain hash after a line, which follows the hash `chain`.
pub fn chain(chain: Id, line: &[u8]) -> Id {
    let digest: [u8; 32] = Sha256::new().chain_update(chain.0).chain_update(line).finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    Hex(half)
}

/// The flag of a run that is not a call.
const RUN: u8 = 128;

impl RecordHeader {
    fn check(&self) -> Fit {
        let is_long = |text: &String| text.len() > 255;
        if self.tags.len() > limits::TAGS || self.tags.iter().any(is_long) || self.model.as_ref().is_some_and(is_long) {
            return Err("it has too many tags, or a label is too long");
        }
        if self.ended == Ended::Interrupted && self.flags & RUN == 0 {
            return Err("a call was not interrupted");
        }
        if self.start.is_none() && self.end.is_none() {
            return Err("it has no body");
        }
        Ok(())
    }
}

/// A body that fits the format.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    /// Checks the bytes of a body, and passes the members of its object on: the raw bytes of each key and of its value.
    ///
    /// # Errors
    /// [`Error::Unfit`] when the bytes do not fit the format.
    pub fn new(bytes: &'a [u8], member: impl FnMut(&'a [u8], &'a [u8])) -> Result<Self> {
        check_body(bytes, limits::BODY, member).map_err(Error::Unfit)?;
        Ok(Self(bytes))
    }
}

/// Appends the lines of a record.
///
/// # Errors
/// When the record does not fit the format: nothing is appended then.
pub fn push_record(raw: &mut Vec<u8>, record: &Record) -> Result<()> {
    let check = |body: Option<_>| body.map(|body| Body::new(body, |_, _| ())).transpose();
    push_checked(raw, record.header.clone(), check(record.start)?, check(record.end)?)
}

/// Like [`push_record`], with bodies that were checked.
///
/// # Errors
/// When the header does not fit the format: nothing is appended then.
pub fn push_checked(
    raw: &mut Vec<u8>,
    header: RecordHeader,
    start: Option<Body<'_>>,
    end: Option<Body<'_>>,
) -> Result<()> {
    let length = |body: Option<Body>| body.and_then(|Body(bytes)| u32::try_from(bytes.len()).ok());
    let header = RecordHeader { start: length(start), end: length(end), ..header };
    header.check().map_err(Error::Unfit)?;
    push_lines(raw, &header, &[start, end].map(|body| body.map(|Body(bytes)| bytes)))
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

fn push_lines(raw: &mut Vec<u8>, header: &impl Serialize, bodies: &[Option<&[u8]>]) -> Result<()> {
    let header = serde_json::to_vec(header).map_err(|_| Error::Unfit("its header has no form in JSON"))?;
    if header.len() > limits::LINE {
        return Err(Error::Unfit("its labels are too long"));
    }
    for line in std::iter::once(&header[..]).chain(bodies.iter().flatten().copied()) {
        raw.extend_from_slice(line);
        raw.push(b'\n');
    }
    Ok(())
}

/// The records of a member's uncompressed bytes.
///
/// # Errors
/// When the bytes break the format.
pub fn records(raw: &[u8]) -> Result<Vec<Record<'_>>> {
    let found = framed_records(raw)?;
    for body in found.iter().flat_map(|record| [record.start, record.end]).flatten() {
        check_body(body, limits::BODY, |_, _| ()).or_else(malformed)?;
    }
    Ok(found)
}

/// Like [`records`], without a look into the bodies: [`records`] has passed the bytes before.
pub(crate) fn framed_records(raw: &[u8]) -> Result<Vec<Record<'_>>> {
    let (mut rest, mut found) = (raw, Vec::new());
    while !rest.is_empty() {
        let header: RecordHeader = from_json(take_line(&mut rest)?, "the header of a record")?;
        header.check().or_else(malformed)?;
        let (start, end) = (take_body(&mut rest, header.start)?, take_body(&mut rest, header.end)?);
        found.push(Record { header, start, end });
    }
    Ok(found)
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
fn check_body<'a>(body: &'a [u8], most: usize, member: impl FnMut(&'a [u8], &'a [u8])) -> Fit {
    if body.len() > most { Err("a body is too large") } else { scan(body, member) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> RecordHeader {
        RecordHeader {
            id: Hex([7; 16]),
            ended: Ended::Ok,
            flags: 2,
            lane: 0,
            run: Some(Hex([8; 16])),
            parent: None,
            root: None,
            tags: vec!["a \"tag\"\n\u{e9}".into()],
            model: Some("llama".into()),
            start: None,
            end: None,
            doubt: false,
            round: 0,
        }
    }

    #[test]
    fn records_read_back() {
        let (mut raw, mut ends) = (Vec::new(), Vec::new());
        let bodies = [(Some(&b"{\"a\":[1,2]}"[..]), Some(&b"{}"[..])), (None, Some(&b"{\"b\":\"\\u00e9]\"}"[..]))];
        for (start, end) in bodies {
            push_record(&mut raw, &Record { header: header(), start, end }).unwrap();
            ends.push(raw.len());
        }
        let found = records(&raw).unwrap();
        assert_eq!(found.iter().map(|record| (record.start, record.end)).collect::<Vec<_>>(), bodies);
        let RecordHeader { start, end, .. } = found[0].header;
        assert_eq!((start, end), (Some(11), Some(2)));
        assert_eq!(found[0].header, RecordHeader { start, end, ..header() });
        for length in 1..raw.len() {
            assert_eq!(records(&raw[..length]).is_ok(), ends.contains(&length), "cut to {length}");
        }
    }

    #[test]
    fn bodies_that_no_reader_should_meet_do_not_fit() {
        let deep = [&b"["[..]; 600].concat();
        for body in [&b"{}\n"[..], b"", b"{", b"{} {}", b"\xff", &deep] {
            let mut raw = Vec::new();
            let record = Record { header: header(), start: Some(body), end: None };
            assert!(matches!(push_record(&mut raw, &record), Err(Error::Unfit(_))));
            assert!(raw.is_empty());
            let mut line =
                serde_json::to_vec(&RecordHeader { start: u32::try_from(body.len()).ok(), ..header() }).unwrap();
            line = [&line[..], b"\n", body, b"\n"].concat();
            assert!(records(&line).is_err());
        }
    }

    #[test]
    fn lengths_that_are_wrong_are_refused() {
        for (start, end) in [(Some(u32::MAX), None), (Some(3), None), (Some(1), None), (None, None), (Some(2), Some(0))]
        {
            let header = serde_json::to_string(&RecordHeader { start, end, ..header() }).unwrap();
            assert!(records(format!("{header}\n{{}}\n").as_bytes()).is_err(), "{start:?} {end:?}");
        }
        assert!(records(&vec![b'{'; limits::LINE + 2]).is_err());
        assert!(records(b"{\"id\":1}\n").is_err());
    }

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

    #[test]
    fn entries_have_one_form() {
        let (record, id) = (Hex([1; 16]), Hex([2; 32]));
        let entries = [
            Entry::Received(id),
            Entry::Ack { record, request: Some(48_213_377), at: 5, renewed: false },
            Entry::Parked { record, held: false, reason: "messages is \"empty\"".into(), round: 1 },
            Entry::Parked { record, held: true, reason: String::new(), round: 0 },
            Entry::Done(id),
            Entry::Refused { id, reason: "no such prompt".into() },
        ];
        for entry in entries {
            let line = entry.line(12);
            assert_eq!(Entry::parse(line.as_bytes()).unwrap(), (12, entry.clone()));
            assert!(Entry::parse(line.replace(',', ", ").as_bytes()).is_err());
            let two = line.replacen('{', &format!("{{\"done\":\"{id}\","), 1);
            assert!(Entry::parse(two.as_bytes()).is_err());
        }
        assert!(Entry::parse(b"{\"n\":1}").is_err());
    }
}
