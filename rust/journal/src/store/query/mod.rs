//! Queries: pages of records by time, label, state and text.
//!
//! Records are listed by id, which is the order of their starts. A query walks the narrowest index until the page is full. Only a
//! search for text reads bodies.

mod durations;
mod filter;
pub(crate) mod known;
mod pages;
mod plan;
mod runs;
mod selection;
mod sums;
mod text;

use std::ops::Bound;

use heed::RoTxn;

use crate::state::{Custody, State};
use crate::store::Store;
use crate::store::db::trees::{Tree, Trees, label_key, label_prefix, seq_key, tail_seq};
use crate::store::outbox::request_index;
use crate::store::records::counts::Counts;
use crate::store::records::read::{PAGE_BYTES, read_row};
use crate::store::records::row::{Row, StateRow};
use crate::store::records::transition::load;
use crate::{Error, RecordId, RequestId, Result, Seq};
pub use filter::Query;
use filter::{Range, Search, is_empty, matching};
pub use pages::{Figure, SearchPage};
use plan::{SORT_AT_MOST, in_order, listed, rarest, walk, work_list};
use selection::select;
pub use sums::{Count, Facets, GroupName, Grouping, Histogram, Sums, Usage};
pub use text::TextSearch;

/// A count reads this many entries of an index in the time in which it reads a state row.
const ENTRIES_IN_TIME_OF_A_ROW: usize = 10;
/// A page reads this many records in their order before it sorts work lists of more records than this.
const WALKED_FIRST: u64 = 2_000;

impl Store {
    /// A page of records. A page with fewer records than the limit is the last, unless it has [`PAGE_BYTES`] of bodies.
    pub fn query(&self, query: &Query) -> Result<Vec<Row>> {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let mut search = Search::new(query);
        self.db().read(|txn, trees| {
            let (mut page, mut bytes) = (Vec::new(), 0);
            visit(txn, trees, query, WALKED_FIRST, &mut |seq| {
                self.db().trimmer.release_if_due(txn, trees);
                if let Some(row) = matching(txn, trees, query, &mut search, seq)? {
                    bytes += row.size();
                    page.push(row);
                }
                Ok(page.len() < limit && bytes < PAGE_BYTES)
            })?;
            Ok(page)
        })
    }

    /// The number of records that match a query, if that is known after a visit of at most `at_most` records; else `None`.
    pub fn count(&self, query: &Query, at_most: usize) -> Result<Option<u64>> {
        if query.text.is_some() || !query.start_texts.is_empty() {
            return Ok(None);
        }
        // Digests have the durations.
        let has_duration = query.min_elapsed.is_some();
        self.db().read(|txn, trees| {
            // No counter has the custody of runs that are not calls.
            if query.is_everything() && !has_duration && (query.custodies.is_empty() || !query.runs) {
                return Ok(Some(count_all(&Counts::load(txn, trees)?, query)));
            }
            // Every entry of the index of one label matches a query for this label alone.
            let has_runs = Counts::load(txn, trees)?.runs.iter().any(|runs| *runs > 0);
            let is_index = !has_duration && query.is_one_label() && (query.runs || !has_runs);
            let entries = at_most.saturating_mul(ENTRIES_IN_TIME_OF_A_ROW);
            let range = query.range();
            if is_index && !is_empty(&range) {
                let groups = query.label_groups();
                let (kind, value) = &groups[0][0];
                let mut found = 0;
                walk(txn, trees.labels, &[label_prefix(*kind, value)], &range, true, &mut |_| {
                    found += 1;
                    Ok(found <= entries)
                })?;
                return Ok((found <= entries).then_some(found as u64));
            }
            Ok(select(txn, trees, query, None, at_most as u64, has_duration)?.map(|selected| selected.count()))
        })
    }

    /// Up to `limit` values of the labels of a kind, each once; the shortest first.
    pub fn label_values(&self, kind: u8, limit: usize) -> Result<Vec<Vec<u8>>> {
        self.db().read(|txn, trees| {
            let mut values = Vec::new();
            let mut from = vec![kind];
            while values.len() < limit {
                let range = (Bound::Excluded(&from[..]), Bound::Unbounded);
                let Some((key, _)) = trees.labels.range(txn, &range)?.next().transpose()? else { break };
                let Some((value, _)) = key.get(2..).and_then(|tail| tail.split_last_chunk::<16>()) else { break };
                if key[0] != kind {
                    break;
                }
                values.push(value.to_vec());
                // Behind all entries of this value.
                from = label_key(kind, value, RecordId([0xff; 16]));
            }
            Ok(values)
        })
    }

