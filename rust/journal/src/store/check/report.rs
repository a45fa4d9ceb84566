//! The result of a check.

/// A problem of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A segment's name, `record <id>`, or a part of the store.
    pub place: String,
    /// The problem, in words.
    pub description: String,
    /// The part that is still intact.
    pub kept: &'static str,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Frames read in the spool.
    pub frames: u64,
    /// Records read in the store.
    pub records: u64,
    /// Events of these records.
    pub events: u64,
    /// The problems that were found.
    pub problems: Vec<Problem>,
    /// Facts that are no damage, and that a reader may wonder about.
    pub notes: Vec<String>,
}

impl CheckReport {
    pub(super) fn add(&mut self, place: String, description: impl Into<String>, kept: &'static str) {
        self.problems.push(Problem { place, description: description.into(), kept });
    }
}
