//! Compresses bodies, no slower than programs record them.
//!
//! Most bodies are a page of JSON: names that the dictionary contains, and a few sentences. In short bodies, zstd searches for
//! matches with a large search step, the `TargetLength` of its fast strategy. Such a search finds the names and few of the words. The
//! words stay literals, and zstd codes literals with the dictionary's Huffman table. That takes less than half the time of zstd's
//! fastest regular level, and little more space. When the result is too large, the next bodies get a small search step.
//! docs/internals/journal.md has the figures.

use zstd::zstd_safe::{CCtx, CParameter, ParamSwitch, ResetDirective, Strategy, compress_bound};

use super::base::Base;
use super::body::{self, Codec};
use super::dictionary;
use crate::os::allocation;
use crate::state::FrameKind;
use crate::{Error, RecordId, Result};

/// Bodies with fewer bytes do not get smaller.
const MIN: usize = 24;
/// Bodies with more bytes contain matches without the dictionary, and are compressed at [`LEVEL`].
const SHORT: usize = 4096;
/// At most one byte in this many may be outside ASCII: the dictionary's Huffman table was trained on ASCII text.
const ASCII_RATIO: usize = 16;
/// zstd's level for all other bodies. Higher levels cost more time than they save here.
const LEVEL: i32 = 1;
/// zstd's parameters for short bodies: the search steps, the shortest match, and the logarithm of the size of the hash table.
const LARGE_STEP: u32 = 24;
const SMALL_STEP: u32 = 8;
const MIN_MATCH: u32 = 7;
const HASH_LOG: u32 = 15;
/// The largest block, in bytes. zstd builds a new Huffman table for a block with more than a kilobyte of literals. Few blocks of this
/// size have as many.
const BLOCK: u32 = 1280;

/// The number of bodies in a sample of the large step, and the number of bodies that then get the small step.
const SAMPLE: u32 = 128;
const SMALL_STEP_BODIES: u32 = 4096;
/// Working memory above this many bytes is freed after each body.
const LARGE: usize = 1 << 20;
/// The largest result of the large step that is good enough, in percent of the body.
const GOOD_PERCENT: usize = 44;

/// A body that repeats its root gets smaller by this factor at least. Otherwise it is also compressed without the root, for comparison.
const REPEATED: usize = 16;

/// Compresses bodies, reusing its working memory.
pub(crate) struct BodyCompressor {
    large_step: CCtx<'static>,
    /// Created for the first body that needs it, as is `other`.
    small_step: Option<CCtx<'static>>,
    other: Option<CCtx<'static>>,
    /// For bodies that repeat their root.
    repeated: Option<CCtx<'static>>,
    sample: Sample,
    scratch: Vec<u8>,
}

/// How well the large step compressed the latest bodies.
#[derive(Default)]
struct Sample {
    bodies: u32,
    bytes: usize,
    compressed: usize,
    /// How many more bodies get the small step.
    small_step_bodies: u32,
}

impl BodyCompressor {
    pub(crate) fn new() -> Result<Self> {
        let (small_step, other, repeated) = (None, None, None);
        let (large_step, sample) = (fast(LARGE_STEP)?, Sample::default());
        Ok(Self { large_step, small_step, other, repeated, sample, scratch: Vec::new() })
    }

    /// Appends the stored form of a body that may repeat its root. Returns whether the stored form depends on the root's start.
    pub(crate) fn encode_with(
        &mut self,
        base: &Base,
        id: RecordId,
        kind: FrameKind,
        body: &[u8],
        stored: &mut Vec<u8>,
    ) -> Result<bool> {
        let mut data = allocation::with_room(compress_bound(body.len()))?;
        let context = get_or_make(&mut self.repeated, || CCtx::try_create().ok_or_else(Error::memory))?;
        // Without it, the body is stored in another way.
        let Ok(written) = context.compress_using_cdict(&mut data, body, base.prepared()) else {
            return self.encode(id, kind, body, stored).map(|()| false);
        };
        let from = stored.len();
        if written * REPEATED > body.len() {
            self.encode(id, kind, body, stored)?;
            if written * 2 >= stored.len() - from {
                return Ok(false);
            }
            stored.truncate(from);
        }
        body::write(Codec::Base(dictionary::CURRENT, base.root), id, kind, body, &data, stored)?;
        Ok(true)
    }

    /// Appends the stored form of a body.
    pub(crate) fn encode(&mut self, id: RecordId, kind: FrameKind, body: &[u8], stored: &mut Vec<u8>) -> Result<()> {
        if let Some(compressed) = self.compress(body)? {
            body::write(Codec::Dictionary(dictionary::CURRENT), id, kind, body, compressed, stored)?;
            self.release_large();
        } else {
            self.release_large();
            body::write(Codec::Raw, id, kind, body, body, stored)?;
        }
        Ok(())
    }

