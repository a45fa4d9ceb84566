//! `plsync._native`: the recorder and the store for Python. `python/plsync/_native.pyi` documents the exported names.

#![allow(clippy::needless_pass_by_value)] // pyo3 passes arguments by value

mod encode;
mod errors;
mod recorder;
mod store;
mod watch;

use plsync_journal::{Ended, FLAG_CACHED, FLAG_LOSSY, FLAG_PRUNED, FLAG_REDACTED, FLAG_RENEWED, RecordId, State};
use pyo3::prelude::*;

#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use crate::encode::{encode_any, remove_tags};
    #[pymodule_export]
    use crate::recorder::{Callbacks, Recorder};
    #[pymodule_export]
    use crate::store::{CallbackQueue, FollowUp, Row, Store, salvage};
    #[pymodule_export]
    use crate::watch::Watch;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("FLAG_CACHED", FLAG_CACHED)?;
        module.add("FLAG_LOSSY", FLAG_LOSSY)?;
        module.add("FLAG_REDACTED", FLAG_REDACTED)?;
        module.add("FLAG_PRUNED", FLAG_PRUNED)?;
        module.add("FLAG_RENEWED", FLAG_RENEWED)?;
        for (name, ended) in [
            ("END_NONE", Ended::No),
            ("END_OK", Ended::Ok),
            ("END_ERROR", Ended::Error),
            ("END_CANCELLED", Ended::Cancelled),
            ("END_PARTIAL", Ended::Partial),
            ("END_ABANDONED", Ended::Abandoned),
        ] {
            module.add(name, ended as u8)?;
        }
        for state in State::ALL {
            module.add(format!("STATE_{}", state.name().to_uppercase()), state as u8)?;
        }
        Ok(())
    }

    /// A new record id: `UUIDv7`, monotonic within the process.
    #[pyfunction]
    fn new_id() -> [u8; 16] {
        RecordId::new().0
    }

    /// 16 hex digits derived from a record id.
    #[pyfunction]
    fn span_id(record_id: [u8; 16]) -> String {
        RecordId(record_id).hex()[16..].to_owned()
    }
}
