//! Power cuts and I/O failures: the promises of a journal, held against everything a disk may do.
//!
//! `docs/testing.md` says how it works. `PLSYNC_IMAGES` and `PLSYNC_FAULTS` set how much is tried.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod child;
mod disk;
mod faults;
mod images;
mod interpose;
mod log;
mod oracle;
mod workload;

/// A directory to work in: in memory where there is one, because the disk that counts here is the simulated one.
fn workplace() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A number from the environment.
fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}
