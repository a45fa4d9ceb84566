//! Compressing bodies, at the pace at which they are recorded.
//!
//! Most bodies are a page of JSON: names that the dictionary knows, and a few sentences. Those are looked through in large steps,
//! which finds the names and seldom the words, and the words are written in the dictionary's own codes. That takes less than half of
//! the time of zstd's fastest regular level, and little more room. docs/journal.md has the figures.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, ParamSwitch, Strategy, compress_bound};

use super::dictionary;
use super::payload::{self, Codec};
use crate::frame::Kind;
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
const SHORTEST: u32 = 7;
const PLACES: u32 = 15;
/// zstd makes codes of its own for a block with more than a kilobyte of letters. Blocks of this size seldom have so many.
const BLOCK: u32 = 1280;

/// Compresses bodies, reusing its working memory.
pub(crate) struct Encoder {
    short: Compressor<'static>,
    /// Made when the first of them comes.
    other: Option<Compressor<'static>>,
    scratch: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self> {
        let mut short = regular()?;
        for parameter in [
            CParameter::Strategy(Strategy::ZSTD_fast),
            CParameter::TargetLength(STEP),
            CParameter::MinMatch(SHORTEST),
            CParameter::HashLog(PLACES),
            CParameter::MaxBlockSize(BLOCK),
            // With steps, zstd would leave letters as they are.
            CParameter::LiteralCompressionMode(ParamSwitch::Enable),
        ] {
            short.set_parameter(parameter).map_err(failed)?;
        }
        Ok(Self { short, other: None, scratch: Vec::new() })
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
        let zstd = match &mut self.other {
            _ if is_usual(body) => &mut self.short,
            Some(other) => other,
            other => other.insert(regular()?),
        };
        self.scratch.clear();
        self.scratch.reserve(compress_bound(body.len()));
        let written = zstd.compress_to_buffer(body, &mut self.scratch).map_err(failed)?;
        Ok((written < body.len()).then_some(&self.scratch))
    }
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
