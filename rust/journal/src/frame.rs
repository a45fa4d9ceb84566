//! Frames: an event as a segment stores it. `docs/reference/format.md` has the byte table. This module reads frames; `draft` writes them.
//!
//! The header has a separate checksum, so a damaged length cannot swallow the frames after it.

mod draft;

use crate::RecordId;
use crate::checksum::crc32c;
use crate::state::{CallEnd, FrameKind, Lane};
#[cfg(fuzzing)]
pub use draft::frame_bytes;
pub use draft::{Draft, Event, Head};

/// Bytes of a frame header.
pub const HEADER: usize = 48;
/// The largest payload (labels and body) of a frame, in bytes.
pub const MAX_PAYLOAD: usize = 64 << 20;
/// Frames start at multiples of this many bytes.
pub const ALIGN: usize = 8;

/// The kind of a frame whose content was erased. Readers, also of earlier versions, skip it by its length.
const ERASED: u8 = 255;

const MAGIC: [u8; 4] = *b"PLSF";
const VERSION: u8 = 1;

/// The header that makes a frame an erased one, of the same length and number. All bytes after it must be zeros.
pub(crate) fn erased_header(header: &Header) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&[VERSION, ERASED]);
    bytes[8..12].copy_from_slice(&u32::try_from(header.payload_len).unwrap_or(u32::MAX).to_le_bytes());
    bytes[16..24].copy_from_slice(&header.number.to_le_bytes());
    bytes[24..40].copy_from_slice(&header.id.0);
    bytes[40..44].copy_from_slice(&crc32c(&vec![0; header.payload_len]).to_le_bytes());
    let crc = crc32c(&bytes[..44]);
    bytes[44..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind of the frame; `None` for a kind of a later version, which readers skip.
    pub kind: Option<FrameKind>,
    /// How the call ended.
    pub ended: CallEnd,
    /// `FLAG_*` bits.
    pub flags: u8,
    /// The lane.
    pub lane: Lane,
    /// Bytes of labels and body together.
    pub payload_len: usize,
    /// Bytes of labels.
    pub labels_len: usize,
    /// The frame's number in its segment, from 0.
    pub number: u64,
    /// The record, or, in a segment's first frame, the writer.
    pub id: RecordId,
    /// CRC-32C of the payload.
    pub crc: u32,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// All bytes are zero: the clean end of a segment.
    Blank,
    /// The bytes are not a whole, intact frame.
    Damaged(&'static str),
    /// A newer version wrote the frame.
    Newer,
}

/// Bytes of a frame with this payload.
pub fn frame_len(payload_len: usize) -> usize {
    (HEADER + payload_len).next_multiple_of(ALIGN)
}

impl Header {
    /// Reads a header from the first [`HEADER`] bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, Defect> {
        let Some(bytes) = bytes.first_chunk::<HEADER>() else {
            return Err(if bytes.iter().all(|byte| *byte == 0) { Defect::Blank } else { Defect::Damaged("cut short") });
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(Defect::Blank);
        }
        if bytes[..4] != MAGIC {
            return Err(Defect::Damaged("no frame starts here"));
        }
        if crc32c(&bytes[..44]) != u32::from_le_bytes(array(bytes, 44)) {
            return Err(Defect::Damaged("the header's checksum is wrong"));
        }
        if bytes[4] > VERSION {
            return Err(Defect::Newer);
        }
        let header = Self {
            kind: FrameKind::from_u8(bytes[5]),
            flags: bytes[6],
            ended: CallEnd::from_u8(bytes[7]).ok_or(Defect::Damaged("its end is of an unknown kind"))?,
            payload_len: u32::from_le_bytes(array(bytes, 8)) as usize,
            labels_len: usize::from(u16::from_le_bytes(array(bytes, 12))),
            lane: Lane(bytes[14]),
            number: u64::from_le_bytes(array(bytes, 16)),
            id: RecordId(array(bytes, 24)),
            crc: u32::from_le_bytes(array(bytes, 40)),
        };
        if header.payload_len > MAX_PAYLOAD || header.labels_len > header.payload_len {
            return Err(Defect::Damaged("its length is impossible"));
        }
        Ok(header)
    }

    /// Whether the content of the frame was erased. `bytes` begin with the header.
    pub(crate) fn is_erased(bytes: &[u8]) -> bool {
        bytes.get(5) == Some(&ERASED)
    }

    /// Bytes from this frame's start to the next frame's start.
    pub fn frame_len(&self) -> usize {
        frame_len(self.payload_len)
    }

    /// Checks the payload that follows the header.
    pub fn verify(&self, payload: &[u8]) -> Result<(), Defect> {
        if payload.len() == self.payload_len && crc32c(payload) == self.crc {
            Ok(())
        } else {
            Err(Defect::Damaged("the payload's checksum is wrong"))
        }
    }
}

/// The `N` bytes from `at`, as an array.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
