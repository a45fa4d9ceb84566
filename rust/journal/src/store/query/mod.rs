//! Questions: pages of records by time, label, state and text.
//!
//! Records are listed by id, which is by the time they began. A page costs what it shows: the narrowest index at hand is walked until
//! the page is full. Only a search for text has to look into bodies.

mod plan;

use std::ops::Bound;

use heed::RoTxn;
use memchr::memmem::Finder;

use crate::frame::array;
use crate::state::Ended;
use crate::state::State;
use crate::store::Store;
use crate::store::callbacks::sinks;
use crate::store::db::tables::{
    PART_END, PART_START, Tables, label_key, label_prefix, record_key, seq_key, tail_seq, unsealed,
};
use crate::store::query::plan::{Range, is_empty, rarest, walk, work_list};
use crate::store::records::payload;
use crate::store::records::row::{Row, StateRow};
use crate::store::records::transition::load;
use crate::{RecordId, Result, labels};

/// What to look for. The default finds everything, newest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Labels that a record must all have, see [`crate::labels`].
    pub labels: Vec<(u8, Vec<u8>)>,
    /// States it may be in; empty: any.
    pub states: Vec<State>,
    /// Ways it may have ended; empty: any.
    pub ended: Vec<Ended>,
    /// Earliest start, in milliseconds since the epoch.
    pub since: Option<u64>,
    /// Start before this.
    pub until: Option<u64>,
    /// Only records before this one, itself excluded.
    pub before: Option<RecordId>,
    /// Only records after this one, itself excluded.
    pub after: Option<RecordId>,
    /// Text to find in the bodies; ASCII case is ignored.
    pub text: Option<String>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
    /// How many at most; 0: 100.
    pub limit: usize,
}

impl Query {
    /// The label that all records with a wanted end have, if there is one.
    fn ended_label(&self) -> Option<(u8, Vec<u8>)> {
        let label = self.ended.first()?.label()?;
        let shared = self.ended.iter().all(|ended| ended.label() == Some(label));
        shared.then(|| (labels::ENDED, label.to_vec()))
    }

    fn range(&self) -> Range {
        let since = self.since.map(|ms| RecordId::floor(ms).0);
        let lower = match (self.after, since) {
            (Some(after), since) if since.is_none_or(|since| after.0 >= since) => Bound::Excluded(after.0),
            (_, Some(since)) => Bound::Included(since),
            _ => Bound::Unbounded,
        };
        let until = self.until.map(|ms| RecordId::floor(ms).0);
        let upper = [self.before.map(|id| id.0), until].into_iter().flatten().min();
        (lower, upper.map_or(Bound::Unbounded, Bound::Excluded))
    }
}

