//! Limits of one encoded object.

/// The deepest nesting of JSON containers. orjson allows 254.
pub(super) const MAX_DEPTH: usize = 200;
/// The most values of one object: containers that share their parts would otherwise grow without limit.
pub(super) const MAX_NODES: usize = 1_000_000;
