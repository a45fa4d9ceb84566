"""What a test wants to know of what was logged, with messages that say what was there instead."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from plsync.testing.state.keeping import JSON
from plsync.testing.state.texts import said

__all__ = ["Assertions", "record_of"]

_TRACE = re.compile("[0-9a-f]{32}")
_SHOWN = 10
_WORDS = 60


class Assertions(ABC):
    """Assertions over request logs. Each raises ``AssertionError`` and lists what there was."""

    @property
    @abstractmethod
    def request_logs(self) -> list[JSON]:
        """Every request log."""

    @property
    @abstractmethod
    def scores(self) -> dict[int, dict[str, int]]:
        """Scores by request id and name."""

    def find_logs(
        self,
        *,
        prompt: str | None = None,
        answer: str | None = None,
        tag: str | None = None,
        metadata: Mapping[str, str] | None = None,
        record_id: str | None = None,
        **fields: Any,
    ) -> list[JSON]:
        """The request logs that match all of this, oldest first.

        Args:
            prompt: a part of what was asked, in any message or the prompt.
            answer: a part of what was answered; of tool calls, of their names and arguments.
            tag: one of its tags.
            metadata: keys and values among its metadata.
            record_id: the plsync record it came from.
            fields: the log's own fields, such as ``model="gpt-4o"``, ``status="ERROR"`` or ``span_id=...``.
        """

        def matches(log: JSON) -> bool:
            return (
                (prompt is None or prompt in said(log.get("input")))
                and (answer is None or answer in said(log.get("output")))
                and (tag is None or tag in log.get("tags", ()))
                and (metadata or {}).items() <= log["metadata"].items()
                and (record_id is None or record_of(log) == record_id)
                and all(log.get(name) == value for name, value in fields.items())
            )

        return [log for log in self.request_logs if matches(log)]

    def assert_logged(self, *, times: int | None = None, **what: Any) -> JSON:
        """Some request log matches ``what`` (see ``find_logs``); with ``times``, exactly so many. Returns the newest.

        >>> from plsync.testing import PromptLayerServer
        >>> with PromptLayerServer() as server:
        ...     server.assert_logged(model="gpt-4o", prompt="capital of France")
        Traceback (most recent call last):
        AssertionError: no request log has model='gpt-4o', prompt='capital of France'; nothing was logged
        """
        found = self.find_logs(**what)
        if not found or (times is not None and len(found) != times):
            number = "no request log has" if not found else f"{len(found)} request logs, not {times}, have"
            raise AssertionError(f"{number} {_told(what)}; {_summary(self.request_logs)}")
        return found[-1]

    def assert_not_logged(self, **what: Any) -> None:
        """No request log matches ``what`` (see ``find_logs``); without any, nothing was logged at all."""
        found = self.find_logs(**what)
        if found:
            raise AssertionError(f"{_summary(found)}; none was to have {_told(what) or 'been logged'}")

    def assert_exactly_once(self, record_ids: Iterable[str], *, others: bool = False) -> None:
        """Each of these plsync records has one request log: none is missing, and none was logged twice.

        ``others``: whether there may be logs of anything else.
        """
        wanted = set(record_ids)
        counted = Counter(map(record_of, self.request_logs))
        wrong = {
            "missing": [record_id for record_id in wanted if record_id not in counted],
            "logged more than once": [record_id for record_id in wanted if counted[record_id] > 1],
            "logged though not asked for": [] if others else [str(one) for one in counted if one not in wanted],
        }
        told = [f"{len(ids)} {what} ({_some(sorted(ids))})" for what, ids in wrong.items() if ids]
        if told:
            raise AssertionError(f"of {len(wanted)} records: {'; '.join(told)}")

    def assert_scored(self, request_id: int, score: int, *, name: str = "default") -> None:
        """A request has this score under this name."""
        found = self.scores.get(request_id, {})
        if found.get(name) != score:
            raise AssertionError(
                f"request {request_id} has no score {score} named {name!r}, but {found or 'none at all'}"
            )


def record_of(log: JSON) -> str | None:
    """The plsync record that a log came from; where only ids are kept, by its trace."""
    record_id: str | None = log["metadata"].get("plsync_id")
    if record_id is None and not log["metadata"] and _TRACE.fullmatch(log["trace_id"] or ""):
        return str(UUID(log["trace_id"]))
    return record_id


def _told(what: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in what.items())


def _summary(logs: list[JSON]) -> str:
    if not logs:
        return "nothing was logged"
    lines = [_line(log) for log in logs[-_SHOWN:]]
    more = f"\n  and {len(logs) - len(lines)} before these" if len(logs) > len(lines) else ""
    return f"{len(logs)} logged:\n  " + "\n  ".join(lines) + more


def _line(log: JSON) -> str:
    asked, answered = (" ".join(said(log.get(side)).split())[:_WORDS] for side in ("input", "output"))
    tags = f" tags={log['tags']}" if log.get("tags") else ""
    status = log.get("status", "SUCCESS")
    return f"{log['id']} {log.get('provider')}/{log.get('model')} {status}{tags}: {asked!r} -> {answered!r}"


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
