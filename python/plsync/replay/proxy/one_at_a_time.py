"""One call at a time into a model that lives in this process and is not made for two.

GPT4All and llama.cpp end the process when two threads use one model. While such a model is recorded its calls take
turns, from threads and from coroutines alike.
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

__all__ = ["Turnstile", "turnstile_of"]

# By the names of LangChain's classes, whichever package they are in. Servers and hosted models take calls as they come.
_UNSAFE: Final = frozenset(
    {"GPT4All", "LlamaCpp", "ChatLlamaCpp", "CTransformers", "ExLlamaV2", "MLXPipeline", "ChatMLX"}
)
_MODELS: Final = ("client", "llm", "model", "pipeline")

_turnstiles: weakref.WeakKeyDictionary[Any, Turnstile] = weakref.WeakKeyDictionary()
_making = threading.Lock()


class Turnstile:
    """A lock that may be let go by another thread than took it, and that a coroutine can wait for."""

    def __init__(self) -> None:
        """Nobody is through."""
        self._guard = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._holder: object = None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and keep it.

        Raises:
            ReplayError: this thread has a turn already, in a stream it has not read to the end: it would wait for ever.
        """
        me = threading.get_ident()
        come = threading.Event()
        if not self._enter(me, come.set):
            come.wait()
        self._holder = me
        try:
            yield
        finally:
            self._leave()

    @contextlib.asynccontextmanager
    async def async_turn(self) -> AsyncIterator[None]:
        """The same for a coroutine; its event loop goes on meanwhile."""
        me = asyncio.current_task()
        loop = asyncio.get_running_loop()
        come = asyncio.Event()

        def call() -> None:
            loop.call_soon_threadsafe(come.set)

        if not self._enter(me, call):
            try:
                await come.wait()
            except BaseException:
                self._give_up(call)
                raise
        self._holder = me
        try:
            yield
        finally:
            self._leave()

    def _enter(self, me: object, call: Callable[[], object]) -> bool:
        with self._guard:
            if self._holder is None and not self._waiting:
                self._holder = me
                return True
            if self._holder == me:
                raise ReplayError(
                    "this model can answer one call at a time, and a stream of it has not been read to its end; "
                    "nothing was asked: read or close that stream first"
                )
            self._waiting.append(call)
            return False

    def _leave(self) -> None:
        called = False
        while not called:
            with self._guard:
                call = self._waiting.popleft() if self._waiting else None
                # Held for the next from now on, so that nobody comes in between.
                self._holder = call
            called = call is None
            if call is not None:
                with contextlib.suppress(RuntimeError):  # its event loop is closed: nobody waits there any more
                    call()
                    called = True

    def _give_up(self, call: Callable[[], object]) -> None:
        with self._guard:
            if call in self._waiting:
                self._waiting.remove(call)
                return
        # It was our turn, and we are not there.
        self._leave()


def turnstile_of(model: Any, wanted: bool | None) -> Turnstile | None:
    """The turnstile of a model, shared by all that use the same one underneath; ``None`` when it needs none.

    Args:
        model: a LangChain model.
        wanted: whether calls take turns; ``None`` for those known to need it.
    """
    known = any(cls.__name__ in _UNSAFE for cls in type(model).__mro__)
    if not (known if wanted is None else wanted):
        return None
    values = vars(model)
    shared = next((values[name] for name in _MODELS if name in values and not isinstance(values[name], str)), model)
    with _making:
        try:
            return _turnstiles.setdefault(shared, Turnstile())
        except TypeError:  # it can't be hashed or referred to: by itself, then
            own: Turnstile = values.setdefault("_plsync_turnstile", Turnstile())
            return own
