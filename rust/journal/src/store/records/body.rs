//! Stored bodies: an event's bytes, compressed when that makes them smaller, with a checksum of the uncompressed bytes.

use std::cell::RefCell;

use heed::RoTxn;
use zstd::zstd_safe::DCtx;

use super::{dictionary, root_dictionary};
use crate::checksum::crc32c;
use crate::frame::{MAX_PAYLOAD, array};
use crate::os::allocation;
use crate::state::FrameKind;
use crate::store::db::trees::{PART_END, PART_START, Trees, record_key, tail_seq};
use crate::{Error, RecordId, Result};

/// codec u8 | kind u8 | dictionary u16 | raw length u32 | CRC-32C of the raw bytes u32 | CRC-32C of the record id u32
pub(super) const HEADER: usize = 16;
/// The offset of the owner's checksum, which shows that a body with a damaged key belongs to another record.
const OWNER: usize = 12;
const RAW: u8 = 0;
pub(super) const ZSTD: u8 = 1;
pub(super) const ZSTD_DICTIONARY: u8 = 2;
/// The data begins with the record id of the root. zstd's dictionary is the numbered one, followed by the start of the root.
const ZSTD_BASE: u8 = 3;

/// How a body is stored.
#[derive(Clone, Copy)]
pub(crate) enum Codec {
    Raw,
    /// Compressed with the dictionary of this number.
    Dictionary(u16),
    /// Compressed with the dictionary of this number and the start of the root.
    Base(u16, RecordId),
}

/// Appends a stored body: a header, and its data.
pub(crate) fn write(
    codec: Codec,
    id: RecordId,
    kind: FrameKind,
    body: &[u8],
    data: &[u8],
    stored: &mut Vec<u8>,
) -> Result<()> {
    let (codec, dictionary, root) = match codec {
        Codec::Raw => (RAW, 0, None),
        Codec::Dictionary(number) => (ZSTD_DICTIONARY, number, None),
        Codec::Base(number, root) => (ZSTD_BASE, number, Some(root)),
    };
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&[codec, kind as u8]);
    header[2..4].copy_from_slice(&dictionary.to_le_bytes());
    header[4..8].copy_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    header[8..12].copy_from_slice(&crc32c(body).to_le_bytes());
    header[OWNER..].copy_from_slice(&crc32c(&id.0).to_le_bytes());
    allocation::reserve(stored, HEADER + 16 + data.len())?;
    stored.extend_from_slice(&header);
    if let Some(root) = root {
        stored.extend_from_slice(&root.0);
    }
    stored.extend_from_slice(data);
    Ok(())
}

/// The stored form of a body without compression. `stored` is another form of the same body.
pub(crate) fn uncompressed(stored: &[u8], body: &[u8]) -> Result<Vec<u8>> {
    let mut whole = allocation::with_room(HEADER + body.len())?;
    whole.extend_from_slice(&stored[..HEADER.min(stored.len())]);
    whole.resize(HEADER, 0);
    whole[0] = RAW;
    whole[2..4].fill(0);
    whole.extend_from_slice(body);
    Ok(whole)
}

/// Reads a stored body. Fails unless it is intact, and this part of this record.
pub(crate) fn decode(txn: &RoTxn, trees: &Trees, id: RecordId, part: u8, stored: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    decode_into(txn, trees, id, part, stored, &mut body)?;
    Ok(body)
}

/// Like [`decode`], into memory that the caller reuses. After an error its content is undefined.
pub(crate) fn decode_into(
    txn: &RoTxn,
    trees: &Trees,
    id: RecordId,
    part: u8,
    stored: &[u8],
    body: &mut Vec<u8>,
) -> Result<()> {
    if !belongs(stored, id, part) {
        return Err(Error::Corrupt("a stored body is not this record's".into()));
    }
    let dictionary = |number| Ok(dictionary::find(txn, trees, number)?.to_vec());
    decode_with(stored, body, dictionary, |root| {
        let start = match trees.ids.get(txn, &root.0)? {
            Some(known) => trees.records.get(txn, &record_key(tail_seq(known)?, PART_START))?,
            None => None,
        };
        start.map(allocation::copied).transpose()
    })
}

/// Reads a stored body of any record. `dictionary` returns dictionaries that this version does not ship, and `start` the stored start
/// of a root.
pub(crate) fn decode_with(
    stored: &[u8],
    body: &mut Vec<u8>,
    dictionary: impl Fn(u16) -> Result<Vec<u8>>,
    start: impl FnOnce(RecordId) -> Result<Option<Vec<u8>>>,
) -> Result<()> {
    let Some(root) = repeated_root(stored) else { return decode_plain(stored, body, &dictionary) };
    prepare(stored, body)?;
    let lost = || damaged("repeats the start of its root, which is lost");
    let found = start(root)?.filter(|start| belongs(start, root, PART_START)).ok_or_else(lost)?;
    let sums = found.get(4..12).and_then(|sums| sums.try_into().ok());
    let sums = sums.ok_or_else(|| Error::Corrupt("the start of its root is cut short".into()))?;
    let made = (root, sums, u16::from_le_bytes(array(stored, 2)));
    let start = || {
        let mut whole = Vec::new();
        decode_plain(&found, &mut whole, &dictionary)?;
        Ok(whole)
    };
    root_dictionary::read(made, repeated(stored)?.1, body, start, &dictionary)?;
    verify(stored, body)
}

fn damaged(reason: &str) -> Error {
    Error::Corrupt(format!("a stored body {reason}"))
}

