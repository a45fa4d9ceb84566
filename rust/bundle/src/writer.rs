//! Writes a bundle in two passes: the members go compressed into a scratch file, and then with the manifest before them into the
//! archive. So memory holds one member, of 1 MiB or of one record.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};

use crate::comment::Comment;
use crate::digests::{Digests, Hashing};
use crate::error::{Error, Result, malformed};
use crate::ids::Sha;
use crate::keys::SecretKey;
use crate::lines::{self, Entry, FollowUp, Record};
use crate::manifest::{Manifest, Member, MemberKind, NAME};
use crate::member::{Draft, Packed};
use crate::prompt;
use crate::seal::{Output, Recipient};
use crate::signature;
use crate::{limits, tar};

/// A bundle that is being written.
pub struct Writer {
    scratch: File,
    staged: u64,
    members: Vec<Member>,
    kind: MemberKind,
    numbered: usize,
    draft: Draft,
}

/// A bundle that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The id of the bundle.
    pub id: Sha,
    /// The digests of the file.
    pub digests: Digests,
    /// The content of the signature file.
    pub signature: String,
}

impl Writer {
    /// Stages members in an empty file, which no other user can read.
    pub fn new(scratch: File) -> Self {
        let (members, draft) = (Vec::new(), Draft::default());
        Self { scratch, staged: 0, members, kind: MemberKind::Records, numbered: 0, draft }
    }

    /// About how many bytes the bundle has.
    pub fn size(&self) -> u64 {
        // A member costs a header, padding, and an entry in the manifest.
        self.staged + self.members.len() as u64 * 1024 + self.draft.raw.len() as u64 / 4
    }

    /// Whether no further record fits into the manifest.
    pub fn is_full(&self) -> bool {
        self.members.len() + 1 >= limits::MEMBERS
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.draft.items == 0
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`Error::Unfit`] when the record does not fit the format. The bundle is then as before.
    pub fn record(&mut self, record: &Record) -> Result<()> {
        self.add(MemberKind::Records, |raw| lines::push_record(raw, record))
    }

    /// Adds a follow-up, after all records.
    ///
    /// # Errors
    /// [`Error::Unfit`] when the follow-up does not fit the format. The bundle is then as before.
    pub fn follow_up(&mut self, follow_up: &FollowUp) -> Result<()> {
        self.add(MemberKind::Followups, |raw| lines::push_follow_up(raw, follow_up))
    }

    /// Adds an entry of a log.
    ///
    /// # Errors
    /// When the scratch file cannot be written.
    pub fn entry(&mut self, number: u64, entry: &Entry) -> Result<()> {
        self.add(MemberKind::Log, |raw| {
            raw.extend_from_slice(entry.line(number).as_bytes());
            raw.push(b'\n');
            Ok(())
        })
    }

    /// Adds a member that a [`Draft`] of records made, maybe in another thread.
    ///
    /// # Errors
    /// When the scratch file cannot be written, or a member of another kind was added before.
    pub fn records(&mut self, packed: &Packed) -> Result<()> {
        self.begin(MemberKind::Records)?;
        self.end_member()?;
        self.stage(packed)
    }

    fn begin(&mut self, kind: MemberKind) -> Result<()> {
        if kind != self.kind {
            self.end_member()?;
            if kind < self.kind {
                return malformed("the members are out of order");
            }
            (self.kind, self.numbered) = (kind, 0);
        }
        Ok(())
    }

    fn add(&mut self, kind: MemberKind, push: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        self.begin(kind)?;
        match self.draft.add(push)? {
            Some(full) => self.stage(&full),
            None => Ok(()),
        }
    }

    fn end_member(&mut self) -> Result<()> {
        match self.draft.finish()? {
            Some(packed) => self.stage(&packed),
            None => Ok(()),
        }
    }

    fn stage(&mut self, packed: &Packed) -> Result<()> {
        self.numbered += 1;
        self.scratch.write_all(&packed.bytes)?;
        self.staged += packed.bytes.len() as u64;
        self.members.push(Member {
            name: self.kind.numbered(self.numbered),
            size: packed.bytes.len() as u64,
            raw: packed.raw,
            items: packed.items,
            sha256: packed.sha256,
        });
        Ok(())
    }

