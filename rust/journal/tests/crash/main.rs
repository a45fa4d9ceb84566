//! Power cuts and I/O failures: the promises of a journal, held against everything a disk may do.
//!
//! `docs/internals/testing.md` says how it works. `PLSYNC_IMAGES` and `PLSYNC_FAULTS` set how much is tried.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod child;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod faults;
mod flips;
mod images;
mod interpose;
mod log;
mod oracle;
mod workload;

/// A number from the environment.
fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}
