//! Plans a query: chooses the narrowest index, and walks it.

use std::cmp::Ordering;
use std::ops::Bound;

use heed::RoTxn;

use super::filter::{Query, Range};
use crate::state::{CallEnd, State};
use crate::store::db::trees::{GROWING, Tree, Trees, label_prefix, parked_prefix, tail_seq};
use crate::store::digests::Digests;
use crate::store::records::counts::Counts;
use crate::store::records::transition::load;
use crate::{Millis, RecordId, Result, Seq};

/// Up to this many records are sorted for a page. With more, a walk over all records by time is faster.
pub(super) const SORT_AT_MOST: u64 = 200_000;
/// The number of entries counted to find the rarest label.
const COUNT_AT_MOST: usize = 10_000;

/// The key prefixes of the group of labels that the fewest records have, by a count of at most 10,000 entries.
pub(super) fn rarest(txn: &RoTxn, trees: &Trees, groups: &[Vec<(u8, Vec<u8>)>]) -> Result<Option<Vec<Vec<u8>>>> {
    let mut found: Option<(usize, Vec<Vec<u8>>)> = None;
    for group in groups {
        let prefixes: Vec<_> = group.iter().map(|(kind, value)| label_prefix(*kind, value)).collect();
        let mut count = 0;
        for prefix in &prefixes {
            if groups.len() > 1 {
                count += trees.labels.prefix_iter(txn, prefix)?.take(COUNT_AT_MOST - count).count();
            }
        }
        if found.as_ref().is_none_or(|(least, _)| count < *least) {
            found = Some((count, prefixes));
        }
    }
    Ok(found.map(|(_, prefixes)| prefixes))
}

/// Visits the entries `prefix | id` of these prefixes with an id in the range, each id once, until `visit` returns false.
pub(super) fn walk(
    txn: &RoTxn,
    tree: Tree,
    prefixes: &[Vec<u8>],
    range: &Range,
    oldest_first: bool,
    visit: &mut impl FnMut(Seq) -> Result<bool>,
) -> Result<()> {
    let bounds = |prefix: &[u8]| {
        let key = |id: &[u8; 16]| [prefix, id].concat();
        let (low, high) = (range.0.as_ref().map(key), range.1.as_ref().map(key));
        let low = if low == Bound::Unbounded { Bound::Included(key(&[0; 16])) } else { low };
        let high = if high == Bound::Unbounded { Bound::Included(key(&[0xff; 16])) } else { high };
        (low, high)
    };
    let bounds: Vec<_> = prefixes.iter().map(|prefix| bounds(prefix)).collect();
    let bounds = bounds.iter().map(|(low, high)| (low.as_ref().map(Vec::as_slice), high.as_ref().map(Vec::as_slice)));
    if oldest_first {
        let entries = bounds.map(|bounds| tree.range(txn, &bounds)).collect::<heed::Result<Vec<_>>>()?;
        merge(entries, Ordering::Less, visit)
    } else {
        let entries = bounds.map(|bounds| tree.rev_range(txn, &bounds)).collect::<heed::Result<Vec<_>>>()?;
        merge(entries, Ordering::Greater, visit)
    }
}

/// Visits the entries of several iterators in the order of their ids, each id once. `first` is the order of the ids of two entries.
fn merge<'t>(
    mut iterators: Vec<impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>>,
    first: Ordering,
    visit: &mut impl FnMut(Seq) -> Result<bool>,
) -> Result<()> {
    if let [entries] = &mut iterators[..] {
        for entry in entries {
            if !visit(tail_seq(entry?.1)?)? {
                break;
            }
        }
        return Ok(());
    }
    let mut heads = iterators.iter_mut().map(Iterator::next).collect::<Vec<_>>();
    let id = |key: &'t [u8]| &key[key.len().saturating_sub(16)..];
    let mut last: Option<&[u8]> = None;
    loop {
        let mut next: Option<(usize, &[u8], &[u8])> = None;
        for (at, head) in heads.iter_mut().enumerate() {
            match head {
                Some(Ok((key, value))) if next.is_none_or(|(_, least, _)| id(key).cmp(least) == first) => {
                    next = Some((at, id(key), value));
                }
                Some(Err(_)) => {
                    head.take().transpose()?;
                }
                Some(Ok(_)) | None => {}
            }
        }
        let Some((at, id, value)) = next else { return Ok(()) };
        heads[at] = iterators[at].next();
        if last != Some(id) && !visit(tail_seq(value)?)? {
            return Ok(());
        }
        last = Some(id);
    }
}

