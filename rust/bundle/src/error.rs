//! The errors of this crate.

use std::io;

use crate::ids::KeyId;

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a bundle, a key or a card was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The signature file is not one of minisign's format for a bundle.
    #[error("the signature is malformed: {0}")]
    Signature(&'static str),
    /// No trusted key has this id.
    #[error("it is signed by key {0}, which is not trusted here")]
    UnknownSigner(KeyId),
    /// The signature was not made with the trusted key of its id.
    #[error("the signature does not match the trusted key {0}")]
    Forged(KeyId),
    /// The signature is right, and the file is another one.
    #[error("it differs from the signed file: {signed} bytes were signed, {found} are here")]
    Altered {
        /// Bytes of the signed file.
        signed: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// A peer signed a kind of bundle that its role does not permit.
    #[error("{0}")]
    Role(&'static str),
    /// The bundle is for another recipient.
    #[error("it is for the key {0}")]
    Recipient(KeyId),
    /// The disk has no room for the private copy of the file.
    #[error("No space left: its private copy needs {needs} bytes in the inbox, and {free} are free")]
    Room {
        /// Bytes of the file.
        needs: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A passphrase protects the key, and it is another one.
    #[error("the passphrase is wrong")]
    Passphrase,
    /// A later version wrote the file.
    #[error("it has format {0}, and this version of plsync reads format 1")]
    Newer(u64),
    /// The file cannot be decrypted with the identity of this recipient.
    #[error("it cannot be decrypted: {0}")]
    Decrypt(String),
    /// A signed bundle breaks the format.
    #[error("it breaks the format of bundles: {0}")]
    Malformed(String),
    /// A key file or a card is not readable.
    #[error("{0}")]
    Key(String),
    /// A record or a follow-up does not fit the format.
    #[error("it does not fit a bundle: {0}")]
    Unfit(&'static str),
}

pub(crate) fn malformed<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::Malformed(reason.into()))
}
