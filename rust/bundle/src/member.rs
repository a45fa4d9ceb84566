//! Members of lines, on their way into a bundle: uncompressed, and packed.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use crate::error::Result;
use crate::ids::Sha;
use crate::{limits, lines};

/// zstd's level. Level 9 saves one more hundredth of the raw bytes for four times the time.
const LEVEL: i32 = 3;
/// The shortest match, and the logarithms of the sizes of zstd's two tables. The tables of the level itself are five times as large.
/// They save half of a hundredth of the raw bytes for up to a third more time.
const MIN_MATCH: u32 = 7;
const HASH_LOG: u32 = 15;
const CHAIN_LOG: u32 = 13;

/// A compressed member.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Its lines, as one frame of zstd.
    pub(crate) bytes: Vec<u8>,
    /// Bytes of its lines.
    pub(crate) raw: u64,
    /// Its records, follow-ups or entries.
    pub(crate) items: u64,
    /// The SHA-256 of `bytes`.
    pub(crate) sha256: Sha,
}

/// The lines of a member that is not full yet.
#[derive(Default)]
pub struct Draft {
    pub(crate) raw: Vec<u8>,
    pub(crate) items: u64,
    compressor: Option<Compressor<'static>>,
    /// Memory for the compression.
    scratch: Vec<u8>,
}

impl Draft {
    /// Adds a record. Returns a member that is full now.
    ///
    /// # Errors
    /// [`crate::Error::Unfit`] when the record does not fit the format. The draft is then as before.
    pub fn record(
        &mut self,
        header: lines::RecordHeader,
        start: Option<lines::Body<'_>>,
        end: Option<lines::Body<'_>>,
    ) -> Result<Option<Packed>> {
        self.add(|raw| lines::push_checked(raw, header, start, end))
    }

    /// Packs the lines that are left.
    ///
    /// # Errors
    /// When there is no memory for the compression.
    pub fn finish(&mut self) -> Result<Option<Packed>> {
        if self.items == 0 { Ok(None) } else { self.pack().map(Some) }
    }

    /// Adds the lines of one item.
    pub(crate) fn add(&mut self, push: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Option<Packed>> {
        let before = self.raw.len();
        push(&mut self.raw)?;
        // An item that does not fit beside the lines before it begins the next member.
        let full = if before > 0 && self.raw.len() > limits::FULL_MEMBER {
            let next = self.raw.split_off(before);
            let full = self.pack()?;
            self.raw = next;
            Some(full)
        } else {
            None
        };
        self.items += 1;
        if full.is_none() && self.raw.len() >= limits::FULL_MEMBER {
            return self.pack().map(Some);
        }
        Ok(full)
    }

    fn pack(&mut self) -> Result<Packed> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            missing => missing.insert(compressor()?),
        };
        self.scratch.clear();
        self.scratch.reserve(compress_bound(self.raw.len()));
        compressor.compress_to_buffer(&self.raw, &mut self.scratch)?;
        let bytes = self.scratch.clone();
        let (raw, items) = (self.raw.len() as u64, std::mem::take(&mut self.items));
        for memory in [&mut self.raw, &mut self.scratch] {
            memory.clear();
            // The memory of a large record is not kept.
            memory.shrink_to(2 * limits::FULL_MEMBER);
        }
        Ok(Packed { sha256: Sha::of(&bytes), bytes, raw, items })
    }
}

fn compressor() -> std::io::Result<Compressor<'static>> {
    let mut made = Compressor::new(LEVEL)?;
    for parameter in [CParameter::MinMatch(MIN_MATCH), CParameter::HashLog(HASH_LOG), CParameter::ChainLog(CHAIN_LOG)] {
        made.set_parameter(parameter)?;
    }
    Ok(made)
}
