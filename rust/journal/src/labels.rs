//! Labels: the few short values of a record that can be searched without reading its body.
//!
//! In a frame they come before the body, as `kind u8 | length u8 | value`, repeated. The store indexes each of them except the sink.

use crate::RecordId;

/// `LangChain`'s id of the run.
pub const RUN: u8 = b'r';
/// `LangChain`'s id of the parent run.
pub const PARENT: u8 = b'p';
/// A tag.
pub const TAG: u8 = b't';
/// The model's name.
pub const MODEL: u8 = b'm';
/// The record of the root run, of each record in its tree.
pub const ROOT: u8 = b'R';
/// The conversation.
pub const THREAD: u8 = b'c';
/// The sink that receives the request id.
pub const SINK: u8 = b's';
/// The facts of a digest: see [`crate::facts`]. The last label of a frame, and in no index.
pub const FACTS: u8 = b'n';

/// How the call ended, unless with an answer. Set by the store, and ignored in a frame.
pub const ENDED: u8 = b'e';

/// Longest value of a label, in bytes.
pub const MAX_VALUE: usize = 255;
/// Longest label section of a frame, in bytes.
pub const MAX_SECTION: usize = u16::MAX as usize;

/// Adds a label to a section. A value that is too long is cut; a label that does not fit any more is left out.
pub fn push(section: &mut Vec<u8>, kind: u8, value: &[u8]) {
    push_after(section, 0, kind, value);
}

/// Like [`push`], for a section that begins `start` bytes into a buffer.
pub(crate) fn push_after(buffer: &mut Vec<u8>, start: usize, kind: u8, value: &[u8]) {
    let value = &value[..value.len().min(MAX_VALUE)];
    if buffer.len() - start + 2 + value.len() <= MAX_SECTION {
        let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
        buffer.extend_from_slice(&[kind, length]);
        buffer.extend_from_slice(value);
    }
}

/// The root's record in a section. Its label is the first.
pub(crate) fn root(section: &[u8]) -> Option<RecordId> {
    let (kind, value) = iter(section).next()?;
    if kind == ROOT { value.try_into().ok().map(RecordId) } else { None }
}

/// A section without the facts of its digest, and these facts.
pub(crate) fn split_facts(section: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    for (kind, value) in iter(section) {
        if kind == FACTS {
            let end = at + 2 + value.len();
            return (if end == section.len() { &section[..at] } else { section }, Some(value));
        }
        at += 2 + value.len();
    }
    (section, None)
}

/// The labels of a section, up to the first that is cut short.
pub fn iter(section: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = section;
    std::iter::from_fn(move || {
        let (&[kind, length], tail) = rest.split_first_chunk::<2>()?;
        let (value, tail) = tail.split_at_checked(usize::from(length))?;
        rest = tail;
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_reads_back() {
        let mut section = Vec::new();
        push(&mut section, TAG, b"langchain");
        push(&mut section, RUN, &[7; 16]);
        push(&mut section, MODEL, &[b'x'; 400]);
        let labels: Vec<_> = iter(&section).collect();
        assert_eq!(labels, [(TAG, &b"langchain"[..]), (RUN, &[7; 16]), (MODEL, &[b'x'; 255])]);
        assert_eq!(iter(&section[..section.len() - 1]).count(), 2);
    }

    #[test]
    fn the_facts_are_the_last_label() {
        let mut section = Vec::new();
        push(&mut section, TAG, b"x");
        let labels = section.clone();
        assert_eq!(split_facts(&section), (&labels[..], None));
        push(&mut section, FACTS, b"facts");
        assert_eq!(split_facts(&section), (&labels[..], Some(&b"facts"[..])));
        // Another writer may order its labels differently.
        push(&mut section, TAG, b"y");
        assert_eq!(split_facts(&section), (&section[..], Some(&b"facts"[..])));
    }
}
