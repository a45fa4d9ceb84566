//! The manifest: the first member of a bundle, which describes the rest.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, malformed};
use crate::ids::{Hex, Id, KeyId, Sha};
use crate::limits;

/// The direction of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// From an origin to a hub: records.
    Out,
    /// From a hub to an origin: entries of the hub's log.
    Back,
}

impl Kind {
    /// The word in a manifest and in a trusted comment.
    pub fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Back => "back",
        }
    }
}

/// How far an origin has read the log of its hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The epoch of the log.
    pub epoch: Id,
    /// The number of the last entry.
    pub number: u64,
    /// The chain hash after that entry.
    pub chain: Id,
    /// Epochs of this hub that ended before.
    pub ended: Vec<Id>,
}

/// The part of a hub's log that a bundle carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSpan {
    /// The epoch of the log.
    pub epoch: Id,
    /// The number of the entry before the first.
    pub after: u64,
    /// The chain hash after that entry.
    pub chain: Id,
}

/// A member of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name in the archive.
    pub name: String,
    /// Its bytes in the archive.
    pub size: u64,
    /// Its bytes without compression.
    pub raw: u64,
    /// Its records, follow-ups or entries.
    pub items: u64,
    /// The SHA-256 of its bytes in the archive.
    pub sha256: Sha,
}

/// The first member of a bundle. The SHA-256 of its bytes is the id of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The word "bundle".
    pub plsync: String,
    /// The version of the format.
    pub format: u64,
    /// The direction.
    pub kind: Kind,
    /// Random, so that two bundles never share an id.
    pub nonce: Id,
    /// The journal of the origin.
    pub journal: Id,
    /// The key that signs the bundle.
    pub from: KeyId,
    /// The key of the recipient.
    pub to: KeyId,
    /// The number of this export, for people.
    pub serial: u64,
    /// This part, and the number of parts. Each part is a whole bundle.
    pub part: [u32; 2],
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
    /// In a bundle to a hub: how far its log was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// In a bundle to a hub: the ids of earlier bundles, so that it sees which are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Sha>,
    /// The numbers of the exports of these bundles, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent_serials: Vec<u64>,
    /// In a bundle to a hub: the ids of earlier bundles whose records this bundle repeats, as far as the origin waits for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeats: Vec<Sha>,
    /// In a bundle to an origin: which entries of the log it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSpan>,
    /// In a bundle to an origin: the set of prompt templates that it has. In a bundle to a hub: the set that the origin keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<Sha>,
    /// The members after the manifest, in order.
    pub members: Vec<Member>,
}

/// The kind of a member, in the order of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberKind {
    /// Records, as lines.
    Records,
    /// Follow-ups, as lines.
    Followups,
    /// Entries of a log, as lines.
    Log,
    /// One prompt template, as JSON.
    Prompt,
}

impl MemberKind {
    const ALL: [Self; 4] = [Self::Records, Self::Followups, Self::Log, Self::Prompt];

    fn directory(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Followups => "followups",
            Self::Log => "log",
            Self::Prompt => "prompts",
        }
    }

    /// The name of a member with lines.
    pub(crate) fn numbered(self, number: usize) -> String {
        format!("{}/{number:06}.jsonl.zst", self.directory())
    }

    /// The name of the member of a prompt template.
    pub(crate) fn prompt(sha256: Sha) -> String {
        format!("{}/{sha256}.json", Self::Prompt.directory())
    }

    /// The kind of a member by its name. Names are compared and never used as paths.
    pub fn of(name: &str) -> Option<Self> {
        let (directory, file) = name.split_once('/')?;
        let kind = Self::ALL.into_iter().find(|kind| kind.directory() == directory)?;
        let is_valid = match kind {
            Self::Prompt => file.strip_suffix(".json").is_some_and(|stem| Sha::parse(stem).is_some()),
            _ => file
                .strip_suffix(".jsonl.zst")
                .is_some_and(|stem| stem.len() == 6 && stem.bytes().all(|byte| byte.is_ascii_digit())),
        };
        is_valid.then_some(kind)
    }
}

