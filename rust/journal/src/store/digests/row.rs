//! The stored form of a digest, and the blocks of digests. `docs/reference/format.md` has the byte table.

use crate::checksum::crc32c;
use crate::facts::{EndFacts, KINDS, StartFacts, Tokens};
use crate::frame::array;
use crate::state::{CallEnd, FLAG_CACHED};
use crate::store::db::trees::seq_key;
use crate::store::records::row::StateRow;
use crate::{Millis, Seq};

/// Bytes of a stored digest.
pub(crate) const ROW: usize = 48;
/// The digests of a block. A block fills a page of LMDB that its value has for itself.
pub(crate) const ROWS: u64 = 85;
/// Bytes of a block.
pub(crate) const BLOCK: usize = 4080;
/// The offset of a row's checksum.
const SEAL: usize = 44;

const PRESENT: u16 = 1;
const COMPLETE: u16 = 2;
const CACHED: u16 = 4;
const DURATION: u16 = 8;
const FIRST_TOKEN: u16 = 16;
const TOKENS: u16 = 32;
const RUN: u16 = 64;
const MODEL_OPEN: u16 = 128;

/// The number of a name in a store; 0 for no name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub u32);

/// The figures of a record, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // the stored flags
pub struct Digest {
    /// The start, from the record's id.
    pub started: Millis,
    /// How the call ended.
    pub ended: CallEnd,
    /// The kind: see [`crate::facts::kind_number`].
    pub kind: u8,
    /// Whether the record is a run that is not a call.
    pub is_run: bool,
    /// Whether the answer came from a cache.
    pub is_cached: bool,
    /// Whether the digest has all that the events have.
    pub is_complete: bool,
    /// Whether the answer decides the name of the model.
    pub is_model_open: bool,
    /// The duration.
    pub duration_ns: Option<u64>,
    /// The time from the start to the first token.
    pub first_token_ns: Option<u64>,
    /// The tokens.
    pub tokens: Option<Tokens>,
    /// The model.
    pub model: NameId,
    /// The provider.
    pub provider: NameId,
}

impl Digest {
    /// A digest without figures.
    pub(crate) fn new(started: Millis) -> Self {
        Self {
            started,
            ended: CallEnd::No,
            kind: 0,
            is_run: false,
            is_cached: false,
            is_complete: false,
            is_model_open: false,
            duration_ns: None,
            first_token_ns: None,
            tokens: None,
            model: NameId::default(),
            provider: NameId::default(),
        }
    }

    /// The digest of a record of which the row alone is known.
    pub(crate) fn of_row(row: &StateRow) -> Self {
        Self {
            ended: row.ended,
            is_run: row.is_run(),
            is_cached: row.flags & FLAG_CACHED != 0,
            ..Self::new(row.id.made_at())
        }
    }

    /// Adds the facts of the start. `None`: the writer of the start left no facts.
    pub(crate) fn start(&mut self, facts: Option<&StartFacts<'_>>, model: NameId, provider: NameId) {
        // An end that came first may lack facts.
        self.is_complete = facts.is_some() && self.ended == CallEnd::No;
        if let Some(facts) = facts {
            (self.kind, self.is_model_open, self.model, self.provider) =
                (facts.kind, facts.is_model_open, model, provider);
        }
    }

    /// Adds the facts of the end. `None`: the writer of the end left no facts.
    pub(crate) fn end(&mut self, ended: CallEnd, facts: Option<EndFacts>) {
        self.ended = ended;
        self.is_complete &= facts.is_some() && !self.is_model_open;
        let EndFacts { duration_ns, first_token_ns, tokens } = facts.unwrap_or_default();
        (self.duration_ns, self.first_token_ns, self.tokens) = (duration_ns, first_token_ns, tokens);
    }

    /// The digest of a forgotten record: nothing that its events contained.
    pub(crate) fn forgotten(&self) -> Self {
        Self { ended: self.ended, is_run: self.is_run, kind: self.kind, is_complete: true, ..Self::new(self.started) }
    }

