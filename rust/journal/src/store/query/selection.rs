//! Selections: the records that match a query, as a set of bits. Whole indexes are walked, and no record is read for a condition that an
//! index or a digest has.

use heed::RoTxn;

use super::filter::{Query, Search, is_empty};
use super::plan::walk;
use crate::state::{CallEnd, State};
use crate::store::db::trees::{GROWING, Trees, label_prefix, parked_prefix, tail_seq};
use crate::store::digests::Digests;
use crate::store::records::counts::Counts;
use crate::store::records::transition::load;
use crate::{Result, Seq};

/// A set of records.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    bits: Vec<u64>,
}

impl Selection {
    fn none(last: Seq) -> Self {
        Self { bits: vec![0; usize::try_from(last.0 / 64).unwrap_or(0) + 1] }
    }

    fn all(last: Seq) -> Self {
        let mut all = Self::none(last);
        all.bits.fill(u64::MAX);
        all.bits[0] &= !1;
        let used = last.0 % 64 + 1;
        if let Some(tail) = all.bits.last_mut()
            && used < 64
        {
            *tail &= (1 << used) - 1;
        }
        all
    }

    fn place(seq: Seq) -> (usize, u64) {
        (usize::try_from(seq.0 / 64).unwrap_or(usize::MAX), 1 << (seq.0 % 64))
    }

    fn insert(&mut self, seq: Seq) {
        let (at, bit) = Self::place(seq);
        if let Some(word) = self.bits.get_mut(at) {
            *word |= bit;
        }
    }

    fn and(&mut self, other: &Self) {
        for (word, other) in self.bits.iter_mut().zip(&other.bits) {
            *word &= other;
        }
    }

    fn or(&mut self, other: &Self) {
        for (word, other) in self.bits.iter_mut().zip(&other.bits) {
            *word |= other;
        }
    }

    fn remove_all(&mut self, other: &Self) {
        for (word, other) in self.bits.iter_mut().zip(&other.bits) {
            *word &= !other;
        }
    }

    /// Keeps the records of which `keep` returns true.
    fn retain(&mut self, mut keep: impl FnMut(Seq) -> Result<bool>) -> Result<()> {
        for seq in self.clone().iter() {
            if !keep(seq)? {
                self.remove(seq);
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, seq: Seq) {
        let (at, bit) = Self::place(seq);
        if let Some(word) = self.bits.get_mut(at) {
            *word &= !bit;
        }
    }

    pub(crate) fn contains(&self, seq: Seq) -> bool {
        let (at, bit) = Self::place(seq);
        self.bits.get(at).is_some_and(|word| word & bit != 0)
    }

    /// The number of records.
    pub(crate) fn count(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The records in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Seq> + '_ {
        self.bits.iter().zip(0_u64..).flat_map(|(word, at)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(Seq(at * 64 + u64::from(bit)))
            })
        })
    }
}

