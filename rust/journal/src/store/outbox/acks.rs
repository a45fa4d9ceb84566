//! Acks as programs read them: every ack, in the order they arrived.

use super::ack_order;
use crate::store::Store;
use crate::store::callbacks::sinks;
use crate::store::db::trees::{PART_END, PART_START, record_key};
use crate::store::records::body;
use crate::store::records::read::read_row;
use crate::store::records::row::Row;
use crate::store::records::transition::{Change, load};
use crate::{Millis, Result};

/// Bytes of bodies that are read at once, beyond the first record.
const MAX_BYTES: u64 = 4 << 20;

/// An acked record, and the number of its ack.
#[derive(Clone, Debug)]
pub struct AckedRow {
    /// The number of the ack in the order of acks, from 1, without gaps.
    pub number: u64,
    /// The record, with its request id.
    pub row: Row,
}

impl Store {
    /// Up to `limit` acked records after the ack with this number, in the order of their acks. Their bodies together stay within 4 MiB,
    /// beyond the first record.
    pub fn acks(&self, after: u64, limit: usize) -> Result<Vec<AckedRow>> {
        self.db().read(|txn, trees| {
            let (mut bytes, mut acked) = (0, Vec::new());
            for (number, seq) in ack_order::after(txn, trees, after, limit)? {
                for part in [PART_START, PART_END] {
                    bytes += trees.records.get(txn, &record_key(seq, part))?.map_or(0, body::raw_len);
                }
                if bytes > MAX_BYTES && !acked.is_empty() {
                    break;
                }
                acked.push(AckedRow { number, row: read_row(txn, trees, seq, load(txn, trees, seq)?)? });
            }
            Ok(acked)
        })
    }

    /// The number of the newest ack; 0 without one.
    pub fn last_ack(&self) -> Result<u64> {
        self.db().read(ack_order::last)
    }

    /// Subscribes a sink to every ack from now on. A subscribed sink keeps its position.
    pub fn subscribe(&self, sink: &str) -> Result<()> {
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            let sink = sinks::intern(&mut change, sink.as_bytes())?;
            change.finish()?;
            if ack_order::position(txn, trees, sink)?.is_none() {
                let last = ack_order::last(txn, trees)?;
                ack_order::set_position(txn, trees, sink, last)?;
            }
            Ok(())
        })
    }
}
