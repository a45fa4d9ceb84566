//! Reads a record as users see it: its state, its bodies and its ack.

use heed::RoTxn;

use super::body;
use super::row::{Ack, Row, StateRow};
use crate::ids::SinkId;
use crate::state::State;
use crate::store::callbacks::sinks;
use crate::store::db::trees::{PART_END, PART_START, Trees, record_key, seq_key, without_seal};
use crate::store::servers::{self, elsewhere};
use crate::{Result, Seq};

/// Bytes of bodies with which a page of records is full, and ends early: a record may have 128 MB.
pub const PAGE_BYTES: usize = 8 << 20;

/// Reads the record with this state row.
pub(crate) fn read_row(txn: &RoTxn, trees: &Trees, seq: Seq, state: StateRow) -> Result<Row> {
    let mut damage = None;
    let mut body = |part| -> Result<Option<Vec<u8>>> {
        let Some(stored) = trees.records.get(txn, &record_key(seq, part))? else { return Ok(None) };
        match body::decode(txn, trees, state.id, part, stored) {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.lacks_memory() => Err(error),
            // One damaged body must not hide the other records of a page.
            Err(error) => {
                damage = Some(error.to_string());
                Ok(None)
            }
        }
    };
    let (start, end) = (body(PART_START)?, body(PART_END)?);
    let stored = trees.acks.get(txn, &seq_key(seq))?;
    let ack = stored.and_then(|stored| without_seal(&seq_key(seq), stored)).and_then(Ack::read);
    if stored.is_some() && ack.is_none() {
        damage = Some("its request id does not match its checksum".to_owned());
    }
    let sink = match state.sink {
        SinkId::NONE => None,
        number => sinks::name(txn, trees, number)?,
    };
    let server = match (ack, state.state) {
        (Some(ack), _) => servers::get(txn, trees, ack.server)?,
        (None, State::InDoubt) if state.custody().is_none() => match elsewhere::get(txn, trees, seq)? {
            Some(server) => servers::get(txn, trees, server)?,
            None => servers::bound(txn, trees)?,
        },
        _ => None,
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
        ack,
        server: server.map(|server| server.url),
        not_before: state.not_before,
        lane: state.lane,
        changed_at: state.changed_at,
    })
}
