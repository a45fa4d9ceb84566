"""LangChain's callbacks for chains, tools and retrievers: the runs of a tree that are not calls of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from plsync._common.native import END_OK
from plsync.recorder import failure

if TYPE_CHECKING:
    from plsync._common.native import Recorder

__all__ = ["StepCallbacks"]


class StepCallbacks:
    """The part of the handler that records steps. LangChain reports a decision model as a chain: it is a call."""

    _recorder: Recorder
    _runs: str

    # --- chains -----------------------------------------------------------------------------------------------------

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_type: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Records the start of a chain, a prompt or a parser, or of a chain that stands for an LLM request."""
        if run_type == "llm":
            kwargs["name"] = name
            self._recorder.decision_start(serialized, inputs, run_id, parent_run_id, tags, metadata, kwargs)
            self._on_started()
        elif self._runs != "llm":
            kind = run_type or "chain"
            self._recorder.step_start(kind, inputs, name, run_id, parent_run_id, tags, metadata, None)

    def on_chain_end(
        self, outputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, inputs: Any = None, **kwargs: Any
    ) -> None:
        """Records the end of such a run. LangChain passes the inputs of a run that read them as a stream."""
        if self._runs != "llm":
            self._recorder.step_end(END_OK, outputs, None, run_id, inputs)
        self._recorder.decision_end(outputs, run_id, parent_run_id)

    def on_chain_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        inputs: Any = None,
        **kwargs: Any,
    ) -> None:
        """Records the end of such a run that failed, was cancelled, or waits for a person."""
        if self._recorder.is_open(run_id):
            self._step_error(error, run_id, inputs)
            self._fail(error, None, run_id, parent_run_id, decision=True)

    # --- tools ------------------------------------------------------------------------------------------------------

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        name: str | None = None,
        tool_call_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Records the start of a tool, with its arguments."""
        arguments = input_str if inputs is None else inputs
        name = name or _name(serialized)
        self._recorder.step_start("tool", arguments, name, run_id, parent_run_id, tags, metadata, tool_call_id)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Records the end of a tool, with its output."""
        self._recorder.step_end(END_OK, output, None, run_id, None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Records the end of a tool that failed."""
        self._step_error(error, run_id, None)

    # --- retrievers -------------------------------------------------------------------------------------------------

    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Records the start of a retriever, with its query."""
        name = name or _name(serialized)
        self._recorder.step_start("retriever", query, name, run_id, parent_run_id, tags, metadata, None)

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **kwargs: Any) -> None:
        """Records the end of a retriever, with its documents."""
        self._recorder.step_end(END_OK, documents, None, run_id, None)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Records the end of a retriever that failed."""
        self._step_error(error, run_id, None)

    # --- ends -------------------------------------------------------------------------------------------------------

    def _step_error(self, error: BaseException, run_id: UUID, inputs: Any) -> None:
        interrupt = failure.interrupt_of(error)
        if interrupt is not None:
            ended, payload = interrupt
            self._recorder.step_end(ended, payload, None, run_id, inputs)
            return
        try:
            described = failure.describe(error)
        except BaseException as raised:  # an exception of a tool may raise anything, and the end is recorded still
            self._recorder.note_failure(f"a failed run could not be described: {type(raised).__name__}")
            described = {"type": type(error).__name__, "module": None, "message": ""}
        self._recorder.step_end(failure.end_of(error), None, described, run_id, inputs)

    def _on_started(self) -> None:
        raise NotImplementedError

    def _fail(
        self, error: BaseException, response: Any, run_id: UUID | None, parent_run_id: UUID | None, *, decision: bool
    ) -> None:
        raise NotImplementedError


def _name(serialized: Mapping[str, Any] | None) -> str | None:
    """The name of a run that LangChain passes only in the serialized form of its object."""
    return serialized.get("name") if isinstance(serialized, Mapping) else None
