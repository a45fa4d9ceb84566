//! The numbers of `plsync status`, from counters and tree sizes.

use heed::RoTxn;

use super::callbacks::backlog;
use super::db::trees::{Trees, parked_prefix, tail_seq};
use super::outbox::ack_order;
use super::outbox::tree_wait::count_growing;
use super::records::counts::Counts;
use super::records::quota::Quota;
use super::records::transition::load;
use super::servers::{self, ServerStats};
use super::{Store, followups, forget};
use crate::os::disk;
use crate::os::gate::{self, Access};
use crate::spool::early_failures;
use crate::spool::segment::{list, segment_path};
use crate::spool::skipped::SkippedFile;
use crate::spool::survey::list_skipped;
use crate::state::{Custody, State};
use crate::{Millis, Result, Seq, WriterInfo, layout};

/// How many reports of damage are shown.
const DAMAGE_SHOWN: usize = 10;

/// A journal's numbers.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The journal's own id.
    pub journal_id: String,
    /// The format of the journal: 1, or 2 for a shared one.
    pub format: u32,
    /// The number of the group that the journal is shared with.
    pub group: Option<u32>,
    /// Calls stored, and records of opaque bytes.
    pub records: u64,
    /// Calls without an end.
    pub open: u64,
    /// Calls by state, in the order of [`State::ALL`].
    pub states: [u64; State::ALL.len()],
    /// Calls that were carried to a hub, and calls that it has received.
    pub custody: [u64; Custody::ALL.len()],
    /// Runs that are not calls: chains, tools and retrievers.
    pub runs: u64,
    /// Such runs without an end.
    pub open_runs: u64,
    /// Such runs by state.
    pub run_states: [u64; State::ALL.len()],
    /// Calls that have ended and wait for the end of their tree's root. They are pending.
    pub growing: u64,
    /// Other runs that wait for it.
    pub growing_runs: u64,
    /// Held records that are opaque bytes, with nothing to send.
    pub opaque: u64,
    /// Request ids that wait for their sink.
    pub callbacks: u64,
    /// Request ids that are not tried again.
    pub callbacks_dead: u64,
    /// Why a callback failed last.
    pub callback_error: Option<String>,
    /// Follow-ups that wait for a request id, or to be sent.
    pub followups: u64,
    /// How many of these belong to dead or held records.
    pub followups_stranded: u64,
    /// Follow-ups that `PromptLayer` refused.
    pub followups_dead: u64,
    /// Follow-ups that `PromptLayer` has, and that are kept.
    pub followups_sent: u64,
    /// Why a follow-up was refused last.
    pub followup_error: Option<String>,
    /// The number of segments.
    pub segments: u64,
    /// Bytes of all segments.
    pub spool_bytes: u64,
    /// Bytes of the LMDB file.
    pub lmdb_bytes: u64,
    /// Bytes of its pages in use.
    pub used_bytes: u64,
    /// Bytes of all bodies before compression.
    pub raw_bytes: u64,
    /// Bytes of all bodies as stored.
    pub stored_bytes: u64,
    /// Events that could not be recorded, of all writers.
    pub failures: u64,
    /// Why the last of these failed.
    pub last_failure: Option<String>,
    /// Acked records whose bodies the quota removed.
    pub pruned_acked: u64,
    /// Records never sent whose bodies the quota removed.
    pub pruned_unsent: u64,
    /// Records whose content the user removed for good.
    pub forgotten: u64,
    /// Whether this user can only read the journal.
    pub read_only: bool,
    /// Events in the spool that the store does not have yet. Counted in a read-only journal only, where no ingest moves them.
    pub waiting_events: u64,
    /// Whether a removal has not finished: content may still be in the files.
    pub forgetting: bool,
    /// How much the journal may hold.
    pub quota: Quota,
    /// Ranges of bytes in segments that were not a frame.
    pub damaged: u64,
    /// The latest damage, in words.
    pub damage: Vec<String>,
    /// Files of the spool that cannot be used.
    pub skipped: Vec<SkippedFile>,
    /// A warning if every user can list the journal's directory.
    pub exposed: Option<String>,
    /// Writers with a file in the spool.
    pub writers: Vec<WriterInfo>,
    /// When the oldest record that waits to be delivered started.
    pub oldest_unsent: Option<Millis>,
    /// The servers that records were sent to.
    pub servers: Vec<ServerStats>,
    /// The report of the last run of a sender.
    pub last_run: Option<String>,
    /// Bytes that this user can still write on the journal's disk; `None` on systems that do not report them.
    pub disk_free: Option<u64>,
}

impl Store {
    /// The journal's own id, 32 hex digits.
    pub fn journal_id(&self) -> Result<String> {
        Ok(layout::read_marker(self.path(), Access::Read)?.id)
    }

    /// The number of the group that the journal is shared with.
    pub fn group(&self) -> Result<Option<u32>> {
        Ok(layout::read_marker(self.path(), Access::Read)?.group)
    }

