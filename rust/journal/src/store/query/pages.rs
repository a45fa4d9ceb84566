//! Pages that end in time, and pages in the order of a figure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::filter::{Search, matching};
use super::selection::select;
use super::{Query, WALKED_FIRST, visit};
use crate::store::Store;
use crate::store::digests::{Digest, Digests};
use crate::store::records::counts::Counts;
use crate::store::records::read::{PAGE_BYTES, read_row};
use crate::store::records::row::Row;
use crate::store::records::transition::load;
use crate::{RecordId, Result, Seq};

/// Records between two looks at the clock.
const LOOK_EVERY: u64 = 16;

/// A page of a query that ends in time.
#[derive(Debug, Default)]
pub struct SearchPage {
    /// The records found.
    pub rows: Vec<Row>,
    /// The last record that was searched; `None` once all records were searched.
    pub last: Option<RecordId>,
    /// The number of records that were searched.
    pub searched: u64,
}

/// A figure in a digest, by which records are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The duration.
    Duration,
    /// The time to the first token.
    FirstToken,
    /// The tokens of request and answer.
    Tokens,
}

impl Figure {
    fn of(self, digest: &Digest) -> Option<u64> {
        match self {
            Self::Duration => digest.duration_ns,
            Self::FirstToken => digest.first_token_ns,
            Self::Tokens => digest.tokens.map(|tokens| u64::from(tokens.input) + u64::from(tokens.output)),
        }
    }
}

impl Store {
    /// Up to `limit` records of a query that are found within `budget`. The next page has `last` as its [`Query::before`], or
    /// [`Query::after`].
    pub fn search(&self, query: &Query, budget: Duration) -> Result<SearchPage> {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let end = Instant::now() + budget;
        let mut search = Search::new(query);
        self.db().read(|txn, trees| {
            let (mut page, mut bytes, mut last) = (SearchPage::default(), 0, None);
            let mut is_over = false;
            visit(txn, trees, query, WALKED_FIRST, &mut |seq| {
                self.db().trimmer.release_if_due(txn, trees);
                last = Some(seq);
                page.searched += 1;
                if let Some(row) = matching(txn, trees, query, &mut search, seq)? {
                    bytes += row.size();
                    page.rows.push(row);
                }
                is_over = page.rows.len() >= limit
                    || bytes >= PAGE_BYTES
                    || (page.searched.is_multiple_of(LOOK_EVERY) && Instant::now() >= end);
                Ok(!is_over)
            })?;
            if let Some(last) = last.filter(|_| is_over) {
                page.last = Some(load(txn, trees, last)?.id);
            }
            Ok(page)
        })
    }

    /// Up to `limit` records in the order of a figure, the largest first, or the smallest. Records without the figure are left out.
    /// `beyond` is the figure and the number of the last record of the page before.
    pub fn ordered(
        &self,
        query: &Query,
        only: Option<&[Seq]>,
        (figure, smallest_first): (Figure, bool),
        beyond: Option<(u64, Seq)>,
    ) -> Result<Vec<(u64, Row)>> {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        self.db().read(|txn, trees| {
            let last = Counts::load(txn, trees)?.last_seq;
            let Some(selected) = select(txn, trees, query, only, u64::MAX, true)? else {
                return Ok(Vec::new());
            };
            let mut digests = Digests::new(txn, trees, last)?;
            // The smallest key is the first record of the page. Of equal figures, the newest record comes first.
            let key = |value: u64, seq: Seq| (if smallest_first { value } else { !value }, Reverse(seq));
            let behind = beyond.map(|(value, seq)| key(value, seq));
            let mut best = BinaryHeap::with_capacity(limit + 1);
            for seq in selected.iter() {
                let Some(value) = figure.of(&digests.get(seq)?) else { continue };
                let key = key(value, seq);
                if behind.is_some_and(|behind| key <= behind) {
                    continue;
                }
                if best.len() < limit || best.peek().is_some_and(|worst| key < *worst) {
                    best.push(key);
                    if best.len() > limit {
                        best.pop();
                    }
                }
            }
            let (mut page, mut bytes) = (Vec::new(), 0);
            for (value, Reverse(seq)) in best.into_sorted_vec() {
                let row = read_row(txn, trees, seq, load(txn, trees, seq)?)?;
                bytes += row.size();
                page.push((if smallest_first { value } else { !value }, row));
                if bytes >= PAGE_BYTES {
                    break;
                }
            }
            Ok(page)
        })
    }
}
