"""The LangChain callback handler, which writes every LLM request of a program to the journal.

Neither this module nor an import of it opens a socket or waits for a disk. ``docs/internals/handler.md`` explains
LangChain's callbacks and the design of the handler.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from uuid import UUID

from langchain_core.callbacks.base import BaseCallbackHandler

from plsync._common.native import Recorder, StepCallbacks
from plsync._common.paths import default_journal
from plsync._common.redaction import Redact
from plsync.callbacks import sinks
from plsync.recorder import arrived, failure
from plsync.recorder.failed_steps import FailedSteps
from plsync.recorder.graph_interrupts import GraphInterrupts

if TYPE_CHECKING:
    from plsync.callbacks.in_process import CallbackThread
    from plsync.delivery.in_process import DeliveryThread
    from plsync.journal.journal import Journal

__all__ = ["PromptLayerCallbackHandler"]

_T = TypeVar("_T")

# Attributes that a pickled handler leaves behind.
_OF_THIS_PROCESS: Final = frozenset({"_callback_thread", "_delivery_thread", "_recorder"})


# The callbacks of runs that start, and that end well, are native. In rust/python/src/recorder, callbacks.rs records
# models, and step_callbacks.rs records chains, tools and retrievers. python/plsync/_native.pyi documents both classes:
# LangChainCallbacks and its subclass StepCallbacks.
class PromptLayerCallbackHandler(StepCallbacks, FailedSteps, GraphInterrupts, BaseCallbackHandler):
    """Records every call of its models in a journal. ``plsync run`` sends the records to PromptLayer.

    >>> from langchain_core.language_models import FakeListLLM
    >>> from plsync import Journal, PromptLayerCallbackHandler
    >>> handler = PromptLayerCallbackHandler(pl_tags=["langchain"])
    >>> FakeListLLM(responses=["Paris"]).invoke("The capital of France?", config={"callbacks": [handler]})
    'Paris'
    >>> with Journal.open() as journal:
    ...     next(journal.records(tag="langchain")).output[0]["text"]
    'Paris'

    A failure to record never reaches the model call. ``plsync status`` counts the failures, and the first one shows a
    ``PlsyncWarning``. The handler can be copied, pickled and used from many threads, and it survives a fork.
    """

    # LangChain's thread pool would delay the end of a call until a thread is free (docs/internals/handler.md).
    run_inline = True
    raise_error = False
    # Plain attributes, because LangChain reads them at every event.
    ignore_llm = False
    ignore_chat_model = False
    ignore_chain = False
    ignore_agent = False
    ignore_retriever = False
    ignore_retry = True
    ignore_custom_event = True

    def __init__(
        self,
        pl_id_callback: Callable[..., Any] | None = None,
        pl_tags: str | Sequence[str] | None = None,
        *,
        journal: str | os.PathLike[str] | Journal | None = None,
        durability: Literal["process", "power"] = "process",
        redact: Redact | None = None,
        content: bool = True,
        runs: Literal["tree", "llm", "all"] = "tree",
        sync: Literal["thread"] | None = None,
        workspace: str | None = None,
    ) -> None:
        """Attaches to a journal. The first call creates and writes the journal.

        Args:
            pl_id_callback: called with PromptLayer's request id (an int) after a record was sent. A function of two
                arguments also receives the ``Record``. A thread of this process calls it at least once for each
                record. After this process has ended, the next process that attaches the same function calls it.
            pl_tags: a tag for PromptLayer, or several.
            journal: the journal's directory, or an open ``Journal``. Default: ``PLSYNC_JOURNAL``, else the user's data
                directory.
            durability: with ``"process"`` a recorded event survives the death of the process, and a power cut loses at
                most 200 ms. With ``"power"`` each event is on disk before the call continues.
            redact: called with each event before it is encoded. The event is a dict with the keys of
                ``docs/reference/events.md``, and its values are objects of the program that must not change. The hook
                returns a new dict to keep, or None to keep ids and times only. A hook that raises counts as None.
            content: False keeps prompts, messages, answers and error texts out of the journal.
            runs: ``"tree"`` records calls of models, and the chains, prompts, parsers, tools and retrievers around
                them as one tree. Of the chains, only the root has its input and output. ``"all"`` also records the
                input and output of each chain, ``"llm"`` calls alone.
            sync: ``"thread"`` also sends the records, in a thread of this process, like ``plsync run``. By default the
                handler uses no network.
            workspace: records in the journal of this workspace, in place of ``journal``. ``docs/guide/workspaces.md``
                describes workspaces. The name needs no configuration file: its journal is then ``journal-NAME`` beside
                the default journal.

        Any other failure, such as an account without a home directory, is a warning. The calls of the program
        continue, and ``failures`` counts the events that are lost.

        Raises:
            ValueError: another ``durability``, ``runs`` or ``sync``, an argument of another type, a ``workspace`` that
                is no name, or one beside a ``journal``.
        """
        if sync not in (None, "thread"):
            raise ValueError(f'sync is "thread" or None, not {sync!r}')
        if durability not in ("process", "power"):
            raise ValueError(f'durability is "process" or "power", not {durability!r}')
        if runs not in ("tree", "llm", "all"):
            raise ValueError(f'runs is "tree", "llm" or "all", not {runs!r}')
        for name, function in (("pl_id_callback", pl_id_callback), ("redact", redact)):
            if function is not None and not callable(function):
                raise ValueError(f"{name} is a function or None, not {type(function).__name__}")
        self._tags = _tags(pl_tags)
        self._problems: list[str] = []
        self._path = self._attempted("the journal has no path", lambda: self._journal_path(journal, workspace))
        self._durability: Literal["process", "power"] = durability
        self._redact = redact
        self._content = content
        self._runs: Literal["tree", "llm", "all"] = runs
        # LangChain reads these at every event: tools are "agent" events.
        self.ignore_agent = self.ignore_retriever = runs == "llm"
        self._callback = pl_id_callback
        self._sync = sync
        self._workspace = workspace
        self._sink: str | None = None
        self._open()

    def _open(self) -> None:
        self._callback_thread: CallbackThread | None = None
        self._delivery_thread: DeliveryThread | None = None

        def call_back(path: str, callback: Callable[..., Any]) -> None:
            from plsync.callbacks.in_process import CallbackThread  # noqa: PLC0415 - few handlers need a thread

            self._callback_thread = CallbackThread.for_journal(path)
            self._sink = self._callback_thread.add(callback)

        def deliver(path: str) -> None:
            from plsync.delivery.in_process import DeliveryThread  # noqa: PLC0415 - few handlers need a thread

            self._delivery_thread = DeliveryThread.for_journal(path)
            self._delivery_thread.workspace = self._workspace

        path, callback = self._path, self._callback
        if path is not None and callback is not None:
            self._attempted("pl_id_callback is not attached", lambda: call_back(path, callback))
        if path is not None and self._sync == "thread":
            self._attempted("the handler does not send", lambda: deliver(path))
        hook = self._redact if self._content else _without_content_first(self._redact)

        def recorder(path: str | None) -> Recorder:
            return Recorder(
                path,
                self._durability,
                pl_tags=self._tags,
                sink=self._sink,
                redact=hook,
                join=arrived.joined,
                runs=self._runs,
            )

        opened = self._attempted("the journal cannot be opened", lambda: recorder(path))
        self._recorder = recorder(None) if opened is None else opened
        for problem in self._problems:
            self._recorder.note_failure(problem)
        self._attach(self._recorder, self._on_started if self._callback_thread or self._delivery_thread else None)

    def _journal_path(self, journal: str | os.PathLike[str] | Journal | None, workspace: str | None) -> str:
        if workspace is None:
            return _journal_path(journal)
        from plsync.config.workspaces import check_name, recording_journal  # noqa: PLC0415 - few handlers name one

        if journal is not None:
            raise _WrongArgument("a journal and a workspace exclude each other: a workspace has its own journal")
        try:
            check_name(workspace)
        except ValueError as error:
            raise _WrongArgument(str(error)) from None
        return str(recording_journal(workspace, self._problems.append))

    def _attempted(self, failure: str, attempt: Callable[[], _T]) -> _T | None:
        """The result of a step of the constructor. A failure is noted, and does not reach the program."""
        try:
            return attempt()
        except _WrongArgument:
            raise
        except Exception as error:
            self._problems.append(f"{failure}: {error}")
            return None

    def _on_started(self) -> None:
        """Starts the background threads of this process. Called after each start of a call."""
        if self._callback_thread is not None:
            self._callback_thread.ensure_started()
        if self._delivery_thread is not None:
            self._delivery_thread.ensure_started()

    @property
    def failures(self) -> int:
        """Events of this process and journal that could not be recorded, in whole or in part."""
        return self._recorder.failures

    # --- models: on_chat_model_start and the callbacks of calls that succeed are in LangChainCallbacks ---------------

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID | None = None, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Records the end of a call that failed, was cancelled, or has no reader any more."""
        self._fail(error, kwargs.get("response"), run_id, parent_run_id, decision=False)

    def _fail(
        self, error: BaseException, response: Any, run_id: UUID | None, parent_run_id: UUID | None, *, decision: bool
    ) -> None:
        try:
            generations, http = failure.partial_response(response)
            described = failure.describe(error, http)
        except BaseException as raised:  # an exception of a provider may raise anything, and the end is recorded still
            self._recorder.note_failure(f"a failed call could not be described: {type(raised).__name__}")
            generations, described = [], {"type": type(error).__name__, "module": None, "message": ""}
        self._recorder.fail(failure.end_of(error), described, generations, decision, run_id, parent_run_id)

    # --- copies -----------------------------------------------------------------------------------------------------

    def __copy__(self) -> PromptLayerCallbackHandler:
        """Returns the handler itself. LangChain copies a model with its handlers, which share one recorder."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> PromptLayerCallbackHandler:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the settings. Another process opens the same journal.

        A callback that it cannot import is left behind. The records keep the callback's name.
        """
        state = {name: value for name, value in self.__dict__.items() if name not in _OF_THIS_PROCESS}
        if self._callback is not None and not sinks.is_importable(self._callback):
            state["_callback"] = None
        cls = getattr(self, "_plain_class", type(self))
        return cls.__new__, (cls,), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Opens the journal by its path."""
        self.__dict__.update(state)
        self._problems = []
        self._open()


class _WrongArgument(ValueError):
    """An argument of another type."""


def _journal_path(journal: str | os.PathLike[str] | Journal | None) -> str:
    if journal is None:
        return str(default_journal())
    path = journal if isinstance(journal, (str, os.PathLike)) else getattr(journal, "path", None)
    if not isinstance(path, (str, os.PathLike)):
        raise _WrongArgument(f"journal is a path or a Journal, not {type(journal).__name__}")
    return os.path.abspath(path)


def _tags(pl_tags: str | Sequence[str] | None) -> list[str]:
    if pl_tags is None or isinstance(pl_tags, str):
        return [] if pl_tags is None else [pl_tags]
    tags = list(pl_tags) if isinstance(pl_tags, Iterable) else [pl_tags]
    if odd := [tag for tag in tags if not isinstance(tag, str)]:
        raise ValueError(f"pl_tags is a text or several, not {type(odd[0]).__name__}")
    return tags


def _without_content_first(redact: Redact | None) -> Redact:
    """A hook that removes the content of an event, and then calls the user's hook."""
    from plsync.recorder.content import without_content  # noqa: PLC0415 - few handlers remove the content

    return without_content if redact is None else lambda event: redact(without_content(event))
