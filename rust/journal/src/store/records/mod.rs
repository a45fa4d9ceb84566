//! Records as the store keeps them: state rows, stored bodies, counters, and the quota.

pub(crate) mod base;
pub(crate) mod body;
pub(crate) mod compressor;
pub(crate) mod counts;
pub(crate) mod dictionary;
pub(crate) mod members;
pub(crate) mod quota;
pub(crate) mod read;
mod root_dictionary;
pub(crate) mod row;
pub(crate) mod stored_events;
pub(crate) mod transition;

#[cfg(test)]
mod tests;
