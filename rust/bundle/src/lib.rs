//! Bundles: files that carry records over an air gap, and request ids back.
//!
//! A bundle is an archive in the ustar format, which age may encrypt, with a detached signature of minisign beside it. Each member is
//! compressed with zstd, and consists of lines. `docs/reference/bundles.md` describes every byte.
//!
//! [`Writer`] makes a bundle. [`Claim`] reads one: [`Claim::read`] checks the signature file, [`Claim::admit`] copies and verifies the
//! file, and only a [`Verified`] copy meets the parsers.

#![forbid(unsafe_code)]

pub mod card;
mod check;
mod comment;
mod content;
mod digests;
mod error;
pub mod ids;
pub mod json;
pub mod keys;
pub mod limits;
pub mod lines;
pub mod manifest;
mod member;
mod passphrase;
mod prompt;
mod reader;
mod seal;
mod signature;
pub mod tar;
mod text;
mod writer;

pub use card::Card;
pub use comment::Comment;
pub use content::{Content, Marked};
pub use digests::Digests;
pub use error::{Error, Result};
pub use ids::{Id, KeyId, Sha};
pub use keys::{PublicKey, SecretKey};
pub use manifest::{Kind, Manifest};
pub use member::{Draft, Packed};
pub use passphrase::Cost;
pub use reader::{Bundle, Checked, Claim, Peer, Role, Verified};
pub use seal::{Identity, Recipient};
pub use text::is_name;
pub use writer::{Sealed, Writer, Written};
