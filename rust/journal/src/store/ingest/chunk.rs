//! Chunks: parts of the stream of frames, on their way from the spool into the store.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::frame::{HEADER, Head};
use crate::os::allocation;
use crate::spool::reader::Damage;
use crate::state::{CallEnd, FrameKind, Lane};
use crate::store::db::trees::{PART_END, PART_START};
use crate::store::records::base::Base;
use crate::store::records::compressor::BodyCompressor;
use crate::{RecordId, Result};

/// The frames and bytes of a full chunk: few enough to stay in the cache until they are compressed.
const FRAMES: usize = 256;
const BYTES: usize = 512 << 10;
/// The bytes of a large chunk, which has one large frame.
const LARGE: usize = 2 << 20;
/// Bytes of the entries of an event in the trees, about: its state, its id, its labels and its place in a work list.
const ENTRIES: usize = 256;

/// Frames, the offsets up to which segments were read, and the segments that are finished. The labels and bodies of the frames are in
/// one piece of memory: first uncompressed, then in their stored form.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) events: Vec<Event>,
    pub(super) progress: Vec<Progress>,
    pub(super) finished: Vec<FinishedSegment>,
    bytes: Vec<u8>,
    /// The number of bytes read.
    pub(super) read: usize,
    /// Whether more chunks follow, although the chunk has room.
    pub(super) is_followed: bool,
}

/// An event without its bytes.
pub(super) struct Event {
    pub(super) writer: RecordId,
    pub(super) id: RecordId,
    pub(super) kind: FrameKind,
    pub(super) ended: CallEnd,
    pub(super) flags: u8,
    pub(super) lane: Lane,
    /// Bytes of the body before compression.
    pub(super) body_len: usize,
    /// The start of its root, if the body may repeat it. Once the chunk is compressed: if the body depends on it.
    pub(super) base: Option<Arc<Base>>,
    /// The ranges of its labels and its body in the chunk's bytes.
    labels: Range<usize>,
    body: Range<usize>,
}

/// How far a segment was read.
pub(super) struct Progress {
    pub(super) writer: RecordId,
    pub(super) segment: u32,
    pub(super) offset: u64,
    /// Whether the segment holds bytes that are not a frame, with frames after them.
    pub(super) damaged: bool,
    pub(super) damage: Vec<Damage>,
}

/// A segment that was read to its end, and that no writer appends to any more.
pub(super) struct FinishedSegment {
    pub(super) path: PathBuf,
    pub(super) damaged: bool,
}

impl Chunk {
    /// An empty chunk that reuses memory.
    pub(super) fn reusing(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, ..Self::default() }
    }

    /// An empty chunk that others follow.
    pub(super) fn followed() -> Self {
        Self { is_followed: true, ..Self::default() }
    }

    /// The chunk's memory, for reuse.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether nothing was read.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.progress.is_empty()
    }

    /// Whether no other chunk is prepared meanwhile, because the chunk takes much memory.
    pub(super) fn is_large(&self) -> bool {
        self.read >= LARGE
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= FRAMES || self.read >= BYTES
    }

    /// Whether no chunk follows.
    pub(super) fn is_last(&self) -> bool {
        !(self.is_full() || self.is_followed)
    }

    pub(super) fn push(
        &mut self,
        writer: RecordId,
        head: &Head,
        labels: &[u8],
        body: &[u8],
        base: Option<Arc<Base>>,
    ) -> Result<()> {
        let &Head { id, kind, ended, flags, lane } = head;
        allocation::reserve(&mut self.bytes, labels.len() + body.len())?;
        let labels = append(&mut self.bytes, labels);
        let body_len = body.len();
        let body = append(&mut self.bytes, body);
        self.read += HEADER + labels.len() + body_len;
        self.events.push(Event { writer, id, kind, ended, flags, lane, body_len, base, labels, body });
        Ok(())
    }

    /// Compresses the bodies into the memory of `spare`, which gets the memory of the chunk in exchange.
    pub(super) fn compress(&mut self, compressor: &mut BodyCompressor, spare: &mut Vec<u8>) -> Result<()> {
        std::mem::swap(&mut self.bytes, spare);
        self.bytes.clear();
        for event in &mut self.events {
            event.labels = append(&mut self.bytes, &spare[event.labels.clone()]);
            let from = self.bytes.len();
            let body = &spare[event.body.clone()];
            let depends = match &event.base {
                Some(base) => compressor.encode_with(base, event.id, event.kind, body, &mut self.bytes)?,
                None => compressor.encode(event.id, event.kind, body, &mut self.bytes).map(|()| false)?,
            };
            if !depends {
                event.base = None;
            }
            event.body = from..self.bytes.len();
        }
        Ok(())
    }

    /// Bytes that the chunk adds to the store, about: its labels and bodies, once it is compressed, and the entries of its records.
    pub(super) fn stored_bytes(&self) -> u64 {
        (self.bytes.len() + self.events.len() * ENTRIES) as u64
    }

    pub(super) fn labels(&self, event: &Event) -> &[u8] {
        &self.bytes[event.labels.clone()]
    }

    /// The stored form of an event's body, once the chunk is compressed.
    pub(super) fn stored(&self, event: &Event) -> &[u8] {
        &self.bytes[event.body.clone()]
    }
}

impl Event {
    pub(super) fn is_terminal(&self) -> bool {
        self.kind.is_end()
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
