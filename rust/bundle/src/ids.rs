//! Ids and digests, and their form in text.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Bytes that text shows as lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// The id of a record, of a journal, or of an epoch of a log.
pub type Id = Hex<16>;
/// A SHA-256.
pub type Sha = Hex<32>;

impl<const N: usize> Hex<N> {
    /// The bytes of exactly `2 N` lowercase digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * N {
            return None;
        }
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Random bytes.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Self(bytes))
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl Sha {
    /// The SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// The digits of some bytes. Every header of a record has several ids, so this takes no memory.
fn digits<const N: usize>(bytes: &[u8; N]) -> [[u8; 2]; N] {
    let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
    bytes.map(|byte| [digit(byte >> 4), digit(byte)])
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digits are ASCII.
        f.write_str(std::str::from_utf8(digits(&self.0).as_flattened()).unwrap_or_default())
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of a signing key. Its text is the one that minisign prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// The id of exactly 16 uppercase digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |character: u8| character.is_ascii_digit() || (b'A'..=b'F').contains(&character);
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return None;
        }
        Some(Self(u64::from_str_radix(text, 16).ok()?.to_le_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(digits(&self.0).as_flattened()).unwrap_or_default())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Self::parse(text).ok_or_else(|| D::Error::custom(format!("an id has {} lowercase hexadecimal digits", 2 * N)))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Self::parse(text).ok_or_else(|| D::Error::custom("an id of a key has 16 uppercase hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_have_one_form() {
        let id = Id::random().unwrap();
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        assert_eq!(Id::parse(&"AB".repeat(16)), None);
        assert_eq!(Id::parse("+1"), None);
        let key = KeyId([1, 2, 3, 4, 5, 6, 7, 0xfe]);
        assert_eq!(key.to_string(), "FE07060504030201");
        assert_eq!(KeyId::parse(&key.to_string()), Some(key));
        assert_eq!(KeyId::parse("+E07060504030201"), None);
        assert_eq!(KeyId::parse(&key.to_string().to_lowercase()), None);
    }
}
