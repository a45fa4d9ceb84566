//! The result of a poll, and the names that are watched.

/// Changes since the last poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// There may be events that are not ingested yet.
    pub events: bool,
    /// There may be new request ids.
    pub doorbell: bool,
}

pub(super) const DOORBELL: &str = "doorbell";
pub(super) const WRITER: &str = ".lock";