/// The field of every format: a later one may have fields that this version does not know.
#[derive(Deserialize)]
struct Version {
    format: u64,
}

/// The name of the manifest in the archive.
pub(crate) const NAME: &str = "manifest.json";

impl Manifest {
    /// Reads the bytes of a manifest, and checks its limits.
    ///
    /// # Errors
    /// When it breaks the format, or a later version wrote it.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > limits::MANIFEST {
            return malformed("the manifest is too large");
        }
        let broken = |error: serde_json::Error| Error::Malformed(format!("the manifest: {error}"));
        let Version { format } = serde_json::from_slice(bytes).map_err(broken)?;
        if format != 1 {
            return Err(Error::Newer(format));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(broken)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The bytes of the manifest.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        let mut bytes = serde_json::to_vec(self).map_err(|error| Error::Malformed(error.to_string()))?;
        bytes.push(b'\n');
        if bytes.len() as u64 > limits::MANIFEST {
            return malformed("the manifest is too large");
        }
        Ok(bytes)
    }

    fn check(&self) -> Result<()> {
        if self.plsync != "bundle" {
            return malformed("the manifest does not describe a bundle");
        }
        let [part, parts] = self.part;
        if part == 0 || part > parts {
            return malformed("the manifest has no such part");
        }
        if self.recent.len() > limits::RECENT
            || self.repeats.len() > limits::RECENT
            || self.recent_serials.len() > self.recent.len()
            || self.place.as_ref().is_some_and(|place| place.ended.len() > limits::ENDED_EPOCHS)
        {
            return malformed("a list in the manifest is too long");
        }
        if (self.kind == Kind::Back) != self.log.is_some()
            || (self.kind == Kind::Back
                && (self.place.is_some() || !self.recent.is_empty() || !self.repeats.is_empty()))
        {
            return malformed("the manifest has fields of the other direction");
        }
        self.check_members()?;
        let has_prompts = self.members.iter().any(|member| MemberKind::of(&member.name) == Some(MemberKind::Prompt));
        if self.kind == Kind::Back && has_prompts != self.templates.is_some() {
            return malformed("the manifest and the members differ in prompt templates");
        }
        Ok(())
    }

    fn check_members(&self) -> Result<()> {
        if self.members.len() > limits::MEMBERS {
            return malformed("the bundle has too many members");
        }
        let mut before: Option<(MemberKind, &str)> = None;
        for member in &self.members {
            let Some(kind) = MemberKind::of(&member.name) else { return malformed("a member has an unknown name") };
            let permitted = match self.kind {
                Kind::Out => matches!(kind, MemberKind::Records | MemberKind::Followups),
                Kind::Back => matches!(kind, MemberKind::Log | MemberKind::Prompt),
            };
            if !permitted {
                return malformed("a member belongs to the other direction");
            }
            let this = (kind, member.name.as_str());
            if before.is_some_and(|before| before >= this) {
                return malformed("the members are out of order");
            }
            before = Some(this);
            let most = if member.items <= 1 { limits::LONE_MEMBER } else { limits::MEMBER } as u64;
            // zstd adds a few bytes to content that it cannot compress.
            if member.items == 0 || member.raw > most || member.size > most + (most >> 7) + 512 {
                return malformed("a member is empty or too large");
            }
        }
        Ok(())
    }
}

impl Manifest {
    /// A manifest without members, of one part.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn new(kind: Kind, journal: Id, from: KeyId, to: KeyId, serial: u64, created_at: u64) -> Result<Self> {
        Ok(Self {
            plsync: "bundle".into(),
            format: 1,
            kind,
            nonce: Hex::random()?,
            journal,
            from,
            to,
            serial,
            part: [1, 1],
            created_at,
            place: None,
            recent: Vec::new(),
            recent_serials: Vec::new(),
            repeats: Vec::new(),
            log: None,
            templates: None,
            members: Vec::new(),
        })
    }
}
