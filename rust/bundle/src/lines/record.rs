//! The lines of records: a header, then the body of the start event, then the body of the end event.

use serde::{Deserialize, Serialize};

use super::{check_body, from_json, push_lines, take_body, take_line};
use crate::error::{Error, Result, malformed};
use crate::ids::Id;
use crate::json::Fit;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Hex;

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
}
