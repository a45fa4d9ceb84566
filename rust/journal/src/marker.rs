//! The text of `FORMAT`, the file that makes a directory a journal.

/// The name of the file.
pub(crate) const NAME: &str = "FORMAT";

/// Bytes that are read of the file, which has a few short lines.
pub(crate) const LIMIT: u64 = 4096;

/// The format of a private journal, of a store and of a segment.
pub const FORMAT: u32 = 1;

/// The format of a journal that is shared with a group. Versions without shared journals refuse it: they would make files that other
/// members cannot open.
pub(crate) const SHARED_FORMAT: u32 = 2;

const FIRST_LINE: &str = "plsync journal";

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// A later version may have written a higher format than [`SHARED_FORMAT`].
    pub(crate) format: u32,
    /// The journal's id, 32 hex digits; empty if the line is missing.
    pub(crate) id: String,
    /// The number of the group that the journal is shared with.
    pub(crate) group: Option<u32>,
}

impl Marker {
    pub(crate) fn new(id: String, group: Option<u32>) -> Self {
        Self { format: if group.is_some() { SHARED_FORMAT } else { FORMAT }, id, group }
    }

    /// Parses the file. The error is the end of a sentence that begins with "its FORMAT file".
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err("is not plsync's");
        }
        let format = lines.next().and_then(|line| line.strip_prefix("format ")?.parse().ok());
        let format = format.ok_or("does not name a format")?;
        let value = |name| text.lines().skip(2).find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let group = if format == SHARED_FORMAT {
            Some(value("group").and_then(|group| group.parse().ok()).ok_or("does not name a group")?)
        } else {
            None
        };
        Ok(Self { format, id: value("id").unwrap_or_default().to_owned(), group })
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        let Self { format, id, group } = self;
        let group = group.map(|group| format!("group {group}\n")).unwrap_or_default();
        format!("{FIRST_LINE}\nformat {format}\nid {id}\n{group}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_marker_is_its_content() {
        for group in [None, Some(0), Some(4321), Some(u32::MAX)] {
            let marker = Marker::new("0".repeat(32), group);
            assert_eq!(Marker::parse(&marker.text()), Ok(marker));
        }
    }

    #[test]
    fn a_private_journal_keeps_its_text() {
        assert_eq!(Marker::new("ab".into(), None).text(), "plsync journal\nformat 1\nid ab\n");
    }

    #[test]
    fn a_group_counts_only_in_its_format() {
        assert_eq!(Marker::parse("plsync journal\nformat 1\nid ab\ngroup 7\n").unwrap().group, None);
        assert_eq!(Marker::parse("plsync journal\nformat 2\nid ab\ngroup 7\n").unwrap().group, Some(7));
        for text in
            ["format 2\n", "plsync journal\n", "plsync journal\nformat x\n", "plsync journal\nformat 2\nid ab\n"]
        {
            assert!(Marker::parse(text).is_err(), "{text:?}");
        }
        for group in ["", "-1", "4294967296", "plsync", "7 8"] {
            assert!(Marker::parse(&format!("plsync journal\nformat 2\nid ab\ngroup {group}\n")).is_err(), "{group:?}");
        }
    }
}
