//! Looks for files of a spool that cannot be used.

use std::path::Path;

use super::segment::{list, list_writers, segment_path};
use super::skipped::SkippedFile;
use super::writer_file::lock_path;
use crate::Result;
use crate::os::gate::{self, Access};

/// Every file with the name of a segment or a writer that cannot be used.
pub(crate) fn list_skipped(spool: &Path) -> Result<Vec<SkippedFile>> {
    let segments = list(spool)?.into_iter().map(|(writer, index)| segment_path(spool, writer, index));
    let writers = list_writers(spool)?.into_iter().map(|writer| lock_path(spool, writer));
    let mut skipped = Vec::new();
    for path in segments.chain(writers) {
        match gate::open(&path, Access::Read) {
            Ok(_) => {}
            // An ingester has removed it after the listing.
            Err(error) if error.is_missing() => {}
            Err(error) => skipped.push(SkippedFile::from_error(&path, error)?),
        }
    }
    Ok(skipped)
}
