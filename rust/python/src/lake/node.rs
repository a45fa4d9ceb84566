//! The nodes of parsed JSON.

/// A record of another form than the native mapping knows. Python maps it.
#[derive(Debug)]
pub(super) struct Unusual;

pub(super) type Known<T> = Result<T, Unusual>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    False,
    True,
    Number,
    Text,
    List,
    Object,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Whether the bytes contain a tag, which is no part of the value.
    pub(super) tagged: bool,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The index behind its last descendant.
    pub(super) next: u32,
}
