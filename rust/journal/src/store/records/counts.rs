//! Counters that are kept with the data they count, so that `status` reads one value instead of a million.

use heed::{RoTxn, RwTxn};

use crate::Result;
use crate::frame::array;
use crate::state::State;
use crate::store::db::tables::Tables;

const KEY: &[u8] = b"counts";
const FIELDS: usize = 24;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The sequence number given last.
    pub(crate) last_seq: u64,
    /// Records without an end.
    pub(crate) open: u64,
    pub(crate) states: [u64; State::ALL.len()],
    /// Bytes of bodies before and after compression.
    pub(crate) raw_bytes: u64,
    pub(crate) stored_bytes: u64,
    /// Stretches of segments that held no frame.
    pub(crate) damaged: u64,
    /// Events that writers, now gone, could not record.
    pub(crate) failures: u64,
    /// Records of opaque bytes, which are held and never sent.
    pub(crate) opaque: u64,
    /// Acked records whose bodies the quota removed.
    pub(crate) pruned: u64,
    /// Records never sent whose bodies it removed.
    pub(crate) dropped: u64,
    /// No acked record before this one has bodies that could be removed.
    pub(crate) acked_from: u64,
    /// No dead or held record before this one has any.
    pub(crate) parked_from: u64,
    /// The number given last to a follow-up.
    pub(crate) last_followup: u64,
}

impl Counts {
    pub(crate) fn load(txn: &RoTxn, tables: &Tables) -> Result<Self> {
        let bytes = tables.meta.get(txn, KEY)?.unwrap_or_default();
        // What an earlier version did not count is zero.
        let field = |at: usize| bytes.get(at * 8..at * 8 + 8).map_or(0, |field| u64::from_le_bytes(array(field, 0)));
        Ok(Self {
            last_seq: field(0),
            open: field(1),
            raw_bytes: field(2),
            stored_bytes: field(3),
            damaged: field(4),
            failures: field(5),
            pruned: field(13),
            dropped: field(14),
            acked_from: field(15),
            parked_from: field(16),
            last_followup: field(17),
            states: std::array::from_fn(|state| field(6 + state)),
            opaque: field(12),
        })
    }

    pub(crate) fn save(&self, txn: &mut RwTxn, tables: &Tables) -> Result<()> {
        let mut fields = [0; FIELDS];
        fields[..6].copy_from_slice(&[
            self.last_seq,
            self.open,
            self.raw_bytes,
            self.stored_bytes,
            self.damaged,
            self.failures,
        ]);
        fields[6..12].copy_from_slice(&self.states);
        fields[12..18].copy_from_slice(&[
            self.opaque,
            self.pruned,
            self.dropped,
            self.acked_from,
            self.parked_from,
            self.last_followup,
        ]);
        let bytes: Vec<u8> = fields.iter().flat_map(|field: &u64| field.to_le_bytes()).collect();
        Ok(tables.meta.put(txn, KEY, &bytes)?)
    }

    pub(crate) fn of(&mut self, state: State) -> &mut u64 {
        &mut self.states[state as usize]
    }
}
