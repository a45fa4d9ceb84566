//! `LangChain`'s callbacks for chains, tools and retrievers that start, and that end well.
//!
//! `PromptLayerCallbackHandler` derives from this class. The callbacks of runs that fail are in `python/plsync/recorder/failed_steps.py`.
//! `LangChain` reports a decision model, which is a call, as a chain.

use plsync_journal::CallEnd;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::callbacks::{Argument, LangChainCallbacks};
use super::calls::{EndArguments, Runs, StartArguments};
use super::key::key;
use super::run::RunKind;
use super::step_end::StepEnd;
use super::steps::StepStart;

/// The base class of the handler, with the callbacks of all runs.
#[pyclass(frozen, subclass, extends = LangChainCallbacks, module = "plsync._native")]
pub(crate) struct StepCallbacks;

#[pymethods]
impl StepCallbacks {
    /// Ignores its arguments, which are meant for the handler's `__init__`.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(LangChainCallbacks::detached()).add_subclass(Self)
    }

    #[pyo3(signature = (serialized = None, inputs = None, *, run_id = None, parent_run_id = None, tags = None, metadata = None,
                        run_type = None, name = None, **kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's signature
    fn on_chain_start(
        slf: &Bound<'_, Self>,
        serialized: Argument<'_, '_>,
        inputs: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        parent_run_id: Argument<'_, '_>,
        tags: Argument<'_, '_>,
        metadata: Argument<'_, '_>,
        run_type: Argument<'_, '_>,
        name: Argument<'_, '_>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let none = slf.py().None().into_bound(slf.py());
        let (input, run_id) = (inputs.unwrap_or(&none), run_id.unwrap_or(&none));
        let kind = run_type.and_then(|kind| kind.cast::<PyString>().ok()?.to_str().ok()).unwrap_or("chain");
        if kind != "llm" {
            let step = StepStart { kind, input, name, run_id, parent_run_id, tags, metadata, tool_call_id: None };
            return start(slf, &step);
        }
        let rest = |name| kwargs.and_then(|rest| rest.get_item(name).ok()?);
        let (params, options) = (rest(intern!(slf.py(), "invocation_params")), rest(intern!(slf.py(), "options")));
        slf.as_super().get().start(StartArguments {
            kind: "chat",
            stands: RunKind::Decision,
            argument: input,
            content: (key!("inputs"), input.clone()),
            more: Vec::new(),
            serialized: serialized.unwrap_or(&none),
            run_id,
            parent_run_id,
            tags,
            metadata,
            params: params.as_ref(),
            options: options.as_ref(),
            name,
        })
    }

    /// `LangChain` passes the inputs of a run that read them as a stream.
    #[pyo3(signature = (outputs = None, *, run_id = None, parent_run_id = None, inputs = None, **_kwargs))]
    fn on_chain_end(
        slf: &Bound<'_, Self>,
        outputs: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        parent_run_id: Argument<'_, '_>,
        inputs: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let none = py.None().into_bound(py);
        let (outputs, run_id) = (outputs.unwrap_or(&none), run_id.unwrap_or(&none));
        let calls = slf.as_super().get().calls(py)?;
        calls.without_raising(py, || {
            let end = StepEnd::of(Some(outputs), inputs);
            if calls.runs != Runs::Llm && calls.finish_step(end, run_id)? {
                return Ok(());
            }
            let end = EndArguments {
                stands: RunKind::Decision,
                ..EndArguments::new(CallEnd::Ok, (key!("outputs"), outputs.clone()))
            };
            calls.finish(end, run_id, parent_run_id)
        });
        Ok(())
    }

    #[pyo3(signature = (serialized = None, input_str = None, *, run_id = None, parent_run_id = None, tags = None, metadata = None,
                        inputs = None, name = None, tool_call_id = None, **_kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's signature
    fn on_tool_start(
        slf: &Bound<'_, Self>,
        serialized: Argument<'_, '_>,
        input_str: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        parent_run_id: Argument<'_, '_>,
        tags: Argument<'_, '_>,
        metadata: Argument<'_, '_>,
        inputs: Argument<'_, '_>,
        name: Argument<'_, '_>,
        tool_call_id: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let none = slf.py().None().into_bound(slf.py());
        let (input, run_id) = (inputs.or(input_str).unwrap_or(&none), run_id.unwrap_or(&none));
        let named = name_of(name, serialized);
        let name = named.as_ref();
        start(slf, &StepStart { kind: "tool", input, name, run_id, parent_run_id, tags, metadata, tool_call_id })
    }

    #[pyo3(signature = (output = None, *, run_id = None, **_kwargs))]
    fn on_tool_end(
        slf: &Bound<'_, Self>,
        output: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        end(slf, output, run_id)
    }

    #[pyo3(signature = (serialized = None, query = None, *, run_id = None, parent_run_id = None, tags = None, metadata = None,
                        name = None, **_kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's signature
    fn on_retriever_start(
        slf: &Bound<'_, Self>,
        serialized: Argument<'_, '_>,
        query: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        parent_run_id: Argument<'_, '_>,
        tags: Argument<'_, '_>,
        metadata: Argument<'_, '_>,
        name: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let none = slf.py().None().into_bound(slf.py());
        let (input, run_id) = (query.unwrap_or(&none), run_id.unwrap_or(&none));
        let named = name_of(name, serialized);
        let name = named.as_ref();
        let kind = "retriever";
        start(slf, &StepStart { kind, input, name, run_id, parent_run_id, tags, metadata, tool_call_id: None })
    }

    #[pyo3(signature = (documents = None, *, run_id = None, **_kwargs))]
    fn on_retriever_end(
        slf: &Bound<'_, Self>,
        documents: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        end(slf, documents, run_id)
    }
}

fn start(handler: &Bound<'_, StepCallbacks>, step: &StepStart<'_, '_>) -> PyResult<()> {
    let py = handler.py();
    let callbacks = handler.as_super().get();
    let calls = callbacks.calls(py)?;
    if calls.runs != Runs::Llm {
        calls.without_raising(py, || calls.start_step(step));
        calls.without_raising(py, || callbacks.join_graphs(handler));
    }
    Ok(())
}

fn end(handler: &Bound<'_, StepCallbacks>, output: Argument<'_, '_>, run_id: Argument<'_, '_>) -> PyResult<()> {
    let py = handler.py();
    let none = py.None().into_bound(py);
    let calls = handler.as_super().get().calls(py)?;
    calls.without_raising(py, || calls.finish_step(StepEnd::of(output, None), run_id.unwrap_or(&none)).map(drop));
    Ok(())
}

/// The name of a run. Some versions of `LangChain` pass it only in the serialized form of the object.
fn name_of<'py>(name: Argument<'_, 'py>, serialized: Argument<'_, 'py>) -> Option<Bound<'py, PyAny>> {
    let given = name.filter(|name| name.is_truthy().unwrap_or(false)).cloned();
    let in_object = || serialized?.cast::<PyDict>().ok()?.get_item(intern!(serialized?.py(), "name")).ok()?;
    given.or_else(in_object)
}
