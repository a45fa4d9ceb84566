"""Delivers request ids in the calling thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from plsync.callbacks.invoke import FunctionCall
from plsync.callbacks.worker import CallbackReport, SinkWorker
from plsync.journal import Journal


def deliver(journal: Journal, sinks: Mapping[str, Callable[..., Any]], writer: bytes | None = None) -> CallbackReport:
    """Call the functions of all sinks with due entries, one after the other.

    Args:
        journal: the journal with the entries.
        sinks: functions by the names of their sinks.
        writer: this process's writer id, to deliver its own entries; None for dead processes' entries alone.
    """
    report = CallbackReport()
    queue = journal.callbacks
    for sink in [sink for sink in queue.due(writer)[0] if sink in sinks]:
        make_call = functools.partial(FunctionCall, sinks[sink], journal.path)
        worker = SinkWorker(sink, make_call, queue, lambda: writer, on_report=report.add, stopping=threading.Event())
        try:
            worker.drain()
        finally:
            worker.close()
    return report
