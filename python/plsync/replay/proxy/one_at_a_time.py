"""A fair lock for models that run inside this process and cannot serve two calls at once.

GPT4All and llama.cpp end the process when two threads use one model. While such a model is recorded, its calls run one
at a time, from threads and coroutines alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from plsync.errors import ReplayError

__all__ = ["FairLock", "lock_for"]

# Names of LangChain's classes, from any package. Servers and hosted models serve calls in parallel.
_UNSAFE_CLASSES: Final = frozenset(
    {"GPT4All", "LlamaCpp", "ChatLlamaCpp", "CTransformers", "ExLlamaV2", "MLXPipeline", "ChatMLX"}
    | {"GPT4AllEmbeddings", "LlamaCppEmbeddings"}
)
_NATIVE_MODEL_FIELDS: Final = ("client", "llm", "model", "pipeline")

_locks: weakref.WeakKeyDictionary[Any, FairLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()


class FairLock:
    """A first-come, first-served lock for threads and coroutines. Another thread than the holder may release it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._holder: object = None

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock, and hold it inside the block.

        Raises:
            ReplayError: this thread holds the lock already, in a stream that it has not read to the end.
        """
        thread = threading.get_ident()
        acquired = threading.Event()
        if not self._acquire(thread, acquired.set):
            acquired.wait()
        self._holder = thread
        try:
            yield
        finally:
            self._release()

    @contextlib.asynccontextmanager
    async def ahold(self) -> AsyncIterator[None]:
        """The async form of ``hold``: the event loop runs on while the coroutine waits."""
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        acquired = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(acquired.set)

        if not self._acquire(task, wake):
            try:
                await acquired.wait()
            except BaseException:
                self._cancel(wake)
                raise
        self._holder = task
        try:
            yield
        finally:
            self._release()

    def _acquire(self, owner: object, wake: Callable[[], object]) -> bool:
        with self._guard:
            if self._holder is None and not self._waiting:
                self._holder = owner
                return True
            if self._holder == owner:
                raise ReplayError(
                    "this model serves one call at a time, and its stream is still open; "
                    "the model was not called: read or close that stream first"
                )
            self._waiting.append(wake)
            return False

    def _release(self) -> None:
        is_awake = False
        while not is_awake:
            with self._guard:
                wake = self._waiting.popleft() if self._waiting else None
                # The lock passes to the next in line at once, so that no other call can take it.
                self._holder = wake
            is_awake = wake is None
            if wake is not None:
                with contextlib.suppress(RuntimeError):  # the event loop of that coroutine is closed
                    wake()
                    is_awake = True

    def _cancel(self, wake: Callable[[], object]) -> None:
        with self._guard:
            if wake in self._waiting:
                self._waiting.remove(wake)
                return
        # The cancelled coroutine holds the lock already.
        self._release()


def lock_for(model: Any, serial: bool | None) -> FairLock | None:
    """The lock of a model, shared by all LangChain models around one native model; ``None`` without a need.

    Args:
        model: a LangChain model.
        serial: whether calls must run one at a time; ``None`` to decide by the class of the model.
    """
    is_unsafe = any(cls.__name__ in _UNSAFE_CLASSES for cls in type(model).__mro__)
    if not (is_unsafe if serial is None else serial):
        return None
    values: dict[str, Any] = getattr(model, "__dict__", {})
    natives = (values[name] for name in _NATIVE_MODEL_FIELDS if name in values and not isinstance(values[name], str))
    native = next(natives, model)
    with _locks_guard:
        try:
            return _locks.setdefault(native, FairLock())
        except TypeError:  # the native model has no hash or no weak references, so the LangChain model keeps the lock
            own: FairLock = values.setdefault("_plsync_lock", FairLock())
            return own
