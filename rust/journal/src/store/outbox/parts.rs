//! Transactions over many records that get smaller on a full disk.

use crate::Result;
use crate::store::db::{Pace, patiently};

/// Runs `write` over the items, on a full disk over some of them at a time. Returns the sum of the results.
///
/// A full disk is waited out for some time: the items may be the response of a server, which no later transaction would find again.
pub(crate) fn in_fitting_parts<T>(items: &[T], mut write: impl FnMut(&[T]) -> Result<u64>) -> Result<u64> {
    let (mut left, mut total) = (items, 0);
    let mut pace = Pace::new(items.len().max(1));
    loop {
        let (part, rest) = left.split_at(pace.records().min(left.len()));
        let written = if part.len() > 1 { write(part) } else { patiently(|| write(part)) };
        match written {
            Ok(written) => {
                total += written;
                pace.committed();
                left = rest;
            }
            Err(error) => pace.failed(error)?,
        }
        if left.is_empty() {
            return Ok(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Error;

    #[test]
    fn items_that_do_not_fit_at_once_are_written_in_order() {
        let mut written = Vec::new();
        let total = in_fitting_parts(&[1, 2, 3, 4, 5, 6], |part| {
            if part.len() > 2 {
                return Err(Error::full_disk(Path::new("journal")));
            }
            written.extend_from_slice(part);
            Ok(part.len() as u64)
        });
        assert_eq!((total.unwrap(), written), (6, vec![1, 2, 3, 4, 5, 6]));
        assert!(in_fitting_parts(&[1], |_| Err(Error::full_disk(Path::new("journal")))).is_err());
    }
}
