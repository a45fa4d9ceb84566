//! The conditions of a query, as `python/plsync/journal/filters.py` passes them.

use plsync_journal::{CallEnd, Custody, Lane, Millis, Query, State, TextSearch as Search};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::encode::text::try_reserve;
use crate::errors::{OrRaise, memory_error};

type Label = (String, Vec<u8>);

/// The query with these keyword arguments.
pub(super) fn query(conditions: Option<&Bound<'_, PyDict>>) -> PyResult<Query> {
    let mut query = Query::default();
    for (name, value) in conditions.into_iter().flatten() {
        let name: String = name.extract()?;
        if value.is_none() {
            continue;
        }
        match name.as_str() {
            "labels" => query.labels = labels(value.extract()?)?,
            "any_labels" => {
                let groups: Vec<Vec<Label>> = value.extract()?;
                query.any_labels = groups.into_iter().map(labels).collect::<PyResult<_>>()?;
            }
            "states" => {
                for number in value.extract::<Vec<u8>>()? {
                    match custody(number) {
                        Some(custody) => query.custodies.push(custody),
                        None => query.states.push(state(number)?),
                    }
                }
            }
            "ended" => query.ended = numbers(&value, end)?,
            "removed" => {
                let states: Vec<(u8, bool)> = value.extract()?;
                let of = |(number, is_removed)| Ok((state(number)?, is_removed));
                query.removed = states.into_iter().map(of).collect::<PyResult<_>>()?;
            }
            "lanes" => query.lanes = numbers(&value, |lane| Ok(Lane(lane)))?,
            "since" => query.since = Some(Millis(value.extract()?)),
            "until" => query.until = Some(Millis(value.extract()?)),
            "text" => query.text = Some(value.extract()?),
            "start_texts" => query.start_texts = value.extract()?,
            "runs" => query.runs = value.extract()?,
            "roots" => query.roots = value.extract()?,
            "min_elapsed" => query.min_elapsed = Some(value.extract()?),
            _ => return Err(PyTypeError::new_err(format!("a query has no condition {name}"))),
        }
    }
    Ok(query)
}

fn numbers<T>(value: &Bound<'_, PyAny>, read: impl Fn(u8) -> PyResult<T>) -> PyResult<Vec<T>> {
    value.extract::<Vec<u8>>()?.into_iter().map(read).collect()
}

fn labels(found: Vec<Label>) -> PyResult<Vec<(u8, Vec<u8>)>> {
    found.into_iter().map(|(kind, value)| Ok((label_kind(&kind)?, value))).collect()
}

/// The custody of a number behind the numbers of the stored states.
fn custody(number: u8) -> Option<Custody> {
    let at = usize::from(number).checked_sub(State::ALL.len())?;
    Custody::ALL.get(at).copied()
}

pub(super) fn state(number: u8) -> PyResult<State> {
    State::from_u8(number).ok_or_else(|| PyValueError::new_err("a state is a number from 0 to 5"))
}

fn end(number: u8) -> PyResult<CallEnd> {
    CallEnd::from_u8(number).ok_or_else(|| PyValueError::new_err("the way a call ended is a number from 0 to 6"))
}

pub(super) fn label_kind(kind: &str) -> PyResult<u8> {
    match kind.as_bytes() {
        [kind] => Ok(*kind),
        _ => Err(PyValueError::new_err("a label's kind is one character")),
    }
}

/// A search for a text, by the rules of `Store.query`.
#[pyclass(module = "plsync._native", frozen)]
pub(crate) struct TextSearch(
    // Boxed: the search holds vectors of AVX2, which need a larger alignment than Python's objects have.
    Box<Search>,
);

#[pymethods]
impl TextSearch {
    #[new]
    fn new(text: &str) -> Self {
        Self(Box::new(Search::new(text)))
    }

    fn is_in(&self, py: Python<'_>, body: &[u8]) -> PyResult<bool> {
        let mut copy = Vec::new();
        try_reserve(&mut copy, body.len()).map_err(|_| memory_error("a search"))?;
        copy.extend_from_slice(body);
        self.0.is_in(&mut copy).or_raise(py)
    }
}
