//! Filters: which records a query finds.

use std::ops::Bound;

use heed::RoTxn;
use memchr::memmem::Finder;

use crate::state::{Ended, State};
use crate::store::db::tables::{PART_END, PART_START, Tables, label_key, record_key};
use crate::store::records::payload;
use crate::store::records::read::read_row;
use crate::store::records::row::Row;
use crate::store::records::transition::load;
use crate::{RecordId, Result, labels};

/// Record ids, which sort by time.
pub(super) type Range = (Bound<[u8; 16]>, Bound<[u8; 16]>);

/// What to look for. The default finds everything, newest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Labels that a record must all have, see [`crate::labels`].
    pub labels: Vec<(u8, Vec<u8>)>,
    /// States it may be in; empty: any.
    pub states: Vec<State>,
    /// Ways it may have ended; empty: any.
    pub ended: Vec<Ended>,
    /// Earliest start, in milliseconds since the epoch.
    pub since: Option<u64>,
    /// Start before this.
    pub until: Option<u64>,
    /// Only records before this one, itself excluded.
    pub before: Option<RecordId>,
    /// Only records after this one, itself excluded.
    pub after: Option<RecordId>,
    /// Text to find in the bodies; ASCII case is ignored.
    pub text: Option<String>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
    /// How many at most; 0: 100.
    pub limit: usize,
}

impl Query {
    /// The label that all records with a wanted end have, if there is one.
    pub(super) fn ended_label(&self) -> Option<(u8, Vec<u8>)> {
        let label = self.ended.first()?.label()?;
        let shared = self.ended.iter().all(|ended| ended.label() == Some(label));
        shared.then(|| (labels::ENDED, label.to_vec()))
    }

    pub(super) fn range(&self) -> Range {
        let since = self.since.map(|ms| RecordId::floor(ms).0);
        let lower = match (self.after, since) {
            (Some(after), since) if since.is_none_or(|since| after.0 >= since) => Bound::Excluded(after.0),
            (_, Some(since)) => Bound::Included(since),
            _ => Bound::Unbounded,
        };
        let until = self.until.map(|ms| RecordId::floor(ms).0);
        let upper = [self.before.map(|id| id.0), until].into_iter().flatten().min();
        (lower, upper.map_or(Bound::Unbounded, Bound::Excluded))
    }
}

pub(super) fn is_empty(range: &Range) -> bool {
    match (&range.0, &range.1) {
        (Bound::Excluded(low) | Bound::Included(low), Bound::Excluded(high) | Bound::Included(high)) => low >= high,
        _ => false,
    }
}

pub(super) fn matching(
    txn: &RoTxn,
    tables: &Tables,
    query: &Query,
    needle: Option<&Finder>,
    seq: u64,
    scratch: &mut Vec<u8>,
) -> Result<Option<Row>> {
    let state = load(txn, tables, seq)?;
    let wanted = (query.states.is_empty() || query.states.contains(&state.state))
        && (query.ended.is_empty() || query.ended.contains(&state.ended));
    if !wanted {
        return Ok(None);
    }
    for (kind, value) in &query.labels {
        if tables.labels.get(txn, &label_key(*kind, value, state.id))?.is_none() {
            return Ok(None);
        }
    }
    if let Some(needle) = needle
        && !holds(txn, tables, seq, state.id, needle, scratch)?
    {
        return Ok(None);
    }
    read_row(txn, tables, seq, state).map(Some)
}

/// Whether one of a record's bodies holds the text, which is given in lower case. One that cannot be read does not.
fn holds(txn: &RoTxn, tables: &Tables, seq: u64, id: RecordId, needle: &Finder, body: &mut Vec<u8>) -> Result<bool> {
    for part in [PART_START, PART_END] {
        let Some(stored) = tables.records.get(txn, &record_key(seq, part))? else { continue };
        if payload::decode_into(txn, tables, id, part, stored, body).is_ok() {
            body.make_ascii_lowercase();
            if needle.find(body).is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The text as it stands inside a JSON string.
pub(super) fn json_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            other => escaped.push(other),
        }
    }
    escaped
}