/// The records that match a query, and are among `only`; `None` when an index has more than `at_most` entries for it.
/// Conditions on bodies are checked when `reads_bodies`, and ignored else.
pub(crate) fn select(
    txn: &RoTxn,
    trees: &Trees,
    query: &Query,
    only: Option<&[Seq]>,
    at_most: u64,
    reads_bodies: bool,
) -> Result<Option<Selection>> {
    let counts = Counts::load(txn, trees)?;
    let last = counts.last_seq;
    let range = query.range();
    if is_empty(&range) {
        return Ok(Some(Selection::none(last)));
    }
    let mut selected: Option<Selection> = None;
    let mut narrow = |set: Selection| match &mut selected {
        Some(selected) => selected.and(&set),
        None => selected = Some(set),
    };
    if let Some(only) = only {
        let mut set = Selection::none(last);
        for seq in only {
            set.insert(*seq);
        }
        narrow(set);
    }
    let groups = query.label_groups();
    for group in &groups {
        let prefixes: Vec<_> = group.iter().map(|(kind, value)| label_prefix(*kind, value)).collect();
        let (mut set, mut entries) = (Selection::none(last), 0);
        for prefix in prefixes {
            walk(txn, trees.labels, &[prefix], &range, true, &mut |seq| {
                set.insert(seq);
                entries += 1;
                Ok(entries <= at_most)
            })?;
        }
        if entries > at_most {
            return Ok(None);
        }
        narrow(set);
    }
    let is_bounded = range != (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    if groups.is_empty() && is_bounded {
        let (mut set, mut entries) = (Selection::none(last), 0);
        walk(txn, trees.ids, &[Vec::new()], &range, true, &mut |seq| {
            set.insert(seq);
            entries += 1;
            Ok(entries <= at_most)
        })?;
        if entries > at_most {
            return Ok(None);
        }
        narrow(set);
    }
    if !query.has_any_state() {
        narrow(in_states(txn, trees, query, last)?);
    }
    if query.ended == [CallEnd::No] {
        let mut set = Selection::none(last);
        for entry in trees.open.iter(txn)? {
            set.insert(tail_seq(entry?.0)?);
        }
        narrow(set);
    }
    let mut selected = selected.unwrap_or_else(|| Selection::all(last));
    if selected.count() > at_most {
        return Ok(None);
    }
    let has_runs = counts.runs.iter().any(|runs| *runs > 0);
    if query.roots && !has_runs {
        return Ok(Some(Selection::none(last)));
    }
    if !query.ended.is_empty() || (!query.runs && has_runs) || query.roots || query.min_elapsed.is_some() {
        let mut digests = Digests::new(txn, trees, last)?;
        selected.retain(|seq| {
            let digest = digests.get(seq)?;
            // The body of the end has the duration that a digest lacks.
            let is_longer = query
                .min_elapsed
                .is_none_or(|least| !digest.is_complete || digest.duration_ns.is_some_and(|duration| duration > least));
            let is_wanted = if query.roots { digest.is_run } else { query.runs || !digest.is_run };
            Ok(is_longer && is_wanted && (query.ended.is_empty() || query.ended.contains(&digest.ended)))
        })?;
    }
    for (state, _) in &query.removed {
        let mut unfit = Vec::new();
        each_in_state(txn, trees, *state, &mut |seq| unfit.push(seq))?;
        for seq in unfit.into_iter().filter(|seq| selected.contains(*seq)).collect::<Vec<_>>() {
            if !query.fits_removal(&load(txn, trees, seq)?) {
                selected.remove(seq);
            }
        }
    }
    if !query.lanes.is_empty() {
        selected.retain(|seq| Ok(query.lanes.contains(&load(txn, trees, seq)?.lane)))?;
    }
    if reads_bodies {
        let mut search = Search::new(query);
        if !search.is_empty() {
            selected.retain(|seq| search.matches(txn, trees, seq, load(txn, trees, seq)?.id))?;
        }
    }
    Ok(Some(selected))
}

/// The records in the states of a query, from the lists of these states or of all other states. The shorter lists are read.
fn in_states(txn: &RoTxn, trees: &Trees, query: &Query, last: Seq) -> Result<Selection> {
    let counts = Counts::load(txn, trees)?;
    let listed = query.listed_states();
    let all: u64 = counts.states.iter().sum();
    let wanted: u64 = listed.iter().map(|state| counts.states[*state as usize]).sum();
    // A store with a gap in its numbers has no record for some bits.
    let takes_others = all == last.0 && wanted > all / 2;
    let mut set = if takes_others { Selection::all(last) } else { Selection::none(last) };
    for state in State::ALL {
        let is_listed = listed.contains(&state);
        // Of the records in doubt, a query may want the carried ones alone, or the rest alone.
        let is_divided =
            state == State::InDoubt && is_listed && (counts.carried() > 0 || !query.states.contains(&state));
        if is_listed == takes_others && !is_divided {
            continue;
        }
        let mut of_state = Selection::none(last);
        each_in_state(txn, trees, state, &mut |seq| of_state.insert(seq))?;
        if is_divided {
            of_state.retain(|seq| Ok(query.matches_state(state, load(txn, trees, seq)?.custody()) != takes_others))?;
        }
        if takes_others {
            set.remove_all(&of_state);
        } else {
            set.or(&of_state);
        }
    }
    Ok(set)
}

/// Visits the records in a state.
pub(crate) fn each_in_state(txn: &RoTxn, trees: &Trees, state: State, visit: &mut impl FnMut(Seq)) -> Result<()> {
    let mut walk = |entries: &mut dyn Iterator<Item = heed::Result<(&[u8], &[u8])>>| -> Result<()> {
        for entry in entries {
            visit(tail_seq(entry?.0)?);
        }
        Ok(())
    };
    match state {
        State::Pending => {
            walk(&mut trees.open.iter(txn)?)?;
            walk(&mut trees.outbox.iter(txn)?)?;
            walk(&mut trees.parked.prefix_iter(txn, &[GROWING])?)
        }
        State::Acked => walk(&mut trees.acks.iter(txn)?),
        state => walk(&mut trees.parked.prefix_iter(txn, &parked_prefix(state))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_numbers_that_were_inserted() {
        for last in [0, 1, 63, 64, 65, 200] {
            let all: Vec<u64> = Selection::all(Seq(last)).iter().map(|seq| seq.0).collect();
            assert_eq!(all, (1..=last).collect::<Vec<_>>());
            let mut set = Selection::none(Seq(last));
            for seq in (1..=last).step_by(3) {
                set.insert(Seq(seq));
            }
            assert_eq!(set.count(), last.div_ceil(3));
            assert!(set.iter().all(|seq| set.contains(seq) && seq.0 % 3 == 1));
        }
    }
}
