//! Salvage: copies all that can be read of a damaged journal into a new one. The damaged journal is never written to, and LMDB never
//! opens it.

mod entries;
mod gather;
mod rebuild;
mod report;
mod spool;

use std::path::Path;

use crate::os::gate::{self, Access};
use crate::share::share_copy;
use crate::store::db::pages::Pages;
use crate::{Error, FORMAT, Result, Store, layout};
use gather::gather;
pub use report::SalvageReport;

/// Reads the entries of a data file as a salvage does. Returns the numbers of records and of damaged pages and entries.
#[cfg(fuzzing)]
pub fn read_pages(data: &Path) -> Result<(usize, u64)> {
    let found = gather(&Pages::open(data)?);
    Ok((found.rows.len(), found.damaged))
}

/// Copies all that can be read of the journal in `source` into a new one in `target`. Records keep their ids, states and acks.
pub fn salvage(source: &Path, target: &Path) -> Result<SalvageReport> {
    if !source.is_dir() {
        return Err(Error::NotFound(source.to_path_buf()));
    }
    if std::fs::symlink_metadata(target).is_ok() {
        return Err(Error::Exists(target.to_path_buf()));
    }
    let mut report = SalvageReport::default();
    let mut read = None;
    for number in layout::list_lmdb(source)?.into_iter().rev() {
        let directory = layout::lmdb(source, number);
        match gate::check_kind(&directory).and_then(|()| Pages::open(&directory.join("data.mdb"))) {
            Ok(pages) => {
                let found = gather(&pages);
                pages.require_memory()?;
                found.require_memory()?;
                read = Some((found, pages));
                break;
            }
            Err(Error::Refused { path, reason, .. }) => report.add_loss(format!("{}: it {reason}", path.display())),
            Err(error) => return Err(error),
        }
    }
    match layout::verify_format(source, Access::ReadAny) {
        // Refused, unless the store contradicts the FORMAT file, which is damaged then.
        Err(newer @ Error::Newer { .. })
            if read.as_ref().and_then(|(found, _)| found.format()).is_none_or(|format| format > FORMAT) =>
        {
            return Err(newer);
        }
        _ => {}
    }
    let store = Store::open(target, true)?;
    if let Some((found, pages)) = &read {
        report.damaged = found.damaged;
        if found.is_empty() && found.damaged > 0 {
            report.add_loss("the store: nothing in it can be read".into());
        }
        rebuild::rebuild(&store, pages, found, &mut report)?;
    } else {
        report.add_loss("the store: there is no data.mdb".into());
    }
    let found = read.map(|(found, _)| found);
    spool::ingest(source, &store, found.as_ref(), &mut report)?;
    report.records = store.stats()?.records;
    // A damaged FORMAT file names no group. The new journal is private then.
    if layout::verify_format(source, Access::ReadAny).is_ok() {
        share_copy(source, target)?;
    }
    Ok(report)
}
