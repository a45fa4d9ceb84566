"""``plsync run``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from plsync.cli import options
from plsync.cli.output import print_note
from plsync.cli.systemd import notify
from plsync.cli.tolerant_output import tolerate_failed_output
from plsync.cli.workspaces import named
from plsync.delivery.limits import MAX_BATCH_RECORDS, MAX_IN_FLIGHT
from plsync.journal.journal import Journal

if TYPE_CHECKING:
    from plsync.callbacks.command import Command
    from plsync.callbacks.dispatcher import CallbackDispatcher
    from plsync.callbacks.resolve import ImportableFunctions
    from plsync.cli.run_reporter import RunReporter
    from plsync.delivery.lock import SenderLock
    from plsync.delivery.reports import Step
    from plsync.delivery.runner import Runner
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["WORK_LEFT", "run"]

WORK_LEFT: Final = 3
# Windows has no such signal.
_HANG_UP: Final[signal.Signals | None] = getattr(signal, "SIGHUP", None)

_BATCH = typer.Option("--batch", min=1, max=1000, metavar="N", help="Send at most N records in a request.")
_IN_FLIGHT = typer.Option("--in-flight", min=1, max=64, metavar="N", help="Send at most N requests at a time.")
_CALLBACKS = typer.Option(
    "--callbacks",
    metavar="[SINK=]MODULE:FUNCTION",
    help="Call this function with the ids of a script's function, or of SINK; may be repeated.",
)
_EXEC = typer.Option("--exec", metavar="COMMAND", help="Run a command for each new request id: 'cmd {request_id}'.")
_SETTLE = typer.Option(
    "--settle",
    min=0,
    max=86_400,
    metavar="SECONDS",
    help="The time before a record without a clear response is looked up.",
)


def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="Send the waiting records, then exit.")] = False,
    callbacks: Annotated[list[str] | None, _CALLBACKS] = None,
    exec_: Annotated[str | None, _EXEC] = None,
    no_callbacks: Annotated[bool, typer.Option("--no-callbacks", help="Call no functions.")] = False,
    batch: Annotated[int, _BATCH] = MAX_BATCH_RECORDS,
    in_flight: Annotated[int, _IN_FLIGHT] = MAX_IN_FLIGHT,
    settle: Annotated[float, _SETTLE] = 60.0,
    json: options.Json = False,
    journal: options.Journal = None,
    workspace: options.Workspace = None,
) -> None:
    """Send the journal's records to PromptLayer, and deliver the request ids to callbacks.

    Reads the key from PROMPTLAYER_API_KEY, or from the file that
    PROMPTLAYER_API_KEY_FILE names, and stores it nowhere.
    PROMPTLAYER_BASE_URL names another server.
    Exits with 0 when all is done, with 3 when work is left.
    """
    # An HTTP client is slow to import, and commands that only read need none.
    from plsync.callbacks.dispatcher import CallbackDispatcher  # noqa: PLC0415
    from plsync.cli.run_reporter import RunReporter  # noqa: PLC0415
    from plsync.delivery.lock import sole_sender  # noqa: PLC0415
    from plsync.delivery.policy import RULES, Action, SendPolicy  # noqa: PLC0415
    from plsync.delivery.runner import Runner  # noqa: PLC0415
    from plsync.delivery.wake import Wake  # noqa: PLC0415
    from plsync.promptlayer.client import PromptLayerClient, halt_error  # noqa: PLC0415

    tolerate_failed_output()
    policy = SendPolicy(settle=settle)
    reporter = RunReporter(json)
    functions = None if no_callbacks else _functions(callbacks or [])
    command = None if exec_ is None else _command(exec_, to_stderr=json)
    # A service may start before the first program records, so it creates the journal.
    chosen = named(journal, workspace)
    # With both options the records of this journal go to this workspace.
    directory = chosen.path() if chosen.journal is None else chosen.journal
    with Journal.open(directory, create=not once) as opened, sole_sender(opened.path) as lock:
        with PromptLayerClient.for_workspace(chosen.workspace, policy.timeout) as client, Wake(opened.path) as wake:
            dispatcher = CallbackDispatcher(opened, functions=functions, command=command, on_report=wake.interrupt)
            runner = Runner(
                opened,
                client,
                policy,
                wake,
                batch=batch,
                in_flight=in_flight,
                dispatcher=dispatcher,
                on_progress=reporter.progress,
            )
            reporter.expect(sum(opened.stats().left.get(state, 0) for state in ("pending", "in_doubt", "leased")))
            sources = {} if functions is None else functions.sources
            _run_steps(runner, client, dispatcher, reporter, lock, sources=sources, once=once)
        work = opened.stats().left
    reporter.finish(work, [] if functions is None else list(functions.unavailable.values()))
    if reporter.halt is not None and RULES[type(reporter.halt)].action is Action.STOP:
        raise halt_error(reporter.halt, client.address, client.key_source)
    if work:
        raise typer.Exit(WORK_LEFT)


def _run_steps(
    runner: Runner,
    client: PromptLayerClient,
    dispatcher: CallbackDispatcher,
    reporter: RunReporter,
    lock: SenderLock,
    *,
    sources: Mapping[str, str],
    once: bool,
) -> None:
    from plsync.callbacks.worker import CallbackReport  # noqa: PLC0415 - loaded by now

    # With --json the prints of callbacks go to stderr, so that stdout holds nothing but JSON.
    redirected = contextlib.redirect_stdout(sys.stderr) if reporter.json else contextlib.nullcontext()
    reload = runner.reload if client.key_source.poll is not None else None
    with redirected, _until_signalled(runner, reload):
        notify("READY=1", "STATUS=sending")
        dispatcher.start()
        reporter.report_sources(sources)
        for step in runner.once() if once else runner.forever():
            if isinstance(step, CallbackReport):
                reporter.report_sources(sources)
            _report(step, reporter, lock)
        reporter.report_sources(sources)


def _functions(callbacks: list[str]) -> ImportableFunctions:
    from plsync.callbacks.resolve import ImportableFunctions  # noqa: PLC0415 - as in run

    try:
        return ImportableFunctions(callbacks)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--callbacks") from None


def _command(line: str, *, to_stderr: bool) -> Command:
    from plsync.callbacks.command import Command  # noqa: PLC0415 - as in run

    try:
        return Command(line, stdout=sys.stderr.fileno() if to_stderr else None)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--exec") from None


def _report(step: Step, reporter: RunReporter, lock: SenderLock) -> None:
    """Report a step to the user, to readers of the sender's lock, and to systemd."""
    from plsync.delivery.reports import PassReport, Pause  # noqa: PLC0415 - loaded by now

    reporter.report(step)
    if isinstance(step, PassReport) and step.halt is None:
        activity = "sending" if step.changed_state else "idle"
    elif isinstance(step, Pause) and reporter.halt is not None:
        activity = f"waiting: {reporter.halt.reason}"
    else:
        return
    lock.report(activity)
    notify(f"STATUS={activity}")


