//! Segment files. They are filled with zeros ahead of time, so an append changes no file size and costs one copy to the page cache.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::frame::{Draft, Event, Head};
use crate::os::{boot, fork, fs};
use crate::state::FrameKind;
use crate::time::Millis;
use crate::{Error, RecordId, Result};

/// Bytes of a writer's first segment. Each later segment is four times as large, up to [`LARGEST`].
pub(crate) const FIRST: u64 = 256 << 10;
/// Bytes at which segments stop growing.
pub(crate) const LARGEST: u64 = 16 << 20;

const SUFFIX: &str = ".seg";
const UNFINISHED: &str = ".new";

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A segment that its writer can append to.
pub(crate) struct Segment {
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    pub(crate) index: u32,
    pub(crate) size: u64,
    /// Where the second frame starts.
    pub(crate) start: u64,
    slot: fork::Slot,
}

impl Segment {
    /// Makes a segment of `size` bytes with its first frame. The file gets its name once it is complete. With `ahead` it is filled
    /// with zeros. Without, a caller waits for it: it only gets its length, and each append allocates its own blocks.
    pub(crate) fn create(spool: &Path, writer: RecordId, index: u32, size: u64, ahead: bool) -> Result<Self> {
        let path = segment_path(spool, writer, index);
        let unnamed = unfinished_path(spool, writer, index);
        let file = fs::create_new(&unnamed)?;
        let prepared = prepare(&file, writer, index, size, ahead).and_then(|start| {
            std::fs::rename(&unnamed, &path)?;
            Ok(start)
        });
        match prepared {
            Ok(start) => Ok(Self { slot: fork::register(&file), file: Arc::new(file), path, index, size, start }),
            Err(error) => {
                let _ = std::fs::remove_file(&unnamed);
                Err(Error::io("cannot make a segment", &path)(error))
            }
        }
    }

    /// The size of the next segment.
    pub(crate) fn next_size(&self) -> u64 {
        (self.size * 4).clamp(FIRST, LARGEST)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        fork::unregister(self.slot);
    }
}

fn prepare(file: &File, writer: RecordId, index: u32, size: u64, ahead: bool) -> std::io::Result<u64> {
    let body = describe(index);
    let event = Event { head: Head::new(FrameKind::Segment, writer), labels: &[], body: &body };
    let mut draft = Draft::new();
    event.draft(&mut draft);
    if ahead {
        // Linux caches a file in folios of the size of its first writes. Written at multiples of that size, all folios have it, and an
        // append dirties one or two. With folios of a megabyte an append takes longer.
        for offset in (0..size).step_by(ZEROS.len()) {
            let step = (size - offset).min(ZEROS.len() as u64);
            fs::write_at(file, &ZEROS[..usize::try_from(step).unwrap_or(ZEROS.len())], offset)?;
        }
    } else {
        file.set_len(size)?;
    }
    let first = draft.with_number(0);
    fs::write_at(file, first, 0)?;
    Ok(first.len() as u64)
}

/// The body of a segment's first frame: its writer's process and boot, and when it was made.
fn describe(index: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(40);
    body.extend_from_slice(&crate::FORMAT.to_le_bytes());
    body.extend_from_slice(&index.to_le_bytes());
    body.extend_from_slice(&std::process::id().to_le_bytes());
    body.extend_from_slice(&Millis::now().0.to_le_bytes());
    body.extend_from_slice(&boot::boot_id());
    body
}

pub(crate) fn segment_path(spool: &Path, writer: RecordId, index: u32) -> PathBuf {
    path_with(spool, writer, index, SUFFIX)
}

/// The path of a segment that is not complete yet.
pub(crate) fn unfinished_path(spool: &Path, writer: RecordId, index: u32) -> PathBuf {
    path_with(spool, writer, index, UNFINISHED)
}

fn path_with(spool: &Path, writer: RecordId, index: u32, suffix: &str) -> PathBuf {
    spool.join(format!("{}-{index:08}{suffix}", writer.hex()))
}

/// The segments in a spool, by writer and index; writers in the order they started.
pub(crate) fn list(spool: &Path) -> Result<Vec<(RecordId, u32)>> {
    list_with(spool, SUFFIX)
}

/// Segments that are not complete yet. A dead writer's segment stays incomplete.
pub(crate) fn list_unfinished(spool: &Path) -> Result<Vec<(RecordId, u32)>> {
    list_with(spool, UNFINISHED)
}

fn list_with(spool: &Path, suffix: &str) -> Result<Vec<(RecordId, u32)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(spool).map_err(Error::io("cannot list", spool))? {
        let name = entry.map_err(Error::io("cannot list", spool))?.file_name();
        let parsed = name.to_str().and_then(|name| name.strip_suffix(suffix)).and_then(|stem| {
            let (writer, index) = stem.split_once('-')?;
            Some((RecordId::from_hex(writer)?, index.parse().ok()?))
        });
        found.extend(parsed);
    }
    found.sort_unstable();
    Ok(found)
}

/// The writers that have a file in a spool.
pub(crate) fn list_writers(spool: &Path) -> Result<Vec<RecordId>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(spool).map_err(Error::io("cannot list", spool))? {
        let name = entry.map_err(Error::io("cannot list", spool))?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_suffix(".lock")).and_then(RecordId::from_hex));
    }
    found.sort_unstable();
    Ok(found)
}
