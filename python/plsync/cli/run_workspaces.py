"""``plsync run`` with a configuration file: every workspace has a thread, and no workspace stops another."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from plsync._common.clock import elapsed
from plsync._common.logged import reason_of
from plsync.cli.output import print_note, print_traceback
from plsync.cli.run_options import RunOptions
from plsync.cli.run_reporter import RunReporter
from plsync.cli.run_result import WORK_LEFT
from plsync.cli.served_journal import ServedJournal
from plsync.cli.signals import until_signalled
from plsync.cli.systemd import Watchdog, notify
from plsync.config.file import Config, Workspace, read_config
from plsync.config.keys import end_commands
from plsync.config.workspaces import unlisted_journals
from plsync.delivery.runner import Runner
from plsync.errors import ConfigError, JournalNotFound, PlsyncError
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.settings import Settings

__all__ = ["WorkspacesRun"]

# Seconds before a workspace that failed is served again, at first and at most.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
# A workspace that was served for this long begins with the first pause again.
_STEADY: Final = 60.0
# Seconds until the main thread looks for signals and ended threads.
_POLL: Final = 0.2
# Seconds for the threads after a stop. Each waits for its own requests and callbacks, up to two seconds.
_STOP: Final = 8.0
_LONGEST_STATUS: Final = 500


class WorkspacesRun:
    """The workspaces of a configuration file, each served by a thread of this process.

    Args:
        config: the configuration file.
        options: the options of the run. ``in_flight`` holds for all workspaces together.
    """

    def __init__(self, config: Config, options: RunOptions) -> None:
        # A wrong option is wrong usage, and is found before a thread starts.
        options.functions()
        options.command()
        self._config = config
        self._options = options
        self._stdout = sys.stdout
        self._threads: dict[str, _WorkspaceThread] = {}
        self._changed = threading.Event()
        # A signal handler may interrupt its own thread inside an Event, which would then wait for itself.
        self._is_stopping = False
        self._is_reloading = False

    def run(self) -> int:
        """Serve until a signal, or with ``once`` until nothing more can be sent now.

        Returns:
            The exit code: 1 if a workspace failed, else 3 if one has work left, else 0.
        """
        for path in unlisted_journals(self._config):
            print_note(
                f"plsync: {self._config.path} does not list the journal {path}, so this run does not send it: add it "
                f"as a workspace, or use `plsync run --journal {path}`"
            )
        # With --json the prints of callbacks go to stderr, so that stdout holds nothing but JSON.
        redirected = contextlib.redirect_stdout(sys.stderr) if self._options.json else contextlib.nullcontext()
        with redirected, until_signalled(self._stop, self._reload):
            self._start_missing()
            notify("READY=1", "STATUS=sending")
            self._wait()
            deadline = elapsed() + _STOP
            for thread in self._threads.values():
                thread.stop()
            end_commands()
            for thread in self._threads.values():
                thread.join(deadline - elapsed())
        codes = {1 if thread.is_alive else thread.code for thread in self._threads.values()}
        return next((code for code in (1, WORK_LEFT) if code in codes), 0)

    def _wait(self) -> None:
        """Wait until the run is stopped, or every thread has ended. Reads the configuration again on request."""
        watchdog = Watchdog()
        while not self._is_stopping and self._is_serving():
            # One loop that hangs is enough: the service manager restarts the process, and the journals keep all.
            if all(thread.silence < watchdog.interval for thread in self._threads.values()):
                watchdog.turn()
            if self._changed.wait(_POLL):
                self._changed.clear()
                activities = [f"{name} {thread.activity}" for name, thread in self._threads.items()]
                notify(f"STATUS={'; '.join(activities)[:_LONGEST_STATUS]}")
            if self._is_reloading:
                self._is_reloading = False
                self._apply()

    def _is_serving(self) -> bool:
        """Whether a workspace is served. A thread that could not start is started again."""
        threads = self._threads.values()
        for thread in threads:
            if not (thread.is_started or self._options.once):
                thread.start()
        return any(thread.is_alive or not (thread.is_started or self._options.once) for thread in threads)

    # --- for signal handlers ---

    def _stop(self) -> None:
        self._is_stopping = True

    def _reload(self) -> None:
        self._is_reloading = True

    # --- for the main thread ---

    def _apply(self) -> None:
        """Read the configuration file again: start new workspaces, stop removed ones, and renew all other keys."""
        self._config = self._read_again() or self._config
        for name, thread in list(self._threads.items()):
            if thread.workspace == self._config.workspaces.get(name):
                thread.reload()
                continue
            thread.stop()
            deadline = elapsed() + _STOP
            while thread.is_alive and not self._is_stopping and elapsed() < deadline:
                thread.join(_POLL)
            del self._threads[name]
        self._start_missing()

    def _read_again(self) -> Config | None:
        """The configuration file; None if it cannot be used, so that the run stays with the workspaces of before."""
        try:
            config = read_config()
        except ConfigError as error:
            print_note(f"plsync: {error}; the workspaces of before are served")
            return None
        if config is None or not config.workspaces:
            print_note(f"plsync: {self._config.path} lists no workspace; the workspaces of before are served")
            return None
        print_note(f"plsync: read {config.path} again; it lists {', '.join(config.workspaces)}")
        return config

    def _start_missing(self) -> None:
        names = self._config.workspaces
        # The requests are divided among the workspaces, so that a server that hangs delays no other workspace.
        options = replace(self._options, in_flight=max(1, self._options.in_flight // len(names)))
        for thread in self._threads.values():
            thread.set_in_flight(options.in_flight)
        for name, workspace in names.items():
            if name not in self._threads and not self._is_stopping:
                reporter = RunReporter(
                    options.json,
                    verbose=options.verbose,
                    once=options.once,
                    workspace=name,
                    option=f"--workspace {name}",
                    stdout=self._stdout,
                )
                self._threads[name] = _WorkspaceThread(workspace, options, reporter, self._changed.set)
                self._threads[name].start()


class _WorkspaceThread:
    """Serves one workspace in a thread, and serves it again after a failure.

    Args:
        workspace: the workspace.
        options: the options of the run.
        reporter: reports the steps.
        on_activity: called when :attr:`activity` has changed.
    """

    def __init__(
        self, workspace: Workspace, options: RunOptions, reporter: RunReporter, on_activity: Callable[[], None]
    ) -> None:
        self.workspace = workspace
        self.code = 0
        """The exit code of this workspace alone."""
        self.activity = "starting"
        """``sending``, ``idle``, or the reason for a pause."""
        self._options = options
        self._reporter = reporter
        self._on_activity = on_activity
        self._runner: Runner | None = None
        self._turned_at = 0.0
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"plsync-{workspace.name}", daemon=True)

    @property
    def is_started(self) -> bool:
        """Whether the system had a thread."""
        return self._thread.ident is not None

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def silence(self) -> float:
        """Seconds since the last turn of its loop; 0 while it serves nothing."""
        return 0.0 if self._runner is None else elapsed() - self._turned_at

    def start(self) -> None:
        """Start the thread. Reports a system without a free thread."""
        try:
            self._thread.start()
        except RuntimeError as error:
            self._fail(f"{error}; every record is kept")

    def stop(self) -> None:
        """Let the thread end after the requests in flight."""
        self._stopping.set()
        self._woken.set()
        if (runner := self._runner) is not None:
            runner.stop()

    def reload(self) -> None:
        """Read the key again; after a failure, serve at once."""
        self._woken.set()
        if (runner := self._runner) is not None:
            runner.reload()

    def set_in_flight(self, number: int) -> None:
        """Change the number of requests at once, also of the run that goes on."""
        self._options = replace(self._options, in_flight=number)
        if (runner := self._runner) is not None:
            runner.set_in_flight(number)

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread."""
        if self.is_started:
            self._thread.join(max(0.0, seconds))

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            began = elapsed()
            failure = self._serve()
            if failure is None:
                return
            if self._stopping.is_set() and self._failure is None:
                # The stop may be the cause, and it has ended a key command.
                self.code = WORK_LEFT
                return
            self._fail(failure)
            if self._options.once:
                return
            self._set_activity(f"waiting: {failure}")
            pause = _FIRST_PAUSE if elapsed() - began > _STEADY else pause
            self._woken.wait(pause)
            self._woken.clear()
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _fail(self, failure: str) -> None:
        """Report a failure, a repeated one once."""
        self.code = 1
        if failure != self._failure:
            self._failure = failure
            self._reporter.fail(failure)

    def _serve(self) -> str | None:
        """Serve the workspace until the run ends. Returns the reason of a failure."""
        served = ServedJournal(
            self.workspace.journal,
            lambda: Settings.of_workspace(self.workspace),
            self._options,
            self._reporter,
            while_running=self._while_running,
            on_activity=self._set_activity,
            on_turn=self._turn,
        )
        try:
            result = served.serve()
        except JournalNotFound:
            # Only with `once`: any other run makes the journal.
            print_note(f"plsync: {self.workspace.name}: nothing is recorded in {self.workspace.journal} yet")
            return None
        except PlsyncError as error:
            return str(error)
        except OSError as error:
            return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}; every event is kept"
        except Exception as error:
            print_traceback(error)
            return f"unexpected error: {reason_of(error)}"
        if result.error is None or self._options.once or self._stopping.is_set():
            self._reporter.finish(result)
        self.code = WORK_LEFT if result.left else 0
        return None if result.error is None else str(result.error)

    @contextlib.contextmanager
    def _while_running(self, runner: Runner, _client: PromptLayerClient) -> Iterator[None]:
        self._turn()
        self._runner = runner
        # It may have changed while the runner was made.
        runner.set_in_flight(self._options.in_flight)
        self._failure = None
        if self._stopping.is_set():
            runner.stop()
        try:
            yield
        finally:
            self._runner = None

    def _turn(self) -> None:
        self._turned_at = elapsed()

    def _set_activity(self, activity: str) -> None:
        if activity != self.activity:
            self.activity = activity
            self._on_activity()
