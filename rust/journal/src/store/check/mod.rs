//! Checks every frame of the spool, every record of the store, and that the trees agree.

mod digests;
mod lists;
mod records;
mod report;

use crate::os::gate::Access;
use crate::spool::reader::{Reader, Step};
use crate::spool::segment::{list, segment_path};
use crate::spool::skipped::SkippedFile;
use crate::spool::survey::list_skipped;
use crate::spool::writer_file::observe;
use crate::store::Store;
use crate::store::db::trees::{cursor, tail_seq};
use crate::store::records::transition::load;
use crate::{RecordId, Result, layout};
use lists::{check_lists, check_trees};
use records::check_records;
pub use report::{CheckReport, Problem};

impl Store {
    /// Reads the whole journal and reports its problems. Changes nothing. A store that LMDB cannot read safely is an error.
    pub fn check(&self) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        // LMDB must not read a page that breaks its format.
        self.db().verify_pages()?;
        self.check_spool(&mut report)?;
        let records = self.db().read(|txn, trees| {
            let mut report = CheckReport::default();
            self.db().trimmer.release_during(txn, trees, || {
                check_trees(txn, trees, &mut report)?;
                check_records(txn, trees, &mut report)?;
                check_lists(txn, trees, &mut report)
            })?;
            Ok(report)
        })?;
        report.records = records.records;
        report.events = records.events;
        report.problems.extend(records.problems);
        report.notes = records.notes;
        Ok(report)
    }

    fn check_spool(&self, report: &mut CheckReport) -> Result<()> {
        let spool = layout::spool(self.path());
        if !layout::has_spool(self.path())? {
            return Ok(());
        }
        for SkippedFile { name, reason } in list_skipped(&spool)? {
            report.add(format!("spool/{name}"), format!("not used: it {reason}"), "all other files of the spool");
        }
        for (writer, index) in list(&spool)? {
            let alive = observe(&spool, writer)?.info.alive;
            let path = segment_path(&spool, writer, index);
            // An ingester may have removed it after the listing. An unusable file is reported above.
            let mut reader = match Reader::open(&path, 0, Access::Read) {
                Ok(reader) => reader,
                Err(error) if error.is_missing() => continue,
                Err(error) => {
                    SkippedFile::from_error(&path, error)?;
                    continue;
                }
            };
            let ingested =
                self.db().read(|txn, trees| Ok(cursor(txn, trees, writer, index)?.map_or(0, |(offset, _)| offset)))?;
            let is_forgotten = |id: RecordId| {
                self.db().read(|txn, trees| {
                    let seq = trees.ids.get(txn, &id.0)?.map(tail_seq).transpose()?;
                    seq.map_or(Ok(false), |seq| Ok(load(txn, trees, seq)?.is_forgotten()))
                })
            };
            loop {
                match if alive { reader.next()? } else { reader.last()? } {
                    Step::Frame(_) => report.frames += 1,
                    Step::End => break,
                    // On a full disk an ingest returns the disk space of frames that the store has.
                    Step::Skipped(damage) if damage.end() <= ingested && reader.has_hole(damage.offset) => {}
                    Step::Skipped(damage) if reader.is_half_erased(&damage, ingested, is_forgotten)? => {}
                    Step::Torn(damage) if reader.is_half_erased(&damage, ingested, is_forgotten)? => break,
                    Step::Skipped(damage) => {
                        let damaged = format!("{} bytes from byte {}: {}", damage.len, damage.offset, damage.reason);
                        report.add(damage.segment, damaged, "all frames before and after");
                    }
                    // A living process is writing this frame.
                    Step::Torn(_) if alive => break,
                    Step::Torn(damage) => {
                        let torn = format!("a torn frame of {} bytes at byte {}", damage.len, damage.offset);
                        report.add(damage.segment, torn, "all frames before it");
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}
