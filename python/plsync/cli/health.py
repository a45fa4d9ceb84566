"""The health of journals, for ``plsync status --check`` and for metrics."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from plsync.cli import humanize
from plsync.config.file import Config
from plsync.delivery.lock import SenderProcess, current_sender, last_sender
from plsync.errors import JournalNotFound
from plsync.journal.journal import Journal
from plsync.journal.reports import Stats

__all__ = ["JournalHealth", "Problem", "Thresholds", "observe", "observe_all", "sender_line"]


@dataclass(frozen=True)
class Thresholds:
    """The limits of a check; None checks nothing."""

    max_unsent: timedelta | None
    """The greatest age of a record that waits to be delivered."""
    max_silence: timedelta | None
    """The longest time since the last heartbeat of a sender."""
    max_failures: int
    """Events that could not be recorded, and unreadable parts of the spool."""
    max_refused: int
    """Refused and held records, refused follow-ups, and callbacks that plsync gave up."""
    min_free: int | None
    """The least free disk space for the journal, in bytes."""


@dataclass(frozen=True)
class Problem:
    """A limit that is crossed."""

    check: str
    """The option of the limit: ``unsent``, ``silence``, ``failures``, ``refused`` or ``free``."""
    message: str


@dataclass(frozen=True)
class JournalHealth:
    """The facts of one journal that a check and metrics need."""

    path: Path
    workspace: str | None
    stats: Stats | None
    """None if nothing was recorded yet."""
    sender: SenderProcess | None
    """The process that sends, or the last one that did."""
    is_sending: bool
    """Whether that process runs."""
    free: int | None
    """Free bytes on the disk of the journal, for its user; None if the system does not return them."""

    @property
    def refused(self) -> int:
        """The work that waits for a person."""
        if self.stats is None:
            return 0
        left = self.stats.left
        return sum(left.get(name, 0) for name in ("dead", "held", "followups_dead")) + self.stats.callbacks_dead

    def problems(self, limits: Thresholds) -> Iterator[Problem]:
        """The limits that this journal crosses."""
        if self.stats is not None:
            yield from self._problems_of_records(self.stats, limits)
        yield from self._silence(limits.max_silence)
        if limits.min_free is not None and self.free is not None and self.free < limits.min_free:
            free = f"{humanize.size(self.free)} of disk space free"
            yield Problem("free", f"{free} (limit {humanize.size(limits.min_free)})")

    def _problems_of_records(self, stats: Stats, limits: Thresholds) -> Iterator[Problem]:
        oldest = stats.oldest_unsent
        if limits.max_unsent is not None and oldest is not None:
            age = datetime.now(timezone.utc) - oldest
            if age > limits.max_unsent:
                since = humanize.span(age.total_seconds())
                limit = humanize.interval(limits.max_unsent)
                yield Problem("unsent", f"the oldest unsent record is {since} old (limit {limit})")
        if (failed := stats.failures + stats.damaged) > limits.max_failures:
            reason = f": {stats.last_failure}" if stats.last_failure else ""
            yield Problem("failures", f"{failed:,} losses of events (limit {limits.max_failures:,}){reason}")
        if self.refused > limits.max_refused:
            words = "refused, held, dropped or given up" if stats.dropped else "refused, held or given up"
            yield Problem("refused", f"{self.refused:,} {words} (limit {limits.max_refused:,})")

    def _silence(self, longest: timedelta | None) -> Iterator[Problem]:
        if longest is None:
            return
        limit = f"(limit {humanize.interval(longest)})"
        if self.sender is None:
            yield Problem("silence", f"no sender has ever run {limit}")
            return
        silence = self.sender.silence
        # A sender of an earlier version has no heartbeat. While it runs, it counts as alive.
        if silence is None and not self.is_sending:
            yield Problem("silence", f"no sender runs {limit}")
        elif silence is not None and silence > longest.total_seconds():
            since = humanize.span(silence)
            pid = self.sender.pid
            hangs = f"process {pid} sends from the journal, and is silent for {since} {limit}"
            yield Problem("silence", hangs if self.is_sending else f"no sender for {since} {limit}")

    def summary(self) -> str:
        """The main facts in one line."""
        parts = ["nothing recorded" if self.stats is None else humanize.count(self.stats.records, "record")]
        if self.stats is not None:
            oldest = self.stats.oldest_unsent
            parts.append("nothing unsent" if oldest is None else f"the oldest unsent for {humanize.age(oldest)}")
        if self.sender is not None and self.is_sending:
            parts.append(sender_line(self.sender))
        if self.free is not None:
            parts.append(f"{humanize.size(self.free)} free")
        return ", ".join(parts)


def sender_line(sender: SenderProcess) -> str:
    """The sender, its heartbeat and its activity."""
    silence = sender.silence
    alive = "" if silence is None else f", alive {humanize.span(silence)} ago"
    return f"process {sender.pid}{alive}, {sender.activity}"


def observe(path: Path | None, workspace: str | None = None) -> JournalHealth:
    """Observe one journal.

    Args:
        path: its directory; None for the default journal.
        workspace: the name of its workspace. Such a journal may not exist yet.

    Raises:
        JournalNotFound: there is no journal, and no workspace is named.
        JournalError: it cannot be read.
    """
    try:
        with Journal.open(path) as journal:
            found, stats = journal.path, journal.stats()
    except JournalNotFound:
        if workspace is None or path is None:
            raise
        return JournalHealth(path, workspace, None, None, is_sending=False, free=None)
    running = current_sender(found)
    sender = running or last_sender(found)
    return JournalHealth(found, workspace, stats, sender, is_sending=running is not None, free=_free(found))


def observe_all(config: Config) -> list[JournalHealth]:
    """Observe the journal of each workspace.

    Raises:
        JournalError: one of them cannot be read.
    """
    return [observe(workspace.journal, name) for name, workspace in config.workspaces.items()]


def _free(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None
