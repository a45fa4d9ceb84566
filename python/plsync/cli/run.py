"""``plsync run``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from plsync.cli import options, words
from plsync.cli.console import json_line, note, out, safe
from plsync.errors import AuthenticationError, SyncError
from plsync.journal import Journal

if TYPE_CHECKING:
    from plsync.sync.outcomes import Outcome
    from plsync.sync.runner import Callbacks, Step

__all__ = ["WORK_LEFT", "run"]

WORK_LEFT: Final = 3

_BATCH = typer.Option("--batch", min=1, max=1000, metavar="N", help="Send at most N records in one request.")
_SETTLE = typer.Option(
    "--settle", min=0, metavar="SECONDS", help="Wait so long before a record without a clear answer is looked up."
)


def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="Send what waits, then exit.")] = False,
    no_callbacks: Annotated[bool, typer.Option("--no-callbacks", help="Deliver no callbacks.")] = False,
    batch: Annotated[int, _BATCH] = 100,
    settle: Annotated[float, _SETTLE] = 60.0,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Send what the journal holds to PromptLayer, and hand the request ids back.

    The key comes from PROMPTLAYER_API_KEY and is stored nowhere; PROMPTLAYER_BASE_URL names another server than
    PromptLayer's own. Exits with 0 when all is done, 3 when work is left.
    """
    # An HTTP client is slow to import, and the commands that look need none.
    from plsync.sync.lock import sole_sender  # noqa: PLC0415
    from plsync.sync.policy import RULES, Policy  # noqa: PLC0415
    from plsync.sync.runner import Callbacks, Runner, left  # noqa: PLC0415
    from plsync.sync.transport import DEFAULT_BASE_URL, PromptLayerClient  # noqa: PLC0415

    policy = Policy(settle=settle)
    with Journal.open(journal) as opened, _until_signalled() as stopping:
        base_url = os.environ.get("PROMPTLAYER_BASE_URL") or DEFAULT_BASE_URL
        with sole_sender(opened.path), PromptLayerClient(_api_key(), base_url, timeout=policy.timeout) as client:
            story = _Story(client.base_url, None if no_callbacks else Callbacks(opened), quiet=json)
            runner = Runner(opened, client, policy, batch=batch, callbacks=story.callbacks, stopping=stopping)
            # What callbacks print must not get between a program and its JSON.
            with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
                for step in runner.once() if once else runner.forever():
                    story.tell(step)
        work = left(opened)
    story.end(work)
    if story.halt is not None and RULES[type(story.halt)].then == "stop":
        raise _refused(story.halt, client.base_url)
    if work:
        raise typer.Exit(WORK_LEFT)


@dataclass
class _Story:
    """What happened: a line for each step for people, the sums for programs."""

    base_url: str
    callbacks: Callbacks | None
    quiet: bool
    sums: dict[str, int] = field(default_factory=dict)
    halt: Outcome | None = None

    def tell(self, step: Step) -> None:
        """Count a step, and say what it did when it did something."""
        from plsync.sync.callbacks import DeliveryReport  # noqa: PLC0415
        from plsync.sync.engine import Pass  # noqa: PLC0415

        if isinstance(step, Pass):
            self.halt = step.halt
            self._add("acked", step.acked, "at PromptLayer")
            self._add("found", step.found, "of them there already, found by looking them up")
            self._add("resent", step.resent, "never arrived; will be sent again")
            self._add("in_doubt", step.in_doubt, "in doubt: sent, no clear answer; looked up before sent again")
            self._add("dead", step.dead, "refused; kept, see `plsync list --state dead`")
            if step.halt is not None:
                self._say(step.halt.reason)
        elif isinstance(step, DeliveryReport):
            self._add("delivered", step.delivered, "delivered", "callback")
            self._add("failed", step.failed + step.dead, "failed; kept", "callback")
            for error in step.errors:
                self._say(error)
        else:
            self._say(f"Trying again in {step.seconds:.0f} s.")

    def end(self, work: dict[str, int]) -> None:
        """Say what is left."""
        if self.quiet:
            halt = None if self.halt is None else {"outcome": type(self.halt).__name__, **asdict(self.halt)}
            json_line({name: self.sums.get(name, 0) for name in _SUMS} | {"left": work, "halt": halt})
            return
        for line in _remains(work, self.callbacks) or ["Nothing left: every record is at PromptLayer."]:
            self._say(line)

    def _add(self, name: str, number: int, what: str, noun: str = "record") -> None:
        self.sums[name] = self.sums.get(name, 0) + number
        if number:
            self._say(f"{words.count(number, noun)} {what}.")

    def _say(self, line: str) -> None:
        if not self.quiet:
            out().print(safe(line))


_SUMS: Final = ("acked", "found", "resent", "in_doubt", "dead", "delivered", "failed")


def _remains(work: dict[str, int], callbacks: Callbacks | None) -> list[str]:
    lines = []
    if unsent := work.get("pending"):
        lines.append(f"Left: {words.count(unsent, 'record')} to send, safe in the journal; run this again.")
    # A lease that is still there is a stopped run's: nobody knows how far it got.
    if doubtful := work.get("in_doubt", 0) + work.get("leased", 0):
        lines.append(f"Left: {words.count(doubtful, 'record')} in doubt; run this again in a while to look them up.")
    if dead := work.get("dead"):
        lines.append(f"Left: {words.count(dead, 'record')} refused; `plsync list --state dead` shows them.")
    if held := work.get("held"):
        lines.append(f"Left: {words.count(held, 'record')} held back; `plsync list --state held` shows them.")
    if waiting := work.get("callbacks"):
        lines.append(
            f"Left: {words.count(waiting, 'callback')} to deliver, by the program they belong to or later here."
        )
        lines += callbacks.unavailable.values() if callbacks is not None else ()
    return lines


def _api_key() -> str:
    key = os.environ.get("PROMPTLAYER_API_KEY", "")
    if not key.strip():
        raise AuthenticationError(
            "PROMPTLAYER_API_KEY is not set; nothing was sent, everything is safe in the journal: "
            "export PROMPTLAYER_API_KEY=pl_... and run this again"
        )
    return key


def _refused(outcome: Outcome, base_url: str) -> SyncError:
    from plsync.sync.outcomes import Unauthorized  # noqa: PLC0415

    if isinstance(outcome, Unauthorized):
        return AuthenticationError(
            f"{base_url} refused the API key ({outcome.reason}); everything is safe in the journal: "
            "set PROMPTLAYER_API_KEY to a valid key and run this again"
        )
    return SyncError(
        f"{base_url} does not answer as PromptLayer does ({outcome.reason}); everything is safe in the journal: "
        "check PROMPTLAYER_BASE_URL and run this again"
    )


@contextlib.contextmanager
def _until_signalled() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set: the request at hand is finished, its answer stored."""
    stopping = threading.Event()

    def stop(number: int, _frame: Any) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        note(f"plsync: {signal.Signals(number).name}: finishing the request at hand; once more to stop at once")
        stopping.set()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
