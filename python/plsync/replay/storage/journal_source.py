"""The calls of a journal, served as they were recorded there.

A journal has no index by what was asked. It is searched, in the core, for a piece of the request's own text, oldest
call first, until a call is found that asks the same; nothing else of it is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, Final

from plsync._common.redaction import REDACTED
from plsync.journal.events.tagged import TAG
from plsync.journal.filters import Filters, Query
from plsync.journal.journal import Journal
from plsync.journal.record import Record
from plsync.replay.matching import Matcher, digest
from plsync.replay.request.request import Request, of_record
from plsync.replay.storage.recorded_call import Call, data_of
from plsync.replay.storage.search_cache import Remembered

__all__ = ["JournalCalls", "call_of"]

_SAMPLE: Final = 200
_WHERE: Final = "record "
# Enough to tell conversations apart, and short enough to be looked for quickly.
_PIECE: Final = 80
# Written in more ways than one in JSON.
_CONTROLS: Final = re.compile(r"[\x00-\x1f]+")
_ABANDONED: Final = "Abandoned"


class JournalCalls:
    """The calls of a journal whose answer is known, by key."""

    def __init__(self, journal: Journal, matcher: Matcher, filters: Filters | None = None) -> None:
        """Only records that pass the filters are looked at."""
        self._journal = journal
        self._matcher = matcher
        self._filters = filters or {}
        self._found: dict[str, list[Call]] = {}
        self._searches: dict[str, Iterator[Call]] = {}
        self._remembered = Remembered(journal.id)

    @classmethod
    def open(
        cls, journal: str | os.PathLike[str] | Journal, matcher: Matcher, filters: Filters | None = None
    ) -> JournalCalls:
        """The calls of an open journal, or of the one in a directory.

        Raises:
            JournalError: there is none, or it cannot be read.
        """
        return cls(journal if isinstance(journal, Journal) else Journal.open(journal), matcher, filters)

    @property
    def name(self) -> str:
        """The journal's directory."""
        return str(self._journal.path)

    def matching(self, request: Request, key: str) -> list[Call]:
        """The oldest calls with this key: each time one more, as long as there are more."""
        found = self._found.setdefault(key, [])
        name = digest([key, request.model, repr(Query.of(self._filters).arguments())])
        call = self._recall(name, len(found), key)
        if call is None:
            search = self._searches.get(key)
            if search is None:
                self._journal.ingest()
                search = self._searches[key] = self._search(request, key, {call.where for call in found})
            call = next(search, None)
        if call is not None:
            self._remembered.add(name, len(found), call.where.removeprefix(_WHERE))
            found.append(call)
        return found

    def _recall(self, name: str, number: int, key: str) -> Call | None:
        """The match an earlier run found, if it still is one."""
        record_id = self._remembered.get(name, number)
        record = None if record_id is None else self._journal.peek(record_id, **self._filters)
        call = None if record is None else call_of(record)
        return call if call is not None and self._matcher.key(call.request) == key else None

    def sample(self) -> list[Call]:
        """The newest calls."""
        return list(self._newest(_SAMPLE))

    def first(self) -> Call | None:
        """The newest call."""
        return next(self._newest(_SAMPLE), None)

    def _newest(self, limit: int) -> Iterator[Call]:
        for record in self._journal.records(limit=limit, **self._filters):
            if (call := call_of(record)) is not None:
                yield call

    def load(self, name: str) -> bytes:
        """A journal keeps everything within its records."""
        raise KeyError(name)

    def _narrowed(self, text: str | None, model: str | None) -> Filters:
        filters: Filters = {**self._filters}
        filters["text"] = filters.get("text") or text
        filters["model"] = filters.get("model") or model
        return filters

    def _search(self, request: Request, key: str, seen: set[str]) -> Iterator[Call]:
        # Those of the same model first: the others answer only when it has none.
        for model in (request.model, None) if request.model else (None,):
            for record in self._journal.scan(**self._narrowed(_piece(request), model)):
                call = call_of(record)
                if call is not None and call.where not in seen and self._matcher.key(call.request) == key:
                    seen.add(call.where)
                    yield call


def call_of(record: Record) -> Call | None:
    """A record as a recorded call; ``None`` when its request or its answer is not known in full."""
    start, end = record.events()
    request = of_record(start) if not (record.pruned or record.damage) else None
    answer = _answer(record, end) if request is not None else None
    if request is None or answer is None:
        return None
    took = record.duration_ns
    data = data_of(request, answer, [] if took is None else [took // 1_000_000])
    return Call(f"{_WHERE}{record.id}", data)


def _answer(record: Record, end: dict[str, Any]) -> dict[str, Any] | None:
    if record.status == "error":
        return _failed(end)
    generations = end.get("generations")
    if record.status != "ok" or not isinstance(generations, list) or not generations:
        return None
    output = end.get("llm_output")
    return {"generations": generations} | ({} if output is None else {"llm_output": output})


def _failed(end: dict[str, Any]) -> dict[str, Any] | None:
    """The exception, as far as a journal holds it."""
    error = end.get("error")
    if not isinstance(error, dict) or error.get("type") in (None, _ABANDONED):
        return None
    attributes: dict[str, Any] = {}
    if error.get("status_code") is not None:
        attributes["status_code"] = error["status_code"]
    http = error.get("response")
    if isinstance(http, dict):
        attributes |= {key: http[key] for key in ("body", "request_id") if key in http}
        headers = http.get("headers")
        attributes["response"] = {
            TAG: "http",
            "c": "Response",
            "status": http.get("status_code") or error.get("status_code") or 500,
            "headers": headers if isinstance(headers, dict) else {},
            "body": None,
        }
    path = f"{error.get('module')}:{error['type']}"
    message = error.get("message") or ""
    return {"error": {"class": path, "message": message, "args": [message], "attributes": attributes}}


def _piece(request: Request) -> str | None:
    """A piece of what was said last that is found in the record as it is written here."""
    said = request.asked.get("prompt") if request.kind == "llm" else (request.asked.get("messages") or [""])[-1]
    lines = [line for text in _texts(said) for line in _CONTROLS.split(text)]
    # Of these, what was written may be another.
    whole = [line for line in lines if REDACTED not in line and "0x" not in line and "sha256:" not in line]
    longest = max(whole, key=len, default="")
    return longest[:_PIECE].strip(" ") or None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in {"content", "text", "value"}:
                yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
