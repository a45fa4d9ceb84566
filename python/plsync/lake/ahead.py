"""Reads records in a second thread, while the first one makes rows of earlier records."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from queue import Empty, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["read_ahead"]

# The records and the bytes of a part that the reader passes on. A few parts wait.
_RECORDS: Final = 200
_BYTES: Final = 4 << 20
_WAITING: Final = 2


def read_ahead(records: Iterable[Record]) -> Generator[Record]:
    """The records, which another thread reads. Close the iterator before the journal.

    Raises:
        Exception: the error of the reader, after the records before it.
    """
    parts: Queue[list[Record] | BaseException | None] = Queue(_WAITING)
    stopped = Event()
    thread = Thread(target=_read, args=(records, parts, stopped), name="plsync-lake-reader", daemon=True)
    thread.start()
    try:
        while (part := parts.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            yield from part
    finally:
        stopped.set()
        while thread.is_alive():
            with contextlib.suppress(Empty):
                parts.get_nowait()
            thread.join(0.01)


def _read(records: Iterable[Record], parts: Queue[list[Record] | BaseException | None], stopped: Event) -> None:
    part: list[Record] = []
    size = 0
    try:
        for record in records:
            part.append(record)
            size += record.size
            if len(part) >= _RECORDS or size >= _BYTES:
                parts.put(part)
                part, size = [], 0
                if stopped.is_set():
                    return
        parts.put(part)
        parts.put(None)
    except BaseException as error:  # the first thread raises it
        parts.put(part)
        parts.put(error)
