//! Sums over the records of a query: counts of values, charts over time, and usage. All are made from indexes and digests.

use heed::RoTxn;

use super::Query;
use super::durations::Durations;
use super::selection::{Selection, each_in_state, select};
use crate::state::{CallEnd, Custody, State};
use crate::store::Store;
use crate::store::db::trees::{Trees, tail_seq};
use crate::store::digests::{self, Digest, Digests, NameId, NameKind};
use crate::store::records::counts::Counts;
use crate::store::records::transition::load;
use crate::{Millis, Result, Seq, labels};

/// Further groups of a sum are counted as one, so that a journal with a conversation per call needs no memory for each.
const MOST_GROUPS: usize = 100_000;
/// Records between two releases of memory.
const RELEASE_EVERY: u64 = 8192;

/// A value, and its number of records.
pub type Count = (Vec<u8>, u64);

/// The numbers of records of a query by value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// All records of the query.
    pub total: u64,
    /// By end, in the order of [`CallEnd::ALL`].
    pub ended: [u64; CallEnd::ALL.len()],
    /// By state, in the order of [`State::ALL`], without the records that a hub has.
    pub states: [u64; State::ALL.len()],
    /// By custody, in the order of [`Custody::ALL`].
    pub custodies: [u64; Custody::ALL.len()],
    /// Of the dead and of the held, those whose content was removed.
    pub removed: [u64; 2],
    /// The models, tags and conversations of the most records, and the providers.
    pub models: Vec<Count>,
    /// See `models`.
    pub tags: Vec<Count>,
    /// See `models`.
    pub threads: Vec<Count>,
    /// See `models`.
    pub providers: Vec<Count>,
}

/// The numbers of records over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The borders of the buckets: one more than buckets.
    pub edges: Vec<Millis>,
    /// The records by bucket.
    pub calls: Vec<u64>,
    /// The records by bucket that ended with an error.
    pub errors: Vec<u64>,
}

/// The groups of a sum.
#[derive(Clone, Debug)]
pub enum Grouping {
    /// By the model.
    Model,
    /// By a label: a tag or a conversation.
    Label(u8),
    /// By time. Each group begins at a moment of this list, which is sorted.
    Time(Vec<Millis>),
}

/// The name of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GroupName {
    /// The records without a name.
    None,
    /// The records of all groups beyond a limit.
    Others,
    /// A name.
    Text(Vec<u8>),
    /// The place in the list of moments; records before the first have the first.
    Time(usize),
}

/// The sums of a group of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// All records.
    pub calls: u64,
    /// The records that ended with an error.
    pub errors: u64,
    /// The records that a cache answered. They count for no tokens and no duration.
    pub cached: u64,
    /// The records whose provider reported no tokens.
    pub without_tokens: u64,
    /// Tokens.
    pub input_tokens: u64,
    /// Tokens.
    pub output_tokens: u64,
    /// Tokens of requests that providers read from their cache.
    pub cached_tokens: u64,
    /// Percentiles 50 and 95 of the durations.
    pub duration_ns: [Option<u64>; 2],
    /// Percentiles 50 and 95 of the times to the first token.
    pub first_token_ns: [Option<u64>; 2],
}

/// The usage of the records of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The groups.
    pub groups: Vec<(GroupName, Sums)>,
    /// Each record once.
    pub total: Sums,
    /// Records without a complete digest: they have no tokens and no duration here.
    pub pending: u64,
}

#[derive(Clone, Default)]
struct Summed {
    sums: Sums,
    durations: Durations,
    first_tokens: Durations,
}

impl Summed {
    fn add(&mut self, digest: &Digest) {
        let sums = &mut self.sums;
        sums.calls += 1;
        sums.errors += u64::from(digest.ended == CallEnd::Error);
        if digest.is_cached {
            sums.cached += 1;
            return;
        }
        match digest.tokens {
            Some(tokens) => {
                sums.input_tokens += u64::from(tokens.input);
                sums.output_tokens += u64::from(tokens.output);
                sums.cached_tokens += u64::from(tokens.cached);
            }
            None => sums.without_tokens += 1,
        }
        if let Some(duration) = digest.duration_ns {
            self.durations.add(duration);
        }
        if let Some(first) = digest.first_token_ns {
            self.first_tokens.add(first);
        }
    }

