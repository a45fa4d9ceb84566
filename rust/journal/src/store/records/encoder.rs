//! Compressing bodies, at the pace at which they are recorded.
//!
//! Most bodies are a page of JSON: names that the dictionary knows, and a few sentences. Those are looked through in large steps,
//! which finds the names and seldom the words, and the words are written in the dictionary's own codes. That takes less than half of
//! the time of zstd's fastest regular level, and little more room. Where it leaves too much, the next are looked through in smaller
//! steps. docs/internals/journal.md has the figures.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, ParamSwitch, Strategy, compress_bound};

use super::dictionary;
use super::payload::{self, Codec};
use crate::state::Kind;
use crate::{Error, RecordId, Result};

/// Bodies below this don't get smaller.
const MIN: usize = 24;
/// Longer bodies repeat themselves, which is worth looking for more closely.
const SHORT: usize = 4096;
/// One in so many bytes may be of another alphabet than the dictionary's codes are for.
const FOREIGN: usize = 16;
/// What the others are compressed with. Higher levels cost more time than they save here.
const LEVEL: i32 = 1;
/// Short bodies: how far the search for repetition steps, the shortest it takes, and how many places it remembers (a power of two).
const STEP: u32 = 24;
const SMALL_STEP: u32 = 8;
const SHORTEST: u32 = 7;
const PLACES: u32 = 15;
/// zstd makes codes of its own for a block with more than a kilobyte of letters. Blocks of this size seldom have so many.
const BLOCK: u32 = 1280;

/// Bodies after which it is looked at what large steps leave of them, and for how many bodies small ones are then taken.
const SAMPLE: u32 = 128;
const STAY: u32 = 4096;
/// Of a hundred bytes large steps may leave so many.
const ENOUGH: usize = 44;

/// Compresses bodies, reusing its working memory.
pub(crate) struct Encoder {
    short: Compressor<'static>,
    /// The others are made when the first body for them comes.
    small_steps: Option<Compressor<'static>>,
    other: Option<Compressor<'static>>,
    sample: Sample,
    scratch: Vec<u8>,
}

/// What large steps have left lately.
#[derive(Default)]
struct Sample {
    bodies: u32,
    bytes: usize,
    left: usize,
    /// For how many more bodies small steps are taken.
    staying: u32,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self> {
        let (small_steps, other) = (None, None);
        Ok(Self { short: stepping(STEP)?, small_steps, other, sample: Sample::default(), scratch: Vec::new() })
    }

    /// Appends the body as it is stored.
    pub(crate) fn encode(&mut self, id: RecordId, kind: Kind, body: &[u8], stored: &mut Vec<u8>) -> Result<()> {
        let (codec, data) = match self.squeeze(body)? {
            Some(squeezed) => (Codec::Dictionary(dictionary::CURRENT), squeezed),
            None => (Codec::Raw, body),
        };
        payload::write(codec, id, kind, body, data, stored);
        Ok(())
    }

    /// The body compressed, when that makes it smaller.
    fn squeeze(&mut self, body: &[u8]) -> Result<Option<&[u8]>> {
        if body.len() < MIN {
            return Ok(None);
        }
        let usual = is_usual(body);
        let in_large_steps = usual && !self.sample.stays();
        let zstd = if in_large_steps {
            &mut self.short
        } else if usual {
            made(&mut self.small_steps, || stepping(SMALL_STEP))?
        } else {
            made(&mut self.other, regular)?
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
    /// Whether the next body is one for small steps.
    fn stays(&mut self) -> bool {
        let stays = self.staying > 0;
        self.staying = self.staying.saturating_sub(1);
        stays
    }

    fn add(&mut self, bytes: usize, left: usize) {
        self.bodies += 1;
        self.bytes += bytes;
        self.left += left;
        if self.bodies == SAMPLE {
            let staying = if self.left * 100 > self.bytes * ENOUGH { STAY } else { 0 };
            *self = Self { staying, ..Self::default() };
        }
    }
}

/// The compressor in a place, which is made when there is none yet.
fn made<'a>(
    place: &'a mut Option<Compressor<'static>>,
    make: impl FnOnce() -> Result<Compressor<'static>>,
) -> Result<&'a mut Compressor<'static>> {
    Ok(match place {
        Some(zstd) => zstd,
        missing => missing.insert(make()?),
    })
}

fn stepping(step: u32) -> Result<Compressor<'static>> {
    let mut zstd = regular()?;
    for parameter in [
        CParameter::Strategy(Strategy::ZSTD_fast),
        CParameter::TargetLength(step),
        CParameter::MinMatch(SHORTEST),
        CParameter::HashLog(PLACES),
        CParameter::MaxBlockSize(BLOCK),
        // With steps, zstd would leave letters as they are.
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

/// Whether the body is short, and nearly all of it ASCII.
fn is_usual(body: &[u8]) -> bool {
    let foreign = || body.iter().filter(|byte| !byte.is_ascii()).count();
    body.len() <= SHORT && (body.is_ascii() || foreign() <= body.len() / FOREIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 12] = [
        "lake", "deep", "model", "answer", "journal", "question", "river", "paper", "window", "morning", "summer",
        "garden",
    ];

    /// Words without grammar: nothing but single words comes again.
    fn jumble(random: &mut fastrand::Rng) -> String {
        (0..200).map(|_| random.choice(WORDS).unwrap_or_default()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn where_large_steps_leave_too_much_small_ones_are_taken() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut encoder = Encoder::new().unwrap();
        let mut left = |bodies: u32| {
            let sizes = (0..bodies).map(|_| {
                let body = jumble(&mut random);
                encoder.squeeze(body.as_bytes()).unwrap().map_or(body.len(), <[u8]>::len)
            });
            sizes.sum::<usize>() / bodies as usize
        };
        let (before, after) = (left(SAMPLE), left(100));
        assert!(after * 10 < before * 9, "{before} bytes before, {after} after");
    }

    #[test]
    fn where_they_leave_little_they_go_on() {
        let mut encoder = Encoder::new().unwrap();
        for _ in 0..=SAMPLE {
            encoder.squeeze(&b"the model answered the question ".repeat(40)).unwrap();
        }
        assert!(encoder.small_steps.is_none());
    }
}
