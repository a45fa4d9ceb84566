"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Final, cast, get_args

import typer

from plsync.journal.filters import Filters
from plsync.journal.record import State as StateName
from plsync.journal.record import Status as StatusName

__all__ = [
    "Journal",
    "Json",
    "Limit",
    "Model",
    "OldestFirst",
    "Since",
    "State",
    "Status",
    "Tag",
    "Text",
    "Until",
    "Workspace",
]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"(\d{1,6})([smhdw])")
_STATES: Final = ", ".join(get_args(StateName))
_STATUSES: Final = ", ".join(get_args(StatusName))


def parse_interval(value: str) -> timedelta:
    """An interval such as ``90s``, ``2h`` or ``3d``.

    Raises:
        ValueError: the value is not an interval.
    """
    if not (found := _AGO.fullmatch(value)):
        raise ValueError(value)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def parse_time(value: str) -> datetime:
    """A time with a zone: ISO 8601, local without a zone, or an age such as ``2h`` or ``3d``.

    Raises:
        BadParameter: the value is neither.
    """
    if _AGO.fullmatch(value):
        try:
            return datetime.now().astimezone() - parse_interval(value)
        except OverflowError:  # a time before year 1
            return datetime.min.replace(tzinfo=timezone.utc)
    try:
        # Python 3.10 does not parse a Z.
        at = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value))
        return at if at.tzinfo else at.astimezone()
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"{value!r} is neither a time like 2026-05-01T12:30 nor an age like 90s, 2h, 3d"
        ) from None


def parse_state(value: str) -> str:
    """The name of a state."""
    return _one_of(value.replace("-", "_"), get_args(StateName))


def parse_status(value: str) -> str:
    """The status of a call."""
    return _one_of(value, get_args(StatusName))


def parse_text(value: str) -> str:
    """A text to search for."""
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
    """The filters in the form of :meth:`plsync.Journal.records`."""
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
        raise typer.BadParameter(f"{value!r} is unknown; use one of {', '.join(names)}")
    return value


Journal = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="PATH",
        # Journal.open() reports a wrong path better than typer.
        readable=False,
        help="The journal's directory. Default: $PLSYNC_JOURNAL, else the user data directory.",
    ),
]
Workspace = Annotated[
    str | None,
    typer.Option("--workspace", metavar="NAME", help="The journal of this workspace, in place of --journal."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Limit = Annotated[int, typer.Option("-n", "--limit", min=0, metavar="N", help="Show at most N records.")]
OldestFirst = Annotated[bool, typer.Option("--oldest-first", help="Show the oldest records first.")]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Only records with this tag; repeat it to require several."),
]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only this model, by its full name.")]
State = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", parser=parse_state, help=f"Only records in this state: {_STATES}."),
]
Status = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS", parser=parse_status, help=f"Only calls with this status: {_STATUSES}."),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        "--since", metavar="TIME", parser=parse_time, help="Only calls since this time: ISO 8601, or an age: 2h, 3d."
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", metavar="TIME", parser=parse_time, help="Only calls that started before this time."),
]
Text = Annotated[
    str | None,
    typer.Option("--text", metavar="TEXT", parser=parse_text, help="Only records with this text in request or answer."),
]
