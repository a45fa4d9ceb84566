"""Delivers request ids to callbacks without a network: after ``bundle import``, and in ``run --no-send``."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plsync.callbacks.dispatcher import CallbackDispatcher
from plsync.callbacks.resolve import ImportableFunctions
from plsync.cli import humanize
from plsync.cli.output import print_note
from plsync.cli.signals import until_signalled
from plsync.cli.systemd import Watchdog, notify
from plsync.journal.journal import Journal

if TYPE_CHECKING:
    from plsync.callbacks.command import Command
    from plsync.cli.run_reporter import RunReporter

__all__ = ["CallbackRun", "deliver_callbacks"]

# Seconds for callbacks at the end of a command, for calls that run when it is stopped, and between two looks.
_AT_END: Final = 60.0
_STOP: Final = 2.0
_BETWEEN: Final = 1.0


def deliver_callbacks(journal: Journal, *, json: bool) -> bool:
    """Deliver the request ids to functions that can be imported, and wake other programs. Returns whether some wait.

    Args:
        journal: with the request ids.
        json: standard output is for JSON, so the prints of callbacks go to standard error.
    """
    functions = ImportableFunctions([])
    dispatcher = CallbackDispatcher(journal, functions=functions)
    with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
        dispatcher.start()
        try:
            dispatcher.finish(_AT_END)
        finally:
            dispatcher.stop(_STOP)
    for report in dispatcher.reports():
        if report.delivered:
            print_note(f"{humanize.count(report.delivered, 'callback')} delivered")
        for error in report.errors:
            print_note(f"plsync: {error}")
    for reason in functions.unavailable.values():
        print_note(f"plsync: {reason}")
    for sink in journal.callbacks.waiting():
        if sink.waiting:
            caller = ", whose running program calls it" if sink.owned == sink.waiting else ""
            print_note(f"{humanize.count(sink.waiting, 'callback')} left for {sink.sink}{caller}")
    return _waits(journal)


class CallbackRun:
    """Delivers the request ids of one journal, and opens no socket.

    Args:
        path: the journal's directory; None for the default journal.
        functions: the functions of callbacks; None to call none.
        command: is run for each new request id; None without one.
        reporter: reports the callbacks.
    """

    def __init__(
        self,
        path: Path | None,
        functions: ImportableFunctions | None,
        command: Command | None,
        reporter: RunReporter,
    ) -> None:
        self._path = path
        self._functions = functions
        self._command = command
        self._reporter = reporter
        self._stopping = threading.Event()

    def run(self) -> bool:
        """Deliver until a signal; a run that the reporter calls a single one until nothing more is due.

        Returns:
            Whether request ids wait for a function.

        Raises:
            JournalError: the journal cannot be used.
        """
        once, reporter = self._reporter.once, self._reporter
        with Journal.open(self._path, create=not once) as journal, contextlib.closing(reporter):
            dispatcher = CallbackDispatcher(journal, functions=self._functions, command=self._command)
            # With JSON the prints of callbacks go to stderr, so that stdout holds nothing but JSON.
            redirected = contextlib.redirect_stdout(sys.stderr) if reporter.json else contextlib.nullcontext()
            with redirected, until_signalled(self._stop, None):
                notify("READY=1", "STATUS=delivering request ids, sending nothing")
                dispatcher.start()
                try:
                    if once:
                        journal.ingest(wait=True)
                        dispatcher.finish(_AT_END)
                    else:
                        self._serve(journal, dispatcher)
                finally:
                    dispatcher.stop(_STOP)
                    self._report(dispatcher)
            reasons = {} if self._functions is None else self._functions.unavailable
            for reason in reasons.values():
                print_note(f"plsync: {reason}")
            return _waits(journal)

    def _serve(self, journal: Journal, dispatcher: CallbackDispatcher) -> None:
        from plsync._common.native import Watch  # noqa: PLC0415 - loaded by now

        watch, watchdog = Watch(str(journal.path)), Watchdog()
        journal.ingest()
        while not self._stopping.wait(_BETWEEN):
            watchdog.turn()
            recorded, _ = watch.poll()
            if recorded:
                journal.ingest()
            self._report(dispatcher)

    def _report(self, dispatcher: CallbackDispatcher) -> None:
        if self._functions is not None:
            self._reporter.report_sources(self._functions.sources)
        for report in dispatcher.reports():
            self._reporter.report(report)

    def _stop(self) -> None:
        self._stopping.set()


def _waits(journal: Journal) -> bool:
    return any(sink.waiting for sink in journal.callbacks.waiting())
