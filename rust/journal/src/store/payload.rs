//! Stored bodies: the event's bytes, compressed when that helps, with a checksum of what they must come out as.

use std::cell::RefCell;

use heed::RoTxn;
use zstd::bulk::{Compressor, Decompressor};

use super::dictionary;
use super::tables::{PART_END, PART_START, Tables};
use crate::frame::{Kind, MAX_PAYLOAD, array};
use crate::{Error, RecordId, Result};

/// codec u8 | kind u8 | dictionary u16 | raw length u32 | CRC-32C of the raw bytes u32 | CRC-32C of the record id u32
const HEADER: usize = 16;
/// Where the owner stands: a body under a damaged key is another's, and says so.
const OWNER: usize = 12;
const RAW: u8 = 0;
const ZSTD: u8 = 1;
const ZSTD_DICTIONARY: u8 = 2;
/// Bodies below this don't get smaller.
const MIN: usize = 24;
/// Higher levels cost more time than they save here; see docs/journal.md.
const LEVEL: i32 = 1;

/// Compresses bodies, reusing its working memory.
pub(crate) struct Encoder {
    zstd: Compressor<'static>,
    scratch: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self> {
        let zstd = Compressor::with_prepared_dictionary(dictionary::encoder(LEVEL));
        Ok(Self { zstd: zstd.map_err(Error::io("cannot compress", "in memory"))?, scratch: Vec::new() })
    }

    pub(crate) fn encode(&mut self, id: RecordId, kind: Kind, body: &[u8]) -> Result<Vec<u8>> {
        let (codec, dictionary, data) = match self.squeeze(body)? {
            Some(squeezed) => (ZSTD_DICTIONARY, dictionary::CURRENT, squeezed),
            None => (RAW, 0, body),
        };
        let mut stored = Vec::with_capacity(HEADER + data.len());
        stored.extend_from_slice(&[codec, kind as u8]);
        stored.extend_from_slice(&dictionary.to_le_bytes());
        stored.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        stored.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
        stored.extend_from_slice(&crc32c::crc32c(&id.0).to_le_bytes());
        stored.extend_from_slice(data);
        Ok(stored)
    }

    /// The body compressed, when that makes it smaller.
    fn squeeze(&mut self, body: &[u8]) -> Result<Option<&[u8]>> {
        if body.len() < MIN {
            return Ok(None);
        }
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(body.len()));
        let written = self.zstd.compress_to_buffer(body, &mut self.scratch);
        let written = written.map_err(Error::io("cannot compress", "in memory"))?;
        Ok((written < body.len()).then_some(&self.scratch))
    }
}

thread_local! {
    /// Making a context costs more than decompressing a usual body with it.
    static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn with_current_dictionary(data: &[u8], raw_len: usize) -> std::io::Result<Vec<u8>> {
    CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(Decompressor::with_prepared_dictionary(dictionary::decoder())?),
        };
        context.decompress(data, raw_len)
    })
}

/// Takes a stored body apart again and checks it, and that it is this part of this record.
pub(crate) fn decode(txn: &RoTxn, tables: &Tables, id: RecordId, part: u8, stored: &[u8]) -> Result<Vec<u8>> {
    if !belongs(stored, id, part) {
        return Err(Error::Corrupt("a stored body is not this record's".into()));
    }
    decode_with(stored, |number| Ok(dictionary::find(txn, tables, number)?.to_vec()))
}

/// The same, where dictionaries come from elsewhere.
pub(crate) fn decode_with(stored: &[u8], dictionary: impl FnOnce(u16) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let damaged = |what: &str| Error::Corrupt(format!("a stored body {what}"));
    if stored.len() < HEADER {
        return Err(damaged("is cut short"));
    }
    let raw_len = u32::from_le_bytes(array(stored, 4)) as usize;
    if raw_len > MAX_PAYLOAD {
        return Err(damaged("claims an impossible length"));
    }
    let data = &stored[HEADER..];
    let garbled = |_| damaged("does not decompress");
    let body = match (stored[0], u16::from_le_bytes(array(stored, 2))) {
        (RAW, _) => data.to_vec(),
        (ZSTD, _) => zstd::bulk::decompress(data, raw_len).map_err(garbled)?,
        (ZSTD_DICTIONARY, dictionary::CURRENT) => with_current_dictionary(data, raw_len).map_err(garbled)?,
        (ZSTD_DICTIONARY, number) => Decompressor::with_dictionary(&dictionary(number)?)
            .and_then(|mut zstd| zstd.decompress(data, raw_len))
            .map_err(garbled)?,
        _ => return Err(damaged("uses a codec this version doesn't know; upgrade plsync")),
    };
    if body.len() != raw_len || crc32c::crc32c(&body) != u32::from_le_bytes(array(stored, 8)) {
        return Err(damaged("does not match its checksum"));
    }
    Ok(body)
}

