//! The trusted comment of a bundle: the fields that a reader needs before it reads the file.

use crate::error::{Error, Result};
use crate::ids::{Id, KeyId, Sha};
use crate::manifest::Kind;
use crate::text;

/// The trusted comment. The signer signed each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The direction of the bundle.
    pub kind: Kind,
    /// The name that the signer has for itself.
    pub from: String,
    /// The journal of the origin.
    pub journal: Id,
    /// The key of the recipient.
    pub to: KeyId,
    /// The number of the export, for people.
    pub serial: u64,
    /// This part, and the number of parts.
    pub part: [u32; 2],
    /// Bytes of the file.
    pub size: u64,
    /// The SHA-256 of the file.
    pub sha256: Sha,
}

impl Comment {
    pub(crate) fn line(&self) -> String {
        let Self { kind, from, journal, to, serial, part: [part, parts], size, sha256 } = self;
        let kind = kind.name();
        format!(
            "plsync bundle 1 kind={kind} from={from} journal={journal} to={to} serial={serial} part={part}/{parts} \
             size={size} sha256={sha256}"
        )
    }

    pub(crate) fn parse(line: &str) -> Result<Self> {
        let words: Vec<_> = line.splitn(12, ' ').collect();
        if let ["plsync", "bundle", format, ..] = words[..]
            && format != "1"
            && let Ok(format) = format.parse()
        {
            return Err(Error::Newer(format));
        }
        let read = || {
            let ["plsync", "bundle", "1", fields @ ..] = &words[..] else { return None };
            let value = |at: usize, name: &str| fields.get(at)?.strip_prefix(name)?.strip_prefix('=');
            let (part, parts) = value(5, "part")?.split_once('/')?;
            Some(Self {
                kind: [Kind::Out, Kind::Back].into_iter().find(|kind| value(0, "kind") == Some(kind.name()))?,
                from: value(1, "from").filter(|name| text::is_name(name))?.to_owned(),
                journal: Id::parse(value(2, "journal")?)?,
                to: KeyId::parse(value(3, "to")?)?,
                serial: value(4, "serial")?.parse().ok()?,
                part: [part.parse().ok()?, parts.parse().ok()?],
                size: value(6, "size")?.parse().ok()?,
                sha256: Sha::parse(value(7, "sha256")?)?,
            })
        };
        // In its one form.
        let comment = read().filter(|comment| comment.line() == line);
        comment.ok_or(Error::Signature("its trusted comment does not describe a bundle"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Hex;

    #[test]
    fn a_comment_reads_back_in_its_one_form() {
        let comment = Comment {
            kind: Kind::Out,
            from: "berlin-lab".into(),
            journal: Hex([1; 16]),
            to: KeyId([2; 8]),
            serial: 42,
            part: [2, 3],
            size: 99,
            sha256: Hex([3; 32]),
        };
        let line = comment.line();
        assert_eq!(Comment::parse(&line).unwrap(), comment);
        for changed in [
            line.replace("serial=42", "serial=+42"),
            line.replace("serial=42", "serial=042"),
            line.replace(" kind", "  kind"),
            format!("{line} more=1"),
            line.replace("berlin-lab", "../berlin"),
            line.replace("size=99", "size=99999999999999999999999"),
        ] {
            assert!(matches!(Comment::parse(&changed), Err(Error::Signature(_))), "{changed}");
        }
        assert!(matches!(Comment::parse(&line.replace("bundle 1", "bundle 2")), Err(Error::Newer(2))));
    }
}
