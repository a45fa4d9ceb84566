//! Ids and numbers: of records, requests, sinks and servers.
//!
//! A record's id is a `UUIDv7` made here, because `LangChain`'s run ids repeat. Its first 60 bits are time: milliseconds, then the
//! fraction of a millisecond in 4096ths (RFC 9562, method 3). So ids sort by the moment they were made. Within a process they strictly
//! increase, even when the clock goes back.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::os::fork;
use crate::time::Millis;

/// The id of a record, or of a writer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub [u8; 16]);

/// A record's place in the order of ingestion, from 1, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// A number that no record reaches.
    pub const MAX: Self = Self(u64::MAX);

    /// The next number.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `PromptLayer`'s id of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a sink in one store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SinkId(pub(crate) u32);

impl SinkId {
    /// Stands for "no sink" in a row.
    pub(crate) const NONE: Self = Self(0);
}

/// The number of a server in one store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u32);

impl ServerId {
    /// Stands for the server of an ack that an earlier version stored.
    pub const UNKNOWN: Self = Self(0);
}

/// Milliseconds in the high bits, 4096ths of one in the low twelve; never goes back within a process.
static LAST_TICK: AtomicU64 = AtomicU64::new(0);

/// How many random bytes one system call reads.
const POOL: usize = 512;

struct Pool {
    bytes: [u8; POOL],
    used: usize,
    generation: u64,
}

thread_local! {
    static RANDOM: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL], used: POOL, generation: 0 }) };
}

impl RecordId {
    /// A new id, above every id this process has made before.
    ///
    /// # Panics
    /// When the operating system has no random bytes.
    #[allow(clippy::new_without_default)] // two calls never agree, and Default promises that they do
    pub fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// Like [`Self::new`], for a time that was read already.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn at(now: SystemTime) -> Self {
        let tick = next_tick(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let random = random8();
        let mut id = [0; 16];
        id[..6].copy_from_slice(&(tick >> 12).to_be_bytes()[2..]);
        id[6..8].copy_from_slice(&(0x7000 | (tick & 0xfff)).to_be_bytes()[6..]);
        id[8..].copy_from_slice(&random);
        id[8] = 0x80 | (id[8] & 0x3f);
        Self(id)
    }

    /// The smallest id of a millisecond, for ranges over time.
    pub fn floor(at: Millis) -> Self {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&(at.0.min((1 << 48) - 1)).to_be_bytes()[2..]);
        Self(id)
    }

    /// When the id was made.
    pub fn made_at(&self) -> Millis {
        let mut ms = [0; 8];
        ms[2..].copy_from_slice(&self.0[..6]);
        Millis(u64::from_be_bytes(ms))
    }

    /// The 64-bit span id of this record: the low half of the id, which holds the random bits.
    pub fn span_id(&self) -> [u8; 8] {
        let mut span = [0; 8];
        span.copy_from_slice(&self.0[8..]);
        span
    }

    /// 32 lower-case hex digits.
    pub fn hex(&self) -> String {
        self.hex_digits().map(char::from).iter().collect()
    }

    /// 32 lower-case hex digits, as ASCII.
    pub fn hex_digits(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        digits
    }

    /// Reads 32 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

fn next_tick(now: Duration) -> u64 {
    let fraction = u64::from(now.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
    let tick = ((now.as_secs() * 1000 + u64::from(now.subsec_millis())) << 12) | fraction;
    let step = |last: u64| Some(tick.max(last + 1));
    match LAST_TICK.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) {
        Ok(last) | Err(last) => tick.max(last + 1),
    }
}

fn random8() -> [u8; 8] {
    RANDOM.with_borrow_mut(|pool| {
        // A forked child inherits the pool, and would repeat its parent's ids.
        let generation = fork::generation();
        if pool.used + 8 > POOL || pool.generation != generation {
            getrandom::fill(&mut pool.bytes).expect("the operating system has random bytes");
            pool.used = 0;
            pool.generation = generation;
        }
        let mut random = [0; 8];
        random.copy_from_slice(&pool.bytes[pool.used..pool.used + 8]);
        pool.used += 8;
        random
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_strictly_increase() {
        let ids: Vec<_> = (0..10_000).map(|_| RecordId::new()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.0[6] >> 4 == 7 && id.0[8] >> 6 == 2));
    }

    #[test]
    fn an_id_reads_back_from_its_hex_form() {
        let id = RecordId::new();
        assert_eq!(RecordId::from_hex(&id.hex()), Some(id));
        assert_eq!(RecordId::from_hex("zz"), None);
    }

    #[test]
    fn the_time_in_an_id_is_now() {
        let id = RecordId::new();
        assert!(Millis::now().0.abs_diff(id.made_at().0) < 10_000);
        assert!(RecordId::floor(id.made_at()) <= id);
    }
}
