//! The plsync journal: an append-only spool in front of an LMDB store.
//!
//! A recording process appends [`Event`]s through a [`Spool`]: one frame, one write. A reading process opens the [`Store`], which moves
//! the frames of the spool into LMDB in group commits, and queries it. `docs/reference/format.md` specifies the byte layouts.
//!
//! ```
//! use plsync_journal::{CallEnd, Durability, Event, FrameKind, Head, Query, RecordId, Spool, Store};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let journal = dir.path().join("journal");
//! let spool = Spool::open(&journal, Durability::Process).unwrap();
//! let id = RecordId::new();
//! let start = Event { head: Head::new(FrameKind::Start, id), labels: &[], body: b"{\"v\":1}" };
//! spool.append(&start).unwrap();
//! let end = Head { ended: CallEnd::Ok, ..Head::new(FrameKind::End, id) };
//! spool.append(&Event { head: end, ..start }).unwrap();
//!
//! let store = Store::open(&journal, false).unwrap();
//! store.ingest(true).unwrap();
//! let page = store.query(&Query::default()).unwrap();
//! assert_eq!((page.len(), page[0].id, page[0].ended), (1, id, CallEnd::Ok));
//! ```

mod checksum;
mod error;
pub mod facts;
pub mod frame;
mod ids;
pub mod labels;
mod layout;
mod marker;
mod mutex;
mod os;
mod salvage;
mod share;
mod spool;
mod state;
mod store;
mod time;

pub use error::{Error, Result};
pub use frame::{Draft, Event, Head, MAX_PAYLOAD};
pub use ids::{RecordId, RequestId, Seq, ServerId};
pub use marker::FORMAT;
pub use os::disk::lacks_inodes;
pub use os::fork::generation as process_generation;
pub use os::fs::ensure_inner_dir;
pub use os::gate::{
    Access, Purpose, TRUST_VARIABLE, admit, admit_journal, check_directory, check_file, open, open_own,
};
pub use os::network_fs::ALLOW_VARIABLE;
pub use os::watch::{Changes, Watch};
#[cfg(fuzzing)]
pub use salvage::read_pages;
pub use salvage::{SalvageReport, salvage};
pub use share::{ShareReport, share};
pub use spool::early_failures::read as early_failures;
pub use spool::reader::Damage;
#[cfg(fuzzing)]
pub use spool::reader::read_segment;
pub use spool::skipped::SkippedFile;
pub use spool::writer_file::WriterInfo;
pub use spool::{Durability, SYNC_EVERY, Spool};
pub use state::{
    CallEnd, Custody, FLAG_CACHED, FLAG_FORGOTTEN, FLAG_INFERRED, FLAG_LOSSY, FLAG_PRUNED, FLAG_REDACTED, FLAG_RENEWED,
    FLAG_RUN, FrameKind, Lane, ParkedState, State,
};
pub use store::Store;
pub use store::backup::{BackupReport, partial_path};
pub use store::bundles::{
    Arrival, Arrived, BundleId, Carriable, Carriables, CarriedFollowUp, Choice, Fact, FollowUpId, Head as LogHead,
    Hearing, Hole, HubNumber, LogId, NewBundle, Orphan, OutgoingFollowUp, Place, Word, WrittenBundle,
};
pub use store::callbacks::{ClaimedCallback, DueSinks, FailedCallback, SinkBacklog};
pub use store::check::{CheckReport, Problem};
pub use store::db::compact::CompactReport;
#[cfg(fuzzing)]
pub use store::db::verify::is_sound;
pub use store::digests::{Digest, Figures, NameId};
pub use store::followups::{
    FailedFollowUp, FollowUp, FollowUpKey, FollowUpState, ListedState, Op, SentFollowUp, Target,
};
pub use store::forget::{ForgetReport, ForgottenRecord, UnreadableFile};
pub use store::ingest::{Incoming, IngestReport};
pub use store::outbox::{AckedRow, LeaseLimits, Limits, TREE_WAIT, TreeRest};
pub use store::query::known::Known;
pub use store::query::{
    Count, Facets, Figure, GroupName, Grouping, Histogram, Query, SearchPage, Sums, TextSearch, Usage,
};
pub use store::records::quota::{PruneCounts, Quota, QuotaPolicy};
pub use store::records::read::PAGE_BYTES;
pub use store::records::row::{Ack, Row};
pub use store::records::stored_events::StoredEvents;
pub use store::servers::{Account, Bind, Server, ServerStats, Withdrawn};
pub use store::stats::Stats;
pub use time::{ClockChange, Millis};
