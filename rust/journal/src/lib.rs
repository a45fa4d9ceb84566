//! The plsync journal: an append-only spool in front of an LMDB store.
//!
//! A process that records appends [`Event`]s through a [`Spool`]: one frame, one write. Any process that reads opens the
//! [`Store`], which moves what the spools hold into LMDB in group commits and answers questions about it. The byte layouts are
//! specified in `docs/reference/format.md`.
//!
//! ```
//! use plsync_journal::{Durability, Ended, Event, Kind, Query, RecordId, Spool, Store};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let journal = dir.path().join("journal");
//! let spool = Spool::open(&journal, Durability::Process).unwrap();
//! let id = RecordId::new();
//! let start = Event { kind: Kind::Start, ended: Ended::No, flags: 0, lane: 0, id, labels: &[], body: b"{\"v\":1}" };
//! spool.append(&start).unwrap();
//! spool.append(&Event { kind: Kind::End, ended: Ended::Ok, ..start }).unwrap();
//!
//! let store = Store::open(&journal, false).unwrap();
//! store.ingest(true).unwrap();
//! let page = store.query(&Query::default()).unwrap();
//! assert_eq!((page.len(), page[0].id, page[0].ended), (1, id, Ended::Ok));
//! ```

mod checksum;
mod error;
pub mod frame;
mod ids;
pub mod labels;
mod layout;
mod mutex;
mod os;
mod salvage;
mod spool;
mod state;
mod store;

pub use error::{Error, Result};
pub use frame::{Draft, Event, Head};
pub use ids::RecordId;
pub use layout::FORMAT;
pub use os::network_fs::ALLOW_VARIABLE;
pub use os::watch::{Seen, Watch};
pub use salvage::{SalvageReport, salvage};
pub use spool::lock::WriterInfo;
pub use spool::reader::Damage;
#[cfg(fuzzing)]
pub use spool::reader::read_segment;
pub use spool::{Durability, SYNC_EVERY, Spool};
pub use state::{Ended, FLAG_CACHED, FLAG_LOSSY, FLAG_PRUNED, FLAG_REDACTED, FLAG_RENEWED, Kind, State};
pub use store::Store;
pub use store::callbacks::{Callback, Due, Refusal, Waiting};
pub use store::check::{CheckReport, Problem};
pub use store::db::compact::CompactReport;
pub use store::followups::{Failure, FollowUp, FollowUpKey, Op, Target};
pub use store::ingest::IngestReport;
pub use store::query::Query;
pub use store::records::retention::{Policy, Pruned, Quota};
pub use store::records::row::Row;
pub use store::stats::Stats;
