"""``plsync quota``."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any, Final, NamedTuple, cast

import typer
from rich.text import Text

from plsync.cli import completion, humanize, options
from plsync.cli.output import escaped, labelled, print_json, print_lines, stdout_console
from plsync.cli.usage_errors import bad_value
from plsync.journal.journal import Journal
from plsync.journal.quota import MAX_BYTES, QUOTA_POLICIES, Quota, QuotaPolicy

__all__ = ["quota"]

_BYTES: Final = re.compile(r"(\d{1,15})\s*([kmgt]?)b?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_MEANINGS: Final = {
    "keep-unsent": "removes the content of records that PromptLayer has, the oldest first, and of no other record",
    "drop-oldest": "removes the content of records that PromptLayer has, then of the oldest unsent records",
}


class NewLimit(NamedTuple):
    """A limit that the user sets. None: no limit."""

    limit: Any


def parse_size(value: str) -> NewLimit:
    """A number of bytes such as ``500MB`` or ``2GB``; None for ``none``.

    Raises:
        BadParameter: the value is neither.
    """
    if value == "none":
        return NewLimit(None)
    found = _BYTES.fullmatch(value)
    number = int(found[1]) * _UNITS[found[2].lower()] if found else None
    if number is None or number > MAX_BYTES:
        raise bad_value(value, "choose a size such as 500MB or 2GB, or none")
    return NewLimit(number)


def parse_age(value: str) -> NewLimit:
    """An age such as ``12h`` or ``30d``; None for ``none``.

    Raises:
        BadParameter: the value is neither.
    """
    try:
        return NewLimit(None if value == "none" else options.parse_interval(value))
    except ValueError:
        raise bad_value(value, "choose an age such as 12h, 30d or 8w, or none") from None


def parse_policy(value: str) -> QuotaPolicy:
    """The name of a policy.

    Raises:
        BadParameter: there is no such policy.
    """
    for name in QUOTA_POLICIES:
        if value == name:
            return name
    raise bad_value(value, f"choose from {', '.join(QUOTA_POLICIES)}")


def quota(
    *,
    max_bytes: Annotated[
        NewLimit | None,
        typer.Option(
            "--max-bytes", metavar="SIZE", parser=parse_size, help="The most bytes in use: 500MB, 2GB, or none."
        ),
    ] = None,
    max_age: Annotated[
        NewLimit | None,
        typer.Option(
            "--max-age", metavar="AGE", parser=parse_age, help="The greatest age of content: 12h, 30d, or none."
        ),
    ] = None,
    policy_name: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="NAME",
            autocompletion=completion.one_of(QUOTA_POLICIES),
            parser=parse_policy,
            help=f"The content to remove: {' or '.join(QUOTA_POLICIES)}.",
        ),
    ] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Show or set the limits of the journal. Without limits it keeps everything.

    The journal stores its quota, and every program enforces it.
    A record beyond the quota loses its content.
    It keeps its id, tags, state and request id.

    Examples:
        plsync quota
        plsync quota --max-bytes 2GB --max-age 30d --policy keep-unsent
    """
    with Journal.open(journal) as opened:
        new = opened.quota()
        if max_bytes is not None:
            new = replace(new, max_bytes=max_bytes.limit)
        if max_age is not None:
            new = replace(new, max_age=max_age.limit)
        if policy_name is not None:
            new = replace(new, policy=cast("QuotaPolicy", policy_name))
        if new != opened.quota():
            opened.set_quota(new)
        if json:
            print_json({"journal": str(opened.path), **new.as_dict()})
            return
        print_lines(stdout_console(), _lines(new))


def _lines(quota: Quota) -> list[Text]:
    limit_bytes = "no limit" if quota.max_bytes is None else humanize.size(quota.max_bytes)
    limit_age = "no limit" if quota.max_age is None else humanize.interval(quota.max_age)
    return [
        labelled("max bytes", escaped(limit_bytes)),
        labelled("max age", escaped(limit_age)),
        labelled("policy", escaped(f"{quota.policy}: {_MEANINGS[quota.policy]}")),
    ]
