//! The plsync journal: an append-only spool in front of an LMDB store.
//!
//! A process that records appends [`Event`]s through a [`Spool`]: one frame, one write. Any process that reads opens the
//! [`Store`], which moves what the spools hold into LMDB in group commits and answers questions about it. The byte layouts are
//! specified in `docs/format.md`.

mod error;
pub mod frame;
mod fs;
mod ids;
pub mod labels;
mod layout;
mod process;
mod spool;

pub use error::{Error, Result};
pub use frame::{Ended, Event, FLAG_CACHED, FLAG_LOSSY, FLAG_REDACTED, Kind};
pub use ids::RecordId;
pub use layout::FORMAT;
pub use spool::lock::WriterInfo;
pub use spool::reader::Damage;
pub use spool::{Durability, SYNC_EVERY, Spool};
