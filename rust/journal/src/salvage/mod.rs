//! Salvage: what can be read of a damaged journal, written into a new one. The damaged one is only ever read, and never by LMDB.

mod gather;
pub(crate) mod pages;
mod rebuild;
mod spool;

use std::path::Path;

use crate::{Error, FORMAT, Result, Store, layout};
use gather::gather;
use pages::Pages;

/// How many losses are told one by one.
const TOLD: usize = 1000;

/// What a salvage kept, and what it could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Records in the new journal.
    pub records: u64,
    /// Bodies of events read from the damaged store.
    pub events: u64,
    /// Request ids among what was read.
    pub acks: u64,
    /// Callbacks that still wait.
    pub callbacks: u64,
    /// Follow-ups that wait, or were refused.
    pub followups: u64,
    /// Events read from the spool that the store did not have.
    pub frames: u64,
    /// Pages and entries of the store that could not be read.
    pub damaged: u64,
    /// How many things are lost.
    pub lost: u64,
    /// What, in words; of very many the first.
    pub losses: Vec<String>,
}

impl SalvageReport {
    fn lose(&mut self, what: String) {
        self.lost += 1;
        if self.losses.len() < TOLD {
            self.losses.push(what);
        }
    }
}

/// Writes what can be read of the journal in `source` into a new one in `target`. Records keep their ids, states and acks.
pub fn salvage(source: &Path, target: &Path) -> Result<SalvageReport> {
    if !source.is_dir() {
        return Err(Error::NotFound(source.to_path_buf()));
    }
    if target.exists() {
        return Err(Error::Exists(target.to_path_buf()));
    }
    let mut report = SalvageReport::default();
    let mut read = None;
    if let Some(newest) = layout::list_lmdb(source)?.pop() {
        let pages = Pages::open(&layout::lmdb(source, newest).join("data.mdb"))?;
        read = Some((gather(&pages), pages));
    }
    match layout::verify(source) {
        // Unless it is the FORMAT file that is damaged, and the store says so.
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
            report.lose("the store: nothing in it can be read".into());
        }
        rebuild::rebuild(&store, pages, found, &mut report)?;
    } else {
        report.lose("the store: there is no data.mdb".into());
    }
    let found = read.map(|(found, _)| found);
    spool::take_in(source, &store, found.as_ref(), &mut report)?;
    report.records = store.stats()?.records;
    Ok(report)
}
