//! Reading many segments as one stream, in the order in which calls began.
//!
//! A writer's own frames come in their own order. Between writers the one whose next call began first goes first, so that a journal
//! fed by several processes lists, sends and compresses like one that was written by one.

use std::path::{Path, PathBuf};

use super::chunk::{Chunk, Finished, Progress};
use crate::frame::array;
use crate::spool::lock::{self, Observed};
use crate::spool::reader::{Damage, Frame, Reader, Step};
use crate::spool::segment::{list, list_writers, segment_path};
use crate::state::Kind;
use crate::store::Store;
use crate::store::db::tables::{cursor_key, unsealed};
use crate::{RecordId, Result};

pub(super) struct Merge {
    streams: Vec<Stream>,
}

/// A segment, and where reading it goes on.
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
    observed: Observed,
    segments: Vec<Unread>,
    at: usize,
    reader: Option<Reader>,
    peeked: Option<Frame>,
    /// The latest call this writer began; its ends sort right behind it.
    order: RecordId,
    unsaved: Vec<Progress>,
    finished: Vec<Finished>,
}

impl Merge {
    pub(super) fn open(store: &Store, spool: &Path) -> Result<Self> {
        let mut writers = list_writers(spool)?;
        writers.extend(list(spool)?.iter().map(|(writer, _)| *writer));
        writers.sort_unstable();
        writers.dedup();
        // Looked at before its segments are listed and read: what a writer seen dead has written is final.
        let observed = writers.iter().map(|writer| lock::observe(spool, *writer)).collect::<Result<Vec<_>>>()?;
        let segments = list(spool)?;
        let mut streams = Vec::new();
        for (writer, observed) in writers.into_iter().zip(observed) {
            let indexes = segments.iter().filter(|(owner, _)| *owner == writer).map(|(_, index)| *index);
            let segments = store.db().read(|txn, tables| {
                let unread = |index| -> Result<Unread> {
                    let key = cursor_key(writer, index);
                    // From the start again where the cursor is damaged: what is there already is left alone.
                    let cursor = tables.cursors.get(txn, &key)?.and_then(|value| unsealed(&key, value));
                    let cursor = cursor.filter(|value| value.len() >= 9);
                    Ok(cursor.map_or(Unread { index, offset: 0, damaged: false }, |value| Unread {
                        index,
                        offset: u64::from_le_bytes(array(value, 0)),
                        damaged: value[8] != 0,
                    }))
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
            });
        }
        Ok(Self { streams })
    }

    /// The next frames of all segments, and how far reading them got. A chunk that is not full says that there are no more.
    pub(super) fn take(&mut self, spare: Vec<u8>) -> Result<Chunk> {
        let mut chunk = Chunk::reusing(spare);
        while !chunk.is_full() {
            let mut first: Option<(usize, RecordId)> = None;
            for (at, stream) in self.streams.iter_mut().enumerate() {
                // Writers are in the order they began, and none has a call older than itself.
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
            self.streams[at].pop(&mut chunk);
        }
        for stream in &mut self.streams {
            chunk.progress.append(&mut stream.unsaved);
            chunk.finished.append(&mut stream.finished);
        }
        Ok(chunk)
    }

    /// The writers whose process is gone, as seen before their segments were read.
    pub(super) fn dead(&self) -> impl Iterator<Item = &Observed> {
        self.streams.iter().map(|stream| &stream.observed).filter(|observed| !observed.info.alive)
    }

    /// Whether this writer was alive when ingesting began; `None` for one that had no files then.
    pub(super) fn is_alive(&self, writer: RecordId) -> Option<bool> {
        self.streams.iter().find(|stream| stream.writer == writer).map(|stream| stream.observed.info.alive)
    }
}

impl Stream {
    /// Where this writer's next frame sorts; `None` when it has none now.
    fn peek(&mut self) -> Result<Option<RecordId>> {
        while self.peeked.is_none() {
            let Some(&Unread { index, offset, .. }) = self.segments.get(self.at) else { return Ok(None) };
            if self.reader.is_none() {
                self.reader = Some(Reader::open(&segment_path(&self.spool, self.writer, index), offset)?);
            }
            let step = match self.step(Reader::next)? {
                Step::End | Step::Torn(_) if !self.is_final()? => return Ok(None),
                // Looked at once more before the segment is left for good: its writer went on after the end was read.
                Step::End | Step::Torn(_) => self.step(Reader::last)?,
                step => step,
            };
            match step {
                Step::Frame(frame) => {
                    if frame.kind != Kind::End {
                        self.order = self.order.max(frame.id);
                    }
                    self.peeked = Some(frame);
                }
                Step::Skipped(damage) => {
                    self.segments[self.at].damaged = true;
                    self.note(damage);
                }
                Step::End => self.leave(index),
                Step::Torn(damage) => {
                    self.note(damage);
                    self.leave(index);
                }
            }
        }
        Ok(Some(self.order))
    }

    fn step(&mut self, read: impl FnOnce(&mut Reader) -> Result<Step>) -> Result<Step> {
        self.reader.as_mut().map_or(Ok(Step::End), read)
    }

    fn pop(&mut self, chunk: &mut Chunk) {
        self.mark();
        if let (Some(frame), Some(reader)) = (self.peeked.take(), &self.reader) {
            let (labels, body) = reader.contents(&frame);
            chunk.push(self.writer, &frame, labels, body);
        }
    }

    /// Whether nobody will write to the current segment again: its writer is gone, or has written to a later one. (That a
    /// later one exists is not enough: writers make segments ahead.)
    fn is_final(&self) -> Result<bool> {
        if !self.observed.info.alive {
            return Ok(true);
        }
        for later in &self.segments[self.at + 1..] {
            let mut reader = Reader::open(&segment_path(&self.spool, self.writer, later.index), 0)?;
            if later.offset > 0 || matches!(reader.next()?, Step::Frame(_) | Step::Skipped(_)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn note(&mut self, damage: Damage) {
        self.mark();
        if let Some(progress) = self.unsaved.last_mut() {
            progress.damage.push(damage);
        }
    }

    /// Remembers the reader's place, which includes the frame that was peeked.
    fn mark(&mut self) {
        let (Some(&Unread { index, damaged, .. }), Some(reader)) = (self.segments.get(self.at), &self.reader) else {
            return;
        };
        let (writer, offset) = (self.writer, reader.offset);
        let earlier = self.unsaved.pop_if(|progress| progress.segment == index);
        let damage = earlier.map_or_else(Vec::new, |progress| progress.damage);
        self.unsaved.push(Progress { writer, segment: index, offset, damaged, damage });
    }

    fn leave(&mut self, index: u32) {
        self.mark();
        let path = segment_path(&self.spool, self.writer, index);
        self.finished.push(Finished { path, damaged: self.segments[self.at].damaged });
        self.reader = None;
        self.at += 1;
    }
}
