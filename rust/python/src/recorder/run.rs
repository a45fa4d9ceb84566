//! A call that has started and not ended: the facts that an end event takes from its start.

use std::thread::{self, ThreadId};
use std::time::{Instant, SystemTime};

use plsync_journal::{RecordId, process_generation};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::run_id::RunId;
use super::trees::Place;
use super::watched::Watch;

/// The most arrival times of one call.
const MAX_ARRIVALS: usize = 1 << 20;

/// The kind of a run. Only an event of the same kind ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunKind {
    /// A call of a model.
    Model,
    /// A chain that stands for an LLM request.
    Decision,
    /// Any other run: of a chain, a tool or a retriever.
    Step,
}

/// A call, or another run, that has started and not ended.
///
/// It owns Python objects. Dropping it may run Python code, so it is never dropped while the open runs are locked.
pub(super) struct Run {
    pub(super) id: RecordId,
    /// `LangChain`'s run id; None when it can't be read.
    pub(super) langchain_id: Option<RunId>,
    started: Instant,
    pub(super) kind: RunKind,
    /// The place in its tree; `None` for a call outside trees.
    pub(super) place: Option<Place>,
    /// The key of the parent run, as `LangChain` reports it; 0 without one.
    pub(super) parent: u128,
    /// The hash of the checkpoint namespace whose node this run is.
    pub(super) namespace: Option<u64>,
    /// The graphs below that wait for a person, by the hash of name and conversation. A run that ends well meanwhile waits, too.
    pub(super) waits: Vec<u64>,
    /// A step that may return while a graph below it waits: a chain that is no node of a graph.
    pub(super) is_chain: bool,
    /// A step whose events have its input and output.
    pub(super) has_content: bool,
    /// The name of a step.
    pub(super) name: Option<Py<PyAny>>,
    /// The metadata of a step. Its children do not write the entries again that they inherit.
    pub(super) metadata: Option<Py<PyDict>>,
    /// The prompts of the start event. Each is a run; `LangChain` itself starts a run with one prompt.
    pub(super) parts: usize,
    /// Another handler records the same call. This run receives no event.
    pub(super) is_twin: bool,
    /// How often `LangChain` reports each event of this run, because one handler is attached several times.
    pub(super) repeats: u32,
    events: u32,
    /// The thread of the start event.
    thread: ThreadId,
    /// The process of the start event. A forked child inherits the run, and its parent ends it.
    process: u64,
    /// The address of the asyncio task of the start event, 0 without one.
    pub(super) task: usize,
    /// A weak reference to this task, in its last run once that has ended.
    pub(super) task_reference: Option<Py<PyAny>>,
    /// The argument with the prompts. It is kept alive: another object at its address would look like the same call.
    pub(super) argument: Option<Py<PyAny>>,
    pub(super) watch: Option<Watch>,
    /// The parts of the answer that arrived: chunks, or texts.
    pub(super) pieces: Vec<Py<PyAny>>,
    /// Nanoseconds from the start to each token.
    tokens: Vec<u64>,
    /// Nanoseconds from the start to each event of the streaming protocol.
    stream_events: Vec<u64>,
}

/// How `LangChain` reports a part of an answer.
pub(super) enum Arrival {
    /// By `on_llm_new_token`, with its chunk or its text. `is_token` is false for a part without content.
    Piece { piece: Py<PyAny>, is_token: bool },
    /// By `on_stream_event`, an event of the streaming protocol.
    StreamEvent,
}

impl Run {
    pub(super) fn new(now: SystemTime, run_id: Option<RunId>, kind: RunKind) -> Self {
        Self {
            id: RecordId::at(now),
            langchain_id: run_id,
            started: Instant::now(),
            kind,
            place: None,
            parent: 0,
            namespace: None,
            waits: Vec::new(),
            is_chain: false,
            has_content: false,
            name: None,
            metadata: None,
            parts: 1,
            is_twin: false,
            repeats: 1,
            events: 0,
            thread: thread::current().id(),
            process: process_generation(),
            task: 0,
            task_reference: None,
            argument: None,
            watch: None,
            pieces: Vec::new(),
            tokens: Vec::new(),
            stream_events: Vec::new(),
        }
    }

    pub(super) fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether this thread started the run.
    pub(super) fn is_of_this_thread(&self) -> bool {
        self.thread == thread::current().id()
    }

    /// Whether this process started the run, and not a parent that forked.
    pub(super) fn is_of_this_process(&self) -> bool {
        self.process == process_generation()
    }

    /// Whether this recorder writes the end of the run. Another handler records a twin. The parent of a forked child records the runs
    /// that were open at the fork: a child that exits raises `SystemExit` through all of them.
    pub(super) fn is_recorded_here(&self) -> bool {
        !self.is_twin && self.is_of_this_process()
    }

    /// Adds a part of the answer. Returns it when it isn't kept, to be dropped after the lock.
    pub(super) fn add(&mut self, arrival: Arrival) -> Option<Arrival> {
        let is_repeated = self.repeats > 1 && !self.events.is_multiple_of(self.repeats);
        self.events = self.events.wrapping_add(1);
        if self.is_twin || is_repeated {
            return Some(arrival);
        }
        let elapsed = self.elapsed_ns();
        let is_token = match arrival {
            Arrival::StreamEvent => {
                push(&mut self.stream_events, elapsed);
                return None;
            }
            Arrival::Piece { piece, is_token } if self.pieces.len() < MAX_ARRIVALS => {
                self.pieces.push(piece);
                is_token
            }
            arrival @ Arrival::Piece { .. } => return Some(arrival),
        };
        if is_token {
            push(&mut self.tokens, elapsed);
        }
        None
    }

    /// Nanoseconds from the start to each part of the answer. Some providers report each token in both ways: tokens win.
    pub(super) fn arrivals(&self) -> &[u64] {
        if self.tokens.is_empty() { &self.stream_events } else { &self.tokens }
    }
}

fn push(times: &mut Vec<u64>, elapsed: u64) {
    if times.len() < MAX_ARRIVALS {
        times.push(elapsed);
    }
}