    /// Adds a prompt template, after all entries of the log. `content` is its JSON. Templates are in the order of their SHA-256.
    ///
    /// # Errors
    /// [`Error::Unfit`] when the template does not fit the format; the bundle is then as before. Else when the scratch file cannot be
    /// written.
    pub fn prompt(&mut self, content: &[u8]) -> Result<()> {
        prompt::check(content).map_err(Error::Unfit)?;
        if self.is_full() {
            return Err(Error::Unfit("the bundle has no room for a further member"));
        }
        self.end_member()?;
        self.kind = MemberKind::Prompt;
        let sha256 = Sha::of(content);
        let name = MemberKind::prompt(sha256);
        self.scratch.write_all(content)?;
        let size = content.len() as u64;
        self.staged += size;
        self.members.push(Member { name, size, raw: size, items: 1, sha256 });
        Ok(())
    }

    /// Adds a line of a log, with its number.
    ///
    /// # Errors
    /// When the scratch file cannot be written.
    pub fn log_line(&mut self, line: &str) -> Result<()> {
        self.add(MemberKind::Log, |raw| {
            raw.extend_from_slice(line.as_bytes());
            raw.push(b'\n');
            Ok(())
        })
    }

    /// Ends the bundle: nothing is added any more, and its id is known.
    ///
    /// # Errors
    /// When a file cannot be written, or the manifest breaks the format.
    pub fn seal(mut self, mut manifest: Manifest) -> Result<Sealed> {
        self.end_member()?;
        manifest.members = self.members;
        let bytes = manifest.bytes()?;
        Ok(Sealed { scratch: self.scratch, manifest, bytes })
    }

    /// Writes the bundle, encrypted if it has a recipient, and signs it. `name` is the signer's.
    ///
    /// # Errors
    /// As [`Self::seal`] and [`Sealed::write`].
    pub fn finish(
        self,
        manifest: Manifest,
        name: &str,
        key: &SecretKey,
        to: Option<&Recipient>,
        output: impl Write,
    ) -> Result<Written> {
        self.seal(manifest)?.write(name, key, to, output)
    }
}

/// A bundle whose content is fixed, and whose file is still to be written.
pub struct Sealed {
    scratch: File,
    manifest: Manifest,
    bytes: Vec<u8>,
}

impl Sealed {
    /// The id of the bundle.
    pub fn id(&self) -> Sha {
        Sha::of(&self.bytes)
    }

    /// Writes the bundle, encrypted if it has a recipient, and signs it. `name` is the signer's.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the manifest names another signer.
    pub fn write(mut self, name: &str, key: &SecretKey, to: Option<&Recipient>, output: impl Write) -> Result<Written> {
        if self.manifest.from != key.public().id {
            return Err(Error::Key("the manifest names another signer".into()));
        }
        let mut archive = Output::new(Hashing::new(BufWriter::with_capacity(1 << 16, output)), to)?;
        tar::append(&mut archive, NAME, self.bytes.len() as u64, &mut &self.bytes[..])?;
        self.scratch.seek(SeekFrom::Start(0))?;
        let mut staged = BufReader::with_capacity(1 << 16, self.scratch);
        for member in &self.manifest.members {
            tar::append(&mut archive, &member.name, member.size, &mut staged)?;
        }
        tar::finish(&mut archive)?;
        let mut hashing = archive.finish()?;
        hashing.flush()?;
        let digests = hashing.finish().0;
        let Manifest { kind, journal, to, serial, part, .. } = self.manifest;
        let (size, sha256) = (digests.size, digests.sha256);
        let comment = Comment { kind, from: name.into(), journal, to, serial, part, size, sha256 };
        let comment = comment.line();
        // A name that no reader accepts is noticed here, and not at the other side.
        Comment::parse(&comment)?;
        let signature = signature::sign(key, &digests, &comment);
        Ok(Written { id: Sha::of(&self.bytes), digests, signature })
    }
}
