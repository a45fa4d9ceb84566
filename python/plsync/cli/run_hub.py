"""``plsync run --hub``: the journals of a hub, one after another."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from plsync.bundle.hub import Hub, Origin
from plsync.bundle.keys import Keys
from plsync.cli.output import print_note
from plsync.cli.run_reporter import RunReporter
from plsync.cli.served_journal import WORK_LEFT, RunOptions, ServedJournal
from plsync.cli.signals import until_signalled
from plsync.cli.systemd import Watchdog, notify
from plsync.config.file import Workspace, read_config
from plsync.delivery.lock import sole_sender
from plsync.delivery.runner import Runner
from plsync.errors import BundleError, JournalLocked, PlsyncError
from plsync.journal.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.settings import Settings

__all__ = ["HubRun"]

# Seconds after which the next journal has its turn, and between two rounds without work.
_TURN: Final = 30.0
_PAUSE: Final = 5.0


class HubRun:
    """The journals of a hub. Each has a turn of half a minute, so an import and the other origins wait no longer.

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
        self._keys = Keys()
        self._keys.own_or_raise()
        # A hub has no callbacks: bundles carry no function.
        self._options = replace(options, once=True, no_callbacks=True)
        self._once = options.once
        self._stopping = threading.Event()
        self._runner: Runner | None = None
        self._watchdog = Watchdog()
        self._work_left: int | None = None

    def run(self) -> int:
        """Serve the journals until a signal, or with ``once`` until nothing more can be sent now.

        Returns:
            The exit code: 1 if a journal failed, else 3 if one has work left, else 0.
        """
        codes = {0}
        with until_signalled(self._stop, None):
            notify("READY=1", "STATUS=sending")
            while not self._stopping.is_set():
                self._hub.resume(self._keys, sole_sender)
                codes = {self._turn(origin) for origin in self._hub.origins() if not self._stopping.is_set()} or {0}
                if self._once and codes <= {0, 1}:
                    break
                if self._once and not self._is_making_progress():
                    break
                self._watchdog.turn()
                self._stopping.wait(0.0 if self._once else _PAUSE)
        return next((code for code in (1, WORK_LEFT) if code in codes), 0)

    def _is_making_progress(self) -> bool:
        """Whether there is less work left than after the last round."""
        before, self._work_left = self._work_left, sum(self._left(origin) for origin in self._hub.origins())
        return before is None or self._work_left < before

    def _left(self, origin: Origin) -> int:
        with Journal.open(self._hub.journal(origin), create=True) as journal:
            return sum(journal.stats().left.values())

    def _turn(self, origin: Origin) -> int:
        """Serve one journal. A failure of one journal stops no other."""
        reporter = RunReporter(
            self._options.json, verbose=self._options.verbose, once=self._once, workspace=origin.directory
        )
        try:
            path = self._hub.prepare(origin)
            with sole_sender(path):
                self._hub.settle(origin)
            result = ServedJournal(
                path,
                lambda: self._settings(origin),
                self._options,
                reporter,
                while_running=self._while_running,
                on_activity=lambda activity: notify(f"STATUS={origin.directory} {activity}"),
                on_turn=self._watchdog.turn,
            ).serve()
        except JournalLocked:
            # An import holds the lock. The journal has its turn in the next round.
            return WORK_LEFT
        except PlsyncError as error:
            print_note(f"plsync: {origin.directory}: {error}")
            return 1
        reporter.finish(result)
        if result.error is not None:
            print_note(f"plsync: {origin.directory}: {result.error}")
            return 1
        return WORK_LEFT if result.left else 0

    def _settings(self, origin: Origin) -> Settings:
        """The key of a workspace with the origin's name, if a configuration file lists one; else the environment's."""
        config = read_config()
        listed = None if config is None else config.workspaces.get(origin.directory)
        return Settings.of_workspace(listed or Workspace(origin.directory, self._hub.journal(origin), None, None))

    def _stop(self) -> None:
        self._stopping.set()
        if (runner := self._runner) is not None:
            runner.stop()

    @contextlib.contextmanager
    def _while_running(self, runner: Runner, _client: PromptLayerClient) -> Iterator[None]:
        self._runner = runner
        timer = threading.Timer(_TURN, runner.stop)
        timer.daemon = True
        timer.start()
        try:
            if self._stopping.is_set():
                runner.stop()
            yield
        finally:
            timer.cancel()
            self._runner = None
