//! Filters: which records match a query.

use std::ops::Bound;

use heed::RoTxn;
use memchr::memmem::{find, find_iter};

use super::text::TextSearch;
use crate::state::{CallEnd, Custody, Lane, State};
use crate::store::db::trees::{PART_END, PART_START, Trees, label_key, record_key};
use crate::store::digests;
use crate::store::records::body;
use crate::store::records::read::read_row;
use crate::store::records::row::{Row, StateRow};
use crate::store::records::transition::load;
use crate::{Millis, RecordId, Result, Seq, labels};

/// A range of record ids, which sort by time.
pub(super) type Range = (Bound<[u8; 16]>, Bound<[u8; 16]>);

/// A query. The default matches every record, newest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Labels, all of which a record must have; see [`crate::labels`].
    pub labels: Vec<(u8, Vec<u8>)>,
    /// Groups of labels. A record must have a label of each group.
    pub any_labels: Vec<Vec<(u8, Vec<u8>)>>,
    /// Lanes that match; empty for any lane.
    pub lanes: Vec<Lane>,
    /// States that match; empty for any state.
    pub states: Vec<State>,
    /// Custodies that match, of records in doubt that a hub has. With states or custodies, a record must have one of both lists.
    pub custodies: Vec<Custody>,
    /// States whose records must have their content, or must have lost it (true).
    pub removed: Vec<(State, bool)>,
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
    /// Text that a body must contain; see [`super::TextSearch`].
    pub text: Option<String>,
    /// Texts, all of which the body of the start must contain.
    pub start_texts: Vec<String>,
    /// The duration that the call exceeds, in ns. A record without a digest may be returned whose duration is shorter, or unknown.
    pub min_elapsed: Option<u64>,
    /// Also records that are not calls: chains, tools and retrievers.
    pub runs: bool,
    /// Only the roots of trees.
    pub roots: bool,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
    /// The largest number of records; 0 means 100.
    pub limit: usize,
}

impl Query {
    /// Whether a row meets the condition on its content.
    pub(super) fn fits_removal(&self, row: &StateRow) -> bool {
        let mut of_state = self.removed.iter().filter(|(state, _)| *state == row.state).peekable();
        of_state.peek().is_none() || of_state.any(|(_, is_removed)| *is_removed == row.is_pruned())
    }

    /// Groups of labels of which a matching record has one each.
    pub(super) fn label_groups(&self) -> Vec<Vec<(u8, Vec<u8>)>> {
        let mut groups: Vec<_> = self.labels.iter().map(|label| vec![label.clone()]).collect();
        groups.extend(self.any_labels.iter().cloned());
        let ended: Option<Vec<&[u8]>> = self.ended.iter().map(|ended| ended.label()).collect();
        if let Some(mut ended) = ended.filter(|ended| !ended.is_empty()) {
            ended.sort_unstable();
            ended.dedup();
            groups.push(ended.into_iter().map(|value| (labels::ENDED, value.to_vec())).collect());
        }
        groups
    }

    /// Whether the query has one label and a range of time as its only conditions.
    pub(super) fn is_one_label(&self) -> bool {
        let groups = self.label_groups();
        let is_one = groups.len() == 1 && groups[0].len() == 1;
        is_one && self.has_any_state() && self.ended.is_empty() && self.lanes.is_empty() && !self.roots
    }

    /// Whether indexes and digests decide more of the query than the one index that a page walks.
    pub(super) fn has_indexed_conditions(&self) -> bool {
        let narrows = self.label_groups().len() > 1 || !self.has_any_state() || !self.ended.is_empty();
        // A lane is in the row alone.
        self.lanes.is_empty() && (narrows || !self.runs || self.roots || self.min_elapsed.is_some())
    }

    /// Whether the query has no condition but on the state.
    pub(super) fn is_everything(&self) -> bool {
        self.label_groups().is_empty()
            && self.removed.is_empty()
            && self.ended.is_empty()
            && self.lanes.is_empty()
            && !self.roots
            && [self.since, self.until].iter().all(Option::is_none)
            && [self.before, self.after].iter().all(Option::is_none)
    }

    /// Whether a record may have any state.
    pub(super) fn has_any_state(&self) -> bool {
        self.states.is_empty() && self.custodies.is_empty()
    }

    /// Whether the state of a record matches.
    pub(super) fn matches_state(&self, state: State, custody: Option<Custody>) -> bool {
        self.has_any_state()
            || match custody {
                Some(custody) => self.custodies.contains(&custody),
                None => self.states.contains(&state),
            }
    }

