//! Chunks: a part of the stream of frames, on its way from the spool into the store.

use std::ops::Range;
use std::path::PathBuf;

use crate::frame::HEADER;
use crate::spool::reader::{Damage, Frame};
use crate::state::{Ended, Kind};
use crate::store::db::tables::{PART_END, PART_START};
use crate::store::records::encoder::Encoder;
use crate::{RecordId, Result};

/// Frames and bytes of a chunk: few enough to be in the cache still when they are compressed.
const FRAMES: usize = 256;
const BYTES: usize = 512 << 10;

/// Frames, how far reading them got, and the segments that then hold nothing more. The frames' labels and bodies stand one after
/// the other, at first as they were read, then as they are stored.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) events: Vec<Event>,
    pub(super) progress: Vec<Progress>,
    pub(super) finished: Vec<Finished>,
    bytes: Vec<u8>,
    /// Bytes that were read.
    pub(super) read: usize,
}

/// A frame without its bytes.
pub(super) struct Event {
    pub(super) writer: RecordId,
    pub(super) id: RecordId,
    pub(super) kind: Kind,
    pub(super) ended: Ended,
    pub(super) flags: u8,
    pub(super) lane: u8,
    /// Bytes of the body before compression.
    pub(super) body_len: usize,
    /// Where its labels and its body stand in the chunk's bytes.
    labels: Range<usize>,
    body: Range<usize>,
}

/// How far a segment was read.
pub(super) struct Progress {
    pub(super) writer: RecordId,
    pub(super) segment: u32,
    pub(super) offset: u64,
    /// Whether the segment holds bytes that are no frame, with frames after them.
    pub(super) damaged: bool,
    pub(super) damage: Vec<Damage>,
}

/// A segment that nobody will write to again, read to its end.
pub(super) struct Finished {
    pub(super) path: PathBuf,
    pub(super) damaged: bool,
}

impl Chunk {
    /// An empty one, in memory that is used again.
    pub(super) fn reusing(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, ..Self::default() }
    }

    /// Its memory.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether there was nothing to read at all.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.progress.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= FRAMES || self.read >= BYTES
    }

    pub(super) fn push(&mut self, writer: RecordId, frame: &Frame, labels: &[u8], body: &[u8]) {
        let &Frame { id, kind, ended, flags, lane, .. } = frame;
        let labels = append(&mut self.bytes, labels);
        let body_len = body.len();
        let body = append(&mut self.bytes, body);
        self.read += HEADER + labels.len() + body_len;
        self.events.push(Event { writer, id, kind, ended, flags, lane, body_len, labels, body });
    }

    /// Compresses the bodies, into the memory in `spare`, which is given that of what was read.
    pub(super) fn squeeze(&mut self, encoder: &mut Encoder, spare: &mut Vec<u8>) -> Result<()> {
        std::mem::swap(&mut self.bytes, spare);
        self.bytes.clear();
        for event in &mut self.events {
            event.labels = append(&mut self.bytes, &spare[event.labels.clone()]);
            let from = self.bytes.len();
            encoder.encode(event.id, event.kind, &spare[event.body.clone()], &mut self.bytes)?;
            event.body = from..self.bytes.len();
        }
        Ok(())
    }

    pub(super) fn labels(&self, event: &Event) -> &[u8] {
        &self.bytes[event.labels.clone()]
    }

    /// The event's body as it is stored, once it is compressed.
    pub(super) fn stored(&self, event: &Event) -> &[u8] {
        &self.bytes[event.body.clone()]
    }
}

impl Event {
    pub(super) fn is_terminal(&self) -> bool {
        self.kind == Kind::End
    }

    pub(super) fn part(&self) -> u8 {
        if self.is_terminal() { PART_END } else { PART_START }
    }
}

fn append(bytes: &mut Vec<u8>, more: &[u8]) -> Range<usize> {
    let from = bytes.len();
    bytes.extend_from_slice(more);
    from..bytes.len()
}
