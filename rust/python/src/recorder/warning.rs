//! The one warning of a process that an event could not be recorded.

use std::sync::atomic::{AtomicU64, Ordering};

use plsync_journal::process_generation;
use pyo3::prelude::*;

use crate::handover;

/// The generation of the process that has warned, plus one; 0 before. A forked child has another generation and warns again.
static WARNED: AtomicU64 = AtomicU64::new(0);

/// Shows a `PlsyncWarning` the first time in a process; later failures are only counted.
pub(super) fn warn_once(py: Python<'_>, reason: &str) {
    let this = process_generation() + 1;
    if WARNED.swap(this, Ordering::Relaxed) == this {
        return;
    }
    let warn = || {
        let class = &handover::errors(py)?.warning;
        let message = format!(
            "plsync could not record all of an LLM call ({reason}). The call itself is not affected; \
             further failures are only counted, see `plsync status`."
        );
        py.import("warnings")?.call_method1("warn", (message, class))
    };
    // A program that turns warnings into errors makes this raise. The user's call must go on.
    let _ = warn();
}
