//! `LangChain`'s callbacks for models. The handler derives from them: an event then costs no frame of Python.

use plsync_journal::{Ended, FLAG_CACHED};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::Recorder;
use super::call::{Answer, Call};
use super::reading::is_cached;
use super::run_id::RunId;

/// The callbacks of a handler, which record once it has attached them.
#[pyclass(frozen, subclass, module = "plsync._native")]
pub(crate) struct Callbacks {
    attached: PyOnceLock<Attached>,
}

struct Attached {
    recorder: Py<Recorder>,
    /// Called after each start.
    started: Option<Py<PyAny>>,
}

/// What `LangChain` passes by name and nothing here reads. Named in the signatures, so that no dict is made for it.
type Unread<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

#[pymethods]
impl Callbacks {
    /// The arguments are the handler's.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { attached: PyOnceLock::new() }
    }

    fn _attach(&self, py: Python<'_>, recorder: Py<Recorder>, started: Option<Py<PyAny>>) -> PyResult<()> {
        let attached = self.attached.set(py, Attached { recorder, started });
        attached.map_err(|_| PyRuntimeError::new_err("this handler is attached to its journal already"))
    }

    #[pyo3(signature = (serialized, messages, *, run_id, parent_run_id = None, tags = None, metadata = None,
                        invocation_params = None, options = None, name = None, batch_size = None, **_kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's
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
        batch_size: Unread<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = batch_size;
        // One run has one list of messages.
        let only = messages.cast_exact::<PyList>().ok().filter(|lists| lists.len() == 1);
        let messages = only.and_then(|lists| lists.get_item(0).ok()).unwrap_or_else(|| messages.clone());
        self.start(Call {
            kind: "chat",
            decision: false,
            content: ("messages", messages),
            serialized,
            run_id,
            parent_run_id,
            tags,
            metadata,
            params: invocation_params,
            options,
            name,
        })
    }

    #[pyo3(signature = (serialized, prompts, *, run_id, parent_run_id = None, tags = None, metadata = None,
                        invocation_params = None, options = None, name = None, batch_size = None, **_kwargs))]
    #[allow(clippy::too_many_arguments)] // LangChain's
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
        batch_size: Unread<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = batch_size;
        self.start(Call {
            kind: "llm",
            decision: false,
            content: ("prompts", prompts.clone()),
            serialized,
            run_id,
            parent_run_id,
            tags,
            metadata,
            params: invocation_params,
            options,
            name,
        })
    }

    #[pyo3(signature = (token, *, run_id, chunk = None, parent_run_id = None, tags = None, **_kwargs))]
    fn on_llm_new_token(
        &self,
        token: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        chunk: Unread<'_, '_>,
        parent_run_id: Unread<'_, '_>,
        tags: Unread<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = (token, chunk, parent_run_id, tags);
        self.piece(run_id, false)
    }

    #[pyo3(signature = (event, *, run_id, parent_run_id = None, tags = None, **_kwargs))]
    fn on_stream_event(
        &self,
        event: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: Unread<'_, '_>,
        tags: Unread<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = (parent_run_id, tags);
        let Ok(event) = event.cast::<PyDict>() else { return Ok(()) };
        let name = event.get_item(intern!(event.py(), "event"))?;
        let name = name.as_ref().and_then(|name| name.cast::<PyString>().ok()?.to_str().ok());
        if name == Some("content-block-delta") { self.piece(run_id, true) } else { Ok(()) }
    }

    #[pyo3(signature = (response, *, run_id, parent_run_id = None, tags = None, **_kwargs))]
    fn on_llm_end(
        &self,
        response: &Bound<'_, PyAny>,
        run_id: &Bound<'_, PyAny>,
        parent_run_id: Option<&Bound<'_, PyAny>>,
        tags: Unread<'_, '_>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let _ = tags;
        let py = run_id.py();
        let recorder = self.attached(py)?.recorder.get();
        recorder.guarded(py, || {
            let generations = response.getattr(intern!(py, "generations"))?;
            // One run has one prompt, and a list of its candidates.
            let generations = match generations.cast_exact::<PyList>() {
                Ok(lists) if !lists.is_empty() => lists.get_item(0)?,
                _ => generations,
            };
            let answer = Answer {
                ended: Ended::Ok,
                decision: false,
                flags: if is_cached(&generations) { FLAG_CACHED } else { 0 },
                content: ("generations", generations),
                llm_output: response.getattr(intern!(py, "llm_output")).ok(),
                error: None,
            };
            recorder.finish(answer, run_id, parent_run_id)
        });
        Ok(())
    }
}

impl Callbacks {
    fn attached(&self, py: Python<'_>) -> PyResult<&Attached> {
        let attached = self.attached.get(py);
        attached.ok_or_else(|| PyRuntimeError::new_err("this handler was made without calling its __init__"))
    }

    fn start(&self, call: Call<'_, '_>) -> PyResult<()> {
        let py = call.run_id.py();
        let attached = self.attached(py)?;
        let recorder = attached.recorder.get();
        recorder.guarded(py, || recorder.start(call));
        match &attached.started {
            Some(started) => started.call0(py).map(drop),
            None => Ok(()),
        }
    }

    /// A piece of the answer has come: a token, or (`of_stream`) an event of the streaming protocol.
    fn piece(&self, run_id: &Bound<'_, PyAny>, of_stream: bool) -> PyResult<()> {
        let recorder = self.attached(run_id.py())?.recorder.get();
        recorder.guarded(run_id.py(), || {
            // Read before the lock is taken: an id of a strange class may run Python code.
            let run_id = RunId::read(run_id)?;
            recorder.flight().piece(run_id.0, of_stream);
            Ok(())
        });
        Ok(())
    }
}
