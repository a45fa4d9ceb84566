//! The lines of a hub's log: one entry each.

use serde::{Deserialize, Serialize};

use super::from_json;
use crate::error::{Result, malformed};
use crate::ids::{Id, Sha};
use crate::limits;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Hex;

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
