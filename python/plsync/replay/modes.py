"""How a recording is used: its modes, what happens at the end of its answers, and the counts of what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["Counts", "Exhausted", "Mode", "check"]

Mode = Literal["none", "once", "new_episodes", "all"]
"""What happens to a call: ``none`` serves what is recorded and nothing else; ``once`` records into a new recording and
serves one that exists; ``new_episodes`` serves what is recorded and records the rest; ``all`` records everything."""

Exhausted = Literal["fail", "repeat"]
"""What happens when a request is made more often than it was recorded."""


@dataclass(slots=True)
class Counts:
    """What happened to the calls of a recording since it was opened."""

    recorded: int = 0
    replayed: int = 0
    missed: int = 0


def check(mode: str, exhausted: str, speed: float | None) -> None:
    """Raises ValueError: there is no such mode or ``exhausted``, or the speed is not above 0."""
    if mode not in get_args(Mode):
        raise ValueError(f"{mode!r} is not a mode: there are {', '.join(get_args(Mode))}")
    if exhausted not in get_args(Exhausted):
        raise ValueError(f"exhausted is 'fail' or 'repeat', not {exhausted!r}")
    if speed is not None and not speed > 0:
        raise ValueError(f"speed is above 0, or None for at once, not {speed!r}")
