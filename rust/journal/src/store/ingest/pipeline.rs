//! Reading, compressing and storing at the same time: while LMDB brings one group of chunks to disk, the next are made ready.
//!
//! Whoever has time takes the next chunk: a thread that does nothing else, and the one that stores whenever nothing is ready for it.
//! So there are never more at work than there are cores, and none of them waits for long.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use super::chunk::Chunk;
use super::merge::Merge;
use crate::os::fork;
use crate::store::records::encoder::Encoder;
use crate::{Error, Result};

/// Threads beside the one that stores.
const THREADS: usize = 1;
/// Chunks made ready ahead of those that are stored, if they are not large: enough for the time that a commit takes.
const AHEAD: usize = 32;
/// Frames that are worth a commit while there are more to come, and frames and bytes beyond which a commit does not wait for more. So
/// many bytes are also enough to be ready.
const WORTHWHILE: usize = 1024;
const FRAMES: usize = 8192;
const BYTES: usize = 16 << 20;
/// The largest piece of memory that is used again.
const KEPT: usize = 4 << 20;

/// Gives `store` all that there is to read, in order and compressed, in groups.
pub(super) fn run(merge: &mut Merge, mut store: impl FnMut(&mut [Chunk]) -> Result<()>) -> Result<()> {
    let first = merge.take(Vec::new())?;
    if first.is_empty() {
        return Ok(());
    }
    let mut maker = Maker::new()?;
    if !first.is_full() {
        // Not worth a thread.
        return store(&mut [maker.squeeze(first)?]);
    }
    let work = Work {
        source: Mutex::new(Source { merge, first: Some(first), number: 0, ended: false }),
        made: Mutex::new(Made::default()),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        let starting = fork::enter()?;
        for _ in 0..THREADS {
            // Without it the thread that stores does everything.
            let _ = Builder::new().spawn_scoped(scope, || work.make_all());
        }
        drop(starting);
        let _released = Unwinding(&work);
        let stored = work.store_all(&mut maker, &mut store);
        // The threads end, whether or not there is more to read.
        work.finish();
        stored
    })
}

/// What the threads share.
struct Work<'m> {
    source: Mutex<Source<'m>>,
    made: Mutex<Made>,
    /// A chunk was made, or taken, or no more are wanted.
    changed: Condvar,
}

/// Where chunks come from, one after the other.
struct Source<'m> {
    merge: &'m mut Merge,
    first: Option<Chunk>,
    number: usize,
    ended: bool,
}

/// Chunks by their numbers.
#[derive(Default)]
struct Made {
    ready: BTreeMap<usize, Result<Chunk>>,
    /// The next to be stored.
    next: usize,
    /// How many there are in all, once that is known.
    count: Option<usize>,
    finished: bool,
    /// Memory that goes round: the system clears what it gives anew, which takes as long as filling it.
    spare: Vec<Vec<u8>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Work<'_> {
    /// Makes chunks for as long as there are any to make.
    fn make_all(&self) {
        let _released = Unwinding(self);
        // Without one the thread that stores makes all of them.
        let Ok(mut maker) = Maker::new() else { return };
        loop {
            let mut made = lock(&self.made);
            while made.is_enough() && !made.finished {
                made = self.changed.wait(made).unwrap_or_else(PoisonError::into_inner);
            }
            if made.finished {
                return;
            }
            drop(made);
            if !self.make(&mut maker) {
                return;
            }
        }
    }

    /// Reads the next chunk and compresses it; false when there is none.
    fn make(&self, maker: &mut Maker) -> bool {
        let spare = lock(&self.made).spare.pop().unwrap_or_default();
        let mut source = lock(&self.source);
        if source.ended {
            return false;
        }
        let number = source.number;
        source.number += 1;
        let read = match source.first.take() {
            Some(first) => Ok(first),
            None => source.merge.take(spare),
        };
        source.ended = read.as_ref().map_or(true, |chunk| !chunk.is_full());
        let count = source.ended.then_some(number + 1);
        drop(source);
        let chunk = read.and_then(|chunk| maker.squeeze(chunk));
        let mut made = lock(&self.made);
        made.ready.insert(number, chunk);
        made.count = made.count.or(count);
        self.changed.notify_all();
        true
    }

