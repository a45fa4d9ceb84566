//! The end event of a step.

use std::time::SystemTime;

use plsync_journal::facts::EndFacts;
use plsync_journal::{CallEnd, FrameKind};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::calls::{Calls, nanos};
use super::event;
use super::field::{Envelope, Value};
use super::key::key;
use super::run::Run;
use super::run_id::RunKey;

/// The arguments of an end callback.
pub(super) struct StepEnd<'a, 'py> {
    pub(super) ended: CallEnd,
    pub(super) flags: u8,
    /// The input of a step that read it as a stream.
    pub(super) input: Option<&'a Bound<'py, PyAny>>,
    pub(super) output: Option<&'a Bound<'py, PyAny>>,
    pub(super) error: Option<&'a Bound<'py, PyAny>>,
}

impl<'a, 'py> StepEnd<'a, 'py> {
    /// The end of a step that did not fail.
    pub(super) fn of(output: Option<&'a Bound<'py, PyAny>>, input: Option<&'a Bound<'py, PyAny>>) -> Self {
        Self { ended: CallEnd::Ok, flags: 0, input, output, error: None }
    }
}

impl Calls {
    /// Writes the end event of a step.
    pub(super) fn write_step_end(&self, py: Python<'_>, end: &StepEnd<'_, '_>, run: &Run, key: RunKey) -> PyResult<()> {
        let now = SystemTime::now();
        let elapsed = run.elapsed_ns();
        let mut fields = Vec::with_capacity(5);
        fields.extend([
            (key!("v").into(), Value::Number(Some(1))),
            (key!("t").into(), Value::Number(Some(nanos(now)))),
            (key!("elapsed").into(), Value::Number(Some(elapsed))),
        ]);
        if run.has_content {
            if let Some(input) = end.input.filter(|input| !input.is_none()) {
                fields.push((key!("input").into(), Value::Object(Some(input.clone()))));
            }
            let input = run.argument.as_ref().map(|input| input.bind(py));
            match input.zip(end.output).and_then(|(input, output)| without_repetition(input, output)) {
                Some((output, repeated)) => {
                    fields.push((key!("from_input").into(), Value::Object(Some(repeated.into_any()))));
                    fields.push((key!("output").into(), Value::Object(Some(output.into_any()))));
                }
                None => fields.push((key!("output").into(), Value::Object(end.output.cloned()))),
            }
        }
        fields.push((key!("error").into(), Value::Searched(end.error.cloned())));
        let envelope = Envelope {
            kind: FrameKind::RunEnd,
            ended: end.ended,
            flags: end.flags,
            id: run.id,
            run_id: key.id,
            parent_run_id: None,
            sink: None,
            root: run.place.map(|place| place.root),
            lane: None,
            facts: Some(EndFacts { duration_ns: Some(elapsed), ..EndFacts::default() }),
        };
        event::write(py, &self.spool, self.redact.as_ref(), envelope, &fields)
    }
}

/// An output whose lists begin like the input's lists, without these items, and their number by key. A graph returns its whole
/// state: each message of a long conversation would be written once more.
fn without_repetition<'py>(
    input: &Bound<'py, PyAny>,
    output: &Bound<'py, PyAny>,
) -> Option<(Bound<'py, PyDict>, Bound<'py, PyDict>)> {
    let (input, output) = (input.cast_exact::<PyDict>().ok()?, output.cast_exact::<PyDict>().ok()?);
    let (mut shortened, repeated) = (None, PyDict::new(input.py()));
    for (key, value) in output {
        let (Ok(list), Ok(Some(known))) = (value.cast_exact::<PyList>(), input.get_item(&key)) else { continue };
        let Ok(known) = known.cast_exact::<PyList>() else { continue };
        let same = list.iter().zip(known.iter()).take_while(|(item, known)| item.is(known)).count();
        if same > 0 {
            let shortened = shortened.get_or_insert_with(|| output.copy());
            let shortened = shortened.as_ref().ok()?;
            shortened.set_item(&key, list.get_slice(same, list.len())).ok()?;
            repeated.set_item(&key, same).ok()?;
        }
    }
    Some((shortened?.ok()?, repeated))
}
