//! Plans a query: chooses the narrowest index, and walks it.

use std::ops::Bound;

use heed::RoTxn;

use super::filter::{Query, Range};
use crate::state::{CallEnd, State};
use crate::store::db::trees::{Tree, Trees, label_prefix, parked_prefix, tail_seq};
use crate::store::records::counts::Counts;
use crate::store::records::transition::load;
use crate::{Result, Seq};

/// Up to this many records in work lists are sorted for a page. With more, a walk over all records by time is faster.
const SORT_AT_MOST: u64 = 200_000;
/// The number of entries counted to find the rarest label.
const COUNT_AT_MOST: usize = 10_000;

/// The key prefix of the label that the fewest records have, by a count of at most 10,000 entries.
pub(super) fn rarest(txn: &RoTxn, trees: &Trees, labels: &[(u8, Vec<u8>)]) -> Result<Option<Vec<u8>>> {
    let mut found: Option<(usize, Vec<u8>)> = None;
    for (kind, value) in labels {
        let prefix = label_prefix(*kind, value);
        let counted = if labels.len() > 1 { COUNT_AT_MOST } else { 0 };
        let count = trees.labels.prefix_iter(txn, &prefix)?.take(counted).count();
        if found.as_ref().is_none_or(|(least, _)| count < *least) {
            found = Some((count, prefix));
        }
    }
    Ok(found.map(|(_, prefix)| prefix))
}

/// Visits the entries `prefix | id` with an id in the range, until `visit` returns false.
pub(super) fn walk(
    txn: &RoTxn,
    tree: Tree,
    prefix: &[u8],
    range: &Range,
    oldest_first: bool,
    visit: &mut impl FnMut(Seq) -> Result<bool>,
) -> Result<()> {
    let key = |id: &[u8; 16]| [prefix, id].concat();
    let low = range.0.as_ref().map(key);
    let high = range.1.as_ref().map(key);
    let low = if low == Bound::Unbounded { Bound::Included(key(&[0; 16])) } else { low };
    let high = if high == Bound::Unbounded { Bound::Included(key(&[0xff; 16])) } else { high };
    let bounds = (low.as_ref().map(Vec::as_slice), high.as_ref().map(Vec::as_slice));
    if oldest_first {
        for entry in tree.range(txn, &bounds)? {
            if !visit(tail_seq(entry?.1)?)? {
                break;
            }
        }
    } else {
        for entry in tree.rev_range(txn, &bounds)? {
            if !visit(tail_seq(entry?.1)?)? {
                break;
            }
        }
    }
    Ok(())
}

/// The records of the query's states, in the query's order; `None` when a walk over all records is cheaper than the work lists.
pub(super) fn work_list(txn: &RoTxn, trees: &Trees, query: &Query, range: &Range) -> Result<Option<Vec<Seq>>> {
    let counts = Counts::load(txn, trees)?;
    if query.ended == [CallEnd::No] && counts.open <= SORT_AT_MOST {
        return in_order(txn, trees, query, range, numbers(trees.open.iter(txn)?)?).map(Some);
    }
    let waiting = query.states.iter().map(|state| counts.states[*state as usize]).sum::<u64>();
    if query.states.is_empty() || query.states.contains(&State::Acked) || waiting > SORT_AT_MOST {
        return Ok(None);
    }
    let mut seqs = Vec::new();
    for state in &query.states {
        if *state == State::Pending {
            seqs.extend(numbers(trees.open.iter(txn)?)?);
            seqs.extend(numbers(trees.outbox.iter(txn)?)?);
        } else {
            seqs.extend(numbers(trees.parked.prefix_iter(txn, &parked_prefix(*state))?)?);
        }
    }
    in_order(txn, trees, query, range, seqs).map(Some)
}

fn numbers<'t>(entries: impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>) -> Result<Vec<Seq>> {
    entries.map(|entry| tail_seq(entry?.0)).collect()
}

/// The records that started within the range, in the query's order.
fn in_order(txn: &RoTxn, trees: &Trees, query: &Query, range: &Range, seqs: Vec<Seq>) -> Result<Vec<Seq>> {
    let mut found = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let id = load(txn, trees, seq)?.id;
        if std::ops::RangeBounds::contains(range, &id.0) {
            found.push((id, seq));
        }
    }
    found.sort_unstable();
    if !query.oldest_first {
        found.reverse();
    }
    Ok(found.into_iter().map(|(_, seq)| seq).collect())
}
