//! The number of records of a transaction on a full disk.
//!
//! LMDB writes each changed page to a new place, and reuses the pages that a commit freed from the second commit after it on. On a full
//! disk a large transaction can take the last usable page: then no other transaction fits, although the large one has freed many. So a
//! transaction over one record comes first, and the later ones grow. Each then leaves the pages of an earlier one to the next.

use crate::{Error, Result};

/// The number of records of the next transaction.
pub(crate) struct Pace {
    records: usize,
    most: usize,
}

impl Pace {
    const GROWTH: usize = 4;

    pub(crate) fn new(most: usize) -> Self {
        Self { records: most, most }
    }

    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Called after a commit.
    pub(crate) fn committed(&mut self) {
        self.records = self.records.saturating_mul(Self::GROWTH).min(self.most);
    }

    /// Called after a failure. Returns the error if a smaller transaction would fail as well.
    pub(crate) fn failed(&mut self, error: Error) -> Result<()> {
        if self.records <= 1 || !error.is_full_disk() {
            return Err(error);
        }
        self.records = 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_transaction_over_one_record_comes_first_on_a_full_disk() {
        let mut pace = Pace::new(100);
        let mut sizes = Vec::new();
        for _ in 0..6 {
            sizes.push(pace.records());
            match pace.records() {
                100 if sizes.len() == 1 => pace.failed(Error::full_disk(Path::new("journal"))).unwrap(),
                _ => pace.committed(),
            }
        }
        assert_eq!(sizes, [100, 1, 4, 16, 64, 100]);
    }

    #[test]
    fn another_error_and_a_failure_of_one_record_are_returned() {
        assert!(Pace::new(100).failed(Error::NoPath).is_err());
        assert!(Pace::new(1).failed(Error::full_disk(Path::new("journal"))).is_err());
    }
}
