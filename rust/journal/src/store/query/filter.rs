//! Filters: which records match a query.

use std::ops::Bound;

use heed::RoTxn;
use memchr::memmem::Finder;

use crate::state::{CallEnd, State};
use crate::store::db::trees::{PART_END, PART_START, Trees, label_key, record_key};
use crate::store::records::body;
use crate::store::records::read::read_row;
use crate::store::records::row::Row;
use crate::store::records::transition::load;
use crate::{Millis, RecordId, Result, Seq, labels};

/// A range of record ids, which sort by time.
pub(super) type Range = (Bound<[u8; 16]>, Bound<[u8; 16]>);

/// A query. The default matches every record, newest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Labels, all of which a record must have; see [`crate::labels`].
    pub labels: Vec<(u8, Vec<u8>)>,
    /// States that match; empty for any state.
    pub states: Vec<State>,
    /// Ends that match; empty for any end.
    pub ended: Vec<CallEnd>,
    /// Only records that started at this moment or later.
    pub since: Option<Millis>,
    /// Only records that started before this moment.
    pub until: Option<Millis>,
    /// Only records before this id, which is excluded.
    pub before: Option<RecordId>,
    /// Only records after this id, which is excluded.
    pub after: Option<RecordId>,
    /// Text that a body must contain; ASCII case is ignored.
    pub text: Option<String>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
    /// The largest number of records; 0 means 100.
    pub limit: usize,
}

impl Query {
    /// The label that all records with a matching end share, if there is one.
    pub(super) fn ended_label(&self) -> Option<(u8, Vec<u8>)> {
        let label = self.ended.first()?.label()?;
        let shared = self.ended.iter().all(|ended| ended.label() == Some(label));
        shared.then(|| (labels::ENDED, label.to_vec()))
    }

    pub(super) fn range(&self) -> Range {
        let since = self.since.map(|since| RecordId::floor(since).0);
        let lower = match (self.after, since) {
            (Some(after), since) if since.is_none_or(|since| after.0 >= since) => Bound::Excluded(after.0),
            (_, Some(since)) => Bound::Included(since),
            _ => Bound::Unbounded,
        };
        let until = self.until.map(|until| RecordId::floor(until).0);
        let upper = [self.before.map(|id| id.0), until].into_iter().flatten().min();
        (lower, upper.map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// Whether no id is in the range.
pub(super) fn is_empty(range: &Range) -> bool {
    match (&range.0, &range.1) {
        (Bound::Excluded(low) | Bound::Included(low), Bound::Excluded(high) | Bound::Included(high)) => low >= high,
        _ => false,
    }
}

/// The record, if it matches the query. `needle` is the text of the query in lower case, as JSON escapes it.
pub(super) fn matching(
    txn: &RoTxn,
    trees: &Trees,
    query: &Query,
    needle: Option<&Finder>,
    seq: Seq,
    scratch: &mut Vec<u8>,
) -> Result<Option<Row>> {
    let state = load(txn, trees, seq)?;
    let wanted = (query.states.is_empty() || query.states.contains(&state.state))
        && (query.ended.is_empty() || query.ended.contains(&state.ended));
    if !wanted {
        return Ok(None);
    }
    for (kind, value) in &query.labels {
        if trees.labels.get(txn, &label_key(*kind, value, state.id))?.is_none() {
            return Ok(None);
        }
    }
    if let Some(needle) = needle
        && !contains(txn, trees, seq, state.id, needle, scratch)?
    {
        return Ok(None);
    }
    read_row(txn, trees, seq, state).map(Some)
}

/// Whether one of a record's bodies contains the text, which is in lower case. A body that cannot be read does not.
fn contains(txn: &RoTxn, trees: &Trees, seq: Seq, id: RecordId, needle: &Finder, body: &mut Vec<u8>) -> Result<bool> {
    for part in [PART_START, PART_END] {
        let Some(stored) = trees.records.get(txn, &record_key(seq, part))? else { continue };
        if body::decode_into(txn, trees, id, part, stored, body).is_ok() {
            body.make_ascii_lowercase();
            if needle.find(body).is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The text as a JSON string contains it.
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
