//! `plsync._native`: the recorder and the store for Python. `python/plsync/_native.pyi` documents the exported names.

#![allow(clippy::needless_pass_by_value)] // pyo3 passes arguments by value

mod attached;
mod bundle;
mod encode;
mod errors;
mod gate;
mod handover;
mod id_map;
mod lake;
mod once;
mod recorder;
mod redact;
mod store;
mod watch;

use plsync_journal::{
    CallEnd, Custody, FLAG_CACHED, FLAG_FORGOTTEN, FLAG_INFERRED, FLAG_LOSSY, FLAG_PRUNED, FLAG_REDACTED, FLAG_RENEWED,
    FLAG_RUN, PAGE_BYTES, State,
};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use crate::bundle::export::BundleWriter;
    #[pymodule_export]
    use crate::bundle::import::{SignedBundle, open_bundle};
    #[pymodule_export]
    use crate::bundle::keys::{generate_keys, lock_keys, make_card, read_card, unlock_identity, unlock_signing_key};
    #[pymodule_export]
    use crate::bundle::pack::pack_records;
    #[pymodule_export]
    use crate::encode::encode;
    #[pymodule_export]
    use crate::encode::memory::check_json_memory;
    #[pymodule_export]
    use crate::encode::untagged::untagged;
    #[pymodule_export]
    use crate::gate::{admit_directory, check_directory, ensure_directory, open_file};
    #[pymodule_export]
    use crate::handover::hand_over;
    #[pymodule_export]
    use crate::lake::LakeColumns;
    #[pymodule_export]
    use crate::recorder::{LangChainCallbacks, Recorder, StepCallbacks};
    #[pymodule_export]
    use crate::redact::python::{
        is_credential_name, is_url_credential, redact_secrets, redact_settings, redact_text, redact_urls,
    };
    #[pymodule_export]
    use crate::store::{
        CallbackQueue, ClaimedCallback, FailedCallback, FailedFollowUp, FollowUp, Row, Store, TextSearch, salvage,
        share,
    };
    #[pymodule_export]
    use crate::watch::Watch;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("FLAG_CACHED", FLAG_CACHED)?;
        module.add("FLAG_LOSSY", FLAG_LOSSY)?;
        module.add("FLAG_REDACTED", FLAG_REDACTED)?;
        module.add("FLAG_INFERRED", FLAG_INFERRED)?;
        module.add("FLAG_RUN", FLAG_RUN)?;
        module.add("FLAG_PRUNED", FLAG_PRUNED)?;
        module.add("FLAG_FORGOTTEN", FLAG_FORGOTTEN)?;
        module.add("FLAG_RENEWED", FLAG_RENEWED)?;
        module.add("PAGE_BYTES", PAGE_BYTES)?;
        module.add("END_ERROR", CallEnd::Error as u8)?;
        module.add("END_CANCELLED", CallEnd::Cancelled as u8)?;
        module.add("END_PARTIAL", CallEnd::Partial as u8)?;
        module.add("END_ABANDONED", CallEnd::Abandoned as u8)?;
        module.add("END_INTERRUPTED", CallEnd::Interrupted as u8)?;
        module.add("END_OK", CallEnd::Ok as u8)?;
        module.add("ENDS", PyTuple::new(py, CallEnd::ALL.map(end_name))?)?;
        let states =
            State::ALL.iter().map(|state| state.name()).chain(Custody::ALL.iter().map(|custody| custody.name()));
        module.add("STATES", PyTuple::new(py, states.collect::<Vec<_>>())?)?;
        Ok(())
    }
}

fn end_name(ended: CallEnd) -> &'static str {
    match ended {
        CallEnd::No => "none",
        CallEnd::Ok => "ok",
        CallEnd::Error => "error",
        CallEnd::Cancelled => "cancelled",
        CallEnd::Partial => "partial",
        CallEnd::Abandoned => "abandoned",
        CallEnd::Interrupted => "interrupted",
    }
}