impl Store {
    /// A page of records.
    pub fn query(&self, query: &Query) -> Result<Vec<Row>> {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let needle = query.text.as_deref().map(|text| json_escaped(text).to_ascii_lowercase());
        let needle = needle.as_ref().map(Finder::new);
        self.db().read(|txn, tables| {
            let (mut page, mut scratch) = (Vec::new(), Vec::new());
            let mut visit = |seq: u64| -> Result<bool> {
                self.db().mapped.look(txn, tables);
                if let Some(row) = matching(txn, tables, query, needle.as_ref(), seq, &mut scratch)? {
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
            if let Some(prefix) = rarest(txn, tables, &labels)? {
                walk(txn, tables.labels, &prefix, &range, query.oldest_first, &mut visit)?;
            } else if let Some(seqs) = work_list(txn, tables, query, &range)? {
                for seq in seqs {
                    if !visit(seq)? {
                        break;
                    }
                }
            } else {
                walk(txn, tables.ids, &[], &range, query.oldest_first, &mut visit)?;
            }
            Ok(page)
        })
    }

    /// One record.
    pub fn get(&self, id: RecordId) -> Result<Option<Row>> {
        self.db().read(|txn, tables| {
            let Some(seq) = tables.ids.get(txn, &id.0)?.map(tail_seq).transpose()? else { return Ok(None) };
            read_row(txn, tables, seq, load(txn, tables, seq)?).map(Some)
        })
    }

    /// Up to `limit` ids whose hex form starts with these digits, oldest first.
    pub fn resolve(&self, digits: &str, limit: usize) -> Result<Vec<RecordId>> {
        let bound =
            |fill: &str| RecordId::from_hex(&format!("{digits}{}", fill.repeat(32_usize.saturating_sub(digits.len()))));
        let (Some(low), Some(high)) = (bound("0"), bound("f")) else { return Ok(Vec::new()) };
        self.db().read(|txn, tables| {
            let range = (Bound::Included(&low.0[..]), Bound::Included(&high.0[..]));
            tables.ids.range(txn, &range)?.take(limit).map(|entry| Ok(RecordId(array(entry?.0, 0)))).collect()
        })
    }

    /// Up to `limit` ids of records with this label, newest first.
    pub fn by_label(&self, kind: u8, value: &[u8], limit: usize) -> Result<Vec<RecordId>> {
        self.db().read(|txn, tables| {
            let prefix = label_prefix(kind, value);
            let entries = tables.labels.rev_prefix_iter(txn, &prefix)?.take(limit);
            entries.map(|entry| Ok(RecordId(array(entry?.0, prefix.len())))).collect()
        })
    }

    /// The record that has this request id.
    pub fn by_request(&self, request_id: u64) -> Result<Option<RecordId>> {
        self.db().read(|txn, tables| {
            let seq = tables.by_request.get(txn, &request_id.to_be_bytes())?.map(tail_seq).transpose()?;
            seq.map(|seq| Ok(load(txn, tables, seq)?.id)).transpose()
        })
    }

    /// Records that were stored after this sequence number, in that order.
    pub fn follow(&self, seq: u64, limit: usize) -> Result<Vec<Row>> {
        self.db().read(|txn, tables| {
            let from = seq_key(seq);
            let range = (Bound::Excluded(&from[..]), Bound::Unbounded);
            let rows = tables.state.range(txn, &range)?.take(limit);
            rows.map(|entry| {
                let (key, value) = entry?;
                let seq = tail_seq(key)?;
                read_row(txn, tables, seq, StateRow::decode(seq, value)?)
            })
            .collect()
        })
    }

    /// How many hex digits tell this id from its neighbours.
    pub fn short_id_length(&self, id: RecordId) -> Result<usize> {
        self.db().read(|txn, tables| {
            let below = tables.ids.get_lower_than(txn, &id.0)?;
            let above = tables.ids.get_greater_than(txn, &id.0)?;
            let hex = id.hex();
            let common = [below, above].into_iter().flatten().map(|(key, _)| {
                let other = RecordId(array(key, 0)).hex();
                hex.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
            });
            Ok((common.max().unwrap_or(0) + 1).min(32))
        })
    }
}

/// Reads a record whose state row is at hand.
pub(super) fn read_row(txn: &RoTxn, tables: &Tables, seq: u64, state: StateRow) -> Result<Row> {
    let mut damage = None;
    let mut body = |part| -> Result<Option<Vec<u8>>> {
        let Some(stored) = tables.records.get(txn, &record_key(seq, part))? else { return Ok(None) };
        match payload::decode(txn, tables, state.id, part, stored) {
            Ok(body) => Ok(Some(body)),
            // One damaged body must not hide the others of a page.
            Err(error) => {
                damage = Some(error.to_string());
                Ok(None)
            }
        }
    };
    let (start, end) = (body(PART_START)?, body(PART_END)?);
    let stored = tables.acks.get(txn, &seq_key(seq))?;
    let ack = stored.and_then(|stored| unsealed(&seq_key(seq), stored)).filter(|value| value.len() >= 16);
    if stored.is_some() && ack.is_none() {
        damage = Some("its request id does not match its checksum".to_owned());
    }
    let sink = match state.sink {
        0 => None,
        number => sinks::name(txn, tables, number)?,
    };
    Ok(Row {
        id: state.id,
        seq,
        state: state.state,
        ended: state.ended,
        flags: state.flags,
        attempts: state.attempts,
        last_error: state.last_error,
        sink: sink.map(|name| String::from_utf8_lossy(&name).into_owned()),
        writer: state.writer,
        start,
        end,
        damage,
        ack: ack.map(|value| (u64::from_le_bytes(array(value, 0)), u64::from_le_bytes(array(value, 8)))),
        not_before: state.not_before,
        lane: state.lane,
        changed_at: state.changed_at,
    })
}

fn matching(
    txn: &RoTxn,
    tables: &Tables,
    query: &Query,
    needle: Option<&Finder>,
    seq: u64,
    scratch: &mut Vec<u8>,
) -> Result<Option<Row>> {
    let state = load(txn, tables, seq)?;
    let wanted = (query.states.is_empty() || query.states.contains(&state.state))
        && (query.ended.is_empty() || query.ended.contains(&state.ended));
    if !wanted {
        return Ok(None);
    }
    for (kind, value) in &query.labels {
        if tables.labels.get(txn, &label_key(*kind, value, state.id))?.is_none() {
            return Ok(None);
        }
    }
    if let Some(needle) = needle
        && !holds(txn, tables, seq, state.id, needle, scratch)?
    {
        return Ok(None);
    }
    read_row(txn, tables, seq, state).map(Some)
}

/// Whether one of a record's bodies holds the text, which is given in lower case. One that cannot be read does not.
fn holds(txn: &RoTxn, tables: &Tables, seq: u64, id: RecordId, needle: &Finder, body: &mut Vec<u8>) -> Result<bool> {
    for part in [PART_START, PART_END] {
        let Some(stored) = tables.records.get(txn, &record_key(seq, part))? else { continue };
        if payload::decode_into(txn, tables, id, part, stored, body).is_ok() {
            body.make_ascii_lowercase();
            if needle.find(body).is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The text as it stands inside a JSON string.
fn json_escaped(text: &str) -> String {
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
