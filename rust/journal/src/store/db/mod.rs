//! The LMDB environment: its file, its trees, its memory, and upgrades of it.

pub(crate) mod compact;
pub(crate) mod copy;
pub(crate) mod env;
pub(crate) mod files;
mod free_pages;
mod full_disk;
mod memory;
mod opening;
mod pace;
pub(crate) mod pages;
mod patience;
mod reserve;
mod snapshot;
pub(crate) mod stamp;
pub(crate) mod trees;
mod upgrade;
pub(crate) mod verify;
pub(crate) mod walk;

pub(crate) use pace::Pace;
pub(crate) use patience::patiently;
