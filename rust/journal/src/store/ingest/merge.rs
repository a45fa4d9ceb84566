//! Reads many segments as one stream, in the order in which calls started.
//!
//! The frames of one writer stay in their order. Among writers, the one whose next call started first is read first. So a journal of
//! several processes lists, sends and compresses like a journal of one process.

use std::path::{Path, PathBuf};

use super::bases::Bases;
use super::chunk::{Chunk, FinishedSegment, Progress};
use super::pipeline::Chunks;
use crate::os::gate::Access;
use crate::spool::reader::{Damage, Frame, Reader, Step};
use crate::spool::segment::{list, list_writers, segment_path};
use crate::spool::skipped::SkippedFile;
use crate::spool::writer_file::{self, WriterStatus};
use crate::store::Store;
use crate::store::db::trees::cursor;
use crate::{RecordId, Result};

pub(super) struct Merge {
    streams: Vec<Stream>,
    bases: Bases,
    /// Files that could not be used.
    pub(super) skipped: Vec<SkippedFile>,
    /// Bytes of the largest event to read.
    largest: usize,
    /// Whether a larger event is the next one.
    pub(super) has_stopped: bool,
}

/// A segment, and the offset of its next frame.
#[derive(Clone, Copy)]
struct Unread {
    index: u32,
    offset: u64,
    damaged: bool,
}

/// The segments of one writer.
struct Stream {
    spool: PathBuf,
    writer: RecordId,
    observed: WriterStatus,
    segments: Vec<Unread>,
    at: usize,
    reader: Option<Reader>,
    peeked: Option<Frame>,
    /// The latest call that this writer started. Its ends sort directly after it.
    order: RecordId,
    unsaved: Vec<Progress>,
    finished: Vec<FinishedSegment>,
    skipped: Vec<SkippedFile>,
}

impl Merge {
    pub(super) fn open(store: &Store, spool: &Path, largest: usize) -> Result<Self> {
        let mut writers = list_writers(spool)?;
        writers.extend(list(spool)?.iter().map(|(writer, _)| *writer));
        writers.sort_unstable();
        writers.dedup();
        // A writer is observed before its segments are listed and read, so the segments of a dead writer are final.
        let observed = writers.iter().map(|writer| writer_file::observe(spool, *writer)).collect::<Result<Vec<_>>>()?;
        let segments = list(spool)?;
        let (mut streams, mut skipped) = (Vec::new(), Vec::new());
        for (writer, mut observed) in writers.into_iter().zip(observed) {
            skipped.extend(observed.skipped.take());
            let indexes = segments.iter().filter(|(owner, _)| *owner == writer).map(|(_, index)| *index);
            let segments = store.db().read(|txn, trees| {
                let unread = |index| -> Result<Unread> {
                    let (offset, damaged) = cursor(txn, trees, writer, index)?.unwrap_or_default();
                    Ok(Unread { index, offset, damaged })
                };
                indexes.clone().map(unread).collect::<Result<Vec<_>>>()
            })?;
            streams.push(Stream {
                spool: spool.to_path_buf(),
                writer,
                observed,
                segments,
                at: 0,
                reader: None,
                peeked: None,
                order: RecordId([0; 16]),
                unsaved: Vec::new(),
                finished: Vec::new(),
                skipped: Vec::new(),
            });
        }
        Ok(Self { streams, bases: Bases::new(store), skipped, largest, has_stopped: false })
    }

    /// The writers whose process was gone before their segments were read.
    pub(super) fn dead(&self) -> impl Iterator<Item = &WriterStatus> {
        self.streams.iter().map(|stream| &stream.observed).filter(|observed| !observed.info.alive)
    }

    /// Whether this writer was alive when the ingest started; `None` for a writer that had no files then.
    pub(super) fn is_alive(&self, writer: RecordId) -> Option<bool> {
        self.streams.iter().find(|stream| stream.writer == writer).map(|stream| stream.observed.info.alive)
    }
}

impl Chunks for Merge {
    fn take(&mut self, spare: Vec<u8>) -> Result<Chunk> {
        let mut chunk = Chunk::reusing(spare);
        while !chunk.is_full() {
            let mut first: Option<(usize, RecordId)> = None;
            for (at, stream) in self.streams.iter_mut().enumerate() {
                // Writers are in the order they started, and every call of a writer is younger than the writer.
                if first.is_some_and(|(_, order)| order < stream.writer) {
                    break;
                }
                if let Some(order) = stream.peek()?
                    && first.is_none_or(|(_, least)| order < least)
                {
                    first = Some((at, order));
                }
            }
            let Some((at, _)) = first else { break };
            if self.streams[at].peeked.is_some_and(|frame| frame.payload_len() > self.largest) {
                self.has_stopped = true;
                break;
            }
            self.streams[at].pop(&mut chunk, &mut self.bases)?;
        }
        for stream in &mut self.streams {
            chunk.progress.append(&mut stream.unsaved);
            chunk.finished.append(&mut stream.finished);
            self.skipped.append(&mut stream.skipped);
        }
        Ok(chunk)
    }
}

