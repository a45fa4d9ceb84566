"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Final, cast, get_args

import typer

from plsync.journal.filters import Filters
from plsync.journal.record import State as StateName
from plsync.journal.record import Status as StatusName

__all__ = ["Journal", "Json", "Limit", "Model", "OldestFirst", "Since", "State", "Status", "Tag", "Text", "Until"]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"(\d{1,6})([smhdw])")
_STATES: Final = ", ".join(get_args(StateName))
_STATUSES: Final = ", ".join(get_args(StatusName))


def span(value: str) -> timedelta:
    """A length of time, from ``90s``, ``2h``, ``3d``. Raises ValueError for anything else."""
    if not (found := _AGO.fullmatch(value)):
        raise ValueError(value)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(value: str) -> datetime:
    """A time with its zone, from ISO 8601 (local time unless it names a zone) or how long ago (``2h``, ``3d``)."""
    if _AGO.fullmatch(value):
        try:
            return datetime.now().astimezone() - span(value)
        except OverflowError:  # an age beyond the calendar's
            return datetime.min.replace(tzinfo=timezone.utc)
    try:
        # Python 3.10 does not know the Z.
        at = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value))
        return at if at.tzinfo else at.astimezone()
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"{value!r} is neither a time like 2026-05-01T12:30 nor an age like 90s, 2h, 3d"
        ) from None


def state(value: str) -> str:
    """A sync state."""
    return _one_of(value.replace("-", "_"), get_args(StateName))


def status(value: str) -> str:
    """How a call ended."""
    return _one_of(value, get_args(StatusName))


def text(value: str) -> str:
    """A text to look for."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"{value!a} is not in the terminal's encoding") from None
    return value


def filters(
    *,
    tag: list[str] | None,
    model: str | None,
    state: list[str] | None,
    status: list[str] | None,
    since: datetime | None,
    until: datetime | None,
    text: str | None,
) -> Filters:
    """The filters as :class:`plsync.Journal` takes them."""
    return {
        "tag": tag or (),
        "model": model,
        "state": cast("list[StateName]", state or []),
        "status": cast("list[StatusName]", status or []),
        "since": since,
        "until": until,
        "text": text,
    }


def _one_of(value: str, names: tuple[str, ...]) -> str:
    if value not in names:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(names)}")
    return value


Journal = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="PATH",
        # Opening it says better what is wrong, and what to do.
        readable=False,
        help="The journal's directory. Default: $PLSYNC_JOURNAL, else the user data directory.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Limit = Annotated[int, typer.Option("-n", "--limit", min=0, metavar="N", help="Show at most N records.")]
OldestFirst = Annotated[bool, typer.Option("--oldest-first", help="Show the oldest records first.")]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Only with this tag; again for each that must be there."),
]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only this model (its whole name).")]
State = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", parser=state, help=f"Only in this sync state: {_STATES}."),
]
Status = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS", parser=status, help=f"Only calls that ended so: {_STATUSES}."),
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", metavar="TIME", parser=moment, help="Only started at or after: ISO 8601, or 2h, 3d ago."),
]
Until = Annotated[datetime | None, typer.Option("--until", metavar="TIME", parser=moment, help="Only started before.")]
Text = Annotated[
    str | None,
    typer.Option("--text", metavar="TEXT", parser=text, help="Only with this text in request or answer."),
]
