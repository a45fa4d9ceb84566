//! Stored bodies: the event's bytes, compressed when that helps, with a checksum of what they must come out as.

use std::cell::RefCell;

use crate::frame::{Kind, MAX_PAYLOAD, array};
use crate::{Error, Result};

/// codec u8 | kind u8 | 0 u16 | raw length u32 | CRC-32C of the raw bytes u32
const HEADER: usize = 12;
const RAW: u8 = 0;
const ZSTD: u8 = 1;
/// Bodies below this don't get smaller.
const MIN: usize = 64;
/// Higher levels cost more time than they save here; see docs/journal.md.
const LEVEL: i32 = 1;

/// Compresses bodies, reusing its working memory.
pub(crate) struct Encoder {
    zstd: zstd::bulk::Compressor<'static>,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self> {
        let zstd = zstd::bulk::Compressor::new(LEVEL).map_err(Error::io("cannot compress", "in memory"))?;
        Ok(Self { zstd })
    }

    pub(crate) fn encode(&mut self, kind: Kind, body: &[u8]) -> Result<Vec<u8>> {
        let mut stored = Vec::with_capacity(HEADER + zstd::zstd_safe::compress_bound(body.len()));
        stored.extend_from_slice(&[RAW, kind as u8, 0, 0]);
        stored.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        stored.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
        if body.len() >= MIN {
            let mut squeezed = vec![0; zstd::zstd_safe::compress_bound(body.len())];
            let written =
                self.zstd.compress_to_buffer(body, &mut squeezed).map_err(Error::io("cannot compress", "in memory"))?;
            if written < body.len() {
                stored[0] = ZSTD;
                stored.extend_from_slice(&squeezed[..written]);
                return Ok(stored);
            }
        }
        stored.extend_from_slice(body);
        Ok(stored)
    }
}

thread_local! {
    /// Making a context costs more than decompressing a usual body with it.
    static CONTEXT: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(data: &[u8], raw_len: usize) -> std::io::Result<Vec<u8>> {
    CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(zstd::bulk::Decompressor::new()?),
        };
        context.decompress(data, raw_len)
    })
}

/// Takes a stored body apart again and checks it.
pub(crate) fn decode(stored: &[u8]) -> Result<Vec<u8>> {
    let damaged = |what: &str| Error::Corrupt(format!("a stored body {what}"));
    if stored.len() < HEADER {
        return Err(damaged("is cut short"));
    }
    let raw_len = u32::from_le_bytes(array(stored, 4)) as usize;
    if raw_len > MAX_PAYLOAD {
        return Err(damaged("claims an impossible length"));
    }
    let data = &stored[HEADER..];
    let body = match stored[0] {
        RAW => data.to_vec(),
        ZSTD => decompress(data, raw_len).map_err(|_| damaged("does not decompress"))?,
        _ => return Err(damaged("uses a codec this version doesn't know; upgrade plsync")),
    };
    if body.len() != raw_len || crc32c::crc32c(&body) != u32::from_le_bytes(array(stored, 8)) {
        return Err(damaged("does not match its checksum"));
    }
    Ok(body)
}

/// Bytes of the body before compression.
pub(crate) fn raw_len(stored: &[u8]) -> u64 {
    stored.get(4..8).map_or(0, |_| u64::from(u32::from_le_bytes(array(stored, 4))))
}

/// Whether the body is opaque bytes, which are stored but never sent.
pub(crate) fn is_raw(stored: &[u8]) -> bool {
    stored.get(1) == Some(&(Kind::Raw as u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_body_reads_back(body in prop::collection::vec(0..4u8, 0..4000)) {
            let stored = Encoder::new().unwrap().encode(Kind::Start, &body).unwrap();
            prop_assert_eq!(decode(&stored).unwrap(), &body[..]);
            prop_assert_eq!(raw_len(&stored), body.len() as u64);
        }

        #[test]
        fn damage_is_noticed_or_harmless(body in prop::collection::vec(any::<u8>(), 1..500), at: prop::sample::Index, bit in 0..8u8) {
            let mut stored = Encoder::new().unwrap().encode(Kind::End, &body).unwrap();
            let at = at.index(stored.len());
            stored[at] ^= 1 << bit;
            prop_assert!(decode(&stored).map_or(true, |read| read == body));
        }
    }
}
