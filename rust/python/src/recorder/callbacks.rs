//! `LangChain`'s callbacks for models: `on_chat_model_start`, `on_llm_start`, `on_llm_new_token`, `on_stream_event`, `on_llm_end`.
//!
//! `PromptLayerCallbackHandler` in `python/plsync/recorder/handler.py` derives from this class. A callback of this class runs no
//! Python code of plsync. The handler keeps the callbacks of failed calls and of chains, and its `__init__` calls `_attach`.

use plsync_journal::{CallEnd, FLAG_CACHED};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::Recorder;
use super::answer::is_cached;
use super::call::{Content, EndArguments, StartArguments};
use super::open_runs::Arrival;

/// The base class of the handler. Its callbacks record after `_attach`.
#[pyclass(frozen, subclass, module = "plsync._native")]
pub(crate) struct LangChainCallbacks {
    attached: PyOnceLock<Attached>,
}

struct Attached {
    recorder: Py<Recorder>,
    /// Called after each start.
    on_started: Option<Py<PyAny>>,
}

/// An argument that `LangChain` passes by name and the recorder ignores. The signature names it, so that Python makes no dict of
/// further arguments.
type Ignored<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

#[pymethods]
impl LangChainCallbacks {
    /// Ignores its arguments, which are meant for the handler's `__init__`.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { attached: PyOnceLock::new() }
    }

    fn _attach(&self, py: Python<'_>, recorder: Py<Recorder>, on_started: Option<Py<PyAny>>) -> PyResult<()> {
        let attached = self.attached.set(py, Attached { recorder, on_started });
        attached.map_err(|_| PyRuntimeError::new_err("this handler is attached to its journal already"))
    }

    #[pyo3(signature = (serialized, messages, *, run_id, parent_run_id = None, tags = None, metadata = None,
                        invocation_params = None, options = None, name = None, batch_size = None, **_kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's signature
    fn on_chat_model_start(
        &self,
        serialized: &Bound<'_, PyAny>,
        messages: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: Option<&Bound<'_, PyAny>>,
        tags: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
        invocation_params: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        name: Option<&Bound<'_, PyAny>>,
        batch_size: Ignored<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = batch_size;
        // LangChain passes a list of conversations, and a run has exactly one.
        let only = messages.cast_exact::<PyList>().ok().filter(|lists| lists.len() == 1);
        let messages = only.and_then(|lists| lists.get_item(0).ok()).unwrap_or_else(|| messages.clone());
        let content = ("messages", messages);
        let (params, parent) = (invocation_params, parent_run_id);
        self.start("chat", content, serialized, run_id, parent, tags, metadata, params, options, name)
    }

    #[pyo3(signature = (serialized, prompts, *, run_id, parent_run_id = None, tags = None, metadata = None,
                        invocation_params = None, options = None, name = None, batch_size = None, **_kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's signature
    fn on_llm_start(
        &self,
        serialized: &Bound<'_, PyAny>,
        prompts: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: Option<&Bound<'_, PyAny>>,
        tags: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
        invocation_params: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyAny>>,
        name: Option<&Bound<'_, PyAny>>,
        batch_size: Ignored<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = batch_size;
        let content = ("prompts", prompts.clone());
        let (params, parent) = (invocation_params, parent_run_id);
        self.start("llm", content, serialized, run_id, parent, tags, metadata, params, options, name)
    }

    #[pyo3(signature = (token, *, run_id, chunk = None, parent_run_id = None, tags = None, **_kwargs))]
    fn on_llm_new_token(
        &self,
        token: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        chunk: Ignored<'_, '_>,
        parent_run_id: Ignored<'_, '_>,
        tags: Ignored<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = (token, chunk, parent_run_id, tags);
        self.add_arrival(run_id, Arrival::Token)
    }

    #[pyo3(signature = (event, *, run_id, parent_run_id = None, tags = None, **_kwargs))]
    fn on_stream_event(
        &self,
        event: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: Ignored<'_, '_>,
        tags: Ignored<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = (parent_run_id, tags);
        let Ok(event) = event.cast::<PyDict>() else { return Ok(()) };
        let name = event.get_item(intern!(event.py(), "event"))?;
        let name = name.as_ref().and_then(|name| name.cast::<PyString>().ok()?.to_str().ok());
        if name == Some("content-block-delta") { self.add_arrival(run_id, Arrival::StreamEvent) } else { Ok(()) }
    }

    #[pyo3(signature = (response, *, run_id, parent_run_id = None, tags = None, **_kwargs))]
    fn on_llm_end(
        &self,
        response: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: Option<&Bound<'_, PyAny>>,
        tags: Ignored<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = tags;
        let py = run_id.py();
        let recorder = self.attached(py)?.recorder.get();
        recorder.without_raising(py, || {
            let generations = response.getattr(intern!(py, "generations"))?;
            // LangChain returns a list of candidates for each prompt, and a run has exactly one prompt.
            let generations = match generations.cast_exact::<PyList>() {
                Ok(lists) if !lists.is_empty() => lists.get_item(0)?,
                _ => generations,
            };
            let end = EndArguments {
                flags: if is_cached(&generations) { FLAG_CACHED } else { 0 },
                llm_output: response.getattr(intern!(py, "llm_output")).ok(),
                ..EndArguments::new(CallEnd::Ok, ("generations", generations))
            };
            recorder.calls.finish(end, run_id, parent_run_id)
        });
        Ok(())
    }
}

impl LangChainCallbacks {
    fn attached(&self, py: Python<'_>) -> PyResult<&Attached> {
        let attached = self.attached.get(py);
        attached.ok_or_else(|| PyRuntimeError::new_err("this handler was made without calling its __init__"))
    }

    /// Records a start, then calls the `on_started` of the handler.
    #[allow(clippy::too_many_arguments)] // LangChain's, the same for every kind of model
    fn start<'a, 'py>(
        &self,
        kind: &'static str,
        content: Content<'py>,
        serialized: &'a Bound<'py, PyAny>,
        run_id: &'a Bound<'py, PyAny>,
        parent_run_id: Option<&'a Bound<'py, PyAny>>,
        tags: Option<&'a Bound<'py, PyAny>>,
        metadata: Option<&'a Bound<'py, PyAny>>,
        params: Option<&'a Bound<'py, PyAny>>,
        options: Option<&'a Bound<'py, PyAny>>,
        name: Option<&'a Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = run_id.py();
        let attached = self.attached(py)?;
        let recorder = attached.recorder.get();
        let decision = false;
        recorder.without_raising(py, || {
            recorder.calls.start(StartArguments {
                kind,
                decision,
                content,
                serialized,
                run_id,
                parent_run_id,
                tags,
                metadata,
                params,
                options,
                name,
            })
        });
        match &attached.on_started {
            Some(on_started) => on_started.call0(py).map(drop),
            None => Ok(()),
        }
    }

    fn add_arrival(&self, run_id: &Bound<'_, PyAny>, arrival: Arrival) -> PyResult<()> {
        let recorder = self.attached(run_id.py())?.recorder.get();
        recorder.without_raising(run_id.py(), || recorder.calls.add_arrival(run_id, arrival));
        Ok(())
    }
}
