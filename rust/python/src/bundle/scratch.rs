//! Scratch files, which hold the members of a bundle until its manifest is known.

use std::fs::File;
use std::path::{Path, PathBuf};

use plsync_bundle::ids::Hex;

/// The name of a scratch file, which disappears with its bundle.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new file in a private directory.
    pub(super) fn create(directory: &Path) -> std::io::Result<(Self, File)> {
        let scratch = Self(directory.join(format!(".scratch.{}", Hex::<16>::random()?)));
        let file = super::new_file(&scratch.0)?;
        // Where an open file can lose its name, no crash leaves it behind.
        #[cfg(unix)]
        std::fs::remove_file(&scratch.0)?;
        Ok((scratch, file))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
