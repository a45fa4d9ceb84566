"""``plsync status`` of all workspaces of the configuration file, in short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

import typer
from rich.text import Text

from plsync.cli import humanize
from plsync.cli.deliveries import deliveries
from plsync.cli.delivery_status import last_run
from plsync.cli.health import sender_line
from plsync.cli.output import escaped, print_json, print_lines, print_note, stdout_console
from plsync.config.file import Config
from plsync.config.workspaces import unlisted_journals
from plsync.delivery.lock import SenderProcess, current_sender
from plsync.errors import JournalNotFound, PlsyncError
from plsync.journal.journal import Journal
from plsync.journal.reports import Stats
from plsync.journal.words import DELIVERY_OF_STATE

__all__ = ["print_workspaces"]

_WIDEST_NAME: Final = 24


def print_workspaces(config: Config, *, json: bool) -> None:
    """Print a line, or with ``json`` an object, for each workspace and for each journal that the file does not list.

    Exits with 1 if a journal cannot be read.
    """
    failed = False
    width = min(_WIDEST_NAME, max(map(len, config.workspaces))) + 2
    listed = [(name, workspace.journal) for name, workspace in config.workspaces.items()]
    unlisted = unlisted_journals(config)
    for name, path in (*listed, *((None, path) for path in unlisted)):
        try:
            found = _read(path)
        except (PlsyncError, OSError) as error:
            print_note(f"plsync: {name or path}: {error}")
            failed = True
            continue
        if json:
            print_json({"workspace": name, "journal": str(path), **found.as_dict()})
        elif name is not None:
            print_lines(stdout_console(), [Text.assemble((name.ljust(width), "bold"), escaped(found.line()))])
    if not json:
        print_lines(stdout_console(), _advice(config, unlisted))
    if failed:
        raise typer.Exit(1)


class _Found:
    """The state of one journal; without stats if there is none."""

    def __init__(self, stats: Stats | None, counted: Mapping[str, int], sender: SenderProcess | None) -> None:
        self._stats = stats
        self._counted = counted
        self._sender = sender

    def as_dict(self) -> dict[str, object]:
        facts = {} if self._stats is None else self._stats.as_dict()
        return {**facts, "sender": self._sender and asdict(self._sender)}

    def line(self) -> str:
        """The records, the waiting work, the losses, the sender, and the failure of the last run."""
        if self._stats is None:
            return "nothing recorded"
        stats, sender = self._stats, self._sender
        parts = [humanize.count(stats.records, "record")]
        for state, word in DELIVERY_OF_STATE.items():
            if (number := self._counted.get(state, 0)) and state != "acked":
                parts.append(f"{number:,} {word}")
        parts += [f"{stats.dropped:,} dropped"] if stats.dropped else []
        parts += [f"the oldest for {humanize.age(stats.oldest_unsent)}"] if stats.oldest_unsent else []
        parts += [f"{humanize.count(stats.callbacks, 'callback')} to deliver"] if stats.callbacks else []
        parts += [f"{humanize.count(stats.followups, 'follow-up')} to send"] if stats.followups else []
        parts += [f"{humanize.count(stats.failures, 'event')} not recorded"] if stats.failures else []
        activity = "no sender" if sender is None else sender_line(sender)
        run = stats.last_run
        failed = run is not None and run.outcome != "ok" and last_run(stats, sender)
        return f"{', '.join(parts)}; {activity}{f'; last run {failed}' if failed else ''}"


def _read(path: Path) -> _Found:
    try:
        with Journal.open(path) as journal:
            stats = journal.stats()
            return _Found(stats, deliveries(journal, stats), current_sender(journal.path))
    except JournalNotFound:
        return _Found(None, {}, None)


def _advice(config: Config, unlisted: list[Path]) -> Iterator[Text]:
    yield Text()
    yield escaped(f"{config.path} lists these workspaces. `plsync status --workspace NAME` shows one in full.")
    for path in unlisted:
        yield escaped(f"It does not list the journal {path}. `plsync status --journal {path}` shows it.", "yellow")
