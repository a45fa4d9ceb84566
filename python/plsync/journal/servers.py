"""The servers that a journal's records were sent to, and the report of the last run of a sender."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from plsync._common.clock import datetime_from_ms

__all__ = ["UNKNOWN_SERVER", "LastRun", "Server"]

UNKNOWN_SERVER: Final = 0
"""The number of the server of request ids that an earlier version of plsync stored."""


@dataclass(frozen=True, slots=True)
class Server:
    """A PromptLayer server, and the workspace of one API key there.

    >>> from plsync import Journal
    >>> with Journal.open(create=True) as journal:
    ...     journal.stats().servers
    []
    """

    id: int
    """The number of the server in the journal."""
    url: str
    """The base URL, without user name and password."""
    key: str
    """Eight hex digits that differ from key to key. They come from a keyed hash, and reveal nothing of the key."""
    stand_in: bool
    """Whether it is the stand-in of :mod:`plsync.testing`."""
    bound: bool
    """Whether the journal sends to it."""
    acked: int
    """Records that have a request id of this server."""
    in_doubt: int
    """Records that were sent to this server without a clear response."""
    first_at: datetime | None
    """The time of the first delivery; None before it."""
    last_at: datetime | None
    """The time of the newest delivery; None before the first."""

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Server:
        """The server of the store's dict."""
        return cls(
            id=found["id"],
            url=found["url"],
            key=found["account"].hex()[:8],
            stand_in=found["is_stand_in"],
            bound=found.get("is_bound", True),
            acked=found["acked"],
            in_doubt=found.get("in_doubt", 0),
            first_at=None if found["first"] is None else datetime_from_ms(found["first"]),
            last_at=None if found["last"] is None else datetime_from_ms(found["last"]),
        )

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; times as ISO 8601 text."""
        times = {name: at and at.isoformat() for name, at in (("first_at", self.first_at), ("last_at", self.last_at))}
        return asdict(self) | times


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run of a sender: of ``plsync run``, or of a handler with ``sync="thread"``."""

    url: str
    """The base URL of the server."""
    pid: int
    began_at: datetime
    ended_at: datetime | None
    """None while it runs, and after it was killed."""
    outcome: str
    """The kind of outcome that ended the run, such as ``unauthorized`` or ``unreachable``; ``ok`` without a failure."""
    reason: str
    """The failure; empty without one."""
    remedy: str = ""
    """The setting to change before the next run; empty if there is none, or if the reason names it."""

    @classmethod
    def from_json(cls, stored: str | None) -> LastRun | None:
        """The report of the store; None without one, or if it cannot be read."""
        try:
            found = orjson.loads(stored or "")
            began, ended = found["began_ms"], found["ended_ms"]
            return cls(
                url=str(found["url"]),
                pid=int(found["pid"]),
                began_at=datetime_from_ms(int(began)),
                ended_at=None if ended is None else datetime_from_ms(int(ended)),
                outcome=str(found["outcome"]),
                reason=str(found["reason"]),
                remedy=str(found.get("remedy", "")),
            )
        except (ValueError, KeyError, TypeError, OverflowError):
            return None

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; times as ISO 8601 text."""
        times = {"began_at": self.began_at.isoformat(), "ended_at": self.ended_at and self.ended_at.isoformat()}
        return asdict(self) | times