    fn merge(&mut self, other: &Self) {
        let (sums, more) = (&mut self.sums, &other.sums);
        sums.calls += more.calls;
        sums.errors += more.errors;
        sums.cached += more.cached;
        sums.without_tokens += more.without_tokens;
        sums.input_tokens += more.input_tokens;
        sums.output_tokens += more.output_tokens;
        sums.cached_tokens += more.cached_tokens;
        self.durations.merge(&other.durations);
        self.first_tokens.merge(&other.first_tokens);
    }

    fn finish(mut self) -> Sums {
        let percentiles = |durations: &Durations| [50, 95].map(|percent| durations.percentile(percent));
        self.sums.duration_ns = percentiles(&self.durations);
        self.sums.first_token_ns = percentiles(&self.first_tokens);
        self.sums
    }
}

impl Store {
    /// Runs `work` over the records of a query that are among `only`. Conditions on bodies read them.
    fn over<T>(
        &self,
        query: &Query,
        only: Option<&[Seq]>,
        mut work: impl FnMut(&RoTxn, &Trees, &Selection, Seq) -> Result<T>,
    ) -> Result<T> {
        self.db().read(|txn, trees| {
            let last = Counts::load(txn, trees)?.last_seq;
            let selected = select(txn, trees, query, only, u64::MAX, true)?;
            let Some(selected) = selected else { return Err(crate::Error::Internal("a selection without a limit")) };
            work(txn, trees, &selected, last)
        })
    }

    /// Visits the digest of each record of a selection.
    fn each_digest(
        &self,
        txn: &RoTxn,
        trees: &Trees,
        (selected, last): (&Selection, Seq),
        mut visit: impl FnMut(Seq, &Digest),
    ) -> Result<()> {
        let mut digests = Digests::new(txn, trees, last)?;
        for seq in selected.iter() {
            visit(seq, &digests.get(seq)?);
            if seq.0.is_multiple_of(RELEASE_EVERY) {
                self.db().trimmer.release_if_due(txn, trees);
            }
        }
        Ok(())
    }

    /// The numbers of records by value: of each kind at most `limit` values, the most frequent first.
    pub fn facets(&self, query: &Query, only: Option<&[Seq]>, limit: usize) -> Result<Facets> {
        self.over(query, only, |txn, trees, selected, last| {
            let mut facets = Facets { total: selected.count(), ..Facets::default() };
            let mut providers: Vec<u64> = Vec::new();
            self.each_digest(txn, trees, (selected, last), |_, digest| {
                facets.ended[digest.ended as usize] += 1;
                *slot(&mut providers, digest.provider.0) += 1;
            })?;
            for state in State::ALL {
                let mut found = Vec::new();
                let counted = &mut facets.states[state as usize];
                each_in_state(txn, trees, state, &mut |seq| {
                    if selected.contains(seq) {
                        *counted += 1;
                        found.push(seq);
                    }
                })?;
                if state == State::InDoubt && Counts::load(txn, trees)?.carried() > 0 {
                    for seq in &found {
                        if let Some(custody) = load(txn, trees, *seq)?.custody() {
                            facets.custodies[custody as usize] += 1;
                            facets.states[state as usize] -= 1;
                        }
                    }
                }
                let at = [State::Dead, State::Held].into_iter().position(|removable| removable == state);
                if let Some(at) = at {
                    for seq in found {
                        facets.removed[at] += u64::from(load(txn, trees, seq)?.is_pruned());
                    }
                }
            }
            for (id, count) in (0..).map(NameId).zip(providers).skip(1).filter(|(_, count)| *count > 0) {
                if let Some(name) = digests::name(txn, trees, NameKind::Provider, id)? {
                    facets.providers.push((name, count));
                }
            }
            facets.providers = most(facets.providers, limit);
            for (kind, counts) in [
                (labels::MODEL, &mut facets.models),
                (labels::TAG, &mut facets.tags),
                (labels::THREAD, &mut facets.threads),
            ] {
                *counts = self.counted(txn, trees, kind, Some(selected), limit)?;
            }
            Ok(facets)
        })
    }

