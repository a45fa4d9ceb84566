"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable
from datetime import datetime, time, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, cast, get_args
from uuid import UUID

import typer

from plsync.cli import completion
from plsync.cli.usage_errors import bad_value, wrong_usage
from plsync.journal import words
from plsync.journal.filters import Filters
from plsync.journal.record import State as StateName
from plsync.journal.record import Status as StatusName

__all__ = ["Journal", "Json", "Limit", "OldestFirst", "Workspace", "filtered"]

_N = TypeVar("_N", int, float)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"(\d{1,6})([smhdw])")
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)")
_DURATION_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours"}
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_STATES: Final = ", ".join(get_args(StateName))
_STATUSES: Final = ", ".join(get_args(StatusName))
# Numbers of more digits exceed every count, and Python does not parse thousands of digits.
_MOST_DIGITS: Final = len(str(sys.maxsize)) - 1


def number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers within limits."""
    return _number(int, "a whole number", least, most)


def decimal(least: float, most: float | None = None) -> Callable[[str], float]:
    """A parser of numbers within limits."""
    return _number(float, "a number", least, most)


def _number(kind: Callable[[str], _N], noun: str, least: _N, most: _N | None) -> Callable[[str], _N]:
    limits = f"{least:g} or more" if most is None else f"from {least:g} to {most:g}"

    def parse(value: str) -> _N:
        try:
            parsed = kind(value)
        except ValueError:
            parsed = None
        # No limits hold for "nan".
        if parsed is None or not least <= parsed or not (most is None or parsed <= most):
            raise bad_value(value, f"choose {noun}, {limits}")
        return parsed

    return parse


def parse_interval(value: str) -> timedelta:
    """An interval such as ``90s``, ``2h`` or ``3d``.

    Raises:
        ValueError: the value is not an interval.
    """
    if not (found := _AGO.fullmatch(value)):
        raise ValueError(value)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def parse_time(value: str) -> datetime:
    """A time with a zone: ISO 8601, local without a zone, an age such as ``2h`` or ``3d``, or the name of a day.

    A day is its midnight in local time: ``today``, ``yesterday``, or a day of the last week such as ``monday``.

    Raises:
        BadParameter: the value is neither.
    """
    if _AGO.fullmatch(value):
        try:
            return datetime.now().astimezone() - parse_interval(value)
        except OverflowError:  # a time before year 1
            return datetime.min.replace(tzinfo=timezone.utc)
    if (midnight := _midnight(value.strip().lower())) is not None:
        return midnight
    try:
        # Python 3.10 does not parse a Z.
        at = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value))
        return at if at.tzinfo else at.astimezone()
    except (ValueError, OverflowError, OSError):
        raise bad_value(
            value, "choose a time such as 2026-05-01T12:30, an age such as 90s, 2h or 3d, or a day such as yesterday"
        ) from None


def _midnight(name: str) -> datetime | None:
    """The midnight at which a day with this name began; None for another text."""
    today = datetime.now().date()
    if name in ("today", "yesterday"):
        days = ("today", "yesterday").index(name)
    elif name in _WEEKDAYS:
        days = (today.weekday() - _WEEKDAYS.index(name)) % 7
    else:
        return None
    # The offset of local time may have changed since.
    return datetime.combine(today - timedelta(days=days), time()).astimezone()


Runs = Annotated[bool, typer.Option("--runs", help="Also chains, tools, retrievers and other runs that are not calls.")]


def parse_function(value: str) -> str:
    """A function as ``module:function``, which is imported later.

    Raises:
        BadParameter: the text has another form.
    """
    module, colon, name = value.partition(":")
    parts = [*module.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise bad_value(value, "choose MODULE:FUNCTION")
    return value


def redact_option(help_text: str) -> Any:
    """The option ``--redact``, which names a function that changes the written data.

    Args:
        help_text: the help of the option, with the argument and the result of the function.
    """
    return typer.Option(
        "--redact", metavar="MODULE:FUNCTION", parser=parse_function, help=help_text, show_default=False
    )


def parse_limit(value: str) -> int | None:
    """A number of records; None, for all of them, from ``0`` and ``all``."""
    return parse_count(value) or None


def parse_count(value: str) -> int | None:
    """A number of records, which may be 0; None, for all of them, from ``all``.

    Raises:
        BadParameter: the value is neither.
    """
    text = str(value).strip().lower()
    if text == "all":
        return None
    if not text.isdecimal():
        raise bad_value(value, "choose a number of records, or all")
    return int(text) if len(text) <= _MOST_DIGITS else sys.maxsize - 1


def parse_metadata(value: str) -> str:
    """A key of the metadata and its value, as ``KEY=VALUE``.

    Raises:
        BadParameter: the text has no ``=``.
    """
    key, equals, _ = parse_text(value).partition("=")
    if not key or not equals:
        raise bad_value(value, "choose a key and a value, such as user_id=42")
    return value


def parse_duration(value: str) -> timedelta:
    """A duration of a call such as ``2s``, ``500ms``, ``1.5s`` or ``2m``.

    Raises:
        BadParameter: the value is not a duration.
    """
    found = _DURATION.fullmatch(value)
    if found is None:
        raise bad_value(value, "choose a duration such as 500ms, 2s, 1.5s or 3m")
    return timedelta(**{_DURATION_UNITS[found[2]]: float(found[1])})


def parse_run(value: str) -> str:
    """A run id of LangChain.

    Raises:
        BadParameter: the value is not a whole id.
    """
    try:
        return str(UUID(value))
    except ValueError:
        raise bad_value(value, "choose a run id of 32 hex digits; `plsync show ID` prints it") from None


def parse_state(value: str) -> str:
    """The name of a state."""
    return _one_of(value.replace("-", "_"), get_args(StateName))


def parse_status(value: str) -> str:
    """The status of a call."""
    return _one_of(value, get_args(StatusName))


def parse_search(value: str) -> str:
    """A text to search for, a model or a conversation. An empty text would choose every record.

    Raises:
        BadParameter: it is empty, or has bytes in another encoding.
    """
    if not value:
        raise bad_value(value, "choose a value that is not empty")
    return parse_text(value)


def parse_text(value: str) -> str:
    """A text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad_value(ascii(value), "choose a text in the encoding of the terminal") from None
    return value


