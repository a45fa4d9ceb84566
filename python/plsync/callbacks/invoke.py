"""Calls a ``pl_id_callback``: with one argument or two, plain or async, in an empty context."""

from __future__ import annotations

import contextvars
import inspect
import logging
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from plsync._common.background import import_guard
from plsync._common.logged import cleaned_line, loggable
from plsync._common.paths import Delivery, current_delivery, current_journal
from plsync.callbacks.sinks import Callback, with_record
from plsync.errors import JournalCorrupt

if TYPE_CHECKING:
    import asyncio

    from plsync.journal.record import Record

__all__ = ["FunctionCall", "Interrupted", "SinkCall", "Undelivered", "request_id"]

_log = logging.getLogger("plsync.callbacks")


class Interrupted(Exception):
    """A call was cut short because the dispatcher stops. The id is delivered again later."""


class Undelivered(Exception):
    """A call failed. The message is the whole reason, without the name of an exception."""


class SinkCall(Protocol):
    """Delivers request ids to one sink, in one thread."""

    def __call__(self, record: Record, stopping: threading.Event) -> None:
        """Deliver the request id of a record.

        Raises:
            Interrupted: ``stopping`` was set before the call returned.
            BaseException: the id was not delivered.
        """

    def close(self) -> None:
        """Release the resources of the thread."""


class FunctionCall:
    """Calls a function of the application. Each thread has its own object.

    Args:
        callback: the function.
        journal: the value of :data:`plsync._common.paths.current_journal` during a call.
    """

    def __init__(self, callback: Callback, journal: Path) -> None:
        self._callback = with_record(callback)
        self._journal = journal
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, record: Record, stopping: threading.Event) -> None:
        """Call the function, and run an awaitable result to its end."""
        # An empty context, so that a call sees no variable of another call or of the thread's creator.
        contextvars.Context().run(self._call, request_id(record), record)

    def close(self) -> None:
        """Cancel the tasks that async callbacks have started, and close their loop."""
        if self._loop is None:
            return
        try:
            self._loop.run_until_complete(_cancel_tasks())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            self._loop = None

    def _call(self, number: int, record: Record) -> None:
        current_journal.set(self._journal)
        current_delivery.set(Delivery(number, UUID(record.id).bytes))
        result = self._callback(number, record)
        if inspect.isawaitable(result):
            if self._loop is None:
                with import_guard:
                    import asyncio  # noqa: PLC0415 - slow to import, and most callbacks do without
                self._loop = asyncio.new_event_loop()
                self._loop.set_exception_handler(_log_loop_error)
            self._loop.run_until_complete(_as_coroutine(result))
        elif inspect.isgenerator(result) or inspect.isasyncgen(result):
            raise TypeError("it is a generator, so its body did not run; a callback returns or is awaited")


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log the exception of a task that a callback left behind. asyncio would log its whole text."""
    error = context.get("exception")
    _log.error(
        "a task of a callback: %s",
        cleaned_line(str(context.get("message"))),
        exc_info=loggable(error) if isinstance(error, BaseException) else None,
    )


async def _cancel_tasks() -> None:
    import asyncio  # noqa: PLC0415 - loaded, or there would be no loop

    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _as_coroutine(result: Awaitable[Any]) -> None:
    await result


def request_id(record: Record) -> int:
    """PromptLayer's id of an acked record.

    Raises:
        JournalCorrupt: the record has a callback but no request id.
    """
    if record.request_id is None:
        raise JournalCorrupt(f"record {record.id} has a callback but no request id; `plsync check` finds the damage")
    return record.request_id
