//! Bundles for Python. The files have the names of their Python modules in `python/plsync/bundle/`.

use std::fs::{File, OpenOptions};
use std::path::Path;

pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod keys;
mod labels;
pub(crate) mod pack;
mod records;
mod scratch;

/// A new file that only this user can read. An existing name is an error, also a link.
fn new_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