@contextlib.contextmanager
def _until_signalled(runner: Runner, reload: Callable[[], None] | None) -> Iterator[None]:
    """Stop the runner on SIGINT, SIGTERM and SIGHUP. The runner waits a moment for responses, and stores them.

    Args:
        runner: the runner.
        reload: reads the settings again. SIGHUP calls it, except for the SIGHUP of a terminal that has gone. None:
            every SIGHUP stops the runner.
    """
    is_stop_requested = False
    had_terminal = _has_terminal()

    def stop(number: int, _frame: Any) -> None:
        nonlocal is_stop_requested
        # A closing session sends SIGHUP together with SIGTERM, and often twice. A repeated SIGTERM is of a person.
        if is_stop_requested and number != _HANG_UP:
            raise KeyboardInterrupt
        if number == _HANG_UP and reload is not None and not (had_terminal and not _has_terminal()):
            if not runner.stopping:
                reload()
            return
        is_stop_requested = is_stop_requested or number != _HANG_UP
        if runner.stopping:
            return
        runner.stop()
        notify("STOPPING=1")
        # The signal may have interrupted another print to the same stream, which Python forbids.
        with contextlib.suppress(RuntimeError):
            again = "" if number == _HANG_UP else "; repeat it to stop at once"
            print_note(f"plsync: {signal.Signals(number).name}: finishing open requests{again}")

    numbers = [signal.SIGINT, signal.SIGTERM]
    # nohup has it ignored, so that the process outlives the session.
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        numbers.append(_HANG_UP)
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal that has not hung up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except (OSError, AttributeError):  # Windows has neither the name nor the flags
        return False
    return True
