"""The calls of a journal, served straight from its records.

A journal has no index of requests. So the core searches it for a piece of the request's text, oldest record first,
until a record matches. No other record is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from plsync._common.redaction import REDACTED
from plsync.journal.filters import Filters, Query
from plsync.journal.journal import Journal
from plsync.journal.search_cache import SearchCache
from plsync.replay.matching import Matcher, digest
from plsync.replay.request.request import Kind, Request
from plsync.replay.storage.journal_calls import LOCATION, call_of_record
from plsync.replay.storage.recorded_call import RecordedCall

__all__ = ["JournalSource"]

_SAMPLE: Final = 200
# Long enough to distinguish conversations, and short enough for a fast search.
_SEARCH_CHARACTERS: Final = 80
# JSON has several spellings of control characters.
_CONTROLS: Final = re.compile(r"[\x00-\x1f]+")


class JournalSource:
    """The calls of a journal whose responses are complete, by key."""

    def __init__(self, journal: Journal, matcher: Matcher, filters: Filters | None = None) -> None:
        """Refers to an open journal.

        Args:
            journal: the journal.
            matcher: computes the keys.
            filters: the filters of ``Journal.records()``; other records are not served.
        """
        self._journal = journal
        self._matcher = matcher
        self._filters = filters or {}
        self._found: dict[str, list[RecordedCall]] = {}
        self._searches: dict[str, Iterator[RecordedCall]] = {}
        self._cache = SearchCache(journal.id)

    @classmethod
    def open(
        cls, journal: str | os.PathLike[str] | Journal, matcher: Matcher, filters: Filters | None = None
    ) -> JournalSource:
        """The calls of an open journal, or of the journal in a directory.

        Raises:
            JournalError: the directory holds no journal, or the journal cannot be read.
        """
        return cls(journal if isinstance(journal, Journal) else Journal.open(journal), matcher, filters)

    @property
    def name(self) -> str:
        """The directory of the journal."""
        return str(self._journal.path)

    def matching(self, request: Request, key: str) -> list[RecordedCall]:
        """The oldest calls with this key. Each lookup finds one more, until there are no more."""
        found = self._found.setdefault(key, [])
        if request.kind not in ("chat", "llm"):  # handlers receive no other calls
            return found
        search_name = digest([key, request.model, repr(Query.from_filters(self._filters))])
        call = self._cached(search_name, len(found), key)
        if call is None:
            search = self._searches.get(key)
            if search is None:
                self._journal.ingest()
                search = self._searches[key] = self._search(request, key, {call.location for call in found})
            try:
                call = next(search, None)
            except BaseException:  # a search that has failed is over, and the next lookup searches again
                self._searches.pop(key, None)
                raise
        if call is not None:
            self._cache.add(search_name, len(found), call.location.removeprefix(LOCATION))
            found.append(call)
        return found

    def _cached(self, search_name: str, number: int, key: str) -> RecordedCall | None:
        """The match that an earlier run found, if its record still matches."""
        record_id = self._cache.get(search_name, number)
        record = None if record_id is None else self._journal.peek(record_id, **self._filters)
        call = None if record is None else call_of_record(record)
        return call if call is not None and self._matcher.key(call.request) == key else None

    def sample(self) -> list[RecordedCall]:
        """The newest calls."""
        return list(self._newest(_SAMPLE))

    def first(self, kinds: Sequence[Kind]) -> RecordedCall | None:
        """The newest call, which is one of a model; ``None`` without calls."""
        return next(self._newest(_SAMPLE), None)

    def _newest(self, limit: int) -> Iterator[RecordedCall]:
        for record in self._journal.records(limit=limit, **self._filters):
            if (call := call_of_record(record)) is not None:
                yield call

    def load_blob(self, name: str) -> bytes:
        """Raises KeyError: a journal keeps binaries inside its records."""
        raise KeyError(name)

    def _narrowed(self, text: str | None, model: str | None) -> Filters:
        filters: Filters = {**self._filters}
        filters["text"] = filters.get("text") or text
        filters["model"] = filters.get("model") or model
        return filters

    def _search(self, request: Request, key: str, skip: set[str]) -> Iterator[RecordedCall]:
        # Records of the same model come first. Another model's record serves only if there is no such record.
        for model in (request.model, None) if request.model else (None,):
            for record in self._journal.scan(**self._narrowed(_search_text(request), model)):
                call = call_of_record(record)
                if call is not None and call.location not in skip and self._matcher.key(call.request) == key:
                    skip.add(call.location)
                    yield call


def _search_text(request: Request) -> str | None:
    """A piece of the last message or prompt that a matching record contains literally."""
    last = request.body.get("prompt") if request.kind == "llm" else (request.body.get("messages") or [""])[-1]
    lines = [line for text in _texts(last) for line in _CONTROLS.split(text)]
    # The canonical form has replaced something in such a line.
    literal = [line for line in lines if REDACTED not in line and "0x" not in line and "sha256:" not in line]
    longest = max(literal, key=len, default="")
    return longest[:_SEARCH_CHARACTERS].strip(" ") or None


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
