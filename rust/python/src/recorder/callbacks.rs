//! `LangChain`'s callbacks for models: `on_chat_model_start`, `on_llm_start`, `on_llm_new_token`, `on_stream_event`, `on_llm_end`.
//!
//! `PromptLayerCallbackHandler` in `python/plsync/recorder/handler.py` derives from this class. A callback of this class runs no
//! Python code of plsync. The handler keeps the callbacks of failed calls, and its `__init__` calls `_attach`.
//!
//! Programs call these functions themselves, too. An argument that is absent or of another class costs only itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plsync_journal::{CallEnd, FLAG_CACHED};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use pyo3::{ffi, intern};

use super::Recorder;
use super::answer::{generations_of, is_cached, usage_of};
use super::calls::{Calls, EndArguments, StartArguments};
use super::facts::complete;
use super::key::key;
use super::run::{Arrival, RunKind};
use super::tokens::{has_delta, is_token};
use crate::encode::{attribute, class_path};

/// The base class of the handler. Its callbacks record after `_attach`.
#[pyclass(frozen, subclass, module = "plsync._native")]
pub(crate) struct LangChainCallbacks {
    attached: PyOnceLock<Attached>,
}

struct Attached {
    recorder: Py<Recorder>,
    /// Called after each start.
    on_started: Option<Py<PyAny>>,
    /// Whether `LangGraph` is imported, and the handler has its base class.
    knows_graphs: AtomicBool,
}

/// An argument. `LangChain` passes each; other callers may leave it out.
pub(super) type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

#[pymethods]
impl LangChainCallbacks {
    /// Ignores its arguments, which are meant for the handler's `__init__`.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::detached()
    }

    fn _attach(&self, py: Python<'_>, recorder: Py<Recorder>, on_started: Option<Py<PyAny>>) -> PyResult<()> {
        let attached = self.attached.set(py, Attached { recorder, on_started, knows_graphs: AtomicBool::new(false) });
        attached.map_err(|_| PyRuntimeError::new_err("this handler is attached to its journal already"))
    }

    #[pyo3(signature = (serialized = None, messages = None, *, run_id = None, parent_run_id = None, tags = None, metadata = None,
                        invocation_params = None, options = None, name = None, batch_size = None, **_kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's signature
    fn on_chat_model_start(
        &self,
        py: Python<'_>,
        serialized: Argument<'_, '_>,
        messages: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        parent_run_id: Argument<'_, '_>,
        tags: Argument<'_, '_>,
        metadata: Argument<'_, '_>,
        invocation_params: Argument<'_, '_>,
        options: Argument<'_, '_>,
        name: Argument<'_, '_>,
        batch_size: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = batch_size;
        let none = py.None().into_bound(py);
        let messages = messages.unwrap_or(&none);
        // LangChain passes a list of conversations, and a run has exactly one.
        let conversations = messages.cast_exact::<PyList>().ok();
        let conversations = conversations.filter(|lists| lists.iter().all(|list| list.is_instance_of::<PyList>()));
        let (first, more) = match conversations {
            Some(lists) if lists.len() == 1 => (lists.get_item(0)?, Vec::new()),
            Some(lists) if !lists.is_empty() => (lists.get_item(0)?, lists.iter().skip(1).collect()),
            _ => (messages.clone(), Vec::new()),
        };
        self.start(StartArguments {
            kind: "chat",
            stands: RunKind::Model,
            argument: messages,
            content: (key!("messages"), first),
            more,
            serialized: serialized.unwrap_or(&none),
            run_id: run_id.unwrap_or(&none),
            parent_run_id,
            tags,
            metadata,
            params: invocation_params,
            options,
            name,
        })
    }

    #[pyo3(signature = (serialized = None, prompts = None, *, run_id = None, parent_run_id = None, tags = None, metadata = None,
                        invocation_params = None, options = None, name = None, batch_size = None, **_kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's signature
    fn on_llm_start(
        &self,
        py: Python<'_>,
        serialized: Argument<'_, '_>,
        prompts: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        parent_run_id: Argument<'_, '_>,
        tags: Argument<'_, '_>,
        metadata: Argument<'_, '_>,
        invocation_params: Argument<'_, '_>,
        options: Argument<'_, '_>,
        name: Argument<'_, '_>,
        batch_size: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = batch_size;
        let none = py.None().into_bound(py);
        let prompts = prompts.unwrap_or(&none);
        let (first, more) = match prompts.cast_exact::<PyList>() {
            Ok(list) if list.len() > 1 => {
                let mut each = list.iter().map(|prompt| Ok(PyList::new(py, [prompt])?.into_any()));
                let first = each.next().unwrap_or_else(|| Ok(prompts.clone()))?;
                (first, each.collect::<PyResult<_>>()?)
            }
            _ => (prompts.clone(), Vec::new()),
        };
        self.start(StartArguments {
            kind: "llm",
            stands: RunKind::Model,
            argument: prompts,
            content: (key!("prompts"), first),
            more,
            serialized: serialized.unwrap_or(&none),
            run_id: run_id.unwrap_or(&none),
            parent_run_id,
            tags,
            metadata,
            params: invocation_params,
            options,
            name,
        })
    }

    #[pyo3(signature = (token = None, *, run_id = None, chunk = None, parent_run_id = None, tags = None, **_kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's signature
    fn on_llm_new_token(
        &self,
        py: Python<'_>,
        token: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        chunk: Argument<'_, '_>,
        parent_run_id: Argument<'_, '_>,
        tags: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = (parent_run_id, tags);
        let Some(piece) = chunk.or(token) else { return Ok(()) };
        let none = py.None().into_bound(py);
        let token = token.unwrap_or(&none);
        let arrival = Arrival::Piece { piece: piece.clone().unbind(), is_token: is_token(token, chunk) };
        self.add(run_id.unwrap_or(&none), arrival)?;
        if chunk.is_none() && !token.is_instance_of::<PyString>() && !token.is_instance_of::<PyList>() {
            let calls = self.calls(py)?;
            calls.without_raising(py, || Err(unexpected("token", token, "a text")));
        }
        Ok(())
    }

    #[pyo3(signature = (event = None, *, run_id = None, parent_run_id = None, tags = None, **_kwargs))]
    fn on_stream_event(
        &self,
        py: Python<'_>,
        event: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        parent_run_id: Argument<'_, '_>,
        tags: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = (parent_run_id, tags);
        let (Some(event), Some(run_id)) = (event.and_then(|event| event.cast::<PyDict>().ok()), run_id) else {
            return Ok(());
        };
        let name = event.get_item(intern!(py, "event"))?;
        let name = name.as_ref().and_then(|name| name.cast::<PyString>().ok()?.to_str().ok());
        if name == Some("content-block-delta") && has_delta(event) {
            self.add(run_id, Arrival::StreamEvent)
        } else {
            Ok(())
        }
    }

    #[pyo3(signature = (response = None, *, run_id = None, parent_run_id = None, tags = None, **_kwargs))]
    fn on_llm_end(
        &self,
        py: Python<'_>,
        response: Argument<'_, '_>,
        run_id: Argument<'_, '_>,
        parent_run_id: Argument<'_, '_>,
        tags: Argument<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = tags;
        let none = py.None().into_bound(py);
        let (response, run_id) = (response.unwrap_or(&none), run_id.unwrap_or(&none));
        let calls = self.calls(py)?;
        calls.without_raising(py, || {
            let found = generations_of(response);
            let is_readable = found.is_some();
            let (generations, more) = found.unwrap_or((none.clone(), Vec::new()));
            let usage = usage_of(&generations);
            let tokens = usage.as_ref().and_then(complete);
            // LangChain adds the cost of a cached answer to its three counts.
            let is_cached = usage.as_ref().is_some_and(|usage| usage.len() != 3 && is_cached(usage));
            let end = EndArguments {
                flags: if is_cached { FLAG_CACHED } else { 0 },
                tokens,
                more,
                llm_output: attribute(response, intern!(py, "llm_output")).ok().flatten(),
                ..EndArguments::new(CallEnd::Ok, (key!("generations"), generations))
            };
            calls.finish(end, run_id, parent_run_id)?;
            if is_readable { Ok(()) } else { Err(unexpected("response", response, "an LLMResult")) }
        });
        Ok(())
    }
}

