//! Digests: 48 bytes of figures a record, from which counts, charts and sums are made without reading a body.
//!
//! The ingester makes them from the facts in the frames' labels. An earlier version
//! of plsync wrote frames without facts, and so may other programs. [`Store::undigested`] returns the records of such frames, and
//! [`Store::put_digests`] stores the figures that a caller reads from their bodies.

mod fill;
mod names;
mod read;
mod row;
mod writer;

pub use fill::Figures;
pub(crate) use names::{NameKind, name, put as put_name, read as read_name};
pub(crate) use read::{Blocks, Digests, known, remove_unused_names};
pub(crate) use row::{BLOCK, ROW, place};
pub use row::{Digest, NameId};
pub(crate) use writer::{Progress, Writer};
