//! Reads a bundle: first the signature, then a copy of the file against it, and only then the content.

use std::io::{Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use crate::check::Checks;
use crate::comment::Comment;
use crate::content::{Content, Marked, PackedMember};
use crate::digests;
use crate::error::{Error, Result, malformed};
use crate::ids::{Hex, KeyId, Sha};
use crate::keys::PublicKey;
use crate::limits;
use crate::lines;
use crate::manifest::{Kind, Manifest, MemberKind, NAME};
use crate::seal::{Identity, Input};
use crate::signature::{Signed, Unchecked};
use crate::tar::Archive;

/// The part of a trusted peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It records calls, and sends them out.
    Origin,
    /// It delivers records, and sends its log back.
    Hub,
}

/// A key that is trusted in one role.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name here.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its signing key.
    pub key: PublicKey,
}

/// A signature of a trusted peer. The file was not read yet.
pub struct Claim<'t> {
    /// The peer.
    pub peer: Peer,
    /// The fields that the peer signed.
    pub comment: Comment,
    signed: Signed<'t>,
}

impl<'t> Claim<'t> {
    /// Checks a signature file against the trusted peers, and the direction and the recipient against the roles.
    ///
    /// # Errors
    /// When no trusted peer made the signature for one of the recipient's keys, `own`.
    pub fn read(signature: &'t str, peers: &[Peer], own: &[KeyId]) -> Result<Self> {
        if signature.len() as u64 > limits::SIGNATURE {
            return Err(Error::Signature("it is longer than 8 KiB"));
        }
        let unchecked = Unchecked::parse(signature)?;
        let id = unchecked.signer;
        let peer = peers.iter().find(|peer| peer.key.id == id).ok_or(Error::UnknownSigner(id))?.clone();
        let signed = unchecked.by(peer.key)?;
        let comment = Comment::parse(signed.comment)?;
        match (comment.kind, peer.role) {
            (Kind::Out, Role::Origin) | (Kind::Back, Role::Hub) => {}
            (Kind::Out, Role::Hub) => {
                return Err(Error::Role("it carries records, and its signer is trusted as a hub"));
            }
            (Kind::Back, Role::Origin) => {
                return Err(Error::Role("it carries request ids, and its signer is trusted as an origin"));
            }
        }
        if !own.contains(&comment.to) {
            return Err(Error::Recipient(comment.to));
        }
        Ok(Self { peer, comment, signed })
    }

    /// Checks that the free bytes of a disk are enough for the copy.
    ///
    /// # Errors
    /// [`Error::Room`] when it has not.
    pub fn fits(&self, free: u64) -> Result<()> {
        let needs = self.comment.size;
        if needs > free { Err(Error::Room { needs, free }) } else { Ok(()) }
    }

    /// Copies the file from its medium, and checks the copy: a medium may return other bytes the second time. The result reads the
    /// copy alone.
    ///
    /// # Errors
    /// When the peer signed another file, or a file cannot be read or written.
    pub fn admit<F: Read + Write + Seek>(self, medium: &mut impl Read, mut copy: F) -> Result<Verified<F>> {
        let Self { peer, comment, signed } = self;
        let digests = digests::copy(medium, &mut copy, comment.size)?;
        if digests.size != comment.size || digests.sha256 != comment.sha256 || !signed.check(&digests) {
            return Err(Error::Altered { signed: comment.size, found: digests.size });
        }
        Ok(Verified { peer, comment, copy })
    }
}

/// A copy of a file that a trusted peer signed.
pub struct Verified<F> {
    /// The peer.
    pub peer: Peer,
    /// The fields that the peer signed.
    pub comment: Comment,
    copy: F,
}

impl<F: Read + Seek> Verified<F> {
    /// Reads the whole bundle, and checks everything that [`Verified::open`] and the readers of lines would refuse. A bundle that
    /// passes is read a second time to import it, so a refused one changes nothing.
    ///
    /// # Errors
    /// When the bundle breaks the format anywhere.
    pub fn check(&mut self, identity: Option<&Identity>) -> Result<Checked> {
        self.check_with(identity, |_| Ok(()))
    }

