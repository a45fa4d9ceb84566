//! The pipeline of an ingest: it reads, compresses and stores at the same time. While LMDB syncs one group of chunks, the next chunks
//! are prepared.
//!
//! Two threads take chunks: a reader thread, and the storing thread while it has nothing to store. So no more threads work than there
//! are cores, and neither waits for long.
//!
//! A large event needs twice its size in memory, first to be compressed and then to be stored. So a large chunk is prepared and stored
//! before the next chunk of any size is read.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Builder;

use super::chunk::Chunk;
use crate::mutex::lock;
use crate::os::{fork, process_memory};
use crate::store::records::compressor::BodyCompressor;
use crate::{Error, Result};

/// Reader threads beside the storing thread.
const THREADS: usize = 1;
/// Chunks that are prepared ahead, unless they are large: enough for the time of a commit.
const AHEAD: usize = 32;
/// Frames for which a commit is worthwhile while there are more to come.
const MIN_GROUP_FRAMES: usize = 1024;
/// Frames and bytes of a full group, which is committed at once. No more bytes than this are prepared ahead.
const FRAMES: usize = 8192;
const BYTES: usize = 16 << 20;
/// The largest piece of memory that is reused, in bytes.
const MAX_REUSED: usize = 2 << 20;

/// A stream of chunks.
pub(super) trait Chunks: Send {
    /// The next chunk, in the memory of `spare`.
    fn take(&mut self, spare: Vec<u8>) -> Result<Chunk>;
}

/// Passes all chunks to `store`, compressed, in order and in groups. `turn` is called between chunks, in the thread of the caller.
pub(super) fn run<C: Chunks>(
    stream: &mut C,
    turn: impl FnMut() -> Result<()>,
    mut store: impl FnMut(&mut [Chunk]) -> Result<()>,
) -> Result<()> {
    let first = stream.take(Vec::new())?;
    if first.is_last() {
        // Not worth a thread.
        return if first.is_empty() { Ok(()) } else { store(&mut [Worker::new()?.compress(first)?]) };
    }
    let mut worker = Worker::new()?;
    let shared = SharedState {
        source: Mutex::new(Source { stream, first: Some(first), number: 0, ended: false }),
        prepared: Mutex::new(Prepared::default()),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        let starting = fork::enter()?;
        for _ in 0..THREADS {
            // Without a thread the storing thread prepares every chunk.
            let _ = Builder::new().spawn_scoped(scope, || shared.prepare_all());
        }
        drop(starting);
        let _finish = FinishOnPanic(&shared);
        let stored = shared.store_all(&mut worker, turn, &mut store);
        // Ends the threads, even when there is more to read.
        shared.finish();
        stored
    })
}

/// The state that the threads share.
struct SharedState<'s, C> {
    source: Mutex<Source<'s, C>>,
    prepared: Mutex<Prepared>,
    /// A chunk was prepared or taken, or the pipeline is finished.
    changed: Condvar,
}

/// The source of chunks, which returns them one after the other.
struct Source<'s, C> {
    stream: &'s mut C,
    first: Option<Chunk>,
    number: usize,
    ended: bool,
}

/// Prepared chunks by number.
#[derive(Default)]
struct Prepared {
    chunks: BTreeMap<usize, Result<Chunk>>,
    /// The number of the next chunk to store.
    next: usize,
    /// The number of all chunks, once it is known.
    count: Option<usize>,
    /// Whether a large chunk was read, and is not stored yet.
    has_large: bool,
    finished: bool,
    /// Memory to reuse: the system clears new memory, which takes as long as filling it.
    spare: Vec<Vec<u8>>,
}