/// The number of records in the work lists of a query; `None` when a walk over all records is cheaper.
pub(super) fn listed(txn: &RoTxn, trees: &Trees, query: &Query) -> Result<Option<u64>> {
    let counts = Counts::load(txn, trees)?;
    if is_open_only(query) && counts.open <= SORT_AT_MOST {
        return Ok(Some(counts.open));
    }
    let states = query.listed_states();
    let waiting = states.iter().map(|state| counts.states[*state as usize]).sum::<u64>();
    let has_none = states.is_empty() || states.contains(&State::Acked) || waiting > SORT_AT_MOST;
    Ok((!has_none).then_some(waiting))
}

fn is_open_only(query: &Query) -> bool {
    query.ended == [CallEnd::No]
}

/// The records of the query's work lists. The query has work lists.
pub(super) fn work_list(txn: &RoTxn, trees: &Trees, query: &Query) -> Result<Vec<Seq>> {
    if is_open_only(query) {
        return numbers(trees.open.iter(txn)?);
    }
    let mut seqs = Vec::new();
    for state in &query.listed_states() {
        if *state == State::Pending {
            seqs.extend(numbers(trees.open.iter(txn)?)?);
            seqs.extend(numbers(trees.outbox.iter(txn)?)?);
            seqs.extend(numbers(trees.parked.prefix_iter(txn, &[GROWING])?)?);
        } else {
            seqs.extend(numbers(trees.parked.prefix_iter(txn, &parked_prefix(*state))?)?);
        }
    }
    Ok(seqs)
}

fn numbers<'t>(entries: impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>) -> Result<Vec<Seq>> {
    entries.map(|entry| tail_seq(entry?.0)).collect()
}

/// Visits the records that started within the range, in the query's order, until `each` returns false. Digests have the times of their
/// starts. The rows are read for the ids of the visited records alone.
pub(super) fn in_order(
    txn: &RoTxn,
    trees: &Trees,
    query: &Query,
    range: &Range,
    mut seqs: Vec<Seq>,
    each: &mut impl FnMut(Seq) -> Result<bool>,
) -> Result<()> {
    // Digests are read faster in the order of their numbers.
    seqs.sort_unstable();
    let mut digests = Digests::new(txn, trees, Counts::load(txn, trees)?.last_seq)?;
    let first = time_of(&range.0).unwrap_or(Millis::EPOCH);
    let last = time_of(&range.1).unwrap_or(Millis::MAX);
    let mut found = Vec::new();
    for seq in seqs {
        let started = digests.get(seq)?.started;
        if (first..=last).contains(&started) {
            found.push((started, seq));
        }
    }
    found.sort_unstable();
    if !query.oldest_first {
        found.reverse();
    }
    for together in found.chunk_by(|one, other| one.0 == other.0) {
        let ids = together.iter().map(|(_, seq)| Ok((load(txn, trees, *seq)?.id, *seq)));
        let mut ids = ids.collect::<Result<Vec<_>>>()?;
        ids.sort_unstable();
        if !query.oldest_first {
            ids.reverse();
        }
        for (id, seq) in ids {
            if std::ops::RangeBounds::contains(range, &id.0) && !each(seq)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The time in the id that bounds a range.
fn time_of(bound: &Bound<[u8; 16]>) -> Option<Millis> {
    match bound {
        Bound::Included(id) | Bound::Excluded(id) => Some(RecordId(*id).made_at()),
        Bound::Unbounded => None,
    }
}
