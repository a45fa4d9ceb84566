"""LangChain's callbacks for chains, tools and retrievers that fail. The callbacks of other ends are native."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from plsync.recorder import failure

if TYPE_CHECKING:
    from plsync._common.native import Recorder

__all__ = ["FailedSteps"]


class FailedSteps:
    """The part of the handler that records failed steps. LangChain reports a decision model, a call, as a chain."""

    _recorder: Recorder

    def on_chain_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        inputs: Any = None,
        **kwargs: Any,
    ) -> None:
        """Records the end of a chain that failed, was cancelled, or waits for a person."""
        if self._recorder.is_open(run_id):
            self._step_error(error, run_id, inputs)
            self._fail(error, None, run_id, parent_run_id, decision=True)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Records the end of a tool that failed."""
        self._step_error(error, run_id, None)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Records the end of a retriever that failed."""
        self._step_error(error, run_id, None)

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

    def _fail(
        self, error: BaseException, response: Any, run_id: UUID | None, parent_run_id: UUID | None, *, decision: bool
    ) -> None:
        raise NotImplementedError
