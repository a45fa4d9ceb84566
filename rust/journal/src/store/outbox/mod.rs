//! The outbox: records on their way to `PromptLayer`, their leases, lanes and waits, and the order of their acks.

pub(crate) mod ack_order;
mod acks;
mod lanes;
mod leases;
mod waits;

pub use acks::AckedRow;
pub use leases::{LeaseLimits, Limits};
