//! The digests of a whole file, which its signature covers.

use std::io::{BufReader, Read, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle, available_parallelism};

use blake2::Blake2b512;
use blake2::digest::Digest;
use sha2::Sha256;

use crate::error::Result;
use crate::ids::{Hex, Sha};

/// Bytes after which another thread computes the digests. They take as long as the encryption.
const FEW: u64 = 1 << 20;
/// Chunks that wait for that thread.
const AHEAD: usize = 8;
/// Bytes that a copy reads at once.
const BUFFER: usize = 64 << 10;

/// The digests of a whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Bytes of the file.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha,
    pub(crate) blake2b: [u8; 64],
}

/// Computes [`Digests`], of bytes that it passes on.
pub struct Hashing<W> {
    output: W,
    size: u64,
    place: Place,
}

/// Where the digests are computed.
enum Place {
    Here(Box<Sums>),
    Thread(SyncSender<Vec<u8>>, JoinHandle<Box<Sums>>),
}

#[derive(Clone, Default)]
struct Sums {
    sha256: Sha256,
    blake2b: Blake2b512,
}

impl Sums {
    fn add(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.blake2b.update(bytes);
    }
}

impl<W> Hashing<W> {
    /// Passes bytes on to `output`.
    pub fn new(output: W) -> Self {
        Self { output, size: 0, place: Place::Here(Box::default()) }
    }

    /// The digests of all bytes that passed, and the output.
    pub fn finish(self) -> (Digests, W) {
        let sums = match self.place {
            Place::Here(sums) => sums,
            Place::Thread(chunks, thread) => {
                drop(chunks);
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
        };
        let (sha256, blake2b) = (Hex(sums.sha256.finalize().into()), sums.blake2b.finalize().into());
        (Digests { size: self.size, sha256, blake2b }, self.output)
    }

    fn add(&mut self, bytes: &[u8]) {
        let is_large = self.size <= FEW && self.size + bytes.len() as u64 > FEW;
        self.size += bytes.len() as u64;
        match &mut self.place {
            Place::Here(sums) => {
                sums.add(bytes);
                if is_large && let Some(place) = in_thread(sums) {
                    self.place = place;
                }
            }
            // The thread ends early only by a panic, which the end raises again.
            Place::Thread(chunks, _) => {
                let _ = chunks.send(bytes.to_vec());
            }
        }
    }
}

/// Continues in another thread, if the machine has a further processor.
fn in_thread(sums: &Sums) -> Option<Place> {
    if available_parallelism().map_or(1, usize::from) == 1 {
        return None;
    }
    let mut sums = Box::new(sums.clone());
    let (chunks, waiting) = sync_channel::<Vec<u8>>(AHEAD);
    let add_all = move || {
        for bytes in waiting {
            sums.add(&bytes);
        }
        sums
    };
    // Without another thread, the caller computes them.
    Builder::new().spawn(add_all).ok().map(|thread| Place::Thread(chunks, thread))
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.add(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}

/// Copies a file, and returns the digests of the bytes that were written. At most `limit` bytes and one more are read.
///
/// # Errors
/// When the input cannot be read or the output cannot be written.
pub fn copy(input: &mut impl Read, output: &mut impl Write, limit: u64) -> Result<Digests> {
    let mut hashing = Hashing::new(output);
    std::io::copy(&mut BufReader::with_capacity(BUFFER, input.take(limit.saturating_add(1))), &mut hashing)?;
    hashing.flush()?;
    Ok(hashing.finish().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_cover_all_bytes() {
        for size in [0, 1, 1 << 20, (1 << 20) + 1, 3 << 20] {
            let bytes: Vec<u8> = (0..size).map(|at: u32| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
            let mut copied = Vec::new();
            let found = copy(&mut &bytes[..], &mut copied, u64::MAX).unwrap();
            assert!(copied == bytes, "{size} bytes");
            assert_eq!((found.size, found.sha256), (u64::from(size), Sha::of(&bytes)));
            assert_eq!(found.blake2b, <[u8; 64]>::from(Blake2b512::digest(&bytes)));
        }
    }
}
