//! Acks as programs read them: all of them, in the order they came.

use super::ack_order;
use crate::store::Store;
use crate::store::callbacks::sinks;
use crate::store::db::tables::{PART_END, PART_START, record_key};
use crate::store::records::payload;
use crate::store::records::read::read_row;
use crate::store::records::row::Row;
use crate::store::records::transition::{Change, load};
use crate::{Result, ids};

/// Bytes of bodies that are read at once, beyond the first.
const MAX_BYTES: u64 = 4 << 20;

impl Store {
    /// Up to `limit` acked records, in the order their acks came, each with the number of its ack; those behind a number only. Their
    /// bodies together stay within 4 MiB, beyond the first.
    pub fn acks(&self, number: u64, limit: usize) -> Result<Vec<(u64, Row)>> {
        self.db().read(|txn, tables| {
            let (mut bytes, mut acked) = (0, Vec::new());
            for (number, seq) in ack_order::after(txn, tables, number, limit)? {
                for part in [PART_START, PART_END] {
                    bytes += tables.records.get(txn, &record_key(seq, part))?.map_or(0, payload::raw_len);
                }
                if bytes > MAX_BYTES && !acked.is_empty() {
                    break;
                }
                acked.push((number, read_row(txn, tables, seq, load(txn, tables, seq)?)?));
            }
            Ok(acked)
        })
    }

    /// The number of the ack that came last; 0 when there is none.
    pub fn last_ack(&self) -> Result<u64> {
        self.db().read(ack_order::last)
    }

    /// Gives a sink every ack that comes from now on. One that is given them already goes on where it is.
    pub fn give_every_ack(&self, sink: &str) -> Result<()> {
        self.db().write(|txn, tables| {
            let mut change = Change::begin(txn, tables, ids::now_ms())?;
            let sink = sinks::intern(&mut change, sink.as_bytes())?;
            change.finish()?;
            if ack_order::position(txn, tables, sink)?.is_none() {
                let last = ack_order::last(txn, tables)?;
                ack_order::set_position(txn, tables, sink, last)?;
            }
            Ok(())
        })
    }
}
