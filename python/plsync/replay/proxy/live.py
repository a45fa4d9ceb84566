"""Calls of a live model while they are recorded: nothing is held back, and nothing is changed on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextvars import ContextVar, Token
from typing import Any

from plsync.replay.proxy.capture import Take
from plsync.replay.proxy.proxy_class import accepts

__all__ = ["acall", "astream", "call", "is_model_code", "stream"]

_model_code: ContextVar[bool] = ContextVar("plsync_model_code", default=False)


def is_model_code() -> bool:
    """Whether a recorded model is at work here: the models it asks in turn are part of its answer."""
    return _model_code.get()


def call(take: Take, method: Callable[..., Any], *args: Any, run_manager: Any = None, **kwargs: Any) -> Any:
    """Ask for a whole answer. The take gets the exception there may be, and leaves the answer to the caller."""
    heard = _heard(take, method, run_manager)
    try:
        with _ModelAtWork():
            return method(*args, **kwargs, **heard)
    except Exception as error:
        take.raised(error)
        raise


async def acall(take: Take, method: Callable[..., Any], *args: Any, run_manager: Any = None, **kwargs: Any) -> Any:
    """As ``call``."""
    heard = _heard(take, method, run_manager)
    try:
        with _ModelAtWork():
            return await method(*args, **kwargs, **heard)
    except Exception as error:
        take.raised(error)
        raise


def stream(take: Take, method: Callable[..., Any], *args: Any, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
    """Pass on what the model streams, each part as it comes, written down before the program can change it."""
    parts = method(*args, **kwargs, **_heard(take, method, run_manager))
    while True:
        take.resumes()
        try:
            with _ModelAtWork():
                part = next(parts)
        except StopIteration:
            break
        except Exception as error:
            take.raised(error)
            raise
        take.part(part)
        try:
            yield part
        except GeneratorExit:
            if hasattr(parts, "close"):
                parts.close()
            take.handed_over(part)
            take.stopped()
            raise
        take.handed_over(part)
    take.streamed()


async def astream(
    take: Take, method: Callable[..., Any], *args: Any, run_manager: Any = None, **kwargs: Any
) -> AsyncGenerator[Any, None]:
    """As ``stream``."""
    parts = method(*args, **kwargs, **_heard(take, method, run_manager))
    while True:
        take.resumes()
        try:
            with _ModelAtWork():
                part = await anext(parts)
        except StopAsyncIteration:
            break
        except asyncio.CancelledError:
            take.stopped()
            raise
        except Exception as error:
            take.raised(error)
            raise
        take.part(part)
        try:
            yield part
        except GeneratorExit:
            if hasattr(parts, "aclose"):
                await parts.aclose()
            take.handed_over(part)
            take.stopped()
            raise
        take.handed_over(part)
    take.streamed()


def _heard(take: Take, method: Callable[..., Any], run_manager: Any) -> dict[str, Any]:
    """The callback manager, for models that take one."""
    if run_manager is None or not accepts(method, "run_manager"):
        return {}
    return {"run_manager": take.listening(run_manager)}


class _ModelAtWork:
    """Marks a model's own code; a class, since this is passed once for each token."""

    __slots__ = ("_token",)
    _token: Token[bool]

    def __enter__(self) -> None:
        self._token = _model_code.set(True)

    def __exit__(self, *_: object) -> None:
        _model_code.reset(self._token)
