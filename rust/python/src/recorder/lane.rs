//! Which calls keep their order on the way to `PromptLayer`: those of one conversation, else those of one run.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::event::Field;
use super::labels::object;
use super::run_id::RunId;

/// How many lanes there are for them. Lane 0 is for calls that stand alone.
const LANES: u32 = 255;

/// The lane of a call, from its event as it is written.
pub(super) fn lane_of(fields: &[Field<'_, '_>], parent_run_id: Option<RunId>) -> u8 {
    let of_conversation = object(fields, "metadata").and_then(|metadata| conversation(metadata.cast_exact().ok()?));
    of_conversation.or_else(|| parent_run_id.map(|parent| hashed(&parent.bytes()))).unwrap_or(0)
}

/// By the names that `LangSmith` and `LangGraph` give conversations.
fn conversation(metadata: &Bound<'_, PyDict>) -> Option<u8> {
    let py = metadata.py();
    [intern!(py, "thread_id"), intern!(py, "session_id"), intern!(py, "conversation_id")].into_iter().find_map(|name| {
        let id = metadata.get_item(name).ok()??;
        id.cast_exact::<PyString>().ok()?.to_str().ok().map(|id| hashed(id.as_bytes()))
    })
}

/// FNV-1a, which spreads short texts well enough for 255 lanes.
fn hashed(bytes: &[u8]) -> u8 {
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    u8::try_from(hash % LANES).map_or(0, |lane| lane + 1)
}
