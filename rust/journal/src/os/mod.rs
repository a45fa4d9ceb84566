//! The journal's interface to the operating system.

pub(crate) mod allocation;
pub(crate) mod boot;
pub(crate) mod disk;
pub(crate) mod fork;
pub(crate) mod fs;
pub(crate) mod gate;
pub(crate) mod network_fs;
#[cfg_attr(not(target_os = "linux"), path = "no_ownership.rs")]
pub(crate) mod ownership;
pub(crate) mod process_memory;
pub(crate) mod user_key;
pub(crate) mod volume;
pub(crate) mod watch;
