"""The delivery of one journal by ``plsync run``: opened, locked, sent, and reported."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from plsync.callbacks.dispatcher import CallbackDispatcher
from plsync.callbacks.worker import CallbackReport
from plsync.cli import humanize
from plsync.cli.deliveries import left_by_delivery
from plsync.cli.disk import DiskWatch
from plsync.cli.output import print_note
from plsync.cli.run_options import RunOptions
from plsync.cli.run_reporter import RunReporter
from plsync.cli.run_result import Served
from plsync.delivery.last_run import reported_run, store
from plsync.delivery.link import Link, connected
from plsync.delivery.lock import SenderLock, sole_sender
from plsync.delivery.policy import RULES, Action, SendPolicy
from plsync.delivery.reports import PassReport, Pause, Step
from plsync.delivery.runner import Runner
from plsync.delivery.wake import Wake
from plsync.errors import JournalError, Offline
from plsync.journal.digest_filler import Filler
from plsync.journal.journal import Journal
from plsync.promptlayer.client import PromptLayerClient, halt_error
from plsync.promptlayer.settings import DEFAULT_BASE_URL

if TYPE_CHECKING:
    from plsync.promptlayer.settings import Settings

__all__ = ["ServedJournal"]


class ServedJournal:
    """One journal that a run serves.

    Args:
        path: the journal's directory; None for the default journal.
        settings: returns the server and the place of the key.
        options: the options of the run.
        reporter: reports the steps.
        while_running: makes the context in which the steps run. It gets the runner and its client.
        on_activity: called with each new activity: ``sending``, ``idle``, or the reason for a pause.
        on_turn: called with each turn of the run's loop.
        connect: makes the connection from the settings and the seconds for a response.
    """

    def __init__(
        self,
        path: Path | None,
        settings: Callable[[], Settings],
        options: RunOptions,
        reporter: RunReporter,
        *,
        while_running: Callable[[Runner, PromptLayerClient], AbstractContextManager[None]],
        on_activity: Callable[[str], None],
        on_turn: Callable[[], None],
        connect: Callable[[Settings, float], AbstractContextManager[Link]] = connected,
    ) -> None:
        self._path = path
        self._settings = settings
        self._options = options
        self._reporter = reporter
        self._while_running = while_running
        self._on_activity = on_activity
        self._on_turn = on_turn
        self._connect = connect
        self._functions = options.functions()
        self._command = options.command()

    def serve(self) -> Served:
        """Send until the run ends.

        Raises:
            JournalError: the journal cannot be used, or another process sends from it.
            AuthenticationError: there is no key, or two.
            SyncError: the URL of the server, its proxy or its certificates cannot be used.
            WrongWorkspace: the journal is bound to another server or key.
        """
        options, reporter = self._options, self._reporter
        reporter.halt = None
        policy = reporter.policy = SendPolicy(settle=options.settle, tree_wait=options.tree_wait)
        # A service may start before the first program records, so it creates the journal.
        with Journal.open(self._path, create=not options.once) as journal, sole_sender(journal.path) as lock:
            with (
                reported_run(journal) as report,
                self._connect(self._settings(), policy.timeout) as link,
                Wake(journal.path) as wake,
            ):
                client = link.client
                report.url = client.url
                # Before the first ingest, which may apply the quota.
                dropped = _Dropped(journal, reporter)
                reporter.place = partial(_place, client)
                store(journal, report)
                dispatcher = self._dispatcher(journal, wake)

                def turn() -> None:
                    lock.beat()
                    self._on_turn()

                runner = Runner(
                    journal,
                    client,
                    policy,
                    wake,
                    batch=options.batch,
                    in_flight=options.in_flight,
                    trees=options.trees,
                    memory=options.memory,
                    sizer=link.sizer,
                    start=link.start,
                    dispatcher=dispatcher,
                    on_progress=reporter.progress,
                    on_turn=turn,
                )
                if options.take_back:
                    number = humanize.count(journal.bundles.take_back(), "record")
                    print_note(f"{number} taken back: each is looked up before it is sent")
                reporter.expect(sum(journal.stats().left.get(state, 0) for state in ("pending", "in_doubt", "leased")))
                if options.rebind:
                    self._rebind(runner, client)
                # Records of earlier versions get their digests while the run waits for new ones.
                filler = contextlib.nullcontext() if options.once else Filler(journal)
                with filler, self._while_running(runner, client):
                    if dispatcher is not None:
                        dispatcher.start()
                    try:
                        self._run_steps(runner, lock, journal, dropped)
                    finally:
                        report.fail(reporter.interruption, client)
            stats = journal.stats()
            left, shown = stats.left, left_by_delivery(journal, stats)
        unavailable = [] if self._functions is None else list(self._functions.unavailable.values())
        elsewhere: Counter[str] = Counter()
        for server in stats.servers:
            elsewhere.update({server.url: server.in_doubt} if server.in_doubt and not server.bound else {})
        halt, error = reporter.halt, None
        if halt is not None and RULES[type(halt)].action is Action.STOP:
            error = halt_error(halt, client.address, client.key_source, client.url_setting)
        return Served(left, shown, unavailable, stats.followups_stranded, elsewhere, error)

    def _dispatcher(self, journal: Journal, wake: Wake) -> CallbackDispatcher | None:
        if self._functions is None and self._command is None:
            return None
        return CallbackDispatcher(journal, functions=self._functions, command=self._command, on_report=wake.interrupt)

    def _rebind(self, runner: Runner, client: PromptLayerClient) -> None:
        """Bind the journal to the client's workspace, in place of the one before."""
        binding = runner.binding
        if (outcome := binding.check(rebind=True)) is not None:
            if RULES[type(outcome)].action is Action.STOP:
                raise halt_error(outcome, client.address, client.key_source, client.url_setting)
            raise Offline(f"{outcome.reason}; the journal stays with its server: run this again when it responds")
        if binding.left is not None:
            self._reporter.report_rebound(binding.left, client.url)

    def _run_steps(self, runner: Runner, lock: SenderLock, journal: Journal, dropped: _Dropped) -> None:
        sources = {} if self._functions is None else self._functions.sources
        disk = DiskWatch(journal.path)
        with contextlib.closing(self._reporter):
            self._reporter.report_sources(sources)
            for step in runner.once() if self._options.once else runner.forever():
                if isinstance(step, CallbackReport):
                    self._reporter.report_sources(sources)
                self._report(step, lock)
                dropped.report()
                if (note := disk.note()) is not None:
                    print_note(f"plsync: {note}")
            self._reporter.report_sources(sources)

    def _report(self, step: Step, lock: SenderLock) -> None:
        """Report a step to the user, to readers of the sender's lock, and to the service manager."""
        self._reporter.report(step)
        if isinstance(step, PassReport) and step.halt is None:
            activity = "sending" if step.changed_state else "idle"
        elif isinstance(step, Pause) and self._reporter.halt is not None:
            activity = f"waiting: {self._reporter.halt.reason}"
        else:
            return
        lock.report(activity)
        self._on_activity(activity)


class _Dropped:
    """Reports the unsent records whose content the quota has removed since the begin of a run, by any process."""

    def __init__(self, journal: Journal, reporter: RunReporter) -> None:
        self._outbox = journal.outbox
        self._reporter = reporter
        self._known = self._outbox.dropped()

    def report(self) -> None:
        """Report the records since the last call."""
        # The run waits out a journal that cannot be read for a while, and the next call reports all.
        with contextlib.suppress(JournalError):
            dropped = self._outbox.dropped()
            if dropped > self._known:
                self._reporter.report_dropped(dropped - self._known)
            self._known = dropped


def _place(client: PromptLayerClient) -> str:
    """The client's server in words. Whether it is a stand-in shows with its first response."""
    if client.is_stand_in:
        return f"{client.url} (a stand-in)"
    return "PromptLayer" if client.url == DEFAULT_BASE_URL else client.url
