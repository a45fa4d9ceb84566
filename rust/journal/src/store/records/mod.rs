//! Records as the store keeps them: state rows, stored bodies, counters, and the quota.

pub(crate) mod counts;
pub(crate) mod dictionary;
pub(crate) mod encoder;
pub(crate) mod payload;
pub(crate) mod read;
pub(crate) mod retention;
pub(crate) mod row;
pub(crate) mod transition;

#[cfg(test)]
mod tests;
