//! The keys of an event's body.

use crate::encode::text;

/// The room for a key: a comma, quotes, a colon, and the name.
const ROOM: usize = 24;

/// A key of the recorder's own, with its JSON text.
pub(super) struct OwnKey {
    text: [u8; ROOM],
    name: &'static str,
    labelled: Option<LabelledKey>,
}

/// A key whose field has labels, a lane or facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelledKey {
    Kind,
    Class,
    Params,
    Tags,
    PlTags,
    Metadata,
}

impl LabelledKey {
    const fn of(name: &str) -> Option<Self> {
        Some(match name.as_bytes() {
            b"kind" => Self::Kind,
            b"class" => Self::Class,
            b"params" => Self::Params,
            b"tags" => Self::Tags,
            b"pl_tags" => Self::PlTags,
            b"metadata" => Self::Metadata,
            _ => return None,
        })
    }
}

/// The key of this name, made at compile time.
macro_rules! key {
    ($name:literal) => {{
        const KEY: &$crate::recorder::key::OwnKey = &$crate::recorder::key::OwnKey::new($name);
        KEY
    }};
}
pub(super) use key;

/// A key of the body.
#[derive(Clone)]
pub(super) enum Key {
    Own(&'static OwnKey),
    /// A key of the program's redact hook.
    Other(String),
}

impl OwnKey {
    /// A key whose name contains nothing to escape.
    pub(super) const fn new(name: &'static str) -> Self {
        let mut text = [b' '; ROOM];
        let bytes = name.as_bytes();
        (text[0], text[1]) = (b',', b'"');
        let mut at = 0;
        while at < bytes.len() {
            text[at + 2] = bytes[at];
            at += 1;
        }
        (text[at + 2], text[at + 3]) = (b'"', b':');
        Self { text, name, labelled: LabelledKey::of(name) }
    }
}

impl From<&'static OwnKey> for Key {
    fn from(key: &'static OwnKey) -> Self {
        Self::Own(key)
    }
}

impl Key {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Own(key) => key.name,
            Self::Other(name) => name,
        }
    }

    pub(super) fn labelled(&self) -> Option<LabelledKey> {
        match self {
            Self::Own(key) => key.labelled,
            Self::Other(name) => LabelledKey::of(name),
        }
    }

    /// Appends a comma, the key as a JSON string, and a colon.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        match self {
            Self::Own(key) => {
                let end = out.len() + key.name.len() + 4;
                // A copy of constant length is a few instructions. A copy of the name's length is a slower call.
                out.extend_from_slice(&key.text);
                out.truncate(end);
            }
            Self::Other(name) => {
                out.push(b',');
                text::write(out, name);
                out.push(b':');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_key_are_written_alike() {
        let mut out = Vec::new();
        Key::from(key!("parent_run_id")).append(&mut out);
        Key::Other("own \"key\"".to_owned()).append(&mut out);
        assert_eq!(out, br#","parent_run_id":,"own \"key\"":"#);
    }
}
