"""``plsync quota``."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Final

import typer
from rich.text import Text

from plsync.cli import humanize, options
from plsync.cli.console import fact, json_line, out, safe
from plsync.journal.journal import Journal
from plsync.journal.quota import MAX_BYTES, QUOTA_POLICIES, Quota, QuotaPolicy

__all__ = ["quota"]

_BYTES: Final = re.compile(r"(\d{1,15})\s*([kmgt]?)b?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_MEANINGS: Final = {
    "keep-unsent": "what PromptLayer has taken loses its content, the oldest first; the rest always stays",
    "drop-oldest": "what PromptLayer has taken loses its content first, then the oldest of the rest",
}


def size(value: str) -> int | None:
    """Bytes, from ``500MB``, ``2GB``; ``none`` for no limit."""
    if value == "none":
        return None
    found = _BYTES.fullmatch(value)
    number = int(found[1]) * _UNITS[found[2].lower()] if found else None
    if number is None or number > MAX_BYTES:
        raise typer.BadParameter(f"{value!r} is neither a size like 500MB or 2GB nor none")
    return number


def age(value: str) -> timedelta | None:
    """A span of time, from ``12h``, ``30d``; ``none`` for no limit."""
    try:
        return None if value == "none" else options.span(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is neither an age like 12h, 30d or 8w nor none") from None


def policy(value: str) -> QuotaPolicy:
    """A policy's name."""
    for name in QUOTA_POLICIES:
        if value == name:
            return name
    raise typer.BadParameter(f"{value!r} is none of {', '.join(QUOTA_POLICIES)}")


def quota(
    *,
    max_bytes: Annotated[
        str | None, typer.Option("--max-bytes", metavar="SIZE", help="At most so much in use: 500MB, 2GB, or none.")
    ] = None,
    max_age: Annotated[
        str | None, typer.Option("--max-age", metavar="AGE", help="Content at most so old: 12h, 30d, or none.")
    ] = None,
    policy_name: Annotated[
        str | None, typer.Option("--policy", metavar="NAME", help=f"What may go: {' or '.join(QUOTA_POLICIES)}.")
    ] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Show or set how much the journal may hold. Without a quota everything stays.

    A quota is kept with the journal and enforced from then on, whichever
    program takes events in. A record that has to go loses its content and
    keeps its id, tags, state and request id.
    """
    with Journal.open(journal) as opened:
        wanted = opened.quota()
        if max_bytes is not None:
            wanted = replace(wanted, max_bytes=size(max_bytes))
        if max_age is not None:
            wanted = replace(wanted, max_age=age(max_age))
        if policy_name is not None:
            wanted = replace(wanted, policy=policy(policy_name))
        if wanted != opened.quota():
            opened.set_quota(wanted)
        if json:
            json_line({"journal": str(opened.path), **wanted.as_dict()})
            return
        console = out()
        for line in _lines(wanted):
            console.print(line, soft_wrap=True)


def _lines(quota: Quota) -> list[Text]:
    limit_bytes = "no limit" if quota.max_bytes is None else humanize.size(quota.max_bytes)
    limit_age = "no limit" if quota.max_age is None else humanize.span(quota.max_age)
    return [
        fact("max bytes", safe(limit_bytes)),
        fact("max age", safe(limit_age)),
        fact("policy", safe(f"{quota.policy}: {_MEANINGS[quota.policy]}")),
    ]
