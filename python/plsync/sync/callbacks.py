"""Request ids on their way back to the application: callbacks are called until they return."""

from __future__ import annotations

import importlib
import os
import random
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from plsync.callback_queue import Failed
from plsync.errors import JournalCorrupt, SinkUnavailable
from plsync.sinks import adapted

if TYPE_CHECKING:
    from plsync.journal import Journal
    from plsync.record import Record

__all__ = ["MAX_ATTEMPTS", "DeliveryReport", "deliver", "import_sink"]

MAX_ATTEMPTS: Final = 10

_BATCH: Final = 8
# After a crash in a callback its entries wait this long; a slower batch may reach a second deliverer.
_LEASE_MS: Final = 60_000
_LONGEST_WAIT: Final = 3600.0
_IMPORTABLE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass
class DeliveryReport:
    """What one round of callbacks did."""

    delivered: int = 0
    """Calls that returned."""
    failed: int = 0
    """Calls that raised; they are tried again later."""
    dead: int = 0
    """Calls that raised for the last time; the entry is kept with its error."""
    errors: list[str] = field(default_factory=list)
    """What they raised, one line each."""


def deliver(journal: Journal, sinks: Mapping[str, Callable[..., Any]], writer: bytes | None = None) -> DeliveryReport:
    """Call the sinks whose entries are due with the request id, or with ``(request_id, record)``.

    At least once: an entry is removed when its call returned, so a process that dies in between calls again.

    Args:
        journal: where the entries wait.
        sinks: callables by sink name; one argument is the id, a second the record.
        writer: this process's own writer id, to be given its own entries; None takes only those of dead processes.
    """
    report = DeliveryReport()
    queue = journal.callbacks
    for sink in [sink for sink in queue.due(writer, _now_ms())[0] if sink in sinks]:
        call = adapted(sinks[sink])
        while claimed := queue.claim(sink, writer, _BATCH, _LEASE_MS, _now_ms()):
            for seq, tried, record in claimed:
                try:
                    call(_request_id(record), record)
                except Exception as error:
                    failed = _failed(seq, tried + 1, error)
                    queue.settle(sink, failed=[failed])
                    report.errors.append(f"{sink} raised {failed.error}")
                    report.dead += failed.dead
                    report.failed += not failed.dead
                else:
                    queue.settle(sink, done=[seq])
                    report.delivered += 1
    return report


def import_sink(name: str) -> Callable[..., Any]:
    """The function that a sink's name stands for, when any process can import it.

    Only a plain function of exactly that module and name will do: a name in a journal must not reach anything else.

    Raises:
        SinkUnavailable: it is a lambda, a local or a script's function, or cannot be imported.
    """
    if not _IMPORTABLE.fullmatch(name):
        raise SinkUnavailable(f"{name} can only be called by the program that made it")
    module_name, qualname = name.split(":")
    if module_name == "__main__" or module_name.partition(".")[0] in sys.stdlib_module_names:
        raise SinkUnavailable(f"{name} is not a function of an application's module")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise SinkUnavailable(f"{name} cannot be imported here ({type(error).__name__}: {error})") from error
    if not isinstance(found, FunctionType) or (found.__module__, found.__qualname__) != (module_name, qualname):
        raise SinkUnavailable(f"{name} is not a plain function of that module")
    return found


def _failed(seq: int, attempts: int, error: Exception) -> Failed:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    wait = random.uniform(0.5, 1.0) * min(2.0**attempts, _LONGEST_WAIT)  # noqa: S311 - spreads load, guards nothing
    return Failed(seq, reason, _now_ms() + int(wait * 1000), attempts >= MAX_ATTEMPTS)


def _request_id(record: Record) -> int:
    if record.request_id is None:
        raise JournalCorrupt(f"record {record.id} has a callback but no request id; `plsync check` tells more")
    return record.request_id


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
