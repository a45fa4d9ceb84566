//! The one warning of a process that an event could not be recorded.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::handover;

static WARNED: AtomicBool = AtomicBool::new(false);

/// Shows a `PlsyncWarning` the first time; later failures are only counted.
pub(super) fn warn_once(py: Python<'_>, reason: &str) {
    if WARNED.swap(true, Ordering::Relaxed) {
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
