//! Erases frames in place: their content becomes zeros, and readers skip them.
//!
//! A writer appends behind its last frame and never reads its segment. So another process may overwrite a frame that is whole, while
//! the writer lives. The content is overwritten first and the header last. Until then the header names the record, so a second run
//! finds the frame of an interrupted one.

use std::fs::File;
use std::path::Path;

use crate::frame::{ALIGN, HEADER, Header, erased_header};
use crate::os::fs;
use crate::os::gate::{self, Access};
use crate::state::FrameKind;
use crate::{Error, RecordId, Result};

/// Bytes that are cleared by one write.
const STEP: usize = 64 << 10;

/// A segment whose frames can be erased.
pub(crate) struct Eraser<'p> {
    path: &'p Path,
    file: File,
    frames: Vec<Found>,
    /// Bytes between whole frames, which belong to no known record.
    pub(crate) unreadable: u64,
}

struct Found {
    at: u64,
    header: Header,
    is_erased: bool,
}

impl<'p> Eraser<'p> {
    /// Finds the frames of a segment. Frames before `ingested` are whole even if their checksum is wrong now: an erasure was
    /// interrupted. So are all frames of a writer that is dead.
    pub(crate) fn open(path: &'p Path, ingested: u64, is_dead: bool) -> Result<Self> {
        let file = gate::open(path, Access::Write)?;
        let len = file.metadata().map_err(Error::io("cannot read", path))?.len();
        let mut eraser = Self { path, file, frames: Vec::new(), unreadable: 0 };
        eraser.find(len, if is_dead { u64::MAX } else { ingested })?;
        Ok(eraser)
    }

    /// The records that have a frame here.
    pub(crate) fn records(&self) -> impl Iterator<Item = RecordId> {
        self.frames.iter().map(|found| found.header.id)
    }

    /// Erases the frames of records, and returns how many had content.
    pub(crate) fn erase(&self, is_chosen: impl Fn(RecordId) -> bool) -> Result<u64> {
        let chosen = || self.frames.iter().filter(|found| is_chosen(found.header.id));
        let mut erased = 0;
        for Found { at, header, is_erased } in chosen() {
            self.clear(at + HEADER as u64, (header.frame_len() - HEADER) as u64)?;
            erased += u64::from(!is_erased);
        }
        self.sync()?;
        for Found { at, header, .. } in chosen() {
            fs::write_at(&self.file, &erased_header(header), *at).map_err(Error::io("cannot write", self.path))?;
        }
        self.sync()?;
        Ok(erased)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("cannot sync", self.path))
    }

    /// Clears bytes. A hole is clear, and a write to it would need disk space.
    fn clear(&self, mut at: u64, len: u64) -> Result<()> {
        static ZEROS: [u8; STEP] = [0; STEP];
        let end = at + len;
        loop {
            at = fs::next_data(&self.file, at);
            let until = fs::next_hole(&self.file, at).min(end);
            if at >= until {
                return Ok(());
            }
            while at < until {
                let step = usize::try_from(until - at).unwrap_or(STEP).min(STEP);
                fs::write_at(&self.file, &ZEROS[..step], at).map_err(Error::io("cannot write", self.path))?;
                at += step as u64;
            }
        }
    }

    fn find(&mut self, len: u64, whole_until: u64) -> Result<()> {
        let mut at = 0;
        let mut bytes = Vec::new();
        while at + HEADER as u64 <= len {
            self.read(&mut bytes, at, HEADER)?;
            let header = Header::read(&bytes).ok();
            let end = header.map(|header| at + header.frame_len() as u64).filter(|end| *end <= len);
            let (Some(header), Some(end)) = (header, end) else {
                at = self.skip(at, len)?;
                continue;
            };
            let is_erased = Header::is_erased(&bytes);
            self.read(&mut bytes, at + HEADER as u64, header.payload_len)?;
            let is_whole = header.verify(&bytes).is_ok();
            if !is_whole && end > whole_until {
                // A living writer is writing it.
                return Ok(());
            }
            // An erased frame whose content is not all zeros yet is erased again.
            if (header.kind.is_some_and(|kind| kind != FrameKind::Segment)) || (is_erased && !is_whole) {
                self.frames.push(Found { at, header, is_erased });
            }
            at = end;
        }
        Ok(())
    }

    /// The next place that may be a frame, behind other bytes.
    fn skip(&mut self, at: u64, len: u64) -> Result<u64> {
        const ALIGNED: u64 = ALIGN as u64;
        let (mut part, mut from, mut written) = (Vec::new(), at, at);
        while from < len {
            from = fs::next_data(&self.file, from) / ALIGNED * ALIGNED;
            let size = usize::try_from(len.saturating_sub(from)).unwrap_or(STEP).min(STEP);
            self.read(&mut part, from, size)?;
            // The parts begin at multiples of 8 as frames do, so no magic number lies across two of them.
            let found = memchr::memmem::find_iter(&part, b"PLSF").map(|found| from + found as u64);
            let next = found.into_iter().find(|found| *found > at && found.is_multiple_of(ALIGNED));
            let end = next.map_or(part.len(), |next| usize::try_from(next - from).unwrap_or(part.len()));
            if let Some(last) = part[..end].iter().rposition(|byte| *byte != 0) {
                written = from + last as u64 + 1;
            }
            from = next.unwrap_or(from + size.max(1) as u64);
            if next.is_some() {
                break;
            }
        }
        self.unreadable += written - at;
        Ok(from)
    }

    fn read(&self, bytes: &mut Vec<u8>, at: u64, len: usize) -> Result<()> {
        bytes.resize(len, 0);
        let mut filled = 0;
        while filled < len {
            match fs::read_at(&self.file, &mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("cannot read", self.path)(error)),
            }
        }
        bytes.truncate(filled);
        Ok(())
    }
}
