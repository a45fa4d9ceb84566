//! Where the records of a page may come from: the narrowest index at hand.

use std::ops::Bound;

use heed::RoTxn;

use super::filter::{Query, Range};
use crate::Result;
use crate::state::Ended;
use crate::state::State;
use crate::store::db::tables::{Tables, Tree, label_prefix, parked_key, tail_seq};
use crate::store::records::counts::Counts;
use crate::store::records::transition::load;

/// Up to this many records waiting in work lists are sorted for a page; beyond, walking all records by time finds one sooner.
const SORT_AT_MOST: u64 = 200_000;
/// Entries looked at to tell a rare label from a frequent one.
const LOOK_AT: usize = 10_000;

/// The key prefix of the label that the fewest records have, as far as a short look tells.
pub(super) fn rarest(txn: &RoTxn, tables: &Tables, labels: &[(u8, Vec<u8>)]) -> Result<Option<Vec<u8>>> {
    let mut found: Option<(usize, Vec<u8>)> = None;
    for (kind, value) in labels {
        let prefix = label_prefix(*kind, value);
        let look = if labels.len() > 1 { LOOK_AT } else { 0 };
        let count = tables.labels.prefix_iter(txn, &prefix)?.take(look).count();
        if found.as_ref().is_none_or(|(least, _)| count < *least) {
            found = Some((count, prefix));
        }
    }
    Ok(found.map(|(_, prefix)| prefix))
}

/// Visits the entries `prefix | id` with an id in the range until `visit` has enough.
pub(super) fn walk(
    txn: &RoTxn,
    tree: Tree,
    prefix: &[u8],
    range: &Range,
    oldest_first: bool,
    visit: &mut impl FnMut(u64) -> Result<bool>,
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

/// The records of the wanted states in the order asked for, where the work lists make that cheaper than walking all records.
pub(super) fn work_list(txn: &RoTxn, tables: &Tables, query: &Query, range: &Range) -> Result<Option<Vec<u64>>> {
    let counts = Counts::load(txn, tables)?;
    if query.ended == [Ended::No] && counts.open <= SORT_AT_MOST {
        return in_order(txn, tables, query, range, numbers(tables.open.iter(txn)?)?).map(Some);
    }
    let waiting = query.states.iter().map(|state| counts.states[*state as usize]).sum::<u64>();
    if query.states.is_empty() || query.states.contains(&State::Acked) || waiting > SORT_AT_MOST {
        return Ok(None);
    }
    let mut seqs = Vec::new();
    for state in &query.states {
        if *state == State::Pending {
            seqs.extend(numbers(tables.open.iter(txn)?)?);
            seqs.extend(numbers(tables.outbox.iter(txn)?)?);
        } else {
            seqs.extend(numbers(tables.parked.prefix_iter(txn, &parked_key(*state, 0)[..1])?)?);
        }
    }
    in_order(txn, tables, query, range, seqs).map(Some)
}

fn numbers<'t>(entries: impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>) -> Result<Vec<u64>> {
    entries.map(|entry| tail_seq(entry?.0)).collect()
}

/// Those of the records that began within the range, by when they did.
fn in_order(txn: &RoTxn, tables: &Tables, query: &Query, range: &Range, seqs: Vec<u64>) -> Result<Vec<u64>> {
    let mut found = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let id = load(txn, tables, seq)?.id;
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
