//! The outbox: records on their way to `PromptLayer`, their leases, lanes and waits, and the order of their acks.

pub(crate) mod ack_order;
pub(crate) mod acking;
mod acks;
pub(crate) mod away;
mod growing;
mod lanes;
mod lease_limits;
mod leases;
mod parked;
mod parts;
pub(crate) mod request_index;
pub(crate) mod tree_wait;
mod units;
mod waits;

pub use acks::AckedRow;
pub use lease_limits::{LeaseLimits, Limits};
pub(crate) use parked::parked_records;
pub(crate) use parts::in_fitting_parts;
pub use tree_wait::TREE_WAIT;
pub use units::TreeRest;
