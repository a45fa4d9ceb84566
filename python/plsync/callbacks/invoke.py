"""Calling a ``pl_id_callback``: with one argument or two, plain or async, in a context of its own."""

from __future__ import annotations

import contextvars
import inspect
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from plsync._common.background import import_guard
from plsync._common.paths import current_journal
from plsync.callbacks.sinks import Callback, adapted
from plsync.errors import JournalCorrupt

if TYPE_CHECKING:
    import asyncio

    from plsync.journal.record import Record

__all__ = ["Call", "FunctionCall", "Interrupted", "Undelivered", "request_id"]


class Interrupted(Exception):
    """A delivery was cut short because the deliveries are to stop."""


class Undelivered(Exception):
    """A delivery that failed for a reason that needs no type."""


class Call(Protocol):
    """How one sink is given a request id. Raises whatever keeps it from being delivered."""

    def __call__(self, record: Record, stopping: threading.Event) -> None:
        """Deliver. May raise Interrupted once ``stopping`` is set."""

    def close(self) -> None:
        """Nothing more is delivered in this thread."""


class FunctionCall:
    """Calls a function of the application. One object a thread."""

    def __init__(self, callback: Callback, journal: Path) -> None:
        """``journal``: what :data:`plsync._common.paths.current_journal` is during a call."""
        self._callback = adapted(callback)
        self._journal = journal
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, record: Record, stopping: threading.Event) -> None:
        """Call it, and run what it returns to its end if that is awaitable."""
        # Empty, so that a call sees nothing that another has set, nor what whoever started this thread had set.
        contextvars.Context().run(self._call, request_id(record), record)

    def close(self) -> None:
        """Cancel what async callbacks have left running, and close their loop."""
        if self._loop is None:
            return
        try:
            self._loop.run_until_complete(_cancel_others())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            self._loop = None

    def _call(self, number: int, record: Record) -> None:
        current_journal.set(self._journal)
        result = self._callback(number, record)
        if inspect.isawaitable(result):
            if self._loop is None:
                with import_guard:
                    import asyncio  # noqa: PLC0415 - slow to import, and most callbacks do without
                self._loop = asyncio.new_event_loop()
            self._loop.run_until_complete(_end(result))
        elif inspect.isgenerator(result) or inspect.isasyncgen(result):
            raise TypeError("it is a generator, of which nothing runs; a callback returns or is awaited")


async def _cancel_others() -> None:
    import asyncio  # noqa: PLC0415 - loaded, or there would be no loop

    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _end(result: Awaitable[Any]) -> None:
    await result


def request_id(record: Record) -> int:
    """PromptLayer's id of a record that has one.

    Raises:
        JournalCorrupt: what was stored of it is damaged.
    """
    if record.request_id is None:
        raise JournalCorrupt(f"record {record.id} has a callback but no request id; `plsync check` tells more")
    return record.request_id