/// The error of an argument of another class.
fn unexpected(argument: &str, value: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    let class = class_path(&value.get_type());
    PyTypeError::new_err(format!("{argument} is {class}, and the record is kept without it: pass {expected}"))
}

impl LangChainCallbacks {
    /// Before `_attach`.
    pub(super) fn detached() -> Self {
        Self { attached: PyOnceLock::new() }
    }

    pub(super) fn calls(&self, py: Python<'_>) -> PyResult<&Arc<Calls>> {
        Ok(&self.attached(py)?.recorder.get().calls)
    }

    fn attached(&self, py: Python<'_>) -> PyResult<&Attached> {
        let attached = self.attached.get(py);
        attached.ok_or_else(|| PyRuntimeError::new_err("this handler was made without calling its __init__"))
    }

    /// Adds the base class of `LangGraph`'s handlers to the handler, once the program has imported `LangGraph`.
    pub(super) fn join_graphs(&self, handler: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = handler.py();
        let attached = self.attached(py)?;
        if attached.knows_graphs.load(Ordering::Relaxed) {
            return Ok(());
        }
        // SAFETY: the GIL is held. The result is a borrowed reference to the dict of the imported modules.
        let modules = unsafe { Bound::from_borrowed_ptr(py, ffi::PyImport_GetModuleDict()) };
        if modules.contains(intern!(py, "langgraph.callbacks"))? {
            let is_joined = handler.call_method0(intern!(py, "_join_langgraph"))?.is_truthy()?;
            attached.knows_graphs.store(is_joined, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Records a start, then calls the `on_started` of the handler.
    pub(super) fn start(&self, call: StartArguments<'_, '_>) -> PyResult<()> {
        let py = call.run_id.py();
        let attached = self.attached(py)?;
        let calls = &attached.recorder.get().calls;
        calls.without_raising(py, || calls.start(call));
        match &attached.on_started {
            Some(on_started) => on_started.call0(py).map(drop),
            None => Ok(()),
        }
    }

    fn add(&self, run_id: &Bound<'_, PyAny>, arrival: Arrival) -> PyResult<()> {
        let calls = self.calls(run_id.py())?;
        calls.without_raising(run_id.py(), || {
            calls.add(run_id, arrival);
            Ok(())
        });
        Ok(())
    }
}