    /// Frees the memory of a large body.
    fn release_large(&mut self) {
        if self.scratch.capacity() > LARGE {
            self.scratch = Vec::new();
        }
    }

    /// The compressed body, if that is smaller.
    fn compress(&mut self, body: &[u8]) -> Result<Option<&[u8]>> {
        if body.len() < MIN {
            return Ok(None);
        }
        let usual = is_usual(body);
        let takes_large_step = usual && !self.sample.takes_small_step();
        let zstd = if takes_large_step {
            &mut self.large_step
        } else if usual {
            get_or_make(&mut self.small_step, || fast(SMALL_STEP))?
        } else {
            get_or_make(&mut self.other, regular)?
        };
        self.scratch.clear();
        allocation::reserve(&mut self.scratch, compress_bound(body.len()))?;
        let written = match zstd.compress2(&mut self.scratch, body) {
            Ok(written) => written,
            Err(code) => {
                // A failure leaves a frame open. The reset of a session cannot fail.
                let _ = zstd.reset(ResetDirective::SessionOnly);
                return Err(failed(code));
            }
        };
        if takes_large_step {
            self.sample.add(body.len(), written);
        }
        Ok((written < body.len()).then_some(&self.scratch))
    }
}

impl Sample {
    /// Whether the next body gets the small step.
    fn takes_small_step(&mut self) -> bool {
        let small = self.small_step_bodies > 0;
        self.small_step_bodies = self.small_step_bodies.saturating_sub(1);
        small
    }

    fn add(&mut self, bytes: usize, compressed: usize) {
        self.bodies += 1;
        self.bytes += bytes;
        self.compressed += compressed;
        if self.bodies == SAMPLE {
            let is_good = self.compressed * 100 <= self.bytes * GOOD_PERCENT;
            *self = Self { small_step_bodies: if is_good { 0 } else { SMALL_STEP_BODIES }, ..Self::default() };
        }
    }
}

/// The compressor, made when there is none yet.
fn get_or_make<T>(kept: &mut Option<T>, make: impl FnOnce() -> Result<T>) -> Result<&mut T> {
    Ok(match kept {
        Some(zstd) => zstd,
        missing => missing.insert(make()?),
    })
}

/// A compressor with zstd's fastest strategy.
fn fast(step: u32) -> Result<CCtx<'static>> {
    let mut zstd = regular()?;
    for parameter in [
        CParameter::Strategy(Strategy::ZSTD_fast),
        CParameter::TargetLength(step),
        CParameter::MinMatch(MIN_MATCH),
        CParameter::HashLog(HASH_LOG),
        CParameter::MaxBlockSize(BLOCK),
        // With a search step, zstd does not compress literals by default.
        CParameter::LiteralCompressionMode(ParamSwitch::Enable),
    ] {
        zstd.set_parameter(parameter).map_err(failed)?;
    }
    Ok(zstd)
}

fn regular() -> Result<CCtx<'static>> {
    let mut zstd = CCtx::try_create().ok_or_else(Error::memory)?;
    zstd.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(failed)?;
    zstd.load_dictionary(dictionary::current()).map_err(failed)?;
    Ok(zstd)
}

fn failed(code: usize) -> Error {
    Error::zstd_memory(code).unwrap_or(Error::Internal("zstd refused a body or a setting"))
}

/// Whether the body is short, and nearly all ASCII.
fn is_usual(body: &[u8]) -> bool {
    let others = || body.iter().filter(|byte| !byte.is_ascii()).count();
    body.len() <= SHORT && (body.is_ascii() || others() <= body.len() / ASCII_RATIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 12] = [
        "lake", "deep", "model", "answer", "journal", "question", "river", "paper", "window", "morning", "summer",
        "garden",
    ];

    /// Words without grammar: only single words repeat.
    fn jumble(random: &mut fastrand::Rng) -> String {
        (0..200).map(|_| random.choice(WORDS).unwrap_or_default()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_small_step_is_used_after_the_large_step_compresses_badly() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut compressor = BodyCompressor::new().unwrap();
        let mut average = |bodies: u32| {
            let sizes = (0..bodies).map(|_| {
                let body = jumble(&mut random);
                compressor.compress(body.as_bytes()).unwrap().map_or(body.len(), <[u8]>::len)
            });
            sizes.sum::<usize>() / bodies as usize
        };
        let (before, after) = (average(SAMPLE), average(100));
        assert!(after * 10 < before * 9, "{before} bytes before, {after} after");
    }

    #[test]
    fn the_large_step_stays_in_use_while_it_compresses_well() {
        let mut compressor = BodyCompressor::new().unwrap();
        for _ in 0..=SAMPLE {
            compressor.compress(&b"the model answered the question ".repeat(40)).unwrap();
        }
        assert!(compressor.small_step.is_none());
    }
}
