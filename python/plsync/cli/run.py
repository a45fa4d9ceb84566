"""``plsync run``."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from plsync.cli import options
from plsync.cli.console import note
from plsync.cli.systemd import notify
from plsync.journal import Journal

if TYPE_CHECKING:
    from plsync.cli.story import Story
    from plsync.sync.lock import SenderLock
    from plsync.sync.runner import Runner, Step

__all__ = ["WORK_LEFT", "run"]

WORK_LEFT: Final = 3

_BATCH = typer.Option("--batch", min=1, max=1000, metavar="N", help="Send at most N records in one request.")
_IN_FLIGHT = typer.Option("--in-flight", min=1, max=64, metavar="N", help="Have at most N requests at work at once.")
_SETTLE = typer.Option(
    "--settle", min=0, metavar="SECONDS", help="Wait so long before a record without a clear answer is looked up."
)


def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="Send what waits, then exit.")] = False,
    no_callbacks: Annotated[bool, typer.Option("--no-callbacks", help="Deliver no callbacks.")] = False,
    batch: Annotated[int, _BATCH] = 100,
    in_flight: Annotated[int, _IN_FLIGHT] = 4,
    settle: Annotated[float, _SETTLE] = 60.0,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Send what the journal holds to PromptLayer, and hand the request ids back.

    The key comes from PROMPTLAYER_API_KEY and is stored nowhere; PROMPTLAYER_BASE_URL names another server than
    PromptLayer's own. Exits with 0 when all is done, 3 when work is left.
    """
    # An HTTP client is slow to import, and the commands that look need none.
    from plsync.cli.story import Story  # noqa: PLC0415
    from plsync.sync.lock import sole_sender  # noqa: PLC0415
    from plsync.sync.policy import RULES, Policy  # noqa: PLC0415
    from plsync.sync.runner import Callbacks, Runner, left  # noqa: PLC0415
    from plsync.sync.transport import PromptLayerClient, refusal  # noqa: PLC0415
    from plsync.sync.wake import Wake  # noqa: PLC0415

    policy = Policy(settle=settle)
    story = Story(json)
    # A service may be up before the first program records.
    with Journal.open(journal, create=not once) as opened, sole_sender(opened.path) as lock:
        callbacks = None if no_callbacks else Callbacks(opened)
        with PromptLayerClient.of_environment(policy.timeout) as client, Wake(opened.path) as wake:
            runner = Runner(
                opened,
                client,
                policy,
                wake,
                batch=batch,
                in_flight=in_flight,
                callbacks=callbacks,
                watched=story.watch,
            )
            story.expect(sum(left(opened).get(state, 0) for state in ("pending", "in_doubt", "leased")))
            # What callbacks print must not get between a program and its JSON.
            with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext(), _until_signalled(runner):
                notify("READY=1", "STATUS=sending")
                for step in runner.once() if once else runner.forever():
                    _tell(step, story, lock)
            where = client.base_url
        work = left(opened)
    story.end(work, [] if callbacks is None else list(callbacks.unavailable.values()))
    if story.halt is not None and RULES[type(story.halt)].then == "stop":
        raise refusal(story.halt, where)
    if work:
        raise typer.Exit(WORK_LEFT)


def _tell(step: Step, story: Story, lock: SenderLock) -> None:
    from plsync.sync.engine import Pass  # noqa: PLC0415 - loaded by now
    from plsync.sync.runner import Waiting  # noqa: PLC0415

    story.tell(step)
    if isinstance(step, Pass) and step.halt is None:
        doing = "sending" if step.moved else "idle"
    elif isinstance(step, Waiting) and story.halt is not None:
        doing = f"waiting: {story.halt.reason}"
    else:
        return
    lock.tell(doing)
    notify(f"STATUS={doing}")


@contextlib.contextmanager
def _until_signalled(runner: Runner) -> Iterator[None]:
    """SIGINT and SIGTERM stop the runner: answers on their way have a moment to come, and what came is stored."""

    def stop(number: int, _frame: Any) -> None:
        if runner.stopping:
            raise KeyboardInterrupt
        note(f"plsync: {signal.Signals(number).name}: finishing the requests at hand; once more to stop at once")
        notify("STOPPING=1")
        runner.stop()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
