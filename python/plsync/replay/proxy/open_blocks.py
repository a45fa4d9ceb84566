"""The open ``record_all`` blocks of the process, and which of them receives a call.

Blocks of tasks, threads and pytest fixtures overlap and close in any order. So all blocks share one patch of LangChain,
and each call looks for its block:

- A block of the main thread outside of any event loop covers the whole process. Any other block covers the task or
  thread that opened it, with the tasks and threads that inherit its context.
- Of the blocks that cover a call, the one that was opened last receives it.
- A thread or task without an inherited block uses the block that was opened last in the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Final

from plsync._common.background import ForkGuard
from plsync.replay.proxy.proxy_class import ProxyClass
from plsync.replay.proxy.wrap import proxy_class_for
from plsync.replay.recording import Recording

__all__ = ["Block", "current_block", "open_block", "reopen_blocks"]

_Change = Callable[[tuple["Block", ...]], tuple["Block", ...]]
_OnChange = Callable[[tuple["Block", ...]], None]

_numbers: Final = itertools.count()
_changing: Final = ForkGuard(1.0)
# Replaced and never changed, so that a call reads it without a lock.
_open: tuple[Block, ...] = ()
_changing_thread: int | None = None
_deferred: Final[deque[tuple[_Change, _OnChange]]] = deque()
_inherited: ContextVar[tuple[Block, ...]] = ContextVar("plsync_open_blocks", default=())


class Block:
    """One open block: its recording, and a proxy class for each class of models that it has met."""

    def __init__(self, recording: Recording, placeholder_keys: Iterable[str]) -> None:
        """Prepares a block. ``open_block`` opens it."""
        self.placeholder_keys = tuple(placeholder_keys)
        self.number = next(_numbers)
        self.is_open = True
        self.covers_process = _is_outside_of_tasks()
        self.only_serves = recording.only_serves
        self._recording: Recording | None = recording
        self._proxies: dict[type, ProxyClass] = {}

    def belongs_to(self, recording: Recording) -> bool:
        """Whether the block serves and records with this recording."""
        return self._recording is recording

    def proxy_of(self, model: Any) -> Any:
        """A live model as an object of its proxy class; the model itself if the block has just closed."""
        cls = type(model)
        found = self._proxies.get(cls)
        if found is None:
            recording = self._recording
            if recording is None:
                return model
            found = self._proxies.setdefault(cls, proxy_class_for(cls, recording))
        return found.view_of(model)

    def close(self) -> None:
        """Release the recording: a context that outlives the block may keep the block."""
        self.is_open = False
        self._recording = None
        self._proxies = {}


@contextlib.contextmanager
def open_block(recording: Recording, on_change: _OnChange, placeholder_keys: Iterable[str]) -> Iterator[Block]:
    """Open a block until the ``with`` block ends, which may happen in another context or thread.

    Args:
        recording: serves and records the calls.
        on_change: receives the open blocks after each change, and runs under the lock of the registry.
        placeholder_keys: the environment variables that get a placeholder while only recorded calls are served.
    """
    block = Block(recording, placeholder_keys)
    _change(lambda blocks: (*blocks, block), on_change)
    _inherited.set((*(other for other in _inherited.get() if other.is_open), block))
    try:
        yield block
    finally:
        block.close()
        _inherited.set(tuple(other for other in _inherited.get() if other.is_open))
        _change(lambda blocks: tuple(other for other in blocks if other is not block), on_change)


def reopen_blocks(recording: Recording) -> None:
    """Treat the blocks of a recording as if they were opened now: they receive calls before blocks opened meanwhile."""

    def reopened(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        again = [block for block in blocks if block.belongs_to(recording)]
        for block in again:
            block.number = next(_numbers)
        return (*(block for block in blocks if block not in again), *again)

    _change(reopened, lambda _: None)


def current_block() -> Block | None:
    """The block that receives a call of this context; ``None`` without an open block."""
    blocks = _open
    if not blocks:
        return None
    inherited = [block for block in _inherited.get() if block.is_open]
    if not inherited:
        return blocks[-1]
    covering = (block for block in blocks if block.covers_process)
    return max([*inherited, *covering], key=lambda block: block.number)


def _change(change: _Change, on_change: _OnChange) -> None:
    """Change the open blocks.

    Python's garbage collector may close a forgotten block at any time, also in a thread that holds the lock. Such a
    thread makes that change after its own.
    """
    global _changing_thread  # noqa: PLW0603 - the registry of the process
    if _changing_thread == threading.get_ident():
        _deferred.append((change, on_change))
        return
    with _changing:
        _changing_thread = threading.get_ident()
        try:
            _apply(change, on_change)
            while _deferred:
                _apply(*_deferred.popleft())
        finally:
            _changing_thread = None


def _apply(change: _Change, on_change: _OnChange) -> None:
    global _open  # noqa: PLW0603 - the registry of the process
    _open = change(_open)
    on_change(_open)


def _is_outside_of_tasks() -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False
