"""``plsync run --hub``: the journals of a hub, one after another."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import shlex
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from plsync.bundle.hub import Hub, Origin
from plsync.cli.hub_settings import settings_of_origin
from plsync.cli.output import print_note
from plsync.cli.passphrase import machine_keys
from plsync.cli.run_options import RunOptions
from plsync.cli.run_reporter import RunReporter
from plsync.cli.run_result import WORK_LEFT
from plsync.cli.served_journal import ServedJournal
from plsync.cli.signals import until_signalled
from plsync.cli.systemd import Watchdog, notify
from plsync.delivery.link import Links
from plsync.delivery.lock import sole_sender
from plsync.delivery.runner import Runner
from plsync.errors import BundleError, JournalLocked, PlsyncError
from plsync.promptlayer.client import PromptLayerClient

__all__ = ["HubRun"]

# Seconds of a turn at most, and of all turns of a round together where journals are many.
_TURN: Final = 30.0
_ROUND: Final = 120.0
_LEAST_TURN: Final = 1.0
# Seconds that a turn waits beyond its time for the responses to its requests.
_OVERTIME: Final = 15.0
# Seconds between two rounds without work, and until a journal without changes has a turn again.
_PAUSE: Final = 5.0
_BETWEEN: Final = 1.0
_REST: Final = 60.0


@dataclass
class _Turn:
    """The last turn of a journal."""

    code: int = 0
    left: int = 0
    """The work that it left."""
    is_cut: bool = False
    """Whether its time was over before its work."""
    version: object = None
    """Changes with the journal."""
    rest: float = 0.0
    """Seconds until it has a turn although it did not change."""
    due: float = 0.0
    """When that is, by the monotonic clock."""


class HubRun:
    """The journals of a hub, one after another: first the journal whose last turn is the longest ago.

    A turn ends after half a minute, or with many journals after their share of two minutes. So a journal with much work
    delays the other origins by no more than its turn. One journal is open at a time.

    Args:
        path: the directory of the hub.
        options: the options of the run.
    """

    def __init__(self, path: Path, options: RunOptions) -> None:
        if not path.is_dir():
            raise BundleError(
                f"{path} is no directory; nothing was sent; `plsync bundle import PATH --hub DIR` makes a hub"
            )
        self._hub = Hub(path)
        self._keys = machine_keys()
        self._keys.own_or_raise()
        # A hub has no callbacks: bundles carry no function.
        self._options = replace(options, once=True, no_callbacks=True)
        self._once = options.once
        self._stopping = threading.Event()
        self._runner: Runner | None = None
        self._watchdog = Watchdog()
        self._links = Links()
        self._turns: dict[str, _Turn] = {}
        self._is_cut = False
        self._locked: set[str] = set()
        self._seconds = _TURN

    def run(self) -> int:
        """Serve the journals until a signal, or with ``once`` until nothing more can be sent now.

        Returns:
            The exit code: 1 if a journal failed, else 3 if one has work left, else 0.
        """
        with contextlib.ExitStack() as closing:
            closing.enter_context(until_signalled(self._stop, None))
            closing.enter_context(self._links)
            closing.callback(gc.unfreeze)
            notify("READY=1", "STATUS=sending")
            while not self._stopping.is_set():
                self._hub.resume(self._keys, sole_sender)
                self._round()
                if self._once and not any(turn.is_cut for turn in self._turns.values()):
                    break
                self._watchdog.turn()
                is_busy = any(turn.is_cut for name, turn in self._turns.items() if name not in self._locked)
                self._stopping.wait(0.0 if is_busy else _BETWEEN if self._once else _PAUSE)
        codes = {turn.code for turn in self._turns.values()}
        return next((code for code in (1, WORK_LEFT) if code in codes), 0)

    def _round(self) -> None:
        """Serve each journal that may have work, for one turn."""
        waiting = [origin for origin in self._hub.origins() if self._has_turn(origin)]
        seconds = min(_TURN, max(_LEAST_TURN, _ROUND / max(1, len(waiting))))
        for origin in sorted(waiting, key=self._served_at):
            if self._stopping.is_set():
                return
            before = self._turns.get(origin.directory, _Turn())
            self._is_cut = False
            self._seconds = seconds
            code, left = self._turn(origin)
            self._close_files()
            turn = _Turn(code, left, self._is_cut, self._version(origin))
            # A journal with work that cannot be done now, such as for an outage, has turns ever more seldom.
            turn.rest = 0.0 if turn.is_cut else min(_REST, max(_PAUSE, 2 * before.rest)) if left or code else math.inf
            turn.due = time.monotonic() + turn.rest
            self._turns[origin.directory] = turn

    def _close_files(self) -> None:
        """Close the files of the journal that had its turn: its objects are in cycles, which the collector frees."""
        gc.collect()
        if not gc.get_freeze_count():
            # Later collections leave out the modules, which the first turn has imported, and take a millisecond.
            gc.freeze()

    def _has_turn(self, origin: Origin) -> bool:
        turn = self._turns.get(origin.directory)
        if self._once or turn is None:
            return turn is None or turn.is_cut
        return time.monotonic() >= turn.due or self._version(origin) != turn.version

    def _served_at(self, origin: Origin) -> int:
        """When the journal had its last turn, in any process: its sender writes to this file."""
        try:
            return os.stat(self._hub.journal(origin) / "sync.lock").st_mtime_ns
        except OSError:
            return 0

    def _version(self, origin: Origin) -> object:
        """A value that changes with the journal, without opening it."""
        path = self._hub.journal(origin)
        files = [*path.glob("lmdb-*/data.mdb"), path / "spool", self._hub.path / f"{origin.directory}.doubt"]
        return [(file.name, found.st_mtime_ns, found.st_size) for file in files if (found := _stat(file)) is not None]

    def _turn(self, origin: Origin) -> tuple[int, int]:
        """Serve one journal, and return the exit code and the work left. A failure of one journal stops no other."""
        reporter = RunReporter(
            self._options.json,
            verbose=self._options.verbose,
            once=self._once,
            workspace=origin.directory,
            option=f"--journal {shlex.quote(str(self._hub.journal(origin)))}",
        )
        try:
            path = self._hub.journal(origin)
            if not self._hub.is_settled(origin):
                with sole_sender(self._hub.prepare(origin)):
                    self._hub.settle(origin)
            result = ServedJournal(
                path,
                lambda: settings_of_origin(self._hub, origin),
                self._options,
                reporter,
                while_running=self._while_running,
                on_activity=lambda activity: notify(f"STATUS={origin.directory} {activity}"),
                on_turn=self._watchdog.turn,
                connect=self._links.connected,
            ).serve()
        except JournalLocked:
            # An import holds the lock. The journal has its turn in the next round, and with `--once` one further turn.
            self._is_cut = not self._once or origin.directory not in self._locked
            self._locked.add(origin.directory)
            return WORK_LEFT, 0
        except PlsyncError as error:
            print_note(f"plsync: {origin.directory}: {error}")
            return 1, 0
        reporter.finish(result)
        if result.error is not None:
            print_note(f"plsync: {origin.directory}: {result.error}")
            return 1, 0
        left = sum(result.left.values())
        return (WORK_LEFT if left else 0), left

    def _end_turn(self, runner: Runner, done: threading.Event, seconds: float) -> None:
        """Cut a turn after its time. Later stop it, and so put the records of requests without a response in doubt."""
        if not done.wait(seconds):
            self._is_cut = True
            runner.cut()
            if not done.wait(_OVERTIME):
                runner.stop()

    def _stop(self) -> None:
        self._stopping.set()
        if (runner := self._runner) is not None:
            runner.stop()

    @contextlib.contextmanager
    def _while_running(self, runner: Runner, _client: PromptLayerClient) -> Iterator[None]:
        self._runner = runner
        done, seconds = threading.Event(), self._seconds
        self._links.threads.start(partial(self._end_turn, runner, done, seconds), "plsync-turn")
        try:
            if self._stopping.is_set():
                runner.stop()
            yield
        finally:
            done.set()
            self._runner = None


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
