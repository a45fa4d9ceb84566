//! Transactions over many records that get smaller on a full disk.
//!
//! LMDB writes each changed page to a new place. A full disk may not have the new pages that a transaction over a thousand records
//! needs. A transaction over a few records fits into the pages that earlier transactions have freed.

use crate::Result;

/// Runs `write` over the items, on a full disk over a half of them at a time. Returns the sum of the results.
pub(super) fn in_fitting_parts<T>(items: &[T], mut write: impl FnMut(&[T]) -> Result<u64>) -> Result<u64> {
    let (mut waiting, mut total) = (vec![items], 0);
    while let Some(part) = waiting.pop() {
        match write(part) {
            Err(error) if error.is_full_disk() && part.len() > 1 => {
                let (first, rest) = part.split_at(part.len() / 2);
                waiting.extend([rest, first]);
            }
            done => total += done?,
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Error;

    #[test]
    fn parts_that_do_not_fit_are_halved_in_order() {
        let mut written = Vec::new();
        let total = in_fitting_parts(&[1, 2, 3, 4, 5], |part| {
            if part.len() > 2 {
                return Err(Error::full_disk(Path::new("journal")));
            }
            written.extend_from_slice(part);
            Ok(part.len() as u64)
        });
        assert_eq!((total.unwrap(), written), (5, vec![1, 2, 3, 4, 5]));
        assert!(in_fitting_parts(&[1], |_| Err(Error::full_disk(Path::new("journal")))).is_err());
    }
}