    pub(crate) fn encode(&self, seq: Seq) -> [u8; ROW] {
        let flag = |is_set: bool, flag: u16| if is_set { flag } else { 0 };
        let flags = PRESENT
            | flag(self.is_complete, COMPLETE)
            | flag(self.is_cached, CACHED)
            | flag(self.duration_ns.is_some(), DURATION)
            | flag(self.first_token_ns.is_some(), FIRST_TOKEN)
            | flag(self.tokens.is_some(), TOKENS)
            | flag(self.is_run, RUN)
            | flag(self.is_model_open, MODEL_OPEN);
        let tokens = self.tokens.unwrap_or_default();
        let mut row = [0; ROW];
        row[..6].copy_from_slice(&self.started.0.to_le_bytes()[..6]);
        (row[6], row[7]) = (self.ended as u8, self.kind);
        row[8..10].copy_from_slice(&flags.to_le_bytes());
        row[10..12].copy_from_slice(&u16::try_from(self.provider.0).unwrap_or_default().to_le_bytes());
        row[12..16].copy_from_slice(&self.model.0.to_le_bytes());
        row[16..24].copy_from_slice(&self.duration_ns.unwrap_or_default().to_le_bytes());
        row[24..32].copy_from_slice(&self.first_token_ns.unwrap_or_default().to_le_bytes());
        row[32..36].copy_from_slice(&tokens.input.to_le_bytes());
        row[36..40].copy_from_slice(&tokens.output.to_le_bytes());
        row[40..44].copy_from_slice(&tokens.cached.to_le_bytes());
        let seal = seal(seq, &row);
        row[SEAL..].copy_from_slice(&seal.to_le_bytes());
        row
    }

    /// The digest in a row; `None` for an empty or a damaged row.
    pub(crate) fn decode(seq: Seq, row: &[u8]) -> Option<Self> {
        let row: &[u8; ROW] = row.try_into().ok()?;
        let flags = u16::from_le_bytes(array(row, 8));
        if flags & PRESENT == 0 || seal(seq, row).to_le_bytes() != row[SEAL..] || usize::from(row[7]) > KINDS.len() {
            return None;
        }
        let has = |flag: u16| flags & flag != 0;
        let mut started = [0; 8];
        started[..6].copy_from_slice(&row[..6]);
        let count = |at| u32::from_le_bytes(array(row, at));
        let number = |at| u64::from_le_bytes(array(row, at));
        Some(Self {
            started: Millis(u64::from_le_bytes(started)),
            ended: CallEnd::from_u8(row[6])?,
            kind: row[7],
            is_run: has(RUN),
            is_cached: has(CACHED),
            is_complete: has(COMPLETE),
            is_model_open: has(MODEL_OPEN),
            duration_ns: has(DURATION).then(|| number(16)),
            first_token_ns: has(FIRST_TOKEN).then(|| number(24)),
            tokens: has(TOKENS).then(|| Tokens { input: count(32), output: count(36), cached: count(40) }),
            model: NameId(count(12)),
            provider: NameId(u16::from_le_bytes(array(row, 10)).into()),
        })
    }
}

/// The number of the block of a record, and the offset of its row there.
pub(crate) fn place(seq: Seq) -> (u64, usize) {
    let index = seq.0.saturating_sub(1);
    (index / ROWS, usize::try_from(index % ROWS).unwrap_or(0) * ROW)
}

/// The record of a row.
pub(crate) fn seq_at(block: u64, row: usize) -> Seq {
    Seq(block.saturating_mul(ROWS).saturating_add(row as u64 + 1))
}

fn seal(seq: Seq, row: &[u8; ROW]) -> u32 {
    // One piece of memory: a checksum of several pieces takes twice the time.
    let mut sealed = [0; 8 + SEAL];
    sealed[..8].copy_from_slice(&seq_key(seq));
    sealed[8..].copy_from_slice(&row[..SEAL]);
    crc32c(&sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_from_its_own_row_alone() {
        let digest = Digest {
            ended: CallEnd::Error,
            kind: 2,
            is_cached: true,
            is_complete: true,
            duration_ns: Some(u64::MAX),
            first_token_ns: Some(7),
            tokens: Some(Tokens { input: 1, output: u32::MAX, cached: 3 }),
            model: NameId(70_000),
            provider: NameId(2),
            ..Digest::new(Millis(1_760_000_000_000))
        };
        let row = digest.encode(Seq(9));
        assert_eq!(Digest::decode(Seq(9), &row), Some(digest));
        assert_eq!(Digest::decode(Seq(8), &row), None);
        assert_eq!(Digest::decode(Seq(9), &[0; ROW]), None);
        for at in 0..ROW {
            let mut flipped = row;
            flipped[at] ^= 1;
            assert_eq!(Digest::decode(Seq(9), &flipped), None, "byte {at}");
        }
    }

    #[test]
    fn each_record_has_its_own_row() {
        assert_eq!(usize::try_from(ROWS).unwrap() * ROW, BLOCK);
        for seq in (1..400).map(Seq) {
            let (block, offset) = place(seq);
            assert_eq!(seq_at(block, offset / ROW), seq);
        }
        assert_eq!((place(Seq(85)), place(Seq(86))), ((0, 84 * ROW), (1, 0)));
    }
}