    /// Like [`Verified::check`]. `on_items` is called with the number of items of each member, and an error of it ends the check.
    ///
    /// # Errors
    /// As [`Verified::check`].
    pub fn check_with(
        &mut self,
        identity: Option<&Identity>,
        mut on_items: impl FnMut(u64) -> Result<()>,
    ) -> Result<Checked> {
        let mut bundle = self.open(identity)?;
        let (mut log, mut marked) = (bundle.manifest.log, Vec::new());
        let threads = if bundle.manifest.members.len() > 2 { crate::check::threads() } else { 0 };
        std::thread::scope(|scope| {
            let checks = Checks::begin(scope, threads);
            while let Some(member) = bundle.next_packed()? {
                on_items(member.member.items)?;
                if member.kind != MemberKind::Log {
                    if checks.add(member, &mut marked)? {
                        continue;
                    }
                    checks.finish(&mut marked)?;
                    return malformed("a member was not checked");
                }
                let member = member.unpack()?;
                member.check(&mut marked)?;
                if let Some(span) = &mut log {
                    for line in lines::log(&member.content)? {
                        let (number, _) = lines::Entry::parse(line)?;
                        if number != span.after + 1 {
                            return malformed("the entries of the log have gaps");
                        }
                        span.after = number;
                    }
                }
            }
            checks.finish(&mut marked)
        })?;
        Ok(Checked { id: bundle.id, manifest: bundle.manifest, is_encrypted: bundle.is_encrypted, marked })
    }

    /// Begins to read the bundle.
    ///
    /// # Errors
    /// When it cannot be decrypted, or its manifest breaks the format or differs from the signed fields.
    pub fn open(&mut self, identity: Option<&Identity>) -> Result<Bundle<&mut F>> {
        self.copy.seek(SeekFrom::Start(0))?;
        let input = Input::new(&mut self.copy, identity)?;
        let is_encrypted = input.is_sealed();
        let mut archive = Archive::new(input);
        let (name, size) = match archive.next_file()? {
            Some((name, size)) if name == NAME && size <= limits::MANIFEST => (name, size),
            _ => return malformed("the archive does not begin with a manifest"),
        };
        let bytes = read_exactly(&mut archive, size, &name)?;
        let manifest = Manifest::parse(&bytes)?;
        let Comment { kind, journal, to, serial, part, .. } = self.comment;
        let signed = (kind, journal, self.peer.key.id, to, serial, part);
        if signed != (manifest.kind, manifest.journal, manifest.from, manifest.to, manifest.serial, manifest.part) {
            return malformed("the manifest differs from the trusted comment");
        }
        let sum = manifest.members.iter().map(|member| member.size).fold(0, u64::saturating_add);
        if sum > self.comment.size {
            return malformed("the members are larger than the file");
        }
        Ok(Bundle { id: Sha::of(&bytes), manifest, is_encrypted, archive, next: 0 })
    }
}

/// A bundle that breaks the format nowhere.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The id of the bundle.
    pub id: Sha,
    /// The manifest.
    pub manifest: Manifest,
    /// Whether the file is encrypted.
    pub is_encrypted: bool,
    /// The records that may have been sent, or that a person sent again. In no order.
    pub marked: Vec<Marked>,
}

/// A bundle whose members are being read.
pub struct Bundle<R: Read> {
    /// The id of the bundle.
    pub id: Sha,
    /// The manifest.
    pub manifest: Manifest,
    /// Whether the file is encrypted.
    pub is_encrypted: bool,
    archive: Archive<Input<R>>,
    next: usize,
}

impl<R: Read> Bundle<R> {
    /// The next member, of exactly the bytes that the manifest describes.
    ///
    /// # Errors
    /// When the archive differs from the manifest.
    pub fn next_member(&mut self) -> Result<Option<Content>> {
        self.next_packed()?.map(PackedMember::unpack).transpose()
    }

    /// The next member of a kind. Members of other kinds are passed without decompressing them.
    ///
    /// # Errors
    /// When the archive differs from the manifest.
    pub fn next_of(&mut self, kind: MemberKind) -> Result<Option<Content>> {
        while let Some(member) = self.next_packed()? {
            if member.kind == kind {
                return member.unpack().map(Some);
            }
        }
        Ok(None)
    }

    pub(crate) fn next_packed(&mut self) -> Result<Option<PackedMember>> {
        let file = self.archive.next_file()?;
        let (Some(member), Some((name, size))) = (self.manifest.members.get(self.next), &file) else {
            return match file {
                None if self.next == self.manifest.members.len() => Ok(None),
                _ => malformed("the archive has other members than the manifest"),
            };
        };
        if *name != member.name || *size != member.size {
            return malformed("a member differs from the manifest");
        }
        let kind = MemberKind::of(name).ok_or_else(|| Error::Malformed("a member has an unknown name".into()))?;
        // The manifest's check has limited both lengths.
        let packed = read_exactly(&mut self.archive, member.size, name)?;
        if Hex(Sha256::digest(&packed).into()) != member.sha256 {
            return malformed(format!("{name} differs from its SHA-256 in the manifest"));
        }
        self.next += 1;
        Ok(Some(PackedMember { kind, member: member.clone(), packed }))
    }
}

/// Exactly `size` bytes, where the caller has limited the size. The memory grows with the bytes that are there.
fn read_exactly(input: &mut impl Read, size: u64, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { malformed(format!("{name} is cut short")) }
}
