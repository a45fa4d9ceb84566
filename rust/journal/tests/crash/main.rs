//! Power cuts and I/O failures: a journal keeps its promises on a failing disk.
//!
//! `docs/internals/testing.md` explains these tests. `PLSYNC_IMAGES` and `PLSYNC_FAULTS` set the number of tries.
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
fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}
