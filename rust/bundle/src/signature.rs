//! Detached signatures in minisign's format, prehashed with BLAKE2b-512.

use crate::digests::Digests;
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::keys::{PublicKey, SecretKey};
use crate::text;

const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";

/// Signs a file by its digests, with a comment that the signature covers.
pub(crate) fn sign(key: &SecretKey, digests: &Digests, comment: &str) -> String {
    let signature = key.sign(&digests.blake2b);
    let id = key.public().id;
    let whole = [&b"ED"[..], &id.0, &signature].concat();
    let over_comment = key.sign(&[&signature[..], comment.as_bytes()].concat());
    let (signature, over_comment) = (text::encode(&whole), text::encode(&over_comment));
    format!("{UNTRUSTED}signature from plsync with key {id}\n{signature}\n{TRUSTED}{comment}\n{over_comment}\n")
}

/// A signature whose signer was not checked.
pub(crate) struct Unchecked<'t> {
    pub(crate) signer: KeyId,
    signature: [u8; 64],
    comment: &'t str,
    over_comment: [u8; 64],
}

/// A signature whose comment is the signer's. It proves nothing about the file before [`Signed::check`].
pub(crate) struct Signed<'t> {
    key: PublicKey,
    signature: [u8; 64],
    /// The trusted comment.
    pub(crate) comment: &'t str,
}

impl<'t> Unchecked<'t> {
    pub(crate) fn parse(file: &'t str) -> Result<Self> {
        let lines = text::lines(file);
        let [untrusted, signature, trusted, over_comment] = lines[..] else {
            return Err(Error::Signature("a signature has four lines"));
        };
        if !untrusted.starts_with(UNTRUSTED) {
            return Err(Error::Signature("its first line is not an untrusted comment"));
        }
        let comment =
            trusted.strip_prefix(TRUSTED).ok_or(Error::Signature("its third line is not a trusted comment"))?;
        let bytes: [u8; 74] = text::decode(signature).ok_or(Error::Signature("its second line is not a signature"))?;
        let over_comment = text::decode(over_comment).ok_or(Error::Signature("its fourth line is not a signature"))?;
        let (algorithm, rest) = bytes.split_at(2);
        let (Some(id), Some(signature)) = (rest.first_chunk(), rest[8..].first_chunk()) else {
            return Err(Error::Signature("its second line is not a signature"));
        };
        if algorithm != b"ED" {
            return Err(Error::Signature("it is not of a file that was hashed first (minisign -H)"));
        }
        Ok(Self { signer: KeyId(*id), signature: *signature, comment, over_comment })
    }

    /// Checks that the key signed the comment.
    pub(crate) fn by(self, key: PublicKey) -> Result<Signed<'t>> {
        let message = [&self.signature[..], self.comment.as_bytes()].concat();
        if key.id != self.signer || !key.verifies(&message, &self.over_comment) {
            return Err(Error::Forged(self.signer));
        }
        Ok(Signed { key, signature: self.signature, comment: self.comment })
    }
}

impl Signed<'_> {
    /// Whether the key signed the file with these digests.
    pub(crate) fn check(&self, digests: &Digests) -> bool {
        self.key.verifies(&digests.blake2b, &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digests::copy;

    fn digests(bytes: &[u8]) -> Digests {
        copy(&mut &bytes[..], &mut std::io::sink(), 1 << 20).unwrap()
    }

    #[test]
    fn a_signature_is_of_its_file_and_comment_alone() {
        let (key, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let file = sign(&key, &digests(b"content"), "a comment");
        let signed = Unchecked::parse(&file).unwrap().by(key.public()).unwrap();
        assert_eq!(signed.comment, "a comment");
        assert!(signed.check(&digests(b"content")));
        assert!(!signed.check(&digests(b"contents")));
        assert!(matches!(Unchecked::parse(&file).unwrap().by(other.public()), Err(Error::Forged(_))));
        let changed = file.replace("a comment", "a Comment");
        assert!(matches!(Unchecked::parse(&changed).unwrap().by(key.public()), Err(Error::Forged(_))));
    }

    #[test]
    fn every_flipped_bit_of_a_signature_is_refused() {
        let key = SecretKey::generate().unwrap();
        let file = sign(&key, &digests(b"content"), "a comment");
        let passes = |bytes: &[u8]| {
            let file = std::str::from_utf8(bytes).ok()?;
            let signed = Unchecked::parse(file).ok()?.by(key.public()).ok()?;
            signed.check(&digests(b"content")).then(|| signed.comment.to_owned())
        };
        // The untrusted comment has a meaning for nothing.
        for bit in UNTRUSTED.len() * 8..file.len() * 8 {
            let mut bytes = file.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let in_untrusted = bit / 8 < file.find('\n').unwrap();
            // A line may end with CR LF, and the last line without LF.
            assert!(in_untrusted || passes(&bytes).is_none(), "bit {bit}");
        }
    }
}
