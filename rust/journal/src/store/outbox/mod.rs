//! The outbox: records on their way to `PromptLayer`, their leases, lanes and waits, and the order of their acks.

pub(crate) mod ack_order;
mod acks;
pub(crate) mod growing;
mod lanes;
mod leases;
mod parts;
pub(crate) mod request_index;
mod units;
mod waits;

pub use acks::AckedRow;
pub use growing::TREE_WAIT;
pub(crate) use lanes::parked_records;
pub use leases::{LeaseLimits, Limits};
pub use units::TreeRest;
