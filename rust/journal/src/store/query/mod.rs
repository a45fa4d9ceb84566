//! Queries: pages of records by time, label, state and text.
//!
//! Records are listed by id, which is the order of their starts. A query walks the narrowest index until the page is full. Only a
//! search for text reads bodies.

mod filter;
mod plan;

use std::ops::Bound;

use memchr::memmem::Finder;

use crate::store::Store;
use crate::store::db::trees::{label_prefix, seq_key, tail_seq};
use crate::store::outbox::request_index;
use crate::store::records::read::read_row;
use crate::store::records::row::{Row, StateRow};
use crate::store::records::transition::load;
use crate::{Error, RecordId, RequestId, Result, Seq};
pub use filter::Query;
use filter::{is_empty, json_escaped, matching};
use plan::{rarest, walk, work_list};

impl Store {
    /// A page of records.
    pub fn query(&self, query: &Query) -> Result<Vec<Row>> {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let needle = query.text.as_deref().map(|text| json_escaped(text).to_ascii_lowercase());
        let needle = needle.as_ref().map(Finder::new);
        self.db().read(|txn, trees| {
            let (mut page, mut scratch) = (Vec::new(), Vec::new());
            let mut visit = |seq: Seq| -> Result<bool> {
                self.db().trimmer.release_if_due(txn, trees);
                if let Some(row) = matching(txn, trees, query, needle.as_ref(), seq, &mut scratch)? {
                    page.push(row);
                }
                Ok(page.len() < limit)
            };
            let range = query.range();
            if is_empty(&range) {
                return Ok(page);
            }
            let mut labels = query.labels.clone();
            labels.extend(query.ended_label());
            if let Some(prefix) = rarest(txn, trees, &labels)? {
                walk(txn, trees.labels, &prefix, &range, query.oldest_first, &mut visit)?;
            } else if let Some(seqs) = work_list(txn, trees, query, &range)? {
                for seq in seqs {
                    if !visit(seq)? {
                        break;
                    }
                }
            } else {
                walk(txn, trees.ids, &[], &range, query.oldest_first, &mut visit)?;
            }
            Ok(page)
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

    /// Up to `limit` ids of records with this label, newest first.
    pub fn by_label(&self, kind: u8, value: &[u8], limit: usize) -> Result<Vec<RecordId>> {
        self.db().read(|txn, trees| {
            let prefix = label_prefix(kind, value);
            let entries = trees.labels.rev_prefix_iter(txn, &prefix)?.take(limit);
            entries.map(|entry| tail_id(entry?.0)).collect()
        })
    }

    /// The records that have this request id: several, if several servers gave it.
    pub fn by_request(&self, request_id: RequestId) -> Result<Vec<RecordId>> {
        self.db().read(|txn, trees| {
            let seqs = request_index::records(txn, trees, request_id)?.into_iter();
            seqs.map(|seq| Ok(load(txn, trees, seq)?.id)).collect()
        })
    }

    /// Up to `limit` records after this sequence number, in the order of ingestion.
    pub fn follow(&self, seq: Seq, limit: usize) -> Result<Vec<Row>> {
        self.db().read(|txn, trees| {
            let from = seq_key(seq);
            let range = (Bound::Excluded(&from[..]), Bound::Unbounded);
            let rows = trees.state.range(txn, &range)?.take(limit);
            rows.map(|entry| {
                let (key, value) = entry?;
                let seq = tail_seq(key)?;
                read_row(txn, trees, seq, StateRow::decode(seq, value)?)
            })
            .collect()
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

/// The record id in the last sixteen bytes of a key.
fn tail_id(key: &[u8]) -> Result<RecordId> {
    let id = key.last_chunk().ok_or_else(|| Error::Corrupt("a key of the store is too short".into()))?;
    Ok(RecordId(*id))
}
