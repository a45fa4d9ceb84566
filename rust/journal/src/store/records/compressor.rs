//! Compresses bodies, no slower than programs record them.
//!
//! Most bodies are a page of JSON: names that the dictionary contains, and a few sentences. For these the search for repetition takes
//! large steps, which find the names and few of the words. The words are written in the dictionary's own codes. That takes less than
//! half the time of zstd's fastest regular level, and little more space. When the result is too large, the next bodies are searched in
//! smaller steps. docs/internals/journal.md has the figures.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, ParamSwitch, Strategy, compress_bound};

use super::body::{self, Codec};
use super::dictionary;
use crate::state::FrameKind;
use crate::{Error, RecordId, Result};

/// Bodies with fewer bytes do not get smaller.
const MIN: usize = 24;
/// Bodies with more bytes repeat themselves, and are searched more closely.
const SHORT: usize = 4096;
/// One byte in this many may be outside ASCII, for which the dictionary's codes are.
const ASCII_RATIO: usize = 16;
/// zstd's level for all other bodies. Higher levels cost more time than they save here.
const LEVEL: i32 = 1;
/// The search in short bodies: its steps, the shortest repetition it uses, and the size of its table (a power of two).
const LARGE_STEP: u32 = 24;
const SMALL_STEP: u32 = 8;
const MIN_MATCH: u32 = 7;
const HASH_LOG: u32 = 15;
/// zstd computes new codes for a block with more than a kilobyte of letters. Few blocks of this size have that many.
const BLOCK: u32 = 1280;

/// The number of bodies in a sample of large steps, and the number of bodies for which small steps are then used.
const SAMPLE: u32 = 128;
const SMALL_STEP_BODIES: u32 = 4096;
/// The largest result of large steps that is good enough, in percent of the body.
const GOOD_PERCENT: usize = 44;

/// Compresses bodies, reusing its working memory.
pub(crate) struct BodyCompressor {
    short: Compressor<'static>,
    /// The other compressors are made for the first body that needs them.
    small_steps: Option<Compressor<'static>>,
    other: Option<Compressor<'static>>,
    sample: Sample,
    scratch: Vec<u8>,
}

/// How well large steps compressed the latest bodies.
#[derive(Default)]
struct Sample {
    bodies: u32,
    bytes: usize,
    compressed: usize,
    /// For how many more bodies small steps are used.
    small_steps: u32,
}

impl BodyCompressor {
    pub(crate) fn new() -> Result<Self> {
        let (small_steps, other) = (None, None);
        Ok(Self { short: stepping(LARGE_STEP)?, small_steps, other, sample: Sample::default(), scratch: Vec::new() })
    }

    /// Appends the stored form of a body.
    pub(crate) fn encode(&mut self, id: RecordId, kind: FrameKind, body: &[u8], stored: &mut Vec<u8>) -> Result<()> {
        let (codec, data) = match self.compress(body)? {
            Some(compressed) => (Codec::Dictionary(dictionary::CURRENT), compressed),
            None => (Codec::Raw, body),
        };
        body::write(codec, id, kind, body, data, stored);
        Ok(())
    }

    /// The compressed body, if that is smaller.
    fn compress(&mut self, body: &[u8]) -> Result<Option<&[u8]>> {
        if body.len() < MIN {
            return Ok(None);
        }
        let usual = is_usual(body);
        let in_large_steps = usual && !self.sample.takes_small_steps();
        let zstd = if in_large_steps {
            &mut self.short
        } else if usual {
            get_or_make(&mut self.small_steps, || stepping(SMALL_STEP))?
        } else {
            get_or_make(&mut self.other, regular)?
        };
        self.scratch.clear();
        self.scratch.reserve(compress_bound(body.len()));
        let written = zstd.compress_to_buffer(body, &mut self.scratch).map_err(failed)?;
        if in_large_steps {
            self.sample.add(body.len(), written);
        }
        Ok((written < body.len()).then_some(&self.scratch))
    }
}

impl Sample {
    /// Whether the next body is searched in small steps.
    fn takes_small_steps(&mut self) -> bool {
        let small = self.small_steps > 0;
        self.small_steps = self.small_steps.saturating_sub(1);
        small
    }

    fn add(&mut self, bytes: usize, compressed: usize) {
        self.bodies += 1;
        self.bytes += bytes;
        self.compressed += compressed;
        if self.bodies == SAMPLE {
            let is_good = self.compressed * 100 <= self.bytes * GOOD_PERCENT;
            *self = Self { small_steps: if is_good { 0 } else { SMALL_STEP_BODIES }, ..Self::default() };
        }
    }
}

/// The compressor, made when there is none yet.
fn get_or_make<'a>(
    compressor: &'a mut Option<Compressor<'static>>,
    make: impl FnOnce() -> Result<Compressor<'static>>,
) -> Result<&'a mut Compressor<'static>> {
    Ok(match compressor {
        Some(zstd) => zstd,
        missing => missing.insert(make()?),
    })
}

fn stepping(step: u32) -> Result<Compressor<'static>> {
    let mut zstd = regular()?;
    for parameter in [
        CParameter::Strategy(Strategy::ZSTD_fast),
        CParameter::TargetLength(step),
        CParameter::MinMatch(MIN_MATCH),
        CParameter::HashLog(HASH_LOG),
        CParameter::MaxBlockSize(BLOCK),
        // With steps, zstd does not compress letters by default.
        CParameter::LiteralCompressionMode(ParamSwitch::Enable),
    ] {
        zstd.set_parameter(parameter).map_err(failed)?;
    }
    Ok(zstd)
}

fn regular() -> Result<Compressor<'static>> {
    Compressor::with_dictionary(LEVEL, dictionary::current()).map_err(failed)
}

fn failed(error: std::io::Error) -> Error {
    Error::io("cannot compress", "in memory")(error)
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
    fn small_steps_are_used_after_large_steps_compress_badly() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut encoder = BodyCompressor::new().unwrap();
        let mut average = |bodies: u32| {
            let sizes = (0..bodies).map(|_| {
                let body = jumble(&mut random);
                encoder.compress(body.as_bytes()).unwrap().map_or(body.len(), <[u8]>::len)
            });
            sizes.sum::<usize>() / bodies as usize
        };
        let (before, after) = (average(SAMPLE), average(100));
        assert!(after * 10 < before * 9, "{before} bytes before, {after} after");
    }

    #[test]
    fn large_steps_stay_in_use_while_they_compress_well() {
        let mut encoder = BodyCompressor::new().unwrap();
        for _ in 0..=SAMPLE {
            encoder.compress(&b"the model answered the question ".repeat(40)).unwrap();
        }
        assert!(encoder.small_steps.is_none());
    }
}
