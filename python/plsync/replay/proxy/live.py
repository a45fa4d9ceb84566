"""Calls of a live model while they are recorded. Each part reaches the program at once and unchanged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from plsync.replay.proxy.capture import CallCapture
from plsync.replay.proxy.proxy_class import accepts

__all__ = ["acall", "astream", "call", "is_model_code", "live_object", "stream"]

_model_code: ContextVar[bool] = ContextVar("plsync_model_code", default=False)


# The ids of the live objects whose calls run.
_running: set[int] = set()


def is_model_code(called: object = None) -> bool:
    """Whether the code of a recorded model runs: a model that it calls contributes to its response.

    Args:
        called: the object that is called. A thread of the model has no context, and calls the same object.
    """
    return _model_code.get() or id(called) in _running


@contextlib.contextmanager
def live_object(view: Any) -> Iterator[Any]:
    """Mark the calls of an object as code of the model, in any thread. Each call has another view."""
    _running.add(id(view))
    try:
        yield view
    finally:
        _running.discard(id(view))


def call(capture: CallCapture, method: Callable[..., Any], *args: Any, run_manager: Any = None, **kwargs: Any) -> Any:
    """Call a method of the model and return its whole response.

    An exception is captured. The caller captures the response.
    """
    manager = _manager_argument(capture, method, run_manager)
    with _ModelCode(capture):
        return method(*args, **kwargs, **manager)


async def acall(
    capture: CallCapture, method: Callable[..., Any], *args: Any, run_manager: Any = None, **kwargs: Any
) -> Any:
    """The async form of ``call``."""
    manager = _manager_argument(capture, method, run_manager)
    with _ModelCode(capture):
        return await method(*args, **kwargs, **manager)


def stream(
    capture: CallCapture, method: Callable[..., Any], *args: Any, run_manager: Any = None, **kwargs: Any
) -> Iterator[Any]:
    """Yield the parts of a stream. Each part is captured before the program can change it."""
    parts = method(*args, **kwargs, **_manager_argument(capture, method, run_manager))
    model_code = _ModelCode(capture, end=StopIteration)
    while True:
        capture.restart_clock()
        try:
            with model_code:
                part = next(parts)
        except StopIteration:
            break
        capture.add_part(part)
        try:
            yield part
        except GeneratorExit:
            if hasattr(parts, "close"):
                parts.close()
            capture.set_final_id(part)
            capture.finish_early()
            raise
        capture.set_final_id(part)
    capture.finish_stream()


async def astream(
    capture: CallCapture, method: Callable[..., Any], *args: Any, run_manager: Any = None, **kwargs: Any
) -> AsyncGenerator[Any, None]:
    """The async form of ``stream``."""
    parts = method(*args, **kwargs, **_manager_argument(capture, method, run_manager))
    model_code = _ModelCode(capture, end=StopAsyncIteration)
    while True:
        capture.restart_clock()
        try:
            with model_code:
                part = await anext(parts)
        except StopAsyncIteration:
            break
        capture.add_part(part)
        try:
            yield part
        except GeneratorExit:
            if hasattr(parts, "aclose"):
                await parts.aclose()
            capture.set_final_id(part)
            capture.finish_early()
            raise
        capture.set_final_id(part)
    capture.finish_stream()


def _manager_argument(capture: CallCapture, method: Callable[..., Any], run_manager: Any) -> dict[str, Any]:
    """The callback manager as a keyword argument, for a model that has one."""
    if run_manager is None or not accepts(method, "run_manager"):
        return {}
    return {"run_manager": capture.watch_tokens(run_manager)}


class _ModelCode:
    """A block that runs the code of a model, and captures the exception that ends it.

    A class and not a generator: a stream enters the block for each token.
    """

    __slots__ = ("_capture", "_end", "_token")
    _token: Token[bool]

    def __init__(self, capture: CallCapture, end: type[Exception] | tuple[()] = ()) -> None:
        """Prepares the block.

        Args:
            capture: receives the exception.
            end: the exception that marks the end of a stream, and is not captured.
        """
        self._capture = capture
        self._end = end

    def __enter__(self) -> None:
        self._token = _model_code.set(True)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _model_code.reset(self._token)
        if isinstance(exc, asyncio.CancelledError):
            self._capture.finish_given_up()
        elif isinstance(exc, Exception) and not isinstance(exc, self._end):
            self._capture.finish_with_error(exc)
