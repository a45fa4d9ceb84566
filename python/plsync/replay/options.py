"""How a recording is used: its mode, and the options of ``Recording``, ``with_recording`` and ``record_all``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

if TYPE_CHECKING:
    from plsync.journal.filters import Filters
    from plsync.replay.matching import Match
    from plsync.replay.redaction import Redact

__all__ = ["Exhausted", "Mode", "ReplayOptions", "check_names", "check_values"]

Mode = Literal["none", "once", "new_episodes", "all"]
"""How a recording treats a call.

``none`` serves recorded calls and refuses other calls. ``once`` records into a new recording and serves an existing
one. ``new_episodes`` serves recorded calls and records other calls. ``all`` records every call.
"""

Exhausted = Literal["fail", "repeat"]
"""The reaction to a request that is made more often than it was recorded."""


class ReplayOptions(TypedDict, total=False):
    """The options of ``Recording``, ``with_recording`` and ``record_all``."""

    match: Match | None
    """The parts of a request that must be equal: names of parts, or a function from a request to a JSON value."""
    exhausted: Exhausted
    """For a request that is made more often than it was recorded: ``fail`` (default) or ``repeat``."""
    speed: float | None
    """Serve chunks at this multiple of the recorded pace; ``None`` (default) serves them at once."""
    redact: Redact | None
    """A hook that returns the part of a request or response that may be kept, or ``None`` to keep nothing."""
    filters: Filters | None
    """The filters of ``Journal.records()``: only these records of a journal are served."""
    also: Sequence[str | os.PathLike[str]]
    """Other recordings, which serve missing calls and are never changed."""
    record_errors: bool
    """Whether calls that raised an exception are recorded (default) or left out."""


def check_names(options: Mapping[str, Any]) -> None:
    """Check the names of replay options.

    Raises:
        TypeError: an option is unknown.
    """
    known = ReplayOptions.__annotations__
    for name in options.keys() - known.keys():
        raise TypeError(f"no replay option is called {name!r}: there are {', '.join(known)}")


def check_values(mode: str, exhausted: str, speed: float | None) -> None:
    """Check the values of a mode and of replay options.

    Raises:
        ValueError: the mode or ``exhausted`` is unknown, or ``speed`` is not above 0.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"{mode!r} is not a mode: there are {', '.join(get_args(Mode))}")
    if exhausted not in get_args(Exhausted):
        raise ValueError(f"exhausted is 'fail' or 'repeat', not {exhausted!r}")
    if speed is not None and not speed > 0:
        raise ValueError(f"speed is above 0, or None to serve at once, not {speed!r}")