/// Clears `body`, and reserves the length that the header has.
fn prepare(stored: &[u8], body: &mut Vec<u8>) -> Result<()> {
    if stored.len() < HEADER {
        return Err(damaged("is cut short"));
    }
    let raw_len = u32::from_le_bytes(array(stored, 4)) as usize;
    if raw_len > MAX_PAYLOAD {
        return Err(damaged("claims an impossible length"));
    }
    body.clear();
    allocation::reserve(body, raw_len)
}

fn verify(stored: &[u8], body: &[u8]) -> Result<()> {
    let raw_len = u32::from_le_bytes(array(stored, 4)) as usize;
    if body.len() != raw_len || crc32c(body) != u32::from_le_bytes(array(stored, 8)) {
        return Err(damaged("does not match its checksum"));
    }
    Ok(())
}

/// Reads a stored body that repeats no other.
fn decode_plain(stored: &[u8], body: &mut Vec<u8>, dictionary: &impl Fn(u16) -> Result<Vec<u8>>) -> Result<()> {
    prepare(stored, body)?;
    let data = &stored[HEADER..];
    match (stored[0], u16::from_le_bytes(array(stored, 2))) {
        (RAW, _) => body.extend_from_slice(data),
        (codec @ (ZSTD | ZSTD_DICTIONARY), number) => {
            let shipped = dictionary::index(number);
            match (codec, shipped) {
                (ZSTD, _) => decompress(&mut context()?, data, body)?,
                (_, Some(index)) => with_shipped_dictionary(index, data, body)?,
                (_, None) => {
                    let mut context = context()?;
                    context.load_dictionary(&dictionary(number)?).map_err(dictionary::undecoded)?;
                    decompress(&mut context, data, body)?;
                }
            }
        }
        _ => return Err(damaged("uses a codec that this version does not know; upgrade plsync")),
    }
    verify(stored, body)
}

/// The root whose start a stored body repeats.
pub(crate) fn repeated_root(stored: &[u8]) -> Option<RecordId> {
    if stored.first() != Some(&ZSTD_BASE) {
        return None;
    }
    Some(repeated(stored).map_or(RecordId([0; 16]), |(root, _)| root))
}

/// The root whose start a stored body repeats, and the compressed data.
pub(super) fn repeated(stored: &[u8]) -> Result<(RecordId, &[u8])> {
    let data = stored.get(HEADER..).and_then(|data| data.split_first_chunk());
    let (root, data) = data.ok_or_else(|| damaged("is cut short"))?;
    Ok((RecordId(*root), data))
}

thread_local! {
    /// A new context costs more than decompressing a usual body with it.
    static CONTEXTS: RefCell<[Option<DCtx<'static>>; dictionary::SHIPPED]> =
        const { RefCell::new([const { None }; dictionary::SHIPPED]) };
}

fn with_shipped_dictionary(index: usize, data: &[u8], body: &mut Vec<u8>) -> Result<()> {
    CONTEXTS.with_borrow_mut(|contexts| {
        let context = match &mut contexts[index] {
            Some(context) => context,
            missing => {
                let mut made = context()?;
                made.ref_ddict(dictionary::decoder(index)?).map_err(dictionary::undecoded)?;
                missing.insert(made)
            }
        };
        decompress(context, data, body)
    })
}

fn context() -> Result<DCtx<'static>> {
    DCtx::try_create().ok_or_else(Error::memory)
}

fn decompress(context: &mut DCtx, data: &[u8], body: &mut Vec<u8>) -> Result<()> {
    context.decompress(body, data).map(drop).map_err(dictionary::undecoded)
}

/// Whether a stored body is this part of this record.
pub(crate) fn belongs(stored: &[u8], id: RecordId, part: u8) -> bool {
    part_of(stored) == Some(part) && owner(stored) == Some(crc32c(&id.0))
}

/// The checksum of its record's id.
pub(crate) fn owner(stored: &[u8]) -> Option<u32> {
    stored.get(OWNER..HEADER).map(|owner| u32::from_le_bytes(array(owner, 0)))
}

/// Whether a stored body is of a run that is not a call.
pub(crate) fn is_run(stored: &[u8]) -> bool {
    kind(stored).is_some_and(FrameKind::is_run)
}

/// The kind of the frame that the body was in.
pub(crate) fn kind(stored: &[u8]) -> Option<FrameKind> {
    stored.get(1).and_then(|kind| FrameKind::from_u8(*kind))
}

/// The part of its record that a stored body is.
pub(crate) fn part_of(stored: &[u8]) -> Option<u8> {
    stored.get(1)?;
    let is_end = kind(stored).is_some_and(FrameKind::is_end);
    Some(if is_end { PART_END } else { PART_START })
}

/// Assigns a stored body to another record.
pub(crate) fn assign(stored: &mut [u8], id: RecordId) {
    if let Some(owner) = stored.get_mut(OWNER..HEADER) {
        owner.copy_from_slice(&crc32c(&id.0).to_le_bytes());
    }
}

/// Assigns a stored body to the record of another one.
pub(crate) fn assign_as(stored: &mut [u8], other: &[u8]) {
    if let (Some(owner), Some(other)) = (stored.get_mut(OWNER..HEADER), other.get(OWNER..HEADER)) {
        owner.copy_from_slice(other);
    }
}

/// Bytes of the body before compression.
pub(crate) fn raw_len(stored: &[u8]) -> u64 {
    stored.get(4..8).map_or(0, |_| u64::from(u32::from_le_bytes(array(stored, 4))))
}

/// Whether the body is opaque bytes, which are stored but never sent.
pub(crate) fn is_raw(stored: &[u8]) -> bool {
    stored.get(1) == Some(&(FrameKind::Raw as u8))
}
