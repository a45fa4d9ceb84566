"""The hubs of a journal, and the origins of a hub, in ``plsync status``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from plsync.bundle.hub import Hub, missing_in
from plsync.bundle.keys import Keys
from plsync.cli import humanize
from plsync.cli.bundle_lines import hub_names
from plsync.cli.output import escaped, labelled, print_json, print_lines, stdout_console
from plsync.errors import BundleError
from plsync.journal.journal import Journal

__all__ = ["hubs_of", "log_lines", "print_hub"]


def hubs_of(journal: Journal) -> list[dict[str, Any]]:
    """The hubs that got records of a journal, and how far the log of each was read; JSON-able."""
    numbers: dict[int, str] = {}
    for key_id, number in journal.bundles.hubs().items():
        numbers[number] = key_id
    if not numbers:
        return []
    names = hub_names(Keys())
    found = []
    for number, key_id in sorted(numbers.items()):
        place = journal.bundles.place(number)
        at = None if place is None else place.read_at
        found.append(
            {
                "name": names.get(key_id, key_id),
                "key_id": key_id,
                "serial": place.serial if place is not None and place.serial else None,
                "read_at": at and at.isoformat(),
            }
        )
    return found


def log_lines(journal: Journal) -> Iterator[Text]:
    """When the log of each hub was read last."""
    for hub in hubs_of(journal):
        if hub["serial"] is None:
            words = f"{hub['name']}: no bundle of it was imported yet"
        else:
            words = f"{hub['name']} {hub['serial']:06d}, {humanize.age(datetime.fromisoformat(hub['read_at']))} ago"
        yield labelled("heard", escaped(words))


def print_hub(path: Path, *, json: bool) -> None:
    """Print a line, or with ``json`` an object, for each origin of a hub.

    Raises:
        BundleError: the directory is no hub.
    """
    if not path.is_dir():
        raise BundleError(f"{path} is no directory; nothing was read; name the directory of a hub")
    hub = Hub(path)
    for origin in hub.origins():
        with Journal.open(hub.journal(origin), create=True) as journal:
            stats, arrived, missing = journal.stats(), journal.bundles.arrived(), missing_in(journal)
        newest = arrived[-1] if arrived else None
        if json:
            bundle = None
            if newest is not None:
                bundle = {"serial": newest.serial, "id": newest.id, "arrived_at": newest.arrived_at.isoformat()}
            print_json(
                {
                    "origin": origin.name,
                    "journal": str(hub.journal(origin)),
                    "origin_journal": origin.journal_id,
                    "records": stats.records,
                    "states": stats.states,
                    "followups": stats.followups,
                    "last_bundle": bundle,
                    "missing": missing,
                }
            )
            continue
        states = ("pending", "leased", "in_doubt", "dead", "held")
        words = [humanize.count(stats.records, "call")]
        words += [f"{stats.states[state]:,} {state.replace('_', ' ')}" for state in states if stats.states[state]]
        if newest is not None:
            words.append(f"last bundle {newest.serial:06d}, {humanize.age(newest.arrived_at)} ago")
        words.append(f"missing: {', '.join(missing[:10]) or 'none'}")
        print_lines(stdout_console(), [Text.assemble((f"{origin.directory}  ", "bold"), escaped("  ".join(words)))])
