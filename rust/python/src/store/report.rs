//! Reports of the journal as Python dicts, from which `python/plsync/journal/reports.py` makes dataclasses.
//!
//! A dict has the keys of the dataclass. A test compares the two, and the compiler compares the keys with the journal's structs.

use plsync_journal::{
    BackupReport, CheckReport, CompactReport, Custody, Damage, ForgetReport, ForgottenRecord, IngestReport, Millis,
    Problem, Quota, SalvageReport, Server, ServerStats, ShareReport, SinkBacklog, SkippedFile, State, Stats,
    UnreadableFile, Withdrawn, WriterInfo,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict};

pub(super) trait Report {
    fn to_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>>;
}

/// Implements [`Report`] for a struct: a dict with the struct's fields.
///
/// The fields after `except` are left out, and the entries after `with` are added. The entries may use all fields. A struct with a
/// field in neither list does not compile.
macro_rules! report {
    (
        $report:ident { $($field:ident),* $(,)? }
        $(except { $($left_out:ident $(: $ignored:pat)?),* })?
        $(with |$py:ident| { $($key:literal: $entry:expr),* $(,)? })?
    ) => {
        impl Report for $report {
            fn to_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
                let Self { $($field,)* $($($left_out $(: $ignored)?,)*)? } = self;
                let dict = PyDict::new(py);
                $(dict.set_item(intern!(py, stringify!($field)), $field)?;)*
                $(let $py = py; $(dict.set_item(intern!(py, $key), $entry)?;)*)?
                Ok(dict)
            }
        }
    };
}

report!(IngestReport { ran, frames, records, duplicates, forgotten, abandoned, segments_removed } except { pruned, damage, skipped } with |py| {
    "pruned": pruned.acked,
    "dropped": pruned.unsent,
    "damage": dicts(py, damage)?,
    "skipped": dicts(py, skipped)?,
});
report!(SkippedFile { name, reason });
report!(Damage { segment, offset, reason } except { len: _ });
report!(Stats {
    format, journal_id, group, records, open, opaque, callbacks, callbacks_dead, callback_error, followups, followups_stranded, followups_dead,
    followups_sent, followup_error, lmdb_bytes, used_bytes, raw_bytes, stored_bytes, forgotten, forgetting, read_only, waiting_events, failures, last_failure,
    damaged, damage, exposed, last_run, disk_free, runs, open_runs, growing, growing_runs,
} except {
    states, custody, run_states, segments, spool_bytes, pruned_acked, pruned_unsent, quota, skipped, writers, oldest_unsent, servers
} with |py| {
    "states": std::iter::zip(State::ALL.map(State::name), states)
        .chain(std::iter::zip(Custody::ALL.map(Custody::name), custody))
        .into_py_dict(py)?,
    "run_states": std::iter::zip(State::ALL.map(State::name), run_states).into_py_dict(py)?,
    "spool": [("segments", segments), ("bytes", spool_bytes)].into_py_dict(py)?,
    "pruned": pruned_acked,
    "dropped": pruned_unsent,
    "quota": quota.to_dict(py)?,
    "oldest_unsent": oldest_unsent.map(|at| at.0),
    "skipped": dicts(py, skipped)?,
    "writers": dicts(py, writers)?,
    "servers": dicts(py, servers)?,
});
report!(WriterInfo { pid, alive, failures, events } except { id, started, last_failure: _ } with |_py| {
    "writer": id.hex(),
    "started_ms": started.0,
});
report!(Quota { max_bytes } except { max_age, policy } with |_py| {
    "max_age_ms": max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    "policy": policy.name(),
});
report!(ShareReport { previous, changed });
report!(CompactReport { before, after, in_place } except { pruned } with |_py| {
    "pruned": pruned.acked,
    "dropped": pruned.unsent,
});
report!(ForgetReport { followups, frames, before, after, has_leftovers, lacks_room } except { records, skipped, unreadable } with |py| {
    "records": dicts(py, records)?,
    "skipped": dicts(py, skipped)?,
    "unreadable": dicts(py, unreadable)?,
});
report!(ForgottenRecord { was_forgotten, is_running, events, labels, followups, callbacks }
    except { id, request_id, state, custody } with |py|
{
    "id": PyBytes::new(py, &id.0),
    "request_id": request_id.map(|request| request.0),
    "state": custody.map_or(state.name(), Custody::name),
});
report!(UnreadableFile { name, bytes });
report!(BackupReport { bytes, segments, digest } except { check, skipped } with |py| {
    "check": check.to_dict(py)?,
    "skipped": dicts(py, skipped)?,
});
report!(CheckReport { frames, records, events, notes } except { problems } with |py| {
    "problems": dicts(py, problems)?,
});
report!(Problem { kept } except { place, description } with |_py| {
    "where": place,
    "what": description,
});
report!(SalvageReport { records, events, acks, callbacks, followups, followups_sent, frames, damaged, lost, losses });
report!(Withdrawn { records, pruned, busy });
report!(SinkBacklog { sink, waiting, owned, pids, dead, last_error });

impl Report for ServerStats {
    fn to_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let dict = server_dict(py, self.server)?;
        dict.set_item(intern!(py, "is_bound"), self.is_bound)?;
        dict.set_item(intern!(py, "in_doubt"), self.in_doubt)?;
        Ok(dict)
    }
}

/// A moment in ms since the epoch; `None` for one that has not come.
pub(super) fn moment(at: Millis) -> Option<u64> {
    Some(at.0).filter(|at| *at > 0)
}

pub(super) fn dicts<T: Report>(py: Python<'_>, reports: Vec<T>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    reports.into_iter().map(|report| report.to_dict(py)).collect()
}

pub(super) fn server_dict(py: Python<'_>, server: Server) -> PyResult<Bound<'_, PyDict>> {
    let Server { id, url, account, is_stand_in, first, last, acked } = server;
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "id"), id.0)?;
    dict.set_item(intern!(py, "url"), url)?;
    dict.set_item(intern!(py, "account"), PyBytes::new(py, &account))?;
    dict.set_item(intern!(py, "is_stand_in"), is_stand_in)?;
    dict.set_item(intern!(py, "first"), moment(first))?;
    dict.set_item(intern!(py, "last"), moment(last))?;
    dict.set_item(intern!(py, "acked"), acked)?;
    Ok(dict)
}
