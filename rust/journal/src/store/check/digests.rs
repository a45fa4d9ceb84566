//! Checks the digest of each record against its row, and the number of missing digests.

use std::collections::HashSet;

use heed::RoTxn;

use super::report::CheckReport;
use crate::store::db::trees::Trees;
use crate::store::digests::{self, Blocks, NameId, NameKind, Progress};
use crate::store::records::counts::Counts;
use crate::store::records::row::StateRow;
use crate::{CallEnd, Result, Seq};

const KEPT: &str = "the record: `plsync usage` makes its digest anew";

/// A check of the digests of all records, in the order of their numbers.
pub(super) struct DigestCheck<'t> {
    txn: &'t RoTxn<'t>,
    trees: &'t Trees,
    blocks: Blocks<'t>,
    progress: Progress,
    incomplete: u64,
    named: HashSet<(NameKind, NameId)>,
}

impl<'t> DigestCheck<'t> {
    pub(super) fn begin(txn: &'t RoTxn<'t>, trees: &'t Trees) -> Result<Self> {
        let progress = Progress::load(txn, trees, Counts::load(txn, trees)?.last_seq)?;
        let blocks = Blocks::new(txn, trees);
        Ok(Self { txn, trees, blocks, progress, incomplete: 0, named: HashSet::new() })
    }

    pub(super) fn check(&mut self, seq: Seq, row: &StateRow, report: &mut CheckReport) -> Result<()> {
        if seq <= self.progress.from {
            return Ok(());
        }
        let Some(digest) = self.blocks.get(seq)? else {
            self.incomplete += 1;
            return Ok(());
        };
        self.incomplete += u64::from(!digest.is_complete);
        let place = || format!("record {}", row.id.hex());
        // An earlier version that stores the end of a call does not change its digest.
        let is_outdated = digest.ended == CallEnd::No;
        if digest.started != row.id.made_at()
            || digest.is_run != row.is_run()
            || !(is_outdated || digest.ended == row.ended)
        {
            report.add(place(), "its digest does not match its state", KEPT);
        }
        if row.is_forgotten() && digest != digest.forgotten() {
            report.add(place(), "it was forgotten, and its digest has figures: forget it again", "its state");
        }
        for (kind, id) in [(NameKind::Model, digest.model), (NameKind::Provider, digest.provider)] {
            if id != NameId::default() && !self.named.contains(&(kind, id)) {
                if digests::name(self.txn, self.trees, kind, id)?.is_none() {
                    report.add(place(), "the name in its digest has no entry, or two", KEPT);
                }
                self.named.insert((kind, id));
            }
        }
        Ok(())
    }

    /// Compares the counter. `is_whole`: every row could be read.
    pub(super) fn finish(&self, is_whole: bool, report: &mut CheckReport) {
        if is_whole && self.incomplete != self.progress.incomplete {
            let (found, stored) = (self.incomplete, self.progress.incomplete);
            let problem = format!("{found} digests are missing or damaged, and its counter has {stored}");
            report.add("the store".into(), problem, "the records: `plsync usage` makes the digests anew");
        }
    }
}
