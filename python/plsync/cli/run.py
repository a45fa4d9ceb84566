"""``plsync run``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from plsync.cli import options
from plsync.cli.quota import NewLimit, parse_size
from plsync.cli.signals import until_signalled
from plsync.cli.systemd import Watchdog, notify
from plsync.cli.tolerant_output import tolerate_failed_output
from plsync.cli.usage_errors import bad_value
from plsync.cli.workspaces import Named, named
from plsync.delivery.limits import MAX_BATCH_RECORDS, MAX_IN_FLIGHT

if TYPE_CHECKING:
    from plsync.cli.run_options import RunOptions
    from plsync.delivery.runner import Runner
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["run"]

_BATCH = typer.Option(
    "--batch", parser=options.number(1, 1000), metavar="N", help="Send up to N records in a request, at most 1000."
)
_IN_FLIGHT = typer.Option(
    "--in-flight", parser=options.number(1, 64), metavar="N", help="Send up to N requests in parallel, at most 64."
)
_CALLBACKS = typer.Option(
    "--callbacks",
    metavar="[SINK=]MODULE:FUNCTION",
    help="Deliver the ids of a script's callback, or of SINK, to MODULE:FUNCTION. Repeatable.",
)
_EXEC = typer.Option("--exec", metavar="COMMAND", help="Run a command for each new request id: 'cmd {request_id}'.")
_REBIND = typer.Option(
    "--rebind", help="Go on with another server or workspace than before. Records in doubt stay with the old one."
)
_SETTLE = typer.Option(
    "--settle",
    parser=options.decimal(0, 86_400),
    metavar="SECONDS",
    help="Seconds to wait before looking up a record that got no clear response.",
)
_NO_TREES = typer.Option("--no-trees", help="Send each call as a separate trace, and no chains, tools and retrievers.")
_TREE_WAIT = typer.Option(
    "--tree-wait",
    parser=options.decimal(0, 86_400),
    metavar="SECONDS",
    help="Seconds to wait for the end of an agent before sending its ended calls.",
)
_VERBOSE = typer.Option("-v", "--verbose", help="Print each batch and each pause, not only changes and sums.")


def parse_memory(value: str) -> NewLimit:
    """A number of bytes such as ``256MB`` or ``1GB``.

    Raises:
        BadParameter: the value is neither, or too small.
    """
    found = parse_size(value)
    if found.limit is None or found.limit < _LEAST_MEMORY:
        raise bad_value(value, "choose a size of 64MB or more, such as 256MB")
    return found


_LEAST_MEMORY: Final = 64_000_000
_MEMORY = typer.Option(
    "--memory",
    metavar="SIZE",
    parser=parse_memory,
    help="Take at most this much memory, such as 256MB. Default: 512MB, in a container less.",
)


_NO_SEND = typer.Option(
    "--no-send", help="Only deliver request ids, such as those from bundles. No socket is opened, and no key is read."
)
_TAKE_BACK = typer.Option(
    "--take-back", help="Look up the records that bundles carried to a hub, and send the rest from here."
)
_HUB = typer.Option(
    "--hub", metavar="DIR", help="Serve the journals of this hub, which hold records of bundles.", show_default=False
)


def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="Send the waiting records, then exit.")] = False,
    callbacks: Annotated[list[str] | None, _CALLBACKS] = None,
    exec_: Annotated[str | None, _EXEC] = None,
    no_callbacks: Annotated[bool, typer.Option("--no-callbacks", help="Call no functions.")] = False,
    no_send: Annotated[bool, _NO_SEND] = False,
    batch: Annotated[int, _BATCH] = MAX_BATCH_RECORDS,
    in_flight: Annotated[int, _IN_FLIGHT] = MAX_IN_FLIGHT,
    settle: Annotated[float, _SETTLE] = 60.0,
    no_trees: Annotated[bool, _NO_TREES] = False,
    tree_wait: Annotated[float, _TREE_WAIT] = 60.0,
    rebind: Annotated[bool, _REBIND] = False,
    verbose: Annotated[bool, _VERBOSE] = False,
    memory: Annotated[NewLimit | None, _MEMORY] = None,
    take_back: Annotated[bool, _TAKE_BACK] = False,
    hub: Annotated[Path | None, _HUB] = None,
    json: options.Json = False,
    journal: options.Journal = None,
    workspace: options.Workspace = None,
) -> None:
    """Send the journal's records to PromptLayer, and deliver the request ids to callbacks.

    Serves all workspaces of the configuration file; one of them with --workspace.
    Without this file it serves one journal: PROMPTLAYER_API_KEY has the key, or
    PROMPTLAYER_API_KEY_FILE names a file with it. PROMPTLAYER_BASE_URL names
    another server. The key is stored nowhere.
    Exits with 0 when all is done, with 3 when work is left.

    Examples:
        plsync run
        plsync run --once
        plsync run --exec 'notify-send {request_id}'
        plsync run --callbacks app_callbacks:pl_id_callback
        plsync run --hub /srv/hub --once
    """
    # An HTTP client is slow to import, and commands that only read need none.
    from plsync.cli.run_options import RunOptions  # noqa: PLC0415
    from plsync.cli.run_workspaces import WorkspacesRun  # noqa: PLC0415
    from plsync.config.file import read_config  # noqa: PLC0415
    from plsync.delivery.memory import MemoryBudget, default_memory  # noqa: PLC0415

    tolerate_failed_output()
    run_options = RunOptions(
        once=once,
        callbacks=callbacks or [],
        exec_=exec_,
        no_callbacks=no_callbacks,
        batch=batch,
        in_flight=in_flight,
        settle=settle,
        trees=not no_trees,
        tree_wait=tree_wait,
        rebind=rebind,
        take_back=take_back,
        memory=MemoryBudget.of_process(default_memory() if memory is None else memory.limit),
        json=json,
        verbose=verbose,
    )
    chosen = named(journal, workspace)
    if no_send:
        if hub is not None or rebind or take_back or no_callbacks:
            raise typer.BadParameter(
                "it delivers the request ids of one journal: use it without --hub, --rebind, --take-back and "
                "--no-callbacks",
                param_hint="--no-send",
            )
        _deliver_only(chosen, run_options)
        return
    if hub is not None:
        from plsync.cli.run_hub import HubRun  # noqa: PLC0415 - few runs serve a hub

        if chosen != Named() or rebind or take_back or callbacks or exec_ is not None:
            raise typer.BadParameter(
                "a hub has other journals and no callbacks: use it without --journal, --workspace, --rebind, "
                "--take-back, --callbacks and --exec",
                param_hint="--hub",
            )
        raise typer.Exit(HubRun(hub, run_options).run())
    config = read_config() if chosen == Named() else None
    if config is not None and config.workspaces:
        if rebind or take_back:
            option = "--rebind" if rebind else "--take-back"
            raise typer.BadParameter("use it with --workspace or --journal: it is for one journal", param_hint=option)
        raise typer.Exit(WorkspacesRun(config, run_options).run())
    with chosen.explained():
        _run_one(chosen, run_options)


def _deliver_only(chosen: Named, run_options: RunOptions) -> None:
    """Deliver the request ids of one journal, and send nothing."""
    from plsync.cli.callback_delivery import CallbackRun  # noqa: PLC0415 - few runs send nothing
    from plsync.cli.run_reporter import RunReporter  # noqa: PLC0415 - loaded by now
    from plsync.cli.run_result import WORK_LEFT  # noqa: PLC0415 - loaded by now

    reporter = RunReporter(run_options.json, verbose=run_options.verbose, once=run_options.once)
    with chosen.explained():
        run = CallbackRun(chosen.path(), run_options.functions(), run_options.command(), reporter)
        if run.run() and run_options.once:
            raise typer.Exit(WORK_LEFT)


def _run_one(chosen: Named, run_options: RunOptions) -> None:
    """Serve one journal in the main thread."""
    from plsync.cli.run_reporter import RunReporter  # noqa: PLC0415 - loaded by now
    from plsync.cli.run_result import WORK_LEFT  # noqa: PLC0415 - loaded by now
    from plsync.cli.served_journal import ServedJournal  # noqa: PLC0415 - loaded by now
    from plsync.config.file import read_config  # noqa: PLC0415 - loaded by now
    from plsync.promptlayer.settings import settings_of  # noqa: PLC0415 - loaded by now

    @contextlib.contextmanager
    def while_running(runner: Runner, client: PromptLayerClient) -> Iterator[None]:
        # With --json the prints of callbacks go to stderr, so that stdout holds nothing but JSON.
        redirected = contextlib.redirect_stdout(sys.stderr) if run_options.json else contextlib.nullcontext()
        has_file = client.key_source.poll is not None or (chosen.workspace is not None and read_config() is not None)
        reload = runner.reload if has_file else None
        with redirected, until_signalled(runner.stop, reload):
            notify("READY=1", "STATUS=sending")
            yield

    reporter = RunReporter(run_options.json, verbose=run_options.verbose, once=run_options.once)
    served = ServedJournal(
        # With both options the records of this journal go to this workspace.
        chosen.path() if chosen.journal is None else chosen.journal,
        lambda: settings_of(chosen.workspace),
        run_options,
        reporter,
        while_running=while_running,
        on_activity=lambda activity: notify(f"STATUS={activity}"),
        on_turn=Watchdog().turn,
    ).serve()
    reporter.finish(served)
    if served.error is not None:
        raise served.error
    if served.left:
        raise typer.Exit(WORK_LEFT)
