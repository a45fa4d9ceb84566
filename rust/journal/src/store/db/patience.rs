//! Waits for disk space. Some file systems return the blocks of removed files and of holes a while later.

use std::thread::sleep;
use std::time::Duration;

use crate::Result;

/// The waits in ms before a transaction runs again: two seconds in all.
const WAITS: [u64; 7] = if cfg!(test) { [1; 7] } else { [10, 20, 50, 120, 300, 500, 1000] };

/// Runs a transaction again for as long as the disk is full. For changes that no later transaction would make: the response of a
/// server, and a removal.
pub(crate) fn patiently<T>(mut transaction: impl FnMut() -> Result<T>) -> Result<T> {
    for ms in WAITS {
        match transaction() {
            Err(error) if error.is_full_disk() => sleep(Duration::from_millis(ms)),
            done => return done,
        }
    }
    transaction()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Error;

    #[test]
    fn a_transaction_runs_again_until_the_disk_has_room() {
        let mut runs = 0;
        let done = patiently(|| {
            runs += 1;
            if runs < 4 { Err(Error::full_disk(Path::new("journal"))) } else { Ok(runs) }
        });
        assert_eq!(done.unwrap(), 4);
    }

    #[test]
    fn another_error_is_returned_at_once() {
        let mut runs = 0;
        let done: Result<()> = patiently(|| {
            runs += 1;
            Err(Error::NoPath)
        });
        assert!(done.is_err());
        assert_eq!(runs, 1);
    }
}
