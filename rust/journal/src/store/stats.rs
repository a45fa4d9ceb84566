//! What `plsync status` shows, from counters and tree sizes alone.

use super::Store;
use super::callbacks::waiting;
use super::followups;
use super::outbox::ack_order;
use super::records::counts::Counts;
use super::records::retention::Quota;
use super::records::transition::load;
use crate::spool::segment::{list, segment_path};
use crate::state::State;
use crate::{Result, WriterInfo, layout};

/// A journal's numbers.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The journal's own id.
    pub journal_id: String,
    /// Records stored.
    pub records: u64,
    /// Records without an end.
    pub open: u64,
    /// Records by state, in the order of [`State::ALL`].
    pub states: [u64; State::ALL.len()],
    /// Held records that are opaque bytes, with nothing to send.
    pub opaque: u64,
    /// Request ids that wait for their sink.
    pub callbacks: u64,
    /// Request ids that their sink kept refusing.
    pub callbacks_dead: u64,
    /// Why a callback was refused last.
    pub callback_error: Option<String>,
    /// Follow-ups that wait for a request id, or to be sent.
    pub followups: u64,
    /// Of those, the ones of records that are dead or held.
    pub followups_stranded: u64,
    /// Follow-ups that were refused.
    pub followups_dead: u64,
    /// Why one was refused last.
    pub followup_error: Option<String>,
    /// Segments, and their bytes on disk.
    pub segments: u64,
    /// Bytes of all segments.
    pub spool_bytes: u64,
    /// Bytes of the LMDB file, and of its pages in use.
    pub lmdb_bytes: u64,
    /// Bytes of pages in use.
    pub used_bytes: u64,
    /// Bytes of all bodies before compression.
    pub raw_bytes: u64,
    /// Bytes of all bodies as stored.
    pub stored_bytes: u64,
    /// Events that could not be recorded, over all writers.
    pub failures: u64,
    /// Why the last of them failed.
    pub last_failure: Option<String>,
    /// Acked records whose bodies the quota removed.
    pub pruned: u64,
    /// Records never sent whose bodies it removed.
    pub dropped: u64,
    /// How much the journal may hold.
    pub quota: Quota,
    /// Stretches of segments that held no frame.
    pub damaged: u64,
    /// The latest of them, in words.
    pub damage: Vec<String>,
    /// Writers with a file in the spool.
    pub writers: Vec<WriterInfo>,
    /// When the oldest unsent record began, in milliseconds since the epoch.
    pub oldest_unsent: Option<u64>,
}

impl Store {
    /// The journal's own id, 32 hex digits.
    pub fn journal_id(&self) -> Result<String> {
        layout::journal_id(self.path())
    }

    /// The journal's numbers.
    pub fn stats(&self) -> Result<Stats> {
        let spool = layout::spool(self.path());
        let segments = if spool.is_dir() { list(&spool)? } else { Vec::new() };
        let size = |(writer, index): &(_, _)| {
            // A segment that was ingested meanwhile has no size any more.
            std::fs::metadata(segment_path(&spool, *writer, *index)).map_or(0, |meta| meta.len())
        };
        let (lmdb_bytes, used_bytes) = self.db().sizes()?;
        let mut stats = self.db().read(|txn, tables| {
            let counts = Counts::load(txn, tables)?;
            let mut stats = Stats {
                records: tables.state.len(txn)?,
                open: counts.open,
                states: counts.states,
                opaque: counts.opaque,
                raw_bytes: counts.raw_bytes,
                stored_bytes: counts.stored_bytes,
                failures: counts.failures,
                damaged: counts.damaged,
                pruned: counts.pruned,
                dropped: counts.dropped,
                ..Stats::default()
            };
            stats.callbacks_dead = waiting::dead(txn, tables)?;
            stats.callback_error = waiting::any_error(txn, tables)?;
            stats.callbacks = tables.callbacks.len(txn)?.saturating_sub(stats.callbacks_dead);
            for sink in ack_order::takers(txn, tables)? {
                stats.callbacks += ack_order::backlog(txn, tables, sink)?;
            }
            let tally = followups::tally(txn, tables)?;
            (stats.followups, stats.followups_stranded) = (tally.waiting, tally.stranded);
            (stats.followups_dead, stats.followup_error) = (tally.dead, tally.error);
            let last = tables.meta.get(txn, b"last failure")?.map(|text| String::from_utf8_lossy(text).into_owned());
            stats.last_failure = last;
            for entry in tables.damage.rev_iter(txn)?.take(10) {
                stats.damage.push(String::from_utf8_lossy(entry?.1).into_owned());
            }
            // Lanes hold their oldest record first; so does each of the other lists, by sequence number.
            let mut oldest: Option<u64> = None;
            for tree in [tables.outbox, tables.open, tables.parked] {
                for entry in tree.iter(txn)?.take(1000) {
                    let seq = crate::store::db::tables::tail_seq(entry?.0)?;
                    oldest = Some(oldest.map_or(seq, |least| least.min(seq)));
                }
            }
            if let Some(seq) = oldest {
                stats.oldest_unsent = Some(load(txn, tables, seq)?.id.unix_ms());
            }
            Ok(stats)
        })?;
        stats.journal_id = self.journal_id()?;
        stats.segments = segments.len() as u64;
        stats.spool_bytes = segments.iter().map(size).sum();
        (stats.lmdb_bytes, stats.used_bytes) = (lmdb_bytes, used_bytes);
        stats.quota = self.quota()?;
        stats.writers = self.writers()?;
        stats.failures += stats.writers.iter().map(|writer| writer.failures).sum::<u64>();
        let newest = stats.writers.iter().rev().find(|writer| !writer.last_failure.is_empty());
        stats.last_failure = newest.map(|writer| writer.last_failure.clone()).or(stats.last_failure);
        Ok(stats)
    }

    /// The sequence number given last.
    pub fn last_seq(&self) -> Result<u64> {
        self.db().read(|txn, tables| Ok(Counts::load(txn, tables)?.last_seq))
    }
}
