"""Assertions about the stand-in's request logs. A failed assertion lists the logs that exist."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from plsync.testing.state.prompt_text import prompt_text
from plsync.testing.state.storage import JSON

__all__ = ["Assertions", "is_log_of"]

_TRACE = re.compile("[0-9a-f]{32}")
_LISTED = 10
_EXCERPT = 60


class Assertions(ABC):
    """Assertions about request logs. Each raises ``AssertionError`` with a list of the logs that exist."""

    @property
    @abstractmethod
    def request_logs(self) -> list[JSON]:
        """Every request log, oldest first."""

    @property
    @abstractmethod
    def scores(self) -> dict[int, dict[str, int]]:
        """Scores (0 to 100) by request id and score name."""

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
        """The request logs that match every argument, oldest first.

        Args:
            prompt: a part of the input: of the prompt or of any message.
            answer: a part of the output: of its text, or of the names and arguments of its tool calls.
            tag: one of the tags.
            metadata: keys and values that the metadata contains.
            record_id: the id of the plsync record.
            fields: other fields of the log, such as ``model="gpt-4o"``, ``status="ERROR"`` or ``span_id=...``.

        Returns:
            The matching logs: the bodies as received, with ``id``, ``span_id`` and ``trace_id``.

        >>> from plsync.testing import PromptLayerServer
        >>> with PromptLayerServer() as server:
        ...     server.find_logs(prompt="capital of France", model="gpt-4o")
        []
        """

        def matches(log: JSON) -> bool:
            return (
                (prompt is None or prompt in prompt_text(log.get("input")))
                and (answer is None or answer in prompt_text(log.get("output")))
                and (tag is None or tag in log.get("tags", ()))
                and (metadata or {}).items() <= log["metadata"].items()
                and (record_id is None or is_log_of(log, record_id))
                and all(log.get(name) == value for name, value in fields.items())
            )

        return [log for log in self.request_logs if matches(log)]

    def assert_logged(self, *, times: int | None = None, **criteria: Any) -> JSON:
        """Assert that a request log matches.

        Args:
            times: the exact number of matching logs; None for one or more.
            criteria: the arguments of :meth:`find_logs`.

        Returns:
            The newest matching log.

        Raises:
            AssertionError: no log matches, or another number than ``times``.

        >>> from plsync.testing import PromptLayerServer
        >>> with PromptLayerServer() as server:
        ...     server.assert_logged(model="gpt-4o", prompt="capital of France")
        Traceback (most recent call last):
        AssertionError: no request log has model='gpt-4o', prompt='capital of France'; nothing was logged
        """
        found = self.find_logs(**criteria)
        if not found or (times is not None and len(found) != times):
            number = "no request log has" if not found else f"{len(found)} request logs, not {times}, have"
            raise AssertionError(f"{number} {_shown(criteria)}; {_summary(self.request_logs)}")
        return found[-1]

    def assert_not_logged(self, **criteria: Any) -> None:
        """Assert that no request log matches; without arguments, that there are no logs.

        Args:
            criteria: the arguments of :meth:`find_logs`.

        Raises:
            AssertionError: a log matches.
        """
        found = self.find_logs(**criteria)
        if found:
            unwanted = f"no log with {_shown(criteria)}" if criteria else "no logs"
            raise AssertionError(f"{_summary(found)}; the test expects {unwanted}")

    def assert_exactly_once(self, record_ids: Iterable[str], *, others: bool = False) -> None:
        """Assert that each plsync record has exactly one request log.

        Args:
            record_ids: the ids of the records.
            others: whether logs of other records are allowed.

        Raises:
            AssertionError: a record has no log or several, or there are other logs and ``others`` is false.
        """
        expected = set(record_ids)
        by_span = {_span_id(record_id): record_id for record_id in expected}
        logs = Counter(_record_of(log, by_span) for log in self.request_logs)
        wrong = {
            "missing": [record_id for record_id in expected if record_id not in logs],
            "logged more than once": [record_id for record_id in expected if logs[record_id] > 1],
            "logged but not expected": [] if others else [str(logged) for logged in logs if logged not in expected],
        }
        problems = [f"{len(ids)} {problem} ({_first(sorted(ids))})" for problem, ids in wrong.items() if ids]
        if problems:
            raise AssertionError(f"of {len(expected)} records: {'; '.join(problems)}")

    def assert_scored(self, request_id: int, score: int, *, name: str = "default") -> None:
        """Assert that a request has a score.

        Args:
            request_id: PromptLayer's request id.
            score: the expected score, 0 to 100.
            name: the name of the score.

        Raises:
            AssertionError: the request has another score or no score of that name.
        """
        found = self.scores.get(request_id, {})
        if found.get(name) != score:
            raise AssertionError(
                f"request {request_id} has no score {score} named {name!r}; its scores: {found or 'no scores'}"
            )


def is_log_of(log: JSON, record_id: str) -> bool:
    """Whether a log is of the plsync record with that id."""
    return _record_of(log, {_span_id(record_id): record_id}) == record_id


def _record_of(log: JSON, by_span: Mapping[str, str]) -> str | None:
    """The id of the plsync record of a log.

    A server that keeps only ids derives it from the id of the span, or from the id of a trace with one record.

    Args:
        log: the log.
        by_span: known records by the ids of their spans.
    """
    if log["metadata"]:
        record_id: str | None = log["metadata"].get("plsync_id")
        return record_id
    alone = str(UUID(log["trace_id"])) if _TRACE.fullmatch(log["trace_id"] or "") else None
    return by_span.get(log["span_id"], alone)


def _span_id(record_id: str) -> str:
    return record_id.replace("-", "")[16:]


def _shown(criteria: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in criteria.items())


def _summary(logs: list[JSON]) -> str:
    if not logs:
        return "nothing was logged"
    lines = [_line(log) for log in logs[-_LISTED:]]
    more = f"\n  and {len(logs) - len(lines)} older logs" if len(logs) > len(lines) else ""
    return f"{len(logs)} logged:\n  " + "\n  ".join(lines) + more


def _line(log: JSON) -> str:
    prompt, output = (" ".join(prompt_text(log.get(side)).split())[:_EXCERPT] for side in ("input", "output"))
    tags = f" tags={log['tags']}" if log.get("tags") else ""
    status = log.get("status", "SUCCESS")
    return f"{log['id']} {log.get('provider')}/{log.get('model')} {status}{tags}: {prompt!r} -> {output!r}"


def _first(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
