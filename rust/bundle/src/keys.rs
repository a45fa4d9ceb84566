//! Signing keys in minisign's format.

use std::fmt;

use blake2::Blake2b;
use blake2::digest::consts::U32;
use blake2::digest::{Digest, FixedOutput};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::error::{Error, Result};
use crate::ids::{Hex, KeyId};
use crate::text;

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    /// The key's id. Anyone can choose it, so it only finds a key and proves nothing.
    pub id: KeyId,
    key: VerifyingKey,
}

/// The length of a public key: algorithm, id, key.
const PUBLIC: usize = 2 + 8 + 32;

impl PublicKey {
    /// The key of the line that begins with `RW`.
    pub fn parse(line: &str) -> Option<Self> {
        let bytes: [u8; PUBLIC] = text::decode(line)?;
        let (algorithm, rest) = bytes.split_first_chunk::<2>()?;
        let (id, key) = rest.split_first_chunk::<8>()?;
        let key = VerifyingKey::from_bytes(key.first_chunk::<32>()?).ok().filter(|key| !key.is_weak())?;
        (algorithm == b"Ed").then_some(Self { id: KeyId(*id), key })
    }

    /// The line of the key.
    pub fn line(&self) -> String {
        text::encode(&[&b"Ed"[..], &self.id.0, self.key.as_bytes()].concat())
    }

    /// Whether a signature of the message is this key's. Only a signature's one canonical form passes.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

/// A secret key.
pub struct SecretKey {
    id: KeyId,
    key: SigningKey,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id)
    }
}

/// Algorithms of signature, key derivation and checksum, then salt and limits of the derivation, and then id, key and checksum.
const SECRET: usize = 6 + 32 + 16 + 8 + 64 + 32;
/// The offset of the id.
const SECRET_ID: usize = 6 + 32 + 16;

impl SecretKey {
    /// A new key.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn generate() -> Result<Self> {
        let (Hex(id), Hex(seed)) = (Hex::random()?, Hex::random()?);
        Ok(Self { id: KeyId(id), key: SigningKey::from_bytes(&seed) })
    }

    /// The key of a file of `minisign -G -W`, which no passphrase protects.
    ///
    /// # Errors
    /// When the file is another one, or damaged.
    pub fn parse(file: &str) -> Result<Self> {
        let lines = text::lines(file);
        let [_, line] = lines[..] else { return key_error("a secret key of minisign has two lines") };
        let Some(bytes) = text::decode::<SECRET>(line) else {
            return key_error("the second line is not a secret key of minisign");
        };
        match &bytes[..6] {
            b"Ed\0\0B2" => {}
            b"EdScB2" => return key_error("a passphrase protects the secret key; plsync reads keys without one"),
            _ => return key_error("the secret key has an algorithm that plsync does not know"),
        }
        let secret = &bytes[SECRET_ID..];
        let (Some(id), Some(pair), checksum) = (secret.first_chunk(), secret[8..].first_chunk(), &secret[72..]) else {
            return key_error("the secret key is cut short");
        };
        let key = SigningKey::from_keypair_bytes(pair).map_err(|_| Error::Key("the secret key is damaged".into()))?;
        let this = Self { id: KeyId(*id), key };
        // minisign leaves the checksum out where it encrypts nothing.
        if checksum != this.checksum() && checksum != [0; 32] {
            return key_error("the secret key does not match its checksum");
        }
        Ok(this)
    }

    /// The file of the key, which `minisign -S` reads as well.
    pub fn file(&self) -> String {
        let fixed = [&b"Ed\0\0B2"[..], &[0; 48], &self.id.0, &self.key.to_keypair_bytes(), &self.checksum()].concat();
        format!(
            "untrusted comment: minisign secret key {} of plsync, without a passphrase\n{}\n",
            self.id,
            text::encode(&fixed)
        )
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        PublicKey { id: self.id, key: self.key.verifying_key() }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    fn checksum(&self) -> [u8; 32] {
        let mut hash = Blake2b::<U32>::new();
        for part in [&b"Ed"[..], &self.id.0, &self.key.to_keypair_bytes()] {
            hash.update(part);
        }
        hash.finalize_fixed().into()
    }
}

fn key_error<T>(reason: &str) -> Result<T> {
    Err(Error::Key(reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let secret = SecretKey::generate().unwrap();
        let read = SecretKey::parse(&secret.file()).unwrap();
        assert_eq!(read.public(), secret.public());
        assert_eq!(PublicKey::parse(&secret.public().line()), Some(secret.public()));
    }

    #[test]
    fn a_changed_key_file_is_refused_or_is_the_same_key() {
        let secret = SecretKey::generate().unwrap();
        let file = secret.file();
        let start = file.find('\n').unwrap() + 1;
        for at in start..file.len() {
            for bit in 0..8 {
                let mut bytes = file.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let read = std::str::from_utf8(&bytes).ok().and_then(|file| SecretKey::parse(file).ok());
                // The salt and the limits of the derivation have no meaning without a passphrase.
                assert!(read.is_none_or(|read| read.public() == secret.public()), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn weak_public_keys_are_refused() {
        let line = text::encode(&[&b"Ed"[..], &[1; 8], &[0; 32]].concat());
        assert_eq!(PublicKey::parse(&line), None);
    }
}
