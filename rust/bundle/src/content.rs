//! The members of a bundle that is being read: compressed, and as lines.

use std::io::Read;

use crate::error::{Error, Result, malformed};
use crate::ids::{Id, Sha};
use crate::limits;
use crate::lines::{self, Record, RecordHeader};
use crate::manifest::{Member, MemberKind};
use crate::prompt;

/// A compressed member. Its SHA-256 is the one in the manifest.
pub(crate) struct PackedMember {
    pub(crate) kind: MemberKind,
    pub(crate) member: Member,
    pub(crate) packed: Vec<u8>,
}

impl PackedMember {
    /// The content, of exactly the length that the manifest states.
    pub(crate) fn unpack(self) -> Result<Content> {
        let Self { kind, member: Member { name, raw, items, .. }, packed } = self;
        let content = if kind == MemberKind::Prompt { packed } else { unpack(&packed, raw)? };
        if content.len() as u64 != raw {
            return malformed(format!("{name} has another length than the manifest"));
        }
        Ok(Content { kind, name, items, content })
    }
}

/// A record that may have been sent, or that a person sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The record's id.
    pub id: Id,
    /// As in its header.
    pub doubt: bool,
    /// As in its header.
    pub round: u32,
}

impl Marked {
    fn of(header: &RecordHeader) -> Option<Self> {
        let &RecordHeader { id, doubt, round, .. } = header;
        (doubt || round > 0).then_some(Self { id, doubt, round })
    }
}

/// A member without compression.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its kind.
    pub kind: MemberKind,
    /// Its name in the archive.
    pub name: String,
    /// Its records, follow-ups or entries.
    pub items: u64,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl Content {
    /// The records of the member.
    ///
    /// # Errors
    /// When a line breaks the format.
    pub fn records(&self) -> Result<Vec<Record<'_>>> {
        lines::records(&self.content)
    }

    /// The records of a member of a bundle that passed [`Verified::check`], without a second look into their bodies. The member has the
    /// same SHA-256 as then.
    ///
    /// # Errors
    /// When a line breaks the format.
    pub fn checked_records(&self) -> Result<Vec<Record<'_>>> {
        lines::framed_records(&self.content)
    }

    /// Checks everything, and adds the records that need more than to be stored to `marked`.
    pub(crate) fn check(&self, marked: &mut Vec<Marked>) -> Result<()> {
        let items = match self.kind {
            MemberKind::Records => {
                let records = lines::records(&self.content)?;
                marked.extend(records.iter().filter_map(|record| Marked::of(&record.header)));
                records.len()
            }
            MemberKind::Followups => lines::follow_ups(&self.content)?.len(),
            MemberKind::Log => lines::log(&self.content)?.len(),
            MemberKind::Prompt => {
                let stem = self.name.strip_prefix("prompts/").and_then(|file| file.strip_suffix(".json"));
                if stem != Some(&Sha::of(&self.content).to_string()) {
                    return malformed("a prompt has another name than its SHA-256");
                }
                prompt::check(&self.content).or_else(malformed)?;
                1
            }
        };
        if items as u64 == self.items { Ok(()) } else { malformed("a member has another number of items") }
    }
}

/// The content of one zstd frame, which has exactly `raw` bytes.
fn unpack(packed: &[u8], raw: u64) -> Result<Vec<u8>> {
    let damaged = |_| Error::Malformed("a member is not one frame of zstd".into());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?.single_frame();
    decoder.window_log_max(limits::WINDOW_LOG)?;
    let most = usize::try_from(raw + 1).unwrap_or(usize::MAX);
    let mut content = Vec::with_capacity(most);
    // One byte more shows a frame that is longer than it states.
    decoder.by_ref().take(raw + 1).read_to_end(&mut content).map_err(damaged)?;
    if content.len() as u64 != raw || !decoder.finish().is_empty() {
        return malformed("a member has another length than the manifest");
    }
    Ok(content)
}
