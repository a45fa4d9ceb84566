//! Keys that a passphrase protects, by scrypt, as minisign and age do it.

use std::io::{Read, Write};
use std::iter;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, scrypt as age_scrypt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use scrypt::{Params, scrypt};

use crate::error::{Error, Result};
use crate::limits;

/// scrypt's block size, in libsodium and in age.
const BLOCK: u32 = 8;
/// The binary logarithm of the largest cost that a file may have: 1 GiB of memory, as minisign uses.
const MOST: u8 = 20;
/// The most passes.
const PASSES: u32 = 16;

/// The cost of a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    log_n: u8,
    passes: u32,
}

impl Cost {
    /// The binary logarithm of the usual cost: 128 MiB of memory, and half a second.
    pub const USUAL: u8 = 17;

    /// A cost by its binary logarithm, of 10 or more.
    ///
    /// # Errors
    /// When plsync would not read such a key.
    pub fn new(log_n: u8) -> Result<Self> {
        if (10..=MOST).contains(&log_n) {
            return Ok(Self { log_n, passes: 1 });
        }
        Err(Error::Key("the cost of a passphrase is from 10 to 20".into()))
    }

    /// The cost of libsodium's limits: operations, and bytes of memory.
    pub(crate) fn of(operations: [u8; 8], memory: [u8; 8]) -> Result<Self> {
        let (operations, memory) = (u64::from_le_bytes(operations).max(32_768), u64::from_le_bytes(memory));
        let block = u64::from(BLOCK);
        // libsodium's choice of N and p.
        let most = if operations < memory / 32 { operations / (block * 4) } else { memory / (block * 128) };
        let log_n = (1..63).find(|log_n| 1u64 << log_n > most / 2).unwrap_or(63);
        let passes = if operations < memory / 32 { 1 } else { ((operations / 4) >> log_n).min(0x3fff_ffff) / block };
        let cost = Self { log_n, passes: u32::try_from(passes).unwrap_or(u32::MAX) };
        if log_n > MOST || !(1..=PASSES).contains(&cost.passes) {
            return Err(Error::Key("the derivation of the secret key takes more than 1 GiB of memory".into()));
        }
        Ok(cost)
    }

    /// libsodium's limits for this cost.
    pub(crate) fn limits(self) -> (u64, u64) {
        let block = u64::from(BLOCK);
        ((u64::from(self.passes) * block * 4) << self.log_n, (block * 128) << self.log_n)
    }

    /// Encrypts or decrypts bytes with the key of a passphrase.
    pub(crate) fn apply(self, passphrase: &str, salt: &[u8], bytes: &mut [u8]) -> Result<()> {
        let broken = || Error::Key("the derivation of the secret key has an unknown cost".into());
        // The length matters for password hashes alone.
        let params = Params::new(self.log_n, BLOCK, self.passes, Params::RECOMMENDED_LEN).map_err(|_| broken())?;
        let mut stream = vec![0; bytes.len()];
        scrypt(passphrase.as_bytes(), salt, &params, &mut stream).map_err(|_| broken())?;
        bytes.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
        Ok(())
    }
}

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
/// Characters of a line of base64.
const COLUMNS: usize = 64;

/// A text that age has encrypted with a passphrase, in its armor.
pub(crate) fn encrypt(text: &str, passphrase: &str, cost: Cost) -> Result<String> {
    let mut recipient = age_scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
    recipient.set_work_factor(cost.log_n);
    let failed = |error: age::EncryptError| Error::Key(error.to_string());
    let encryptor = Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient)).map_err(failed)?;
    let mut sealed = encryptor.wrap_output(Vec::new())?;
    sealed.write_all(text.as_bytes())?;
    let encoded = STANDARD.encode(sealed.finish()?);
    let mut armored = format!("{BEGIN}\n");
    for line in encoded.as_bytes().chunks(COLUMNS) {
        armored.extend(line.iter().copied().map(char::from));
        armored.push('\n');
    }
    armored.push_str(END);
    armored.push('\n');
    Ok(armored)
}

/// The text of [`encrypt`].
pub(crate) fn decrypt(armored: &str, passphrase: &str) -> Result<String> {
    let damaged = || Error::Key("the file is not one that age has encrypted with a passphrase".into());
    if armored.len() as u64 > limits::KEY_FILE {
        return Err(damaged());
    }
    let text: String = armored.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let inner = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or_else(damaged)?;
    let sealed = STANDARD.decode(inner.replace(' ', "")).map_err(|_| damaged())?;
    let mut identity = age_scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
    identity.set_max_work_factor(MOST);
    let failed = |error: DecryptError| match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            Error::Passphrase
        }
        other => Error::Key(other.to_string()),
    };
    let decryptor = Decryptor::new(&sealed[..]).map_err(failed)?;
    let mut content = decryptor.decrypt(iter::once(&identity as &dyn age::Identity)).map_err(failed)?;
    let mut text = String::new();
    content.by_ref().take(limits::KEY_FILE).read_to_string(&mut text).map_err(|_| damaged())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_libsodium_read_back() {
        for log_n in [10, 14, 17, 20] {
            let cost = Cost { log_n, passes: 1 };
            let (operations, memory) = cost.limits();
            assert_eq!(Cost::of(operations.to_le_bytes(), memory.to_le_bytes()).unwrap(), cost);
        }
        // minisign's own limits, and more.
        assert_eq!(Cost::of(33_554_432u64.to_le_bytes(), (1u64 << 30).to_le_bytes()).unwrap().log_n, 20);
        assert!(Cost::of(u64::MAX.to_le_bytes(), u64::MAX.to_le_bytes()).is_err());
        assert!(Cost::of((1u64 << 40).to_le_bytes(), (1u64 << 20).to_le_bytes()).is_err());
    }

    #[test]
    fn a_text_opens_with_its_passphrase_alone() {
        let armored = encrypt("the secret\n", "correct horse", Cost::new(10).unwrap()).unwrap();
        assert_eq!(decrypt(&armored, "correct horse").unwrap(), "the secret\n");
        assert!(matches!(decrypt(&armored, "correct horsf"), Err(Error::Passphrase)));
        assert!(matches!(decrypt("AGE-SECRET-KEY-1", "correct horse"), Err(Error::Key(_))));
        assert!(decrypt(&armored.replace('A', "B"), "correct horse").is_err());
    }
}
