//! The files of a store, which LMDB opens by name.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::Result;
use crate::os::gate;

pub(crate) const DATA: &str = "data.mdb";
/// Nothing but LMDB opens this file: closing another descriptor would release LMDB's locks.
const LOCK: &str = "lock.mdb";
pub(super) const STAMP: &str = "stamp";

/// Checks the files that LMDB opens by name. LMDB makes a missing file.
pub(super) fn check(store: &Path) -> Result<()> {
    gate::check_directory(store)?;
    for name in [DATA, LOCK] {
        match gate::check_file(&store.join(name), true) {
            // LMDB would make the file as this user.
            Err(error) if error.is_missing() && gate::makes_for_another(store) => {
                match gate::create_new(&store.join(name)) {
                    // Another process was faster.
                    Err(error) if error.io_cause().is_some_and(|cause| cause.kind() == ErrorKind::AlreadyExists) => {}
                    made => drop(made?),
                }
            }
            Err(error) if error.is_missing() => {}
            checked => checked?,
        }
    }
    Ok(())
}

/// Removes a store that this process has made, or that was superseded. Other files in its directory are not plsync's, and stay.
pub(super) fn remove(store: &Path) {
    for name in [DATA, LOCK, STAMP] {
        let _ = fs::remove_file(store.join(name));
    }
    let _ = fs::remove_dir(store);
}