impl<C: Chunks> SharedState<'_, C> {
    /// Prepares chunks until there are no more.
    fn prepare_all(&self) {
        let _finish = FinishOnPanic(self);
        // Without a worker the storing thread prepares every chunk.
        let Ok(mut worker) = Worker::new() else { return };
        loop {
            let mut prepared = lock(&self.prepared);
            while (prepared.is_enough() || prepared.has_large) && !prepared.finished {
                prepared = self.changed.wait(prepared).unwrap_or_else(PoisonError::into_inner);
            }
            if prepared.finished {
                return;
            }
            drop(prepared);
            if self.prepare(&mut worker) == Next::Ended {
                return;
            }
        }
    }

    /// Reads the next chunk and compresses it.
    fn prepare(&self, worker: &mut Worker) -> Next {
        let spare = lock(&self.prepared).spare.pop().unwrap_or_default();
        let mut source = lock(&self.source);
        if source.ended {
            return Next::Ended;
        }
        if lock(&self.prepared).has_large {
            return Next::Later;
        }
        let number = source.number;
        source.number += 1;
        let read = match source.first.take() {
            Some(first) => Ok(first),
            None => source.stream.take(spare),
        };
        source.ended = read.as_ref().map_or(true, Chunk::is_last);
        let count = source.ended.then_some(number + 1);
        lock(&self.prepared).has_large = read.as_ref().is_ok_and(Chunk::is_large);
        drop(source);
        let chunk = read.and_then(|chunk| worker.compress(chunk));
        let mut prepared = lock(&self.prepared);
        prepared.chunks.insert(number, chunk);
        prepared.count = prepared.count.or(count);
        self.changed.notify_all();
        Next::Prepared
    }

    /// Stores prepared chunks, and prepares more when there are too few.
    fn store_all(
        &self,
        worker: &mut Worker,
        mut turn: impl FnMut() -> Result<()>,
        store: &mut impl FnMut(&mut [Chunk]) -> Result<()>,
    ) -> Result<()> {
        let mut group = Group::default();
        loop {
            turn()?;
            let mut prepared = lock(&self.prepared);
            while let Some(chunk) = (!group.is_full()).then(|| prepared.take()).flatten() {
                match chunk {
                    Ok(chunk) => group.add(chunk),
                    Err(error) => {
                        drop(prepared);
                        // The chunks before an error are stored.
                        return group.store(store).and(Err(error));
                    }
                }
            }
            let is_last = prepared.count == Some(prepared.next);
            if is_last || group.frames >= MIN_GROUP_FRAMES || group.is_full() {
                self.changed.notify_all();
                drop(prepared);
                let had_large = group.has_large;
                let memory = group.store(store)?;
                if had_large {
                    process_memory::return_freed();
                }
                if is_last {
                    return Ok(());
                }
                let mut prepared = lock(&self.prepared);
                prepared.spare.extend(memory);
                prepared.has_large &= !had_large;
                drop(prepared);
                self.changed.notify_all();
                continue;
            }
            drop(prepared);
            if self.prepare(worker) != Next::Prepared {
                let mut prepared = lock(&self.prepared);
                while !prepared.is_ready() {
                    if prepared.finished {
                        return Err(Error::Internal("a thread that reads the spool panicked"));
                    }
                    prepared = self.changed.wait(prepared).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl<C> SharedState<'_, C> {
    fn finish(&self) {
        lock(&self.prepared).finished = true;
        self.changed.notify_all();
    }
}

/// The result of preparing the next chunk.
#[derive(PartialEq, Eq)]
enum Next {
    Prepared,
    /// A large chunk is to be stored first.
    Later,
    /// There is no further chunk.
    Ended,
}

/// Finishes the pipeline when its thread panics, so that no other thread waits for the chunk of that thread.
struct FinishOnPanic<'s, 'c, C>(&'s SharedState<'c, C>);

impl<C> Drop for FinishOnPanic<'_, '_, C> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.finish();
        }
    }
}

impl Prepared {
    /// Whether enough chunks are held in memory. A single frame may have dozens of megabytes.
    fn is_enough(&self) -> bool {
        let bytes: usize = self.chunks.values().flatten().map(|chunk| chunk.read).sum();
        self.chunks.len() >= AHEAD || bytes >= BYTES
    }

    fn is_ready(&self) -> bool {
        self.chunks.contains_key(&self.next)
    }

    fn take(&mut self) -> Option<Result<Chunk>> {
        let chunk = self.chunks.remove(&self.next)?;
        self.next += 1;
        Some(chunk)
    }
}

/// Compresses chunks.
struct Worker {
    compressor: BodyCompressor,
    spare: Vec<u8>,
}

impl Worker {
    fn new() -> Result<Self> {
        Ok(Self { compressor: BodyCompressor::new()?, spare: Vec::new() })
    }

    fn compress(&mut self, mut chunk: Chunk) -> Result<Chunk> {
        chunk.compress(&mut self.compressor, &mut self.spare)?;
        if self.spare.capacity() > MAX_REUSED {
            self.spare = Vec::new();
        }
        Ok(chunk)
    }
}

/// Chunks for one commit.
#[derive(Default)]
struct Group {
    chunks: Vec<Chunk>,
    frames: usize,
    bytes: usize,
    has_large: bool,
}

impl Group {
    fn add(&mut self, chunk: Chunk) {
        self.has_large |= chunk.is_large();
        self.frames += chunk.events.len();
        self.bytes += chunk.read;
        self.chunks.push(chunk);
    }

    fn is_full(&self) -> bool {
        self.frames >= FRAMES || self.bytes >= BYTES || self.has_large
    }

    /// Stores the chunks, and returns their memory.
    fn store(&mut self, store: &mut impl FnMut(&mut [Chunk]) -> Result<()>) -> Result<Vec<Vec<u8>>> {
        let Self { mut chunks, .. } = std::mem::take(self);
        if !chunks.is_empty() {
            store(&mut chunks)?;
        }
        Ok(chunks.into_iter().map(Chunk::into_bytes).filter(|bytes| bytes.capacity() <= MAX_REUSED).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of prepared chunks, with `read` bytes each.
    fn prepared(chunks: usize, read: usize) -> Prepared {
        let chunk = || {
            let mut chunk = Chunk::reusing(Vec::new());
            chunk.read = read;
            chunk
        };
        Prepared { chunks: (0..chunks).map(|number| (number, Ok(chunk()))).collect(), ..Prepared::default() }
    }

    #[test]
    fn few_large_chunks_are_enough() {
        assert!(!prepared(AHEAD - 1, 1 << 10).is_enough());
        assert!(prepared(AHEAD, 1 << 10).is_enough());
        assert!(!prepared(1, BYTES - 1).is_enough());
        assert!(prepared(2, BYTES / 2).is_enough());
    }
}