    /// Stores what is ready, makes more when too little is.
    fn store_all(&self, maker: &mut Maker, store: &mut impl FnMut(&mut [Chunk]) -> Result<()>) -> Result<()> {
        let mut group = Group::default();
        loop {
            let mut made = lock(&self.made);
            while let Some(chunk) = (!group.is_full()).then(|| made.take()).flatten() {
                match chunk {
                    Ok(chunk) => group.add(chunk),
                    Err(error) => {
                        drop(made);
                        // What was read before an error is stored.
                        return group.store(store).and(Err(error));
                    }
                }
            }
            let is_last = made.count == Some(made.next);
            if is_last || group.frames >= WORTHWHILE || group.is_full() {
                self.changed.notify_all();
                drop(made);
                let memory = group.store(store)?;
                if is_last {
                    return Ok(());
                }
                lock(&self.made).spare.extend(memory);
                continue;
            }
            drop(made);
            if !self.make(maker) {
                let mut made = lock(&self.made);
                while !made.is_ready() {
                    if made.finished {
                        return Err(Error::Corrupt("a thread that reads the spool failed".into()));
                    }
                    made = self.changed.wait(made).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn finish(&self) {
        lock(&self.made).finished = true;
        self.changed.notify_all();
    }
}

/// Lets the other threads go where this one panics, so that nobody waits for what it was making.
struct Unwinding<'w, 'm>(&'w Work<'m>);

impl Drop for Unwinding<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.finish();
        }
    }
}

impl Made {
    /// Whether what is ready is all that should be held in memory: one frame alone may have dozens of megabytes.
    fn is_enough(&self) -> bool {
        let bytes: usize = self.ready.values().flatten().map(|chunk| chunk.read).sum();
        self.ready.len() >= AHEAD || bytes >= BYTES
    }

    fn is_ready(&self) -> bool {
        self.ready.contains_key(&self.next)
    }

    fn take(&mut self) -> Option<Result<Chunk>> {
        let chunk = self.ready.remove(&self.next)?;
        self.next += 1;
        Some(chunk)
    }
}

/// What it takes to compress chunks.
struct Maker {
    encoder: Encoder,
    spare: Vec<u8>,
}

impl Maker {
    fn new() -> Result<Self> {
        Ok(Self { encoder: Encoder::new()?, spare: Vec::new() })
    }

    fn squeeze(&mut self, mut chunk: Chunk) -> Result<Chunk> {
        chunk.squeeze(&mut self.encoder, &mut self.spare)?;
        Ok(chunk)
    }
}

/// Chunks for one commit.
#[derive(Default)]
struct Group {
    chunks: Vec<Chunk>,
    frames: usize,
    bytes: usize,
}

impl Group {
    fn add(&mut self, chunk: Chunk) {
        self.frames += chunk.events.len();
        self.bytes += chunk.read;
        self.chunks.push(chunk);
    }

    fn is_full(&self) -> bool {
        self.frames >= FRAMES || self.bytes >= BYTES
    }

    /// Stores the chunks, and gives their memory back.
    fn store(&mut self, store: &mut impl FnMut(&mut [Chunk]) -> Result<()>) -> Result<Vec<Vec<u8>>> {
        let Self { mut chunks, .. } = std::mem::take(self);
        if !chunks.is_empty() {
            store(&mut chunks)?;
        }
        Ok(chunks.into_iter().map(Chunk::into_bytes).filter(|bytes| bytes.capacity() <= KEPT).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many chunks, for each of which so much was read.
    fn made(chunks: usize, read: usize) -> Made {
        let chunk = || {
            let mut chunk = Chunk::reusing(Vec::new());
            chunk.read = read;
            chunk
        };
        Made { ready: (0..chunks).map(|number| (number, Ok(chunk()))).collect(), ..Made::default() }
    }

    #[test]
    fn few_large_chunks_are_enough_ahead() {
        assert!(!made(AHEAD - 1, 1 << 10).is_enough());
        assert!(made(AHEAD, 1 << 10).is_enough());
        assert!(!made(1, BYTES - 1).is_enough());
        assert!(made(2, BYTES / 2).is_enough());
    }
}
