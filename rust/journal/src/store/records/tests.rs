//! Stored bodies: `body` reads every body that `compressor` writes.

use proptest::prelude::*;
use zstd::bulk::Compressor;

use super::body::{HEADER, ZSTD, ZSTD_DICTIONARY, belongs, decode_with, raw_len};
use super::compressor::BodyCompressor;
use super::dictionary;
use crate::state::FrameKind;
use crate::store::db::trees::PART_END;
use crate::{Error, RecordId, Result};

const ID: RecordId = RecordId([7; 16]);

fn read(stored: &[u8]) -> Result<Vec<u8>> {
    let mut body = vec![7; 10];
    decode_with(stored, &mut body, |number| Err(Error::Corrupt(format!("no dictionary {number}"))), |_| Ok(None))?;
    Ok(body)
}

fn encode(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut stored = Vec::new();
    BodyCompressor::new().unwrap().encode(ID, kind, body, &mut stored).unwrap();
    stored
}

/// A stored body of another version.
fn stored_with(codec: u8, dictionary: u16, body: &[u8], data: &[u8]) -> Vec<u8> {
    let mut stored = encode(FrameKind::Start, body);
    stored.truncate(HEADER);
    stored[0] = codec;
    stored[2..4].copy_from_slice(&dictionary.to_le_bytes());
    stored.extend_from_slice(data);
    stored
}

#[test]
fn a_body_with_an_unknown_dictionary_is_read_with_the_journals_copy() {
    let other = b"a dictionary without structure is as good as any: the model answered".repeat(20);
    let body = b"{\"the model answered\": \"a dictionary without structure\"}";
    let data = Compressor::with_dictionary(3, &other).unwrap().compress(body).unwrap();
    let stored = stored_with(ZSTD_DICTIONARY, 77, body, &data);
    let mut read_back = Vec::new();
    let dictionary = |number| Ok(if number == 77 { other.clone() } else { Vec::new() });
    decode_with(&stored, &mut read_back, dictionary, |_| Ok(None)).unwrap();
    assert_eq!(read_back, body);
    assert!(read(&stored).unwrap_err().to_string().contains("dictionary 77"));
}

#[test]
fn other_alphabets_and_long_bodies_are_compressed_too() {
    for body in ["Ответ модели был верным. ".repeat(40), "模型的回答是正确的。".repeat(40), "Quite long. ".repeat(1000)]
    {
        let stored = encode(FrameKind::End, body.as_bytes());
        assert!(stored.len() < body.len() / 2);
        assert_eq!(read(&stored).unwrap(), body.as_bytes());
    }
}

proptest! {
    #[test]
    fn a_body_reads_back(body in prop::collection::vec(0..4u8, 0..9000)) {
        let stored = encode(FrameKind::Start, &body);
        prop_assert_eq!(read(&stored).unwrap(), &body[..]);
        prop_assert_eq!(raw_len(&stored), body.len() as u64);
        let without = zstd::bulk::compress(&body, 1).unwrap();
        prop_assert_eq!(read(&stored_with(ZSTD, 0, &body, &without)).unwrap(), &body[..]);
        let first = Compressor::with_dictionary(1, dictionary::bytes(1)).unwrap().compress(&body).unwrap();
        prop_assert_eq!(read(&stored_with(ZSTD_DICTIONARY, 1, &body, &first)).unwrap(), body);
    }

    #[test]
    fn damage_is_noticed_or_harmless(body in prop::collection::vec(any::<u8>(), 1..500), at: prop::sample::Index, bit in 0..8u8) {
        let mut stored = encode(FrameKind::End, &body);
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        prop_assert!(!belongs(&stored, ID, PART_END) || read(&stored).map_or(true, |read| read == body));
    }
}