    /// The journal's numbers.
    pub fn stats(&self) -> Result<Stats> {
        let spool = layout::spool(self.path());
        let has_spool = layout::has_spool(self.path())?;
        let segments = if has_spool { list(&spool)? } else { Vec::new() };
        let size = |(writer, index): &(_, _)| {
            // An ingester may have removed the segment in between.
            std::fs::symlink_metadata(segment_path(&spool, *writer, *index)).map_or(0, |meta| meta.len())
        };
        let (lmdb_bytes, used_bytes) = self.db().sizes()?;
        let mut stats = self.db().read(store_stats)?;
        let marker = layout::read_marker(self.path(), Access::Read)?;
        (stats.journal_id, stats.format, stats.group) = (marker.id, marker.format, marker.group);
        stats.read_only = self.is_read_only();
        stats.waiting_events = if stats.read_only { self.waiting_events()? } else { 0 };
        stats.segments = segments.len() as u64;
        stats.spool_bytes = segments.iter().map(size).sum();
        (stats.lmdb_bytes, stats.used_bytes) = (lmdb_bytes, used_bytes);
        stats.skipped = if has_spool { list_skipped(&spool)? } else { Vec::new() };
        stats.exposed = gate::exposure(self.path());
        stats.quota = self.quota()?;
        stats.disk_free = disk::available(self.path());
        stats.writers = self.writers()?;
        let early = early_failures::read(self.path());
        stats.failures += stats.writers.iter().chain([&early]).map(|writer| writer.failures).sum::<u64>();
        let newest = stats.writers.iter().rev().chain([&early]).find(|writer| !writer.last_failure.is_empty());
        stats.last_failure = newest.map(|writer| writer.last_failure.clone()).or(stats.last_failure);
        Ok(stats)
    }

    /// The newest sequence number.
    pub fn last_seq(&self) -> Result<Seq> {
        self.db().read(|txn, trees| Ok(Counts::load(txn, trees)?.last_seq))
    }
}

/// When the oldest record that waits to be delivered started. Calls that run, dead records and held records do not wait.
fn oldest_unsent(txn: &RoTxn, trees: &Trees) -> Result<Option<Millis>> {
    /// A lane has its oldest record first, and each other list is ordered by sequence number.
    const FIRST: usize = 1000;
    let mut oldest: Option<Seq> = None;
    let mut keep = |key: &[u8]| -> Result<()> {
        let seq = tail_seq(key)?;
        oldest = Some(oldest.map_or(seq, |least| least.min(seq)));
        Ok(())
    };
    for entry in trees.outbox.iter(txn)?.take(FIRST) {
        keep(entry?.0)?;
    }
    for state in [State::Leased, State::InDoubt] {
        for entry in trees.parked.prefix_iter(txn, &parked_prefix(state))?.take(FIRST) {
            keep(entry?.0)?;
        }
    }
    oldest.map(|seq| Ok(load(txn, trees, seq)?.id.made_at())).transpose()
}

/// The numbers that the store has.
fn store_stats(txn: &RoTxn, trees: &Trees) -> Result<Stats> {
    let counts = Counts::load(txn, trees)?;
    let runs = counts.runs.iter().sum();
    let mut stats = Stats {
        records: trees.state.len(txn)?.saturating_sub(runs),
        open: counts.open.saturating_sub(counts.open_runs),
        states: std::array::from_fn(|state| counts.states[state].saturating_sub(counts.runs[state])),
        runs,
        open_runs: counts.open_runs,
        run_states: counts.runs,
        opaque: counts.opaque,
        raw_bytes: counts.raw_bytes,
        stored_bytes: counts.stored_bytes,
        failures: counts.failures,
        damaged: counts.damaged,
        pruned_acked: counts.pruned_acked,
        pruned_unsent: counts.pruned_unsent,
        forgotten: counts.forgotten,
        forgetting: forget::is_unfinished(txn, trees)?,
        ..Stats::default()
    };
    (stats.growing, stats.growing_runs) = count_growing(txn, trees, Millis::now())?;
    stats.custody = counts.custody;
    for (states, carried) in
        [(&mut stats.states, counts.custody.iter().sum()), (&mut stats.run_states, counts.carried_runs)]
    {
        let in_doubt = &mut states[State::InDoubt as usize];
        *in_doubt = in_doubt.saturating_sub(carried);
    }
    let dead = &mut stats.states[State::Dead as usize];
    *dead = dead.saturating_sub(counts.forgotten_unsent);
    stats.callbacks_dead = backlog::count_dead(txn, trees)?;
    stats.callback_error = backlog::any_error(txn, trees)?;
    stats.callbacks = trees.callbacks.len(txn)?.saturating_sub(stats.callbacks_dead);
    for sink in ack_order::subscribers(txn, trees)? {
        stats.callbacks += ack_order::backlog(txn, trees, sink)?;
    }
    let tally = followups::tally(txn, trees)?;
    (stats.followups, stats.followups_stranded) = (tally.waiting, tally.stranded);
    (stats.followups_dead, stats.followup_error) = (tally.dead, tally.error);
    stats.followups_sent = tally.sent;
    let last_failure = trees.meta.get(txn, b"last failure")?;
    stats.last_failure = last_failure.map(|text| String::from_utf8_lossy(text).into_owned());
    for entry in trees.damage.rev_iter(txn)?.take(DAMAGE_SHOWN) {
        stats.damage.push(String::from_utf8_lossy(entry?.1).into_owned());
    }
    stats.oldest_unsent = oldest_unsent(txn, trees)?;
    stats.servers = servers::stats(txn, trees)?;
    let last_run = trees.meta.get(txn, servers::LAST_RUN)?;
    stats.last_run = last_run.map(|text| String::from_utf8_lossy(text).into_owned());
    Ok(stats)
}
