//! Signing keys in minisign's format.

use std::fmt;

use blake2::Blake2b;
use blake2::digest::consts::U32;
use blake2::digest::{Digest, FixedOutput};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::error::{Error, Result};
use crate::ids::{Hex, KeyId};
use crate::passphrase::Cost;
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
/// The offset of the limits of the derivation.
const LIMITS: usize = 6 + 32;
/// The offset of the id.
const SECRET_ID: usize = LIMITS + 16;

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
            b"EdScB2" => return key_error("a passphrase protects the secret key"),
            _ => return key_error("the secret key has an algorithm that plsync does not know"),
        }
        let (this, checksum) = Self::read(&bytes[SECRET_ID..])?;
        // minisign leaves the checksum out where it encrypts nothing.
        if checksum != this.checksum() && checksum != [0; 32] {
            return key_error("the secret key does not match its checksum");
        }
        Ok(this)
    }

    /// The key of a file of `minisign -G`, which a passphrase protects.
    ///
    /// # Errors
    /// [`Error::Passphrase`] when the passphrase is another one. Else when the file is another one, or damaged.
    pub fn unlock(file: &str, passphrase: &str) -> Result<Self> {
        let lines = text::lines(file);
        let bytes: Option<[u8; SECRET]> = lines.get(1).filter(|_| lines.len() == 2).and_then(|line| text::decode(line));
        let Some(bytes) = bytes.filter(|bytes| bytes.starts_with(b"EdScB2")) else {
            return key_error("the file is not a secret key of minisign that a passphrase protects");
        };
        let cost = Cost::of(array(&bytes, LIMITS), array(&bytes, LIMITS + 8))?;
        let mut secret: [u8; SECRET - SECRET_ID] = array(&bytes, SECRET_ID);
        cost.apply(passphrase, &bytes[6..LIMITS], &mut secret)?;
        // Another passphrase yields random bytes.
        match Self::read(&secret) {
            Ok((this, checksum)) if checksum == this.checksum() => Ok(this),
            _ => Err(Error::Passphrase),
        }
    }

    /// The file of the key, which the passphrase protects, as of `minisign -G`.
    ///
    /// # Errors
    /// When the operating system has no random bytes, or there is no memory for the derivation.
    pub fn locked_file(&self, passphrase: &str, cost: Cost) -> Result<String> {
        let Hex(salt) = Hex::<32>::random()?;
        let mut secret = [0; SECRET - SECRET_ID];
        secret[..8].copy_from_slice(&self.id.0);
        secret[8..72].copy_from_slice(&self.key.to_keypair_bytes());
        secret[72..].copy_from_slice(&self.checksum());
        cost.apply(passphrase, &salt, &mut secret)?;
        let (operations, memory) = cost.limits();
        let bytes = [&b"EdScB2"[..], &salt, &operations.to_le_bytes(), &memory.to_le_bytes(), &secret].concat();
        Ok(format!(
            "untrusted comment: minisign encrypted secret key {} of plsync\n{}\n",
            self.id,
            text::encode(&bytes)
        ))
    }

    /// The key and its checksum.
    fn read(secret: &[u8]) -> Result<(Self, [u8; 32])> {
        let (Some(id), Some(pair), Some(checksum)) =
            (secret.first_chunk(), secret[8..].first_chunk(), secret[72..].first_chunk())
        else {
            return key_error("the secret key is cut short");
        };
        let key = SigningKey::from_keypair_bytes(pair).map_err(|_| Error::Key("the secret key is damaged".into()))?;
        Ok((Self { id: KeyId(*id), key }, *checksum))
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

/// Some bytes from a place where they are.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|place| bytes[at + place])
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
    fn a_locked_key_opens_with_its_passphrase_alone() {
        let secret = SecretKey::generate().unwrap();
        let file = secret.locked_file("correct horse", Cost::new(10).unwrap()).unwrap();
        assert_eq!(SecretKey::unlock(&file, "correct horse").unwrap().public(), secret.public());
        assert!(matches!(SecretKey::unlock(&file, "correct horsf"), Err(Error::Passphrase)));
        assert!(matches!(SecretKey::parse(&file), Err(Error::Key(_))));
        assert!(matches!(SecretKey::unlock(&secret.file(), "correct horse"), Err(Error::Key(_))));
        let line = file.lines().nth(1).unwrap();
        for at in (0..line.len()).step_by(7) {
            let mut bytes = line.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = file.replace(line, std::str::from_utf8(&bytes).unwrap());
            // The lowest bits of the limits change no cost.
            let read = SecretKey::unlock(&changed, "correct horse").ok();
            assert!(read.is_none_or(|read| read.public() == secret.public()), "byte {at}");
        }
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