    /// The values of a kind of labels with their numbers of records, the most frequent first.
    pub fn label_counts(&self, kind: u8, limit: usize) -> Result<Vec<Count>> {
        self.db().read(|txn, trees| self.counted(txn, trees, kind, None, limit))
    }

    fn counted(
        &self,
        txn: &RoTxn,
        trees: &Trees,
        kind: u8,
        selected: Option<&Selection>,
        limit: usize,
    ) -> Result<Vec<Count>> {
        let mut counts: Vec<Count> = Vec::new();
        each_label(txn, trees, kind, |value, seq| {
            if selected.is_some_and(|selected| !selected.contains(seq)) {
                return;
            }
            match counts.last_mut() {
                Some((last, count)) if last == value => *count += 1,
                _ => {
                    if counts.len() >= MOST_GROUPS.max(4 * limit) {
                        counts = most(std::mem::take(&mut counts), limit);
                    }
                    counts.push((value.to_vec(), 1));
                }
            }
        })?;
        self.db().trimmer.release_if_due(txn, trees);
        Ok(most(counts, limit))
    }

    /// The numbers of records over time, in `buckets` spans of the same length. The spans are between the moments of the query, else from
    /// the first to the last record.
    pub fn histogram(&self, query: &Query, only: Option<&[Seq]>, buckets: usize) -> Result<Histogram> {
        let buckets = buckets.clamp(1, 10_000);
        self.over(query, only, |txn, trees, selected, last| {
            let mut found = Vec::with_capacity(usize::try_from(selected.count()).unwrap_or(0));
            self.each_digest(txn, trees, (selected, last), |_, digest| {
                found.push((digest.started.0, digest.ended == CallEnd::Error));
            })?;
            let first = query.since.map(|since| since.0).or(found.iter().map(|(at, _)| *at).min());
            let behind = query.until.map(|until| until.0).or(found.iter().map(|(at, _)| at.saturating_add(1)).max());
            let (Some(first), Some(behind)) = (first, behind) else { return Ok(Histogram::default()) };
            let span = behind.saturating_sub(first).max(1);
            let edge = |at: usize| {
                let share = u128::from(span) * at as u128 / buckets as u128;
                first.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
            };
            let edges: Vec<u64> = (0..=buckets).map(edge).collect();
            let (mut calls, mut errors) = (vec![0; buckets], vec![0; buckets]);
            for (at, is_error) in found {
                let bucket = edges.partition_point(|edge| *edge <= at).clamp(1, buckets) - 1;
                calls[bucket] += 1;
                errors[bucket] += u64::from(is_error);
            }
            Ok(Histogram { edges: edges.into_iter().map(Millis).collect(), calls, errors })
        })
    }

    /// The spans of `span` milliseconds, counted from the epoch, in which records of a query started.
    pub fn occupied(&self, query: &Query, only: Option<&[Seq]>, span: u64) -> Result<Vec<u64>> {
        self.over(query, only, |txn, trees, selected, last| {
            let mut found: Vec<u64> = Vec::new();
            self.each_digest(txn, trees, (selected, last), |_, digest| {
                let at = digest.started.0 / span.max(1);
                if found.last() != Some(&at) {
                    found.push(at);
                }
            })?;
            found.sort_unstable();
            found.dedup();
            Ok(found)
        })
    }

