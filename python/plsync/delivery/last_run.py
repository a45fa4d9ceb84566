"""The report of a run in its journal, for ``plsync status``: when, to which server, and how it ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from plsync._common.clock import now_ms
from plsync._common.logged import reason_of
from plsync.errors import JournalError, PlsyncError
from plsync.promptlayer.outcomes import Misdirected, Outcome, Unauthorized, label

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["RunReport", "reported_run"]

_LONGEST_REASON = 500


@dataclass
class RunReport:
    """The report of one run. ``docs/reference/format.md`` has its fields."""

    url: str = ""
    pid: int = field(default_factory=os.getpid)
    began_ms: int = field(default_factory=now_ms)
    ended_ms: int | None = None
    outcome: str = "ok"
    reason: str = ""
    remedy: str = ""

    def fail(self, halt: Outcome | None, client: PromptLayerClient) -> None:
        """Set how the last round ended; None after a round without a failure."""
        self.outcome = "ok" if halt is None else label(halt).lower()
        self.reason = "" if halt is None else halt.reason[:_LONGEST_REASON]
        self.remedy = _remedy(halt, client)[:_LONGEST_REASON]


def _remedy(halt: Outcome | None, client: PromptLayerClient) -> str:
    """The setting that a person has to change; empty if time may help."""
    if isinstance(halt, Unauthorized):
        return client.key_source.remedy.removesuffix(" and run this again")
    return f"check {client.url_setting}" if isinstance(halt, Misdirected) else ""


@contextlib.contextmanager
def reported_run(journal: Journal) -> Iterator[RunReport]:
    """Store the report of a run at its begin and at its end. The caller sets the URL and the outcome.

    Args:
        journal: the journal. The caller holds its ``sync.lock``.
    """
    report = RunReport()
    try:
        yield report
    except Exception as error:
        # The error of a refused key quotes the outcome, which is stored already.
        if not report.reason or report.reason not in str(error):
            reason = str(error) if isinstance(error, PlsyncError) else reason_of(error)
            report.outcome, report.reason, report.remedy = type(error).__name__, reason[:_LONGEST_REASON], ""
        raise
    finally:
        report.ended_ms = now_ms()
        store(journal, report)


def store(journal: Journal, report: RunReport) -> None:
    """Store the present state of a report."""
    # A full disk must not end a run for a report.
    with contextlib.suppress(JournalError):
        journal.outbox.set_last_run(asdict(report))