def parse_result(value: str) -> str:
    """A result in people's words, or a status."""
    return _checked(value, words.ends_of, words.RESULTS)


def parse_delivery(value: str) -> str:
    """A delivery in people's words, or a state."""
    return _checked(value, words.states_of, words.DELIVERIES)


def parse_workspace(value: str) -> str:
    """The name of a workspace."""
    from plsync.config.file import is_workspace_name  # noqa: PLC0415 - few commands name a workspace

    if not is_workspace_name(value):
        raise bad_value(value, "choose up to 64 of a-z, 0-9, - and _, with a letter or digit first")
    return value


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options that filter records, which it receives as ``filters``.

    A parameter of the command replaces the filter of its name.
    """
    offered = {name: option for name, option in _FILTERS.items() if name not in inspect.signature(command).parameters}
    own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "filters"]
    hints = typing.get_type_hints(command, include_extras=True)
    # The filters come after the command's own options, and before the options of every command.
    own.sort(key=lambda parameter: parameter.name in _COMMON)
    own = [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in offered.items()
    ]
    at = next((at for at, parameter in enumerate(own) if parameter.name in _COMMON), len(own))
    parameters = [*own[:at], *added, *own[at:]]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        chosen = {name: values.pop(name) for name in offered}
        given = {name: value for name, value in chosen.items() if value not in (None, [])}
        for name in (name for name in given if name in _SINGLE):
            given[name] = only(f"--{name}", given[name])
        if "metadata" in given:
            pairs: dict[str, list[str]] = {}
            for key, _, value in (pair.partition("=") for pair in given["metadata"]):
                pairs.setdefault(key, []).append(value)
            given["metadata"] = {
                key: only(f"--metadata {key}", values, f"given as {' and as '.join(values)}, and a call has one value")
                for key, values in pairs.items()
            }
        command(**values, filters=cast("Filters", given))

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def only(option: str, values: list[Any], reason: str = "given more than once, and it takes one value") -> Any:
    """The value of a repeated option, which may only repeat it: a filter that is dropped would choose more records."""
    if any(value != values[0] for value in values):
        raise wrong_usage(option, reason)
    return values[0]


def _checked(value: str, parse: Callable[[list[str]], object], names: Iterable[str]) -> str:
    try:
        parse([value])
    except ValueError:
        raise bad_value(value, f"choose from {', '.join(names)}") from None
    return value


def _one_of(value: str, names: tuple[str, ...]) -> str:
    if value not in names:
        raise bad_value(value, f"choose from {', '.join(names)}")
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
    typer.Option(
        "--workspace",
        metavar="NAME",
        autocompletion=completion.workspaces,
        parser=parse_workspace,
        help="The journal of this workspace, in place of --journal.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "-n", "--limit", metavar="N", parser=parse_limit, help="Show at most N records; 0 or all: all of them."
    ),
]
OldestFirst = Annotated[bool, typer.Option("--oldest-first", help="Show the oldest records first.")]

_FILTERS: Final[dict[str, Any]] = {
    "tag": Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="TAG",
            autocompletion=completion.tags,
            help="Only records with this tag. Repeatable; all must match.",
        ),
    ],
    "model": Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            autocompletion=completion.models,
            parser=parse_search,
            help="Only this model, by its full name or a pattern: 'gpt-4*'.",
        ),
    ],
    "result": Annotated[
        list[str] | None,
        typer.Option(
            "--result",
            metavar="RESULT",
            autocompletion=completion.one_of(words.RESULTS),
            parser=parse_result,
            help=f"Only calls with this result: {', '.join(words.RESULTS)}.",
        ),
    ],
    "delivery": Annotated[
        list[str] | None,
        typer.Option(
            "--delivery",
            metavar="DELIVERY",
            autocompletion=completion.one_of(words.DELIVERIES),
            parser=parse_delivery,
            help=f"Only records that are {', '.join(words.DELIVERIES)}.",
        ),
    ],
    "thread": Annotated[
        list[str] | None,
        typer.Option(
            "--thread", metavar="ID", parser=parse_search, help="Only calls of this conversation (thread_id)."
        ),
    ],
    "run": Annotated[
        list[str] | None,
        typer.Option("--run", metavar="ID", parser=parse_run, help="Only calls with this run id, or made by this run."),
    ],
    "metadata": Annotated[
        list[str] | None,
        typer.Option(
            "--metadata",
            metavar="KEY=VALUE",
            parser=parse_metadata,
            help="Only calls with this value in their metadata; repeat it to require several.",
        ),
    ],
    "slower": Annotated[
        list[timedelta] | None,
        typer.Option(
            "--slower", metavar="TIME", parser=parse_duration, help="Only calls that took longer: 500ms, 2s, 3m."
        ),
    ],
    "since": Annotated[
        list[datetime] | None,
        typer.Option(
            "--since",
            metavar="TIME",
            parser=parse_time,
            help="Only calls since this time: ISO 8601, an age such as 3d, today, yesterday, monday.",
        ),
    ],
    "until": Annotated[
        list[datetime] | None,
        typer.Option("--until", metavar="TIME", parser=parse_time, help="Only calls that started before this time."),
    ],
    "text": Annotated[
        list[str] | None,
        typer.Option(
            "--text", metavar="TEXT", parser=parse_search, help="Only records with this text in request or answer."
        ),
    ],
    "state": Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            autocompletion=completion.one_of(get_args(StateName)),
            parser=parse_state,
            help=f"As --delivery, by stored name: {_STATES}.",
        ),
    ],
    "status": Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            autocompletion=completion.one_of(get_args(StatusName)),
            parser=parse_status,
            help=f"As --result, by stored name: {_STATUSES}.",
        ),
    ],
}
# The filters with one value. They are lists, because typer would keep the last value of a repeated option alone.
_SINGLE: Final = frozenset({"model", "thread", "run", "slower", "since", "until", "text"})
# The options that every command has, the last in its help.
_COMMON: Final = ("json", "journal")
