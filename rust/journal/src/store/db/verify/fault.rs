//! The reason why a file is refused.

/// The reason of a fault when the file ends before a page.
pub(crate) const MISSING: &str = "it lies beyond the end of the file";

/// A rule of LMDB's format that a file breaks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) page: u64,
    pub(crate) reason: &'static str,
}