    /// The usage of the records of a query that are among `only`.
    pub fn usage(&self, query: &Query, only: Option<&[Seq]>, by: &Grouping) -> Result<Usage> {
        self.over(query, only, |txn, trees, selected, last| {
            let (mut total, mut pending) = (Summed::default(), 0);
            let mut by_number: Vec<Summed> = Vec::new();
            self.each_digest(txn, trees, (selected, last), |_, digest| {
                pending += u64::from(!digest.is_complete);
                let group = match by {
                    Grouping::Model => digest.model.0,
                    Grouping::Time(moments) => {
                        let at = moments.partition_point(|at| *at <= digest.started).max(1) - 1;
                        u32::try_from(at).unwrap_or(u32::MAX)
                    }
                    Grouping::Label(_) => 0,
                };
                slot(&mut by_number, group).add(digest);
            })?;
            let by_number: Vec<_> = (0..).zip(by_number).filter(|(_, summed)| summed.sums.calls > 0).collect();
            for (_, summed) in &by_number {
                total.merge(summed);
            }
            let mut groups = Vec::new();
            match by {
                Grouping::Model => {
                    for (number, summed) in by_number {
                        let name = digests::name(txn, trees, NameKind::Model, NameId(number))?;
                        groups.push((name.map_or(GroupName::None, GroupName::Text), summed.finish()));
                    }
                }
                Grouping::Time(_) => {
                    let time = |at: u32| GroupName::Time(usize::try_from(at).unwrap_or(usize::MAX));
                    groups.extend(by_number.into_iter().map(|(at, summed)| (time(at), summed.finish())));
                }
                Grouping::Label(kind) => groups = self.usage_by_label(txn, trees, (selected, last), *kind)?,
            }
            Ok(Usage { groups, total: total.finish(), pending })
        })
    }

    fn usage_by_label(
        &self,
        txn: &RoTxn,
        trees: &Trees,
        (selected, last): (&Selection, Seq),
        kind: u8,
    ) -> Result<Vec<(GroupName, Sums)>> {
        let mut groups = Vec::new();
        let mut unnamed = selected.clone();
        let (mut others, mut group): (Option<Summed>, Option<(Vec<u8>, Summed)>) = (None, None);
        let mut digests = Digests::new(txn, trees, last)?;
        let mut result = Ok(());
        each_label(txn, trees, kind, |value, seq| {
            if !selected.contains(seq) || result.is_err() {
                return;
            }
            unnamed.remove(seq);
            let digest = match digests.get(seq) {
                Ok(digest) => digest,
                Err(error) => {
                    result = Err(error);
                    return;
                }
            };
            if let Some((name, summed)) = &mut group
                && name == value
            {
                return summed.add(&digest);
            }
            if let Some((name, summed)) = group.take() {
                groups.push((GroupName::Text(name), summed.finish()));
            }
            if groups.len() < MOST_GROUPS {
                let (_, summed) = group.insert((value.to_vec(), Summed::default()));
                summed.add(&digest);
            } else {
                others.get_or_insert_default().add(&digest);
            }
        })?;
        result?;
        groups.extend(group.map(|(name, summed)| (GroupName::Text(name), summed.finish())));
        groups.extend(others.map(|summed| (GroupName::Others, summed.finish())));
        if unnamed.count() > 0 {
            let mut summed = Summed::default();
            self.each_digest(txn, trees, (&unnamed, last), |_, digest| summed.add(digest))?;
            groups.push((GroupName::None, summed.finish()));
        }
        Ok(groups)
    }
}

/// The entry of a number. The numbers of names are small.
fn slot<T: Clone + Default>(entries: &mut Vec<T>, number: u32) -> &mut T {
    let at = usize::try_from(number).unwrap_or(0);
    if entries.len() <= at {
        entries.resize(at + 1, T::default());
    }
    &mut entries[at]
}

/// Visits the labels of a kind in the order of their values: first by the length of the value.
fn each_label(txn: &RoTxn, trees: &Trees, kind: u8, mut visit: impl FnMut(&[u8], Seq)) -> Result<()> {
    for entry in trees.labels.prefix_iter(txn, &[kind])? {
        let (key, value) = entry?;
        if let Some((name, _)) = key.get(2..).and_then(|tail| tail.split_last_chunk::<16>()) {
            visit(name, tail_seq(value)?);
        }
    }
    Ok(())
}

/// The values of the most records.
fn most(mut counts: Vec<Count>, limit: usize) -> Vec<Count> {
    counts.sort_unstable_by(|(name, count), (other, more)| more.cmp(count).then_with(|| name.cmp(other)));
    counts.truncate(limit);
    counts
}
