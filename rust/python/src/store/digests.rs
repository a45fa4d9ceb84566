//! `Store`: digests, and the sums and pages that are made of them.

use std::collections::HashMap;
use std::time::Duration;

use plsync_journal::facts::KINDS;
use plsync_journal::{
    Digest, Figure, Figures, GroupName, Grouping, Millis, NameId, Query, RecordId, Seq, Sums, labels,
};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::conditions::{self, label_kind};
use super::row::{Row, rows};
use super::{Store, seqs};
use crate::errors::OrRaise;

/// Input, output and cached tokens.
type Tokens = [u32; 3];
/// The figures of a record, as `python/plsync/journal/digests.py` passes them.
type Made = (u64, u8, String, Option<u64>, Option<u64>, Option<Tokens>, Option<String>, Option<String>, Option<String>);
type Counts<'py> = Vec<(Bound<'py, PyBytes>, u64)>;
/// The key of a group, and its sums.
type Group<'py> = (Bound<'py, PyAny>, Bound<'py, PyDict>);
type Names = HashMap<NameId, Option<String>>;

#[pymethods]
impl Store {
    fn undigested_count(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        py.detach(|| self.journal().undigested_count()).or_raise(py)
    }

    #[pyo3(signature = (below = None, limit = 100))]
    fn undigested(&self, py: Python<'_>, below: Option<u64>, limit: usize) -> PyResult<(Vec<Row>, Option<u64>)> {
        let (found, next) = py.detach(|| self.journal().undigested(below.map(Seq), limit)).or_raise(py)?;
        Ok((rows(found), next.map(|next| next.0)))
    }

    fn put_digests(&self, py: Python<'_>, made: Vec<Made>) -> PyResult<()> {
        let figures: Vec<_> = made.into_iter().map(figures).collect();
        py.detach(|| self.journal().put_digests(&figures)).or_raise(py)
    }

