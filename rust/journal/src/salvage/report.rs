//! The result of a salvage: the counts of records, acks and events in the new journal, and the losses.

/// The result of a salvage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Records in the new journal.
    pub records: u64,
    /// Bodies of events read from the damaged store.
    pub events: u64,
    /// Request ids read from the damaged store.
    pub acks: u64,
    /// Callbacks that still wait.
    pub callbacks: u64,
    /// Follow-ups that wait, or were refused.
    pub followups: u64,
    /// Follow-ups that were sent.
    pub followups_sent: u64,
    /// Events read from the spool that the store did not have.
    pub frames: u64,
    /// Pages and entries of the store that could not be read.
    pub damaged: u64,
    /// How many things are lost.
    pub lost: u64,
    /// The first 1,000 of them, in words.
    pub losses: Vec<String>,
}

/// How many losses are described one by one.
const MAX_LOSSES: usize = 1000;

impl SalvageReport {
    /// Counts a loss, and describes it.
    pub(super) fn add_loss(&mut self, description: String) {
        self.lost += 1;
        if self.losses.len() < MAX_LOSSES {
            self.losses.push(description);
        }
    }
}