    /// The states whose work lists have the records.
    pub(super) fn listed_states(&self) -> Vec<State> {
        let mut states = self.states.clone();
        if !self.custodies.is_empty() && !states.contains(&State::InDoubt) {
            states.push(State::InDoubt);
        }
        states
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

/// The conditions of a query on the bodies.
pub(super) struct Search {
    text: Option<TextSearch>,
    start_texts: Vec<TextSearch>,
    min_elapsed: Option<u64>,
    body: Vec<u8>,
}

impl Search {
    pub(super) fn new(query: &Query) -> Self {
        Self {
            text: query.text.as_deref().map(TextSearch::new),
            start_texts: query.start_texts.iter().map(|text| TextSearch::new(text)).collect(),
            min_elapsed: query.min_elapsed,
            body: Vec::new(),
        }
    }

    /// Whether the query has no condition on the bodies.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_none() && self.start_texts.is_empty() && self.min_elapsed.is_none()
    }

    pub(super) fn matches(&mut self, txn: &RoTxn, trees: &Trees, seq: Seq, id: RecordId) -> Result<bool> {
        let mut is_found = self.text.is_none();
        let mut least = self.min_elapsed;
        if let Some(required) = least
            && let Some(known) = digests::known(txn, trees, seq)?
        {
            if known.duration_ns.is_none_or(|duration| duration <= required) {
                return Ok(false);
            }
            least = None;
        }
        for part in [PART_START, PART_END] {
            let is_needed = if part == PART_START { !self.start_texts.is_empty() } else { least.is_some() };
            if is_found && !is_needed {
                continue;
            }
            let stored = trees.records.get(txn, &record_key(seq, part))?;
            // A body that is missing or damaged contains nothing.
            let is_read = match stored.map(|stored| body::decode_into(txn, trees, id, part, stored, &mut self.body)) {
                Some(Err(error)) if error.lacks_memory() => return Err(error),
                read => read.is_some_and(|read| read.is_ok()),
            };
            if !is_read {
                if is_needed {
                    return Ok(false);
                }
                continue;
            }
            if part == PART_END && least.is_some_and(|least| !may_last(&self.body, least)) {
                return Ok(false);
            }
            for text in self.start_texts.iter().filter(|_| part == PART_START) {
                if !text.is_in(&mut self.body)? {
                    return Ok(false);
                }
            }
            if let Some(text) = self.text.as_ref().filter(|_| !is_found) {
                is_found = text.is_in(&mut self.body)?;
            }
        }
        Ok(is_found)
    }
}

/// Whether an end may have this duration: a number after any key `elapsed` is large enough, or no number follows.
fn may_last(body: &[u8], least: u64) -> bool {
    let key = b"\"elapsed\":";
    find_iter(body, key).any(|at| {
        let value = body[at + key.len()..].trim_ascii_start();
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&value[..digits]).unwrap_or_default().parse::<u64>();
        number.map_or(digits == 0 || digits > 18, |number| number >= least)
    }) || find(body, key).is_none()
}

/// The state row of a record whose state and labels match the query.
pub(super) fn admitted(txn: &RoTxn, trees: &Trees, query: &Query, seq: Seq) -> Result<Option<StateRow>> {
    let state = load(txn, trees, seq)?;
    let wanted = query.matches_state(state.state, state.custody())
        && (query.ended.is_empty() || query.ended.contains(&state.ended))
        && (query.lanes.is_empty() || query.lanes.contains(&state.lane))
        && query.fits_removal(&state)
        && (query.runs || !state.is_run())
        && (!query.roots || is_root(txn, trees, &state)?);
    if !wanted {
        return Ok(None);
    }
    let has = |(kind, value): &(u8, Vec<u8>)| -> Result<bool> {
        Ok(trees.labels.get(txn, &label_key(*kind, value, state.id))?.is_some())
    };
    for label in &query.labels {
        if !has(label)? {
            return Ok(None);
        }
    }
    for group in &query.any_labels {
        let mut found = false;
        for label in group {
            found = has(label)?;
            if found {
                break;
            }
        }
        if !found {
            return Ok(None);
        }
    }
    Ok(Some(state))
}

/// Whether a run has no parent.
fn is_root(txn: &RoTxn, trees: &Trees, state: &StateRow) -> Result<bool> {
    Ok(state.is_run() && trees.labels.get(txn, &label_key(labels::ROOT, &state.id.0, state.id))?.is_some())
}

/// The record, if it matches the query.
pub(super) fn matching(
    txn: &RoTxn,
    trees: &Trees,
    query: &Query,
    search: &mut Search,
    seq: Seq,
) -> Result<Option<Row>> {
    let Some(state) = admitted(txn, trees, query, seq)? else { return Ok(None) };
    if !search.is_empty() && !search.matches(txn, trees, seq, state.id)? {
        return Ok(None);
    }
    read_row(txn, trees, seq, state).map(Some)
}
