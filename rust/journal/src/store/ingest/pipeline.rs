//! Reading, compressing and storing at the same time: while LMDB brings one group of chunks to disk, the next are made ready.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;

use super::chunk::Chunk;
use super::merge::Merge;
use crate::store::encoder::Encoder;
use crate::{Error, Result};

/// Threads that compress. One that stores keeps about so many busy.
const THREADS: usize = 2;
/// Chunks that wait behind each of them, for the time that a commit takes.
const WAITING: usize = 4;
/// Frames that are worth a commit while there are more to come, and frames and bytes beyond which a commit does not wait for more.
const WORTHWHILE: usize = 1024;
const FRAMES: usize = 8192;
const BYTES: usize = 16 << 20;
/// The largest piece of memory that is used again.
const KEPT: usize = 4 << 20;

/// Gives `store` all that there is to read, in order and compressed, in groups: whatever is ready when it has time for more.
pub(super) fn run(merge: &mut Merge, mut store: impl FnMut(&[Chunk]) -> Result<()>) -> Result<()> {
    let mut first = merge.take(Vec::new())?;
    if first.is_empty() {
        return Ok(());
    }
    if !first.is_full() {
        // Not worth a thread.
        first.squeeze(&mut Encoder::new()?, &mut Vec::new())?;
        return store(&[first]);
    }
    let pool = &Pool::default();
    std::thread::scope(|scope| {
        let (feeds, ready): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| compressor(scope)).unzip();
        let reader = scope.spawn(move || read(first, merge, &feeds, pool));
        let mut group = Group::new(pool);
        // The chunks come back in the turn in which they were given. A thread that ends in its turn says that reading has ended.
        for ready in ready.iter().cycle() {
            let next = match ready.try_recv() {
                Err(_) if group.frames >= WORTHWHILE => {
                    group.store(&mut store)?;
                    ready.recv()
                }
                Err(_) => ready.recv(),
                Ok(chunk) => Ok(chunk),
            };
            match next {
                Ok(Ok(chunk)) => group.add(chunk),
                // What was read before an error is stored.
                Ok(Err(error)) => return group.store(&mut store).and(Err(error)),
                Err(_) => break,
            }
            if group.frames >= FRAMES || group.bytes >= BYTES {
                group.store(&mut store)?;
            }
        }
        group.store(&mut store)?;
        reader.join().map_err(|_| Error::Corrupt("reading the spool failed".into()))?
    })
}

/// Memory that goes round: the system clears what it gives anew, which takes as long as filling it.
#[derive(Default)]
struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    fn get(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put(&self, bytes: Vec<u8>) {
        if bytes.capacity() <= KEPT {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
    }
}

/// Chunks for one commit.
struct Group<'p> {
    pool: &'p Pool,
    chunks: Vec<Chunk>,
    frames: usize,
    bytes: usize,
}

impl<'p> Group<'p> {
    fn new(pool: &'p Pool) -> Self {
        Self { pool, chunks: Vec::new(), frames: 0, bytes: 0 }
    }

    fn add(&mut self, chunk: Chunk) {
        self.frames += chunk.events.len();
        self.bytes += chunk.read;
        self.chunks.push(chunk);
    }

    fn store(&mut self, store: &mut impl FnMut(&[Chunk]) -> Result<()>) -> Result<()> {
        let Self { chunks, .. } = std::mem::replace(self, Self::new(self.pool));
        if chunks.is_empty() {
            return Ok(());
        }
        store(&chunks)?;
        for chunk in chunks {
            self.pool.put(chunk.into_bytes());
        }
        Ok(())
    }
}

/// A thread that compresses the chunks it is sent.
fn compressor<'scope>(scope: &'scope Scope<'scope, '_>) -> (SyncSender<Chunk>, Receiver<Result<Chunk>>) {
    let (feed, chunks) = sync_channel::<Chunk>(1);
    let (send, ready) = sync_channel(WAITING);
    scope.spawn(move || {
        let mut encoder = match Encoder::new() {
            Ok(encoder) => encoder,
            Err(error) => return drop(send.send(Err(error))),
        };
        let mut spare = Vec::new();
        for mut chunk in chunks {
            let done = chunk.squeeze(&mut encoder, &mut spare).map(|()| chunk);
            // The receiver is gone when storing failed; its error is the one to report.
            if send.send(done).is_err() {
                return;
            }
        }
    });
    (feed, ready)
}

/// Reads on, and gives the chunks to the threads in turn.
fn read(first: Chunk, merge: &mut Merge, feeds: &[SyncSender<Chunk>], pool: &Pool) -> Result<()> {
    let mut chunk = first;
    for feed in feeds.iter().cycle() {
        let is_last = !chunk.is_full();
        if chunk.is_empty() || feed.send(chunk).is_err() || is_last {
            break;
        }
        chunk = merge.take(pool.get())?;
    }
    Ok(())
}