    /// The record with this id.
    pub fn get(&self, id: RecordId) -> Result<Option<Row>> {
        self.db().read(|txn, trees| {
            let Some(seq) = trees.ids.get(txn, &id.0)?.map(tail_seq).transpose()? else { return Ok(None) };
            read_row(txn, trees, seq, load(txn, trees, seq)?).map(Some)
        })
    }

    /// Up to `limit` ids whose hex form starts with these digits, oldest first.
    pub fn ids_starting_with(&self, digits: &str, limit: usize) -> Result<Vec<RecordId>> {
        let bound =
            |fill: &str| RecordId::from_hex(&format!("{digits}{}", fill.repeat(32_usize.saturating_sub(digits.len()))));
        let (Some(low), Some(high)) = (bound("0"), bound("f")) else { return Ok(Vec::new()) };
        self.db().read(|txn, trees| {
            let range = (Bound::Included(&low.0[..]), Bound::Included(&high.0[..]));
            trees.ids.range(txn, &range)?.take(limit).map(|entry| tail_id(entry?.0)).collect()
        })
    }

    /// Up to `limit` ids whose hex form ends with these digits, newest first. Reads all ids.
    pub fn ids_ending_with(&self, digits: &str, limit: usize) -> Result<Vec<RecordId>> {
        let count = digits.len();
        let Some(end) = RecordId::from_hex(&format!("{digits:0>32}")).filter(|_| (1..=32).contains(&count)) else {
            return Ok(Vec::new());
        };
        let end = u128::from_be_bytes(end.0);
        let mask = u128::MAX >> (128 - 4 * count);
        self.db().read(|txn, trees| {
            let mut found = Vec::new();
            for entry in trees.ids.rev_iter(txn)? {
                let id = tail_id(entry?.0)?;
                if u128::from_be_bytes(id.0) & mask == end {
                    found.push(id);
                }
                if found.len() == limit {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// Up to `limit` ids of records with this label, newest first.
    pub fn by_label(&self, kind: u8, value: &[u8], limit: usize) -> Result<Vec<RecordId>> {
        self.db().read(|txn, trees| {
            let prefix = label_prefix(kind, value);
            let entries = trees.labels.rev_prefix_iter(txn, &prefix)?.take(limit);
            entries.map(|entry| tail_id(entry?.0)).collect()
        })
    }

    /// The records that have this request id: several, if several servers sent it.
    pub fn by_request(&self, request_id: RequestId) -> Result<Vec<RecordId>> {
        self.db().read(|txn, trees| {
            let seqs = request_index::records(txn, trees, request_id)?.into_iter();
            seqs.map(|seq| Ok(load(txn, trees, seq)?.id)).collect()
        })
    }

    /// Up to `limit` records after this sequence number, in the order of ingestion; fewer with [`PAGE_BYTES`] of bodies.
    pub fn follow(&self, seq: Seq, limit: usize) -> Result<Vec<Row>> {
        self.db().read(|txn, trees| {
            let from = seq_key(seq);
            let range = (Bound::Excluded(&from[..]), Bound::Unbounded);
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for entry in trees.state.range(txn, &range)?.take(limit) {
                let (key, value) = entry?;
                let seq = tail_seq(key)?;
                let row = read_row(txn, trees, seq, StateRow::decode(seq, value)?)?;
                bytes += row.size();
                rows.push(row);
                if bytes >= PAGE_BYTES {
                    break;
                }
            }
            Ok(rows)
        })
    }

    /// The number of hex digits that distinguish this id from its neighbours.
    pub fn short_id_length(&self, id: RecordId) -> Result<usize> {
        self.db().read(|txn, trees| {
            let below = trees.ids.get_lower_than(txn, &id.0)?;
            let above = trees.ids.get_greater_than(txn, &id.0)?;
            let hex = id.hex();
            let mut longest = 0;
            for (key, _) in [below, above].into_iter().flatten() {
                let other = tail_id(key)?.hex();
                longest = longest.max(hex.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count());
            }
            Ok((longest + 1).min(32))
        })
    }
}

/// The number of records with the query's states, which are its only condition.
fn count_all(counts: &Counts, query: &Query) -> u64 {
    let carried_runs = if query.runs { counts.carried_runs } else { 0 };
    let of = |state: &State| {
        let runs = if query.runs { 0 } else { counts.runs[*state as usize] };
        let carried = if *state == State::InDoubt { counts.custody.iter().sum::<u64>() + carried_runs } else { 0 };
        counts.states[*state as usize].saturating_sub(runs).saturating_sub(carried)
    };
    let here: u64 = State::ALL.iter().filter(|state| query.matches_state(**state, None)).map(of).sum();
    let of = |custody: &Custody| counts.custody[*custody as usize];
    let carried: u64 =
        Custody::ALL.iter().filter(|custody| query.matches_state(State::InDoubt, Some(**custody))).map(of).sum();
    here + carried + if query.has_any_state() { carried_runs } else { 0 }
}

/// Visits the records of the narrowest index of a query, in the query's order, until `each` returns false.
///
/// Before it sorts work lists of more than `walked_first` records, it visits this many records of any state.
fn visit(
    txn: &RoTxn,
    trees: &Trees,
    query: &Query,
    walked_first: u64,
    each: &mut impl FnMut(Seq) -> Result<bool>,
) -> Result<()> {
    let mut range = query.range();
    if is_empty(&range) {
        return Ok(());
    }
    let groups = query.label_groups();
    if let Some(prefixes) = rarest(txn, trees, &groups)? {
        return visit_index(txn, trees, query, (trees.labels, &prefixes[..]), range, each);
    }
    let Some(number) = listed(txn, trees, query)? else {
        return visit_index(txn, trees, query, (trees.ids, &[Vec::new()][..]), range, each);
    };
    if walked_first > 0 && number > walked_first {
        // The newest records often fill a page, in less time than the sorting takes.
        let (mut left, mut last, mut goes_on) = (walked_first, None, true);
        walk(txn, trees.ids, &[Vec::new()], &range, query.oldest_first, &mut |seq| {
            (left, last) = (left - 1, Some(seq));
            goes_on = each(seq)?;
            Ok(goes_on && left > 0)
        })?;
        let Some(last) = last.filter(|_| goes_on && left == 0) else { return Ok(()) };
        range = behind(txn, trees, query, range, last)?;
    }
    in_order(txn, trees, query, &range, work_list(txn, trees, query)?, each)
}

/// The part of a range behind a record, in the query's order.
fn behind(txn: &RoTxn, trees: &Trees, query: &Query, mut range: Range, last: Seq) -> Result<Range> {
    let rest = Bound::Excluded(load(txn, trees, last)?.id.0);
    *(if query.oldest_first { &mut range.0 } else { &mut range.1 }) = rest;
    Ok(range)
}

/// Visits the records of an index. The first [`WALKED_FIRST`] of them are walked.
///
/// A later record is visited only if it matches the conditions that indexes and digests have. Whole indexes are walked for these
/// conditions, which takes less time than reading the row of each record. A few matching records are then sorted, and many are found by
/// the walk.
fn visit_index(
    txn: &RoTxn,
    trees: &Trees,
    query: &Query,
    (tree, prefixes): (Tree, &[Vec<u8>]),
    range: Range,
    each: &mut impl FnMut(Seq) -> Result<bool>,
) -> Result<()> {
    let (mut walked, mut last, mut selected) = (0, None, None);
    let mut is_sorted = false;
    walk(txn, tree, prefixes, &range, query.oldest_first, &mut |seq| {
        walked += 1;
        if walked > WALKED_FIRST && selected.is_none() && query.has_indexed_conditions() {
            selected = select(txn, trees, query, None, u64::MAX, false)?;
            is_sorted = selected.as_ref().is_some_and(|selected| selected.count() <= SORT_AT_MOST);
            if is_sorted {
                return Ok(false);
            }
        }
        last = Some(seq);
        if selected.as_ref().is_some_and(|selected| !selected.contains(seq)) { Ok(true) } else { each(seq) }
    })?;
    if let (true, Some(last), Some(selected)) = (is_sorted, last, selected) {
        let range = behind(txn, trees, query, range, last)?;
        in_order(txn, trees, query, &range, selected.iter().collect(), each)?;
    }
    Ok(())
}

/// The record id in the last sixteen bytes of a key.
fn tail_id(key: &[u8]) -> Result<RecordId> {
    let id = key.last_chunk().ok_or_else(|| Error::Corrupt("a key of the store is too short".into()))?;
    Ok(RecordId(*id))
}
