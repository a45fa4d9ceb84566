//! Reads a segment frame by frame from an offset, up to the first place without a frame.

use std::fs::File;
use std::path::Path;

use crate::frame::{self, Defect, HEADER, Head, Header, MAX_PAYLOAD};
use crate::os::gate::{self, Access};
use crate::os::{allocation, fs};
use crate::state::{CallEnd, FrameKind, Lane};
use crate::{Error, RecordId, Result};

const CHUNK: usize = 256 << 10;
/// A buffer above this many bytes is freed after each frame.
const LARGE: usize = 1 << 20;
/// Bytes of wrong payloads that a reader checks, beyond the bytes that it skips. Without a limit, intact headers in a row that each
/// claim a long payload would cost the square of their number. Damage by a disk costs next to nothing here.
const MAX_WASTE: usize = 2 * MAX_PAYLOAD;

/// Bytes in a segment that are not a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file name.
    pub segment: String,
    /// Where the bytes start.
    pub offset: u64,
    /// How many bytes there are.
    pub len: u64,
    /// Why they are not a frame.
    pub reason: &'static str,
}

impl Damage {
    /// Where the bytes end.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// A frame without its payload. The reader holds its payload until it reads the next frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    pub(crate) ended: CallEnd,
    pub(crate) flags: u8,
    pub(crate) lane: Lane,
    pub(crate) id: RecordId,
    at: u64,
    payload_len: usize,
    labels_len: usize,
}

impl Frame {
    pub(crate) fn head(&self) -> Head {
        let Self { kind, ended, flags, lane, id, .. } = *self;
        Head { kind, ended, flags, lane, id }
    }

    /// Bytes of labels and body.
    pub(crate) fn payload_len(&self) -> usize {
        self.payload_len
    }
}

/// The result of one step of a reader.
pub(crate) enum Step {
    Frame(Frame),
    /// The end: a living writer may append more.
    End,
    /// Bytes that are not a whole frame, without a frame after them: a writer is at work, or its death tore the frame.
    Torn(Damage),
    /// Damage with frames after it. The reader has moved past it.
    Skipped(Damage),
}

pub(crate) struct Reader {
    file: File,
    name: String,
    /// Where the next frame starts.
    pub(crate) offset: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    /// Bytes of the payload by the header that was tried last; 0 if that is no header.
    claimed: usize,
    /// Bytes of wrong payloads that were checked.
    wasted: usize,
}

