//! Systems without the owners and modes of Unix: only kinds of files are checked.

use std::fs::{File, Metadata};
use std::path::Path;

use super::refusal::{Purpose, Scope};
use crate::{Error, Result};

#[allow(clippy::unnecessary_wraps)] // has the signature of Unix
pub(super) fn check_named(_: &Path, _: &Metadata, _: &Metadata, _: Purpose, _: Scope) -> Result<()> {
    Ok(())
}

#[allow(clippy::unnecessary_wraps)] // has the signature of Unix
pub(super) fn check_inside(_: &Path, _: &Metadata, _: Scope) -> Result<()> {
    Ok(())
}

pub(super) fn denied(_: &Path, _: &Metadata) -> Option<Error> {
    None
}

pub(super) fn denied_above(_: &Path) -> Option<Error> {
    None
}

/// The number of names of a file is not known without opening it.
pub(super) fn names(_: &Metadata) -> u64 {
    1
}

#[allow(clippy::unnecessary_wraps)] // has the signature of Unix
pub(crate) fn adopt(_: &File, _: &Path, _: Scope) -> std::io::Result<()> {
    Ok(())
}

#[allow(clippy::unnecessary_wraps)] // has the signature of Unix
pub(crate) fn adopt_path(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[allow(clippy::unnecessary_wraps)] // has the signature of Unix
pub(crate) fn make_private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

pub(crate) fn makes_for_others(_: &Path) -> bool {
    false
}

/// A warning about a directory or file that other users can read, which only Unix has.
pub(crate) fn exposure(_: &Path) -> Option<String> {
    None
}
