//! Records that cross an air gap.
//!
//! At an origin, `carried` has the hubs that got each record. `bundles` and `bundle_rows` have the bundles that carried it. `hubs` has how
//! far the log of each hub was read. At a hub, `returns` has that log. `docs/reference/bundles.md` describes the protocol.

mod arrivals;
mod arrived;
pub(crate) mod carried;
pub(crate) mod check;
mod choice;
mod followups;
mod hubs;
pub(crate) mod one_way;
mod place;
pub(crate) mod returns;
pub(crate) mod salvage;
mod take_back;
mod words;
mod written;

pub use arrivals::{Arrival, Hole};
pub use arrived::Arrived;
pub use choice::{Carriable, Carriables, Choice};
pub use followups::{CarriedFollowUp, OutgoingFollowUp};
pub use hubs::HubNumber;
pub use place::{Orphan, Place};
pub use returns::{Fact, Head};
pub use words::{Hearing, Word};
pub(crate) use written::next_number as next_bundle;
pub use written::{NewBundle, WrittenBundle};

/// The id of a bundle: the SHA-256 of its manifest.
pub type BundleId = [u8; 32];
/// The id of a follow-up in bundles.
pub type FollowUpId = [u8; 32];
/// The id of an epoch of a hub's log, or a hash of its chain.
pub type LogId = [u8; 16];

/// The number of entries that a transaction changes.
const BATCH: usize = 1000;
/// The number of records that a transaction changes, where a whole bundle changes. Each transaction waits for the disk once.
const RECORDS: usize = 10_000;