impl Reader {
    pub(crate) fn open(path: &Path, offset: u64, access: Access) -> Result<Self> {
        let file = gate::open(path, access)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { file, name, offset, buffer: Vec::new(), buffer_at: 0, claimed: 0, wasted: 0 })
    }

    /// The next frame that holds an event. After [`Step::End`] and [`Step::Torn`] the next call reads the file again.
    pub(crate) fn next(&mut self) -> Result<Step> {
        loop {
            match self.try_frame()? {
                Ok(header) => {
                    let at = self.offset;
                    self.offset += header.frame_len() as u64;
                    // A kind of a later version has a known length, so it can be skipped.
                    let Some(kind) = header.kind.filter(|kind| *kind != FrameKind::Segment) else { continue };
                    let Header { ended, flags, lane, id, payload_len, labels_len, .. } = header;
                    return Ok(Step::Frame(Frame { kind, ended, flags, lane, id, at, payload_len, labels_len }));
                }
                Err(Defect::Blank) => {
                    // A living writer may have written since these bytes were read.
                    self.buffer.clear();
                    return Ok(Step::End);
                }
                Err(Defect::Newer) => {
                    let reason = "its frames have a version that this version does not know".into();
                    return Err(Error::Newer { path: self.name.clone().into(), reason });
                }
                Err(Defect::Damaged(reason)) => return self.resync(reason),
            }
        }
    }

    /// Whether the page after this offset is a hole of the file: its disk space was returned.
    pub(crate) fn has_hole(&self, offset: u64) -> bool {
        let page = offset.next_multiple_of(4096);
        fs::next_data(&self.file, page) > page
    }

    /// Whether an erasure was interrupted here: the bytes are frames of records that were chosen for it, up to `ingested` at most. An
    /// erasure clears the content of a frame before it changes the header.
    pub(crate) fn is_half_erased(
        &self,
        damage: &Damage,
        ingested: u64,
        mut is_chosen: impl FnMut(RecordId) -> Result<bool>,
    ) -> Result<bool> {
        let mut at = damage.offset;
        while at < damage.end() {
            let mut header = [0; HEADER];
            let read = fs::read_at(&self.file, &mut header, at).map_err(Error::io("cannot read", &self.name))?;
            let Ok(header) = Header::read(&header[..read]) else { return Ok(false) };
            at += header.frame_len() as u64;
            if at > ingested || !is_chosen(header.id)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Labels and body of the frame that was read last. Reads them again after [`Self::release_large`].
    pub(crate) fn contents(&mut self, frame: &Frame) -> Result<(&[u8], &[u8])> {
        if self.payload(frame.at, frame.payload_len).len() < frame.payload_len {
            self.fill(frame.at, HEADER + frame.payload_len)?;
            let payload = self.payload(frame.at, frame.payload_len);
            if Header::read(self.window(frame.at)).and_then(|header| header.verify(payload)).is_err() {
                return Err(Error::Corrupt(format!("{} changed while it was read", self.name)));
            }
        }
        Ok(self.payload(frame.at, frame.payload_len).split_at_checked(frame.labels_len).unwrap_or_default())
    }

    /// Frees the memory of a large frame. The first frames of many segments are held at once, until their turn.
    pub(crate) fn release_large(&mut self) {
        if self.buffer.capacity() > LARGE {
            self.buffer = Vec::new();
        }
    }

    /// The next frame of a segment that no writer appends to any more: zeros end it only when nothing follows them.
    pub(crate) fn last(&mut self) -> Result<Step> {
        match self.next()? {
            Step::End if self.written_until()? > self.offset => self.resync("zeros where a frame should be"),
            step => Ok(step),
        }
    }

    fn resync(&mut self, reason: &'static str) -> Result<Step> {
        let from = self.offset;
        let Some(next) = self.find_frame(from + frame::ALIGN as u64)? else {
            self.offset = from;
            let len = self.written_until()?.saturating_sub(from);
            self.buffer.clear();
            return Ok(Step::Torn(Damage { segment: self.name.clone(), offset: from, len, reason }));
        };
        // The writer may have been writing this frame when it was first read. Frames are written one after the other, so once a
        // later frame exists, this frame is either whole or damaged.
        self.buffer.clear();
        self.offset = from;
        if self.try_frame()?.is_ok() {
            return self.next();
        }
        let skipped = usize::try_from(next - from).unwrap_or(usize::MAX);
        self.wasted += self.claimed.saturating_sub(skipped);
        self.offset = next;
        Ok(Step::Skipped(Damage { segment: self.name.clone(), offset: from, len: next - from, reason }))
    }

    /// The first whole frame at or after `at`.
    fn find_frame(&mut self, mut at: u64) -> Result<Option<u64>> {
        loop {
            // Frames begin at multiples of `ALIGN`, and `at` is one.
            at += (fs::next_data(&self.file, at) - at) / frame::ALIGN as u64 * frame::ALIGN as u64;
            self.fill(at, HEADER)?;
            let window = self.window(at);
            if window.len() < HEADER {
                return Ok(None);
            }
            let candidates = memchr::memmem::find_iter(window, b"PLSF").map(|found| at + found as u64);
            let aligned: Vec<u64> = candidates.filter(|found| found.is_multiple_of(frame::ALIGN as u64)).collect();
            let scanned = window.len() - HEADER + 1;
            for candidate in aligned {
                self.offset = candidate;
                if self.try_frame()?.is_ok() {
                    return Ok(Some(candidate));
                }
                self.wasted += self.claimed;
            }
            at += (scanned as u64).next_multiple_of(frame::ALIGN as u64);
        }
    }

    /// The end of the last byte that is not zero, rounded up to a frame's start.
    fn written_until(&mut self) -> Result<u64> {
        let (mut at, mut last) = (self.offset, self.offset);
        loop {
            at = fs::next_data(&self.file, at);
            self.fill(at, 1)?;
            let window = self.window(at);
            if window.is_empty() {
                return Ok(last.next_multiple_of(frame::ALIGN as u64));
            }
            if let Some(found) = window.iter().rposition(|byte| *byte != 0) {
                last = at + found as u64 + 1;
            }
            at += window.len() as u64;
        }
    }

    /// The header of the frame at the offset, if the frame is whole. Its payload is then in the buffer.
    fn try_frame(&mut self) -> Result<std::result::Result<Header, Defect>> {
        self.claimed = 0;
        self.fill(self.offset, HEADER)?;
        let header = match Header::read(self.window(self.offset)) {
            Ok(header) => header,
            Err(defect) => return Ok(Err(defect)),
        };
        if self.wasted + header.payload_len > MAX_WASTE {
            return Ok(Err(Defect::Damaged("too many payloads before it are wrong")));
        }
        self.claimed = header.payload_len;
        // `payload_len` is within MAX_PAYLOAD, and the buffer never grows beyond the file.
        self.fill(self.offset, HEADER + header.payload_len)?;
        Ok(header.verify(self.payload(self.offset, header.payload_len)).map(|()| header))
    }

    fn payload(&self, at: u64, len: usize) -> &[u8] {
        self.window(at).get(HEADER..HEADER + len).unwrap_or_default()
    }

    fn window(&self, at: u64) -> &[u8] {
        let skip = at.checked_sub(self.buffer_at).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.buffer.get(skip..)).unwrap_or_default()
    }

    /// Reads at least `wanted` bytes from `at` into the buffer, as far as the file has them.
    fn fill(&mut self, at: u64, wanted: usize) -> Result<()> {
        if self.window(at).len() >= wanted {
            return Ok(());
        }
        // An error must not count as an empty segment, which would be removed.
        let held = self.file.metadata().map_err(Error::io("cannot read", &self.name))?.len().saturating_sub(at);
        let length = wanted.max(CHUNK).min(usize::try_from(held).unwrap_or(usize::MAX));
        let more = length.saturating_sub(self.buffer.len());
        allocation::reserve(&mut self.buffer, more)?;
        self.buffer.resize(length, 0);
        self.buffer_at = at;
        let mut filled = 0;
        while filled < length {
            match fs::read_at(&self.file, &mut self.buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("cannot read", &self.name)(error)),
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}

/// The ids and bodies of the frames of a finished segment, and its damage. For `fuzz/`.
#[cfg(fuzzing)]
pub fn read_segment(path: &std::path::Path) -> Result<(Vec<(RecordId, Vec<u8>)>, Vec<Damage>)> {
    let mut reader = Reader::open(path, 0, Access::ReadAny)?;
    let (mut frames, mut damages) = (Vec::new(), Vec::new());
    loop {
        match reader.last()? {
            Step::Frame(frame) => frames.push((frame.id, reader.contents(&frame)?.1.to_vec())),
            Step::Skipped(damage) => damages.push(damage),
            Step::End => return Ok((frames, damages)),
            Step::Torn(damage) => {
                damages.push(damage);
                return Ok((frames, damages));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Draft, Event, Head, frame_len};

    fn frame(number: u64, body: &[u8]) -> (RecordId, Vec<u8>) {
        let id = RecordId::new();
        let event = Event { head: Head::new(FrameKind::Start, id), labels: &[], body };
        let mut draft = Draft::new();
        event.draft(&mut draft);
        let bytes = draft.with_number(number).to_vec();
        assert_eq!(bytes.len(), frame_len(body.len()));
        (id, bytes)
    }

    /// A segment of zeros, and a reader of it.
    fn segment() -> (tempfile::NamedTempFile, Reader) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 10).unwrap();
        let reader = Reader::open(file.path(), 0, Access::Read).unwrap();
        (file, reader)
    }

    fn frame_id(step: &Step) -> Option<RecordId> {
        if let Step::Frame(frame) = step { Some(frame.id) } else { None }
    }

    #[test]
    fn a_frame_written_after_the_end_was_read_is_found() {
        let (file, mut reader) = segment();
        let ((first, bytes), (second, more)) = (frame(0, b"one"), frame(1, b"two"));
        fs::write_at(file.as_file(), &bytes, 0).unwrap();
        assert_eq!(frame_id(&reader.next().unwrap()), Some(first));
        assert!(matches!(reader.next().unwrap(), Step::End));
        fs::write_at(file.as_file(), &more, bytes.len() as u64).unwrap();
        assert_eq!(frame_id(&reader.next().unwrap()), Some(second));
    }

    #[test]
    fn a_frame_that_was_being_written_is_found_when_it_is_whole() {
        let (file, mut reader) = segment();
        // Its body holds the magic of a frame many times.
        let (id, bytes) = frame(0, &b"PLSF----".repeat(40));
        fs::write_at(file.as_file(), &bytes[..200], 0).unwrap();
        assert!(matches!(reader.next().unwrap(), Step::Torn(Damage { offset: 0, .. })));
        fs::write_at(file.as_file(), &bytes, 0).unwrap();
        assert_eq!(frame_id(&reader.next().unwrap()), Some(id));
    }

    #[test]
    fn headers_that_claim_long_payloads_cost_a_bounded_time() {
        let (file, mut reader) = segment();
        let (_, claiming) = frame(0, &vec![b' '; 60 << 20]);
        let (id, whole) = frame(1, b"whole");
        // The headers are intact, and each payload reaches over all headers after it. Between them are whole frames.
        let mut bytes = Vec::new();
        for _ in 0..2000 {
            bytes.extend_from_slice(&claiming[..HEADER]);
            bytes.extend_from_slice(&claiming[..HEADER]);
            bytes.extend_from_slice(&whole);
        }
        fs::write_at(file.as_file(), &bytes, 0).unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        let started = std::time::Instant::now();
        let mut found = 0;
        loop {
            match reader.last().unwrap() {
                Step::Frame(frame) => found += usize::from(frame.id == id),
                Step::Skipped(_) => {}
                Step::End | Step::Torn(_) => break,
            }
        }
        assert_eq!(found, 2000);
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_hole_costs_no_time() {
        let (file, mut reader) = segment();
        let (id, bytes) = frame(0, b"behind the hole");
        fs::write_at(file.as_file(), b"damaged", 0).unwrap();
        fs::write_at(file.as_file(), &bytes, 1 << 40).unwrap();
        file.as_file().set_len(8 << 40).unwrap();
        assert!(matches!(reader.last().unwrap(), Step::Skipped(_)));
        assert_eq!(frame_id(&reader.last().unwrap()), Some(id));
        assert!(matches!(reader.last().unwrap(), Step::End));
    }

    #[test]
    fn zeros_end_a_finished_segment_only_when_nothing_follows() {
        let (file, mut reader) = segment();
        let (id, bytes) = frame(1, b"behind");
        fs::write_at(file.as_file(), &bytes, 4096).unwrap();
        assert!(matches!(reader.next().unwrap(), Step::End));
        assert!(matches!(reader.last().unwrap(), Step::Skipped(Damage { offset: 0, len: 4096, .. })));
        assert_eq!(frame_id(&reader.last().unwrap()), Some(id));
        assert!(matches!(reader.last().unwrap(), Step::End));
    }
}