impl Stream {
    /// The position of this writer's next frame in the stream; `None` without a frame.
    fn peek(&mut self) -> Result<Option<RecordId>> {
        while self.peeked.is_none() {
            let Some(&Unread { index, offset, .. }) = self.segments.get(self.at) else { return Ok(None) };
            if self.reader.is_none() {
                let path = segment_path(&self.spool, self.writer, index);
                match Reader::open(&path, offset, Access::Read) {
                    Ok(reader) => self.reader = Some(reader),
                    Err(error) => {
                        self.skipped.push(SkippedFile::from_error(&path, error)?);
                        self.at += 1;
                        continue;
                    }
                }
            }
            let step = match self.step(Reader::next)? {
                Step::End | Step::Torn(_) if !self.is_final()? => return Ok(None),
                // Read once more before the segment is finished: its writer may have appended after the end was read.
                Step::End | Step::Torn(_) => self.step(Reader::last)?,
                step => step,
            };
            match step {
                Step::Frame(frame) => {
                    if !frame.kind.is_end() {
                        self.order = self.order.max(frame.id);
                    }
                    self.peeked = Some(frame);
                    if let Some(reader) = &mut self.reader {
                        reader.release_large();
                    }
                }
                Step::Skipped(damage) => {
                    self.segments[self.at].damaged = true;
                    self.add_damage(damage);
                }
                Step::End => self.finish(index),
                Step::Torn(damage) => {
                    self.add_damage(damage);
                    self.finish(index);
                }
            }
        }
        Ok(Some(self.order))
    }

    fn step(&mut self, read: impl FnOnce(&mut Reader) -> Result<Step>) -> Result<Step> {
        self.reader.as_mut().map_or(Ok(Step::End), read)
    }

    fn pop(&mut self, chunk: &mut Chunk, bases: &mut Bases) -> Result<()> {
        self.save_progress();
        if let (Some(frame), Some(reader)) = (self.peeked.take(), &mut self.reader) {
            let (labels, body) = reader.contents(&frame)?;
            let head = frame.head();
            let base = bases.of(&head, labels, body);
            chunk.push(self.writer, &head, labels, body, base)?;
            reader.release_large();
        }
        Ok(())
    }

    /// Whether the current segment is final: its writer is gone, or has appended to a later segment. (A later segment may exist
    /// without that: writers make segments ahead.)
    fn is_final(&self) -> Result<bool> {
        if !self.observed.info.alive {
            return Ok(true);
        }
        for later in &self.segments[self.at + 1..] {
            let path = segment_path(&self.spool, self.writer, later.index);
            let mut reader = match Reader::open(&path, 0, Access::Read) {
                Ok(reader) => reader,
                Err(error) => {
                    // It is reported when it is its turn.
                    SkippedFile::from_error(&path, error)?;
                    continue;
                }
            };
            if later.offset > 0 || matches!(reader.next()?, Step::Frame(_) | Step::Skipped(_)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn add_damage(&mut self, damage: Damage) {
        self.save_progress();
        if let Some(progress) = self.unsaved.last_mut() {
            progress.damage.push(damage);
        }
    }

    /// Stores the reader's offset, which is after the peeked frame, as the segment's progress.
    fn save_progress(&mut self) {
        let (Some(&Unread { index, damaged, .. }), Some(reader)) = (self.segments.get(self.at), &self.reader) else {
            return;
        };
        let (writer, offset) = (self.writer, reader.offset);
        let earlier = self.unsaved.pop_if(|progress| progress.segment == index);
        let damage = earlier.map_or_else(Vec::new, |progress| progress.damage);
        self.unsaved.push(Progress { writer, segment: index, offset, damaged, damage });
    }

    fn finish(&mut self, index: u32) {
        self.save_progress();
        let path = segment_path(&self.spool, self.writer, index);
        self.finished.push(FinishedSegment { path, damaged: self.segments[self.at].damaged });
        self.reader = None;
        self.at += 1;
    }
}
