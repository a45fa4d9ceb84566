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
from plsync.cli.output import escaped, labelled, print_json, print_lines, print_note, stdout_console
from plsync.errors import BundleError
from plsync.journal.journal import Journal
from plsync.journal.record import State
from plsync.journal.reports import Stats
from plsync.journal.words import DELIVERY_OF_STATE

__all__ = ["gap_advice", "hubs_of", "log_lines", "meanings", "print_hub"]


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


def meanings(journal: Journal, *, is_gapped: bool) -> dict[State, str]:
    """The meanings of states in a journal whose records bundles carry: with the names of hubs, and the last export."""
    names = _names(journal)
    whole = [bundle.written_at for bundle in journal.bundles.all() if bundle.whole]
    last = f"; the last export {humanize.age(max(whole))} ago" if whole else ""
    receipt = "no receipt" if journal.bundles.repeat() is None else "no file comes back"
    found: dict[State, str] = {
        "carried": f"in bundles for {names}, {receipt}{last}",
        "received": f"at {names}, which delivers them",
    }
    return found | ({"pending": "for `plsync bundle export`"} if is_gapped else {})


def gap_advice(journal: Journal, stats: Stats, *, is_gapped: bool) -> Iterator[str]:
    """The next steps for records that cross an air gap.

    Args:
        journal: the journal of an origin.
        stats: its numbers.
        is_gapped: whether it never reaches PromptLayer itself.
    """
    names, states = _names(journal), stats.states
    is_one_way = journal.bundles.repeat() is not None
    waiting = sum(stats.left.get(state, 0) for state in ("pending", "leased", "in_doubt"))
    waiting += stats.followups - stats.followups_stranded
    if is_gapped and waiting:
        yield f"Next: `plsync bundle export DIR` writes the waiting records and follow-ups for {names}."
    if is_one_way:
        return
    if states["carried"] and not (is_gapped and waiting):
        yield f"Next: carry the bundles to {names}. A lost one costs nothing: the next export has its calls again."
    if states["carried"] + states["received"]:
        yield f"Request ids come back in a file of {names}: `plsync bundle import DIR`."


def _names(journal: Journal) -> str:
    names = hub_names(Keys())
    return " and ".join(dict.fromkeys(names.get(key_id, key_id) for key_id in journal.bundles.hubs()))


def print_hub(path: Path, *, json: bool) -> None:
    """Print a line, or with ``json`` an object, for each origin of a hub.

    Raises:
        BundleError: the directory is no hub.
    """
    if not path.is_dir():
        raise BundleError(f"{path} is no directory; nothing was read; name the directory of a hub")
    hub = Hub(path)
    origins = hub.origins()
    if not origins and not json:
        print_note(f"{path} has no origin yet; `plsync bundle import PATH --hub {path}` makes its journals")
    for origin in origins:
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
        states: tuple[State, ...] = ("pending", "leased", "in_doubt", "dead", "held")
        words = [humanize.count(stats.records, "call")]
        words += [f"{stats.states[state]:,} {DELIVERY_OF_STATE[state]}" for state in states if stats.states[state]]
        if newest is not None:
            words.append(f"last bundle {newest.serial:06d}, {humanize.age(newest.arrived_at)} ago")
        words.append(f"missing: {', '.join(missing[:10]) or 'none'}")
        print_lines(stdout_console(), [Text.assemble((f"{origin.directory}  ", "bold"), escaped("  ".join(words)))])