/// Whether a stored body is this part of this record.
pub(crate) fn belongs(stored: &[u8], id: RecordId, part: u8) -> bool {
    part_of(stored) == Some(part) && owner(stored) == Some(crc32c::crc32c(&id.0))
}

/// What its record's id has for a checksum.
pub(crate) fn owner(stored: &[u8]) -> Option<u32> {
    stored.get(OWNER..HEADER).map(|owner| u32::from_le_bytes(array(owner, 0)))
}

/// Which part of its record it is.
pub(crate) fn part_of(stored: &[u8]) -> Option<u8> {
    let kind = stored.get(1)?;
    Some(if *kind == Kind::End as u8 { PART_END } else { PART_START })
}

/// Makes a body another record's.
pub(crate) fn assign(stored: &mut [u8], id: RecordId) {
    if let Some(owner) = stored.get_mut(OWNER..HEADER) {
        owner.copy_from_slice(&crc32c::crc32c(&id.0).to_le_bytes());
    }
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

    const ID: RecordId = RecordId([7; 16]);

    fn read(stored: &[u8]) -> Result<Vec<u8>> {
        decode_with(stored, |number| Err(Error::Corrupt(format!("no dictionary {number}"))))
    }

    /// A body as the first journals stored it: compressed without a dictionary.
    fn without_dictionary(body: &[u8]) -> Vec<u8> {
        let mut stored = Encoder::new().unwrap().encode(ID, Kind::Start, body).unwrap();
        stored.truncate(HEADER);
        stored[0] = ZSTD;
        stored[2..4].fill(0);
        stored.extend_from_slice(&zstd::bulk::compress(body, 1).unwrap());
        stored
    }

    #[test]
    fn a_body_of_another_dictionary_is_read_with_the_journals_copy() {
        let other = b"a dictionary without structure is as good as any: the model answered".repeat(20);
        let body = b"{\"the model answered\": \"a dictionary without structure\"}";
        let mut stored = Encoder::new().unwrap().encode(ID, Kind::Start, body).unwrap();
        stored.truncate(HEADER);
        stored[0] = ZSTD_DICTIONARY;
        stored[2..4].copy_from_slice(&7_u16.to_le_bytes());
        stored.extend_from_slice(&Compressor::with_dictionary(3, &other).unwrap().compress(body).unwrap());
        assert_eq!(decode_with(&stored, |number| Ok(if number == 7 { other } else { Vec::new() })).unwrap(), body);
        assert!(read(&stored).unwrap_err().to_string().contains("dictionary 7"));
    }

    proptest! {
        #[test]
        fn a_body_reads_back(body in prop::collection::vec(0..4u8, 0..4000)) {
            let stored = Encoder::new().unwrap().encode(ID, Kind::Start, &body).unwrap();
            prop_assert_eq!(read(&stored).unwrap(), &body[..]);
            prop_assert_eq!(raw_len(&stored), body.len() as u64);
            prop_assert_eq!(read(&without_dictionary(&body)).unwrap(), body);
        }

        #[test]
        fn damage_is_noticed_or_harmless(body in prop::collection::vec(any::<u8>(), 1..500), at: prop::sample::Index, bit in 0..8u8) {
            let mut stored = Encoder::new().unwrap().encode(ID, Kind::End, &body).unwrap();
            let at = at.index(stored.len());
            stored[at] ^= 1 << bit;
            prop_assert!(!belongs(&stored, ID, PART_END) || read(&stored).map_or(true, |read| read == body));
        }
    }
}