    fn digests<'py>(&self, py: Python<'py>, numbers: Vec<u64>) -> PyResult<Vec<Option<Bound<'py, PyDict>>>> {
        let numbers = seqs(numbers);
        let journal = self.journal();
        let found = py.detach(|| journal.digests(&numbers)).or_raise(py)?;
        let (mut models, mut providers) = (Names::new(), Names::new());
        let mut dicts = Vec::with_capacity(found.len());
        for digest in found {
            let Some(digest) = digest else {
                dicts.push(None);
                continue;
            };
            let model = named(&mut models, digest.model, |id| journal.model_name(id).or_raise(py))?;
            let provider = named(&mut providers, digest.provider, |id| journal.provider_name(id).or_raise(py))?;
            dicts.push(Some(dict(py, &digest, model, provider)?));
        }
        Ok(dicts)
    }

    #[pyo3(signature = (kind, limit = 1000))]
    fn label_counts<'py>(&self, py: Python<'py>, kind: &str, limit: usize) -> PyResult<Counts<'py>> {
        let kind = label_kind(kind)?;
        Ok(counts(py, py.detach(|| self.journal().label_counts(kind, limit)).or_raise(py)?))
    }

    #[pyo3(signature = (*, limit = 50, only = None, **conditions))]
    fn facets<'py>(
        &self,
        py: Python<'py>,
        limit: usize,
        only: Option<Vec<u64>>,
        conditions: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (query, only) = (conditions::query(conditions)?, only.map(seqs));
        let found = py.detach(|| self.journal().facets(&query, only.as_deref(), limit)).or_raise(py)?;
        let dict = PyDict::new(py);
        dict.set_item(intern!(py, "total"), found.total)?;
        dict.set_item(intern!(py, "ended"), found.ended)?;
        let states: Vec<u64> = found.states.into_iter().chain(found.custodies).collect();
        dict.set_item(intern!(py, "states"), states)?;
        dict.set_item(intern!(py, "removed"), found.removed)?;
        dict.set_item(intern!(py, "models"), counts(py, found.models))?;
        dict.set_item(intern!(py, "tags"), counts(py, found.tags))?;
        dict.set_item(intern!(py, "threads"), counts(py, found.threads))?;
        dict.set_item(intern!(py, "providers"), counts(py, found.providers))?;
        Ok(dict)
    }

    #[pyo3(signature = (buckets, *, only = None, **conditions))]
    fn histogram(
        &self,
        py: Python<'_>,
        buckets: usize,
        only: Option<Vec<u64>>,
        conditions: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<(Vec<u64>, Vec<u64>, Vec<u64>)> {
        let (query, only) = (conditions::query(conditions)?, only.map(seqs));
        let found = py.detach(|| self.journal().histogram(&query, only.as_deref(), buckets)).or_raise(py)?;
        Ok((found.edges.into_iter().map(|edge| edge.0).collect(), found.calls, found.errors))
    }

    #[pyo3(signature = (span_ms, *, only = None, **conditions))]
    fn occupied(
        &self,
        py: Python<'_>,
        span_ms: u64,
        only: Option<Vec<u64>>,
        conditions: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<u64>> {
        let (query, only) = (conditions::query(conditions)?, only.map(seqs));
        py.detach(|| self.journal().occupied(&query, only.as_deref(), span_ms)).or_raise(py)
    }

    #[pyo3(signature = (by, *, moments = Vec::new(), only = None, **conditions))]
    fn usage<'py>(
        &self,
        py: Python<'py>,
        by: &str,
        moments: Vec<u64>,
        only: Option<Vec<u64>>,
        conditions: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Vec<Group<'py>>, Bound<'py, PyDict>, u64)> {
        let by = match by {
            "model" => Grouping::Model,
            "tag" => Grouping::Label(labels::TAG),
            "thread" => Grouping::Label(labels::THREAD),
            "time" => Grouping::Time(moments.into_iter().map(Millis).collect()),
            other => return Err(PyValueError::new_err(format!("{other:?} is no grouping"))),
        };
        let (query, only) = (conditions::query(conditions)?, only.map(seqs));
        let found = py.detach(|| self.journal().usage(&query, only.as_deref(), &by)).or_raise(py)?;
        let mut groups = Vec::with_capacity(found.groups.len());
        for (name, sums) in found.groups {
            let name = match name {
                GroupName::None => py.None().into_bound(py),
                GroupName::Others => false.into_pyobject(py)?.to_owned().into_any(),
                GroupName::Text(name) => PyBytes::new(py, &name).into_any(),
                GroupName::Time(at) => at.into_pyobject(py)?.into_any(),
            };
            groups.push((name, sums_dict(py, &sums)?));
        }
        Ok((groups, sums_dict(py, &found.total)?, found.pending))
    }

    #[pyo3(signature = (budget_ms, *, before = None, after = None, oldest_first = false, limit = 100, **conditions))]
    #[allow(clippy::too_many_arguments)] // the arguments of a query
    fn search(
        &self,
        py: Python<'_>,
        budget_ms: u64,
        before: Option<[u8; 16]>,
        after: Option<[u8; 16]>,
        oldest_first: bool,
        limit: usize,
        conditions: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<(Vec<Row>, Option<[u8; 16]>, u64)> {
        let (before, after) = (before.map(RecordId), after.map(RecordId));
        let query = Query { before, after, oldest_first, limit, ..conditions::query(conditions)? };
        let page = py.detach(|| self.journal().search(&query, Duration::from_millis(budget_ms))).or_raise(py)?;
        Ok((rows(page.rows), page.last.map(|last| last.0), page.searched))
    }

    #[pyo3(signature = (figure, *, smallest_first = false, beyond = None, only = None, limit = 100, **conditions))]
    #[allow(clippy::too_many_arguments)] // the arguments of a query
    fn ordered(
        &self,
        py: Python<'_>,
        figure: &str,
        smallest_first: bool,
        beyond: Option<(u64, u64)>,
        only: Option<Vec<u64>>,
        limit: usize,
        conditions: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<(u64, Row)>> {
        let figure = match figure {
            "took" => Figure::Duration,
            "first_token" => Figure::FirstToken,
            "tokens" => Figure::Tokens,
            other => return Err(PyValueError::new_err(format!("{other:?} is no figure"))),
        };
        let (query, only) = (Query { limit, ..conditions::query(conditions)? }, only.map(seqs));
        let beyond = beyond.map(|(value, seq)| (value, Seq(seq)));
        let order = (figure, smallest_first);
        let found = py.detach(|| self.journal().ordered(&query, only.as_deref(), order, beyond)).or_raise(py)?;
        Ok(found.into_iter().map(|(value, row)| (value, Row::from(row))).collect())
    }
}

fn figures(made: Made) -> Figures {
    let (seq, ended, kind, duration_ns, first_token_ns, tokens, model, provider, thread) = made;
    Figures { seq: Seq(seq), ended, kind, duration_ns, first_token_ns, tokens, model, provider, thread }
}

fn counts(py: Python<'_>, found: Vec<(Vec<u8>, u64)>) -> Counts<'_> {
    found.into_iter().map(|(name, count)| (PyBytes::new(py, &name), count)).collect()
}

/// The name of a number, read once.
fn named(
    known: &mut Names,
    id: NameId,
    read: impl FnOnce(NameId) -> PyResult<Option<Vec<u8>>>,
) -> PyResult<Option<String>> {
    if let Some(name) = known.get(&id) {
        return Ok(name.clone());
    }
    let name = read(id)?.map(|name| String::from_utf8_lossy(&name).into_owned());
    known.insert(id, name.clone());
    Ok(name)
}

fn dict<'py>(
    py: Python<'py>,
    digest: &Digest,
    model: Option<String>,
    provider: Option<String>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "started_ms"), digest.started.0)?;
    dict.set_item(intern!(py, "ended"), digest.ended as u8)?;
    dict.set_item(intern!(py, "kind"), usize::from(digest.kind).checked_sub(1).and_then(|at| KINDS.get(at)))?;
    dict.set_item(intern!(py, "is_run"), digest.is_run)?;
    dict.set_item(intern!(py, "is_cached"), digest.is_cached)?;
    dict.set_item(intern!(py, "is_complete"), digest.is_complete)?;
    dict.set_item(intern!(py, "duration_ns"), digest.duration_ns)?;
    dict.set_item(intern!(py, "first_token_ns"), digest.first_token_ns)?;
    let tokens = digest.tokens;
    dict.set_item(intern!(py, "input_tokens"), tokens.map(|tokens| tokens.input))?;
    dict.set_item(intern!(py, "output_tokens"), tokens.map(|tokens| tokens.output))?;
    dict.set_item(intern!(py, "cached_tokens"), tokens.map(|tokens| tokens.cached))?;
    dict.set_item(intern!(py, "model"), model)?;
    dict.set_item(intern!(py, "provider"), provider)?;
    Ok(dict)
}

fn sums_dict<'py>(py: Python<'py>, sums: &Sums) -> PyResult<Bound<'py, PyDict>> {
    let Sums {
        calls,
        errors,
        cached,
        without_tokens,
        input_tokens,
        output_tokens,
        cached_tokens,
        duration_ns: [p50, p95],
        first_token_ns: [first_p50, first_p95],
    } = sums;
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "calls"), calls)?;
    dict.set_item(intern!(py, "errors"), errors)?;
    dict.set_item(intern!(py, "cached"), cached)?;
    dict.set_item(intern!(py, "without_tokens"), without_tokens)?;
    dict.set_item(intern!(py, "input_tokens"), input_tokens)?;
    dict.set_item(intern!(py, "output_tokens"), output_tokens)?;
    dict.set_item(intern!(py, "cached_tokens"), cached_tokens)?;
    dict.set_item(intern!(py, "p50_ns"), p50)?;
    dict.set_item(intern!(py, "p95_ns"), p95)?;
    dict.set_item(intern!(py, "first_token_p50_ns"), first_p50)?;
    dict.set_item(intern!(py, "first_token_p95_ns"), first_p95)?;
    Ok(dict)
}
