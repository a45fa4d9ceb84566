"""Digests: the figures of a record in 48 bytes, from which counts, charts and sums are made.

The ingest makes the digest of a call from facts that the handler writes. Records of earlier versions of plsync, and of
some clients, get theirs later, from the content: :meth:`Digests.fill`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from plsync.journal.call import STATUSES, RunKind, Status
from plsync.journal.conditions import thread_of
from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync._common.native import Row, Store

__all__ = ["Digest", "DigestProgress", "Digests", "figures"]

_BATCH: Final = 250
_MOST_TOKENS: Final = (1 << 32) - 1
_LONGEST_NS: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Digest:
    """The figures of a record."""

    started_ms: int
    """The start, in ms since the epoch."""
    status: Status
    kind: RunKind | None
    """None if it is unknown."""
    model: str | None
    provider: str | None
    duration_ns: int | None
    first_token_ns: int | None
    """From the start to the first token, of a call that streamed."""
    input_tokens: int | None
    """None if the provider reported no tokens."""
    output_tokens: int | None
    cached_tokens: int | None
    """Tokens of the request that the provider read from its cache."""
    is_cached: bool
    """A cache of LangChain answered: no model ran."""
    is_run: bool
    """Not a call, but a chain, a prompt, a parser, a tool or a retriever."""
    is_complete: bool
    """False: the figures are still missing."""


@dataclass(frozen=True, slots=True)
class DigestProgress:
    """How many records have their digest."""

    done: int
    total: int

    @property
    def fraction(self) -> float:
        """The part that is done, from 0 to 1."""
        return self.done / self.total if self.total else 1.0


class Digests:
    """The digests of a journal: :attr:`plsync.Journal.digests`.

    >>> from plsync import Journal
    >>> with Journal.open(create=True) as journal:
    ...     journal.digests.fill()
    0
    """

    def __init__(self, store: Store) -> None:
        """Programs use :attr:`plsync.Journal.digests`."""
        self._store = store

    def pending(self) -> int:
        """The number of records without a complete digest."""
        return self._store.undigested_count()[1]

    def progress(self) -> DigestProgress:
        """The number of records with a complete digest, and of all records."""
        total, pending = self._store.undigested_count()
        return DigestProgress(max(0, total - pending), total)

    def of(self, records: Iterable[Record]) -> list[Digest | None]:
        """The digest of each record; None for a record without one."""
        return [None if found is None else _digest(found) for found in self._store.digests([r.seq for r in records])]

    def fill(
        self, *, budget_ms: int | None = None, on_progress: Callable[[DigestProgress], object] | None = None
    ) -> int:
        """Make the missing digests from the content of their records, the newest record first.

        Each transaction is small, so other programs wait for a few milliseconds at most. A fill that is interrupted
        goes on with the next one. Nothing is filled in a read-only journal.

        Args:
            budget_ms: end after this many milliseconds; None for no limit.
            on_progress: called after each transaction.

        Returns:
            The number of digests that are still missing.

        Raises:
            JournalError: the disk is full or fails.
        """
        store = self._store
        if store.read_only:
            return self.pending()
        deadline = None if budget_ms is None else time.monotonic() + budget_ms / 1000
        below: int | None = None
        while pending := self.pending():
            rows, below = store.undigested(below, _BATCH)
            if rows:
                store.put_digests([figures(row) for row in rows])
            if on_progress is not None:
                on_progress(self.progress())
            if below is None or (deadline is not None and time.monotonic() >= deadline):
                return self.pending()
        return pending


def figures(row: Row) -> tuple[Any, ...]:
    """The figures of a record, read from its content, in the form of ``Store.put_digests``."""
    record = Record(row)
    is_run = record.is_run
    usage = None if is_run else record.usage
    tokens = None
    if usage is not None:
        cached = usage.get("input_token_details", {}).get("cache_read", 0)
        counts = (usage["input_tokens"], usage["output_tokens"], cached if isinstance(cached, int) else 0)
        tokens = [min(max(0, count), _MOST_TOKENS) for count in counts]
    first = record.plain_events()[1].get("first_token")
    return (
        row.seq,
        row.ended,
        record.kind if record.stored_kind() else "",
        _nanoseconds(record.duration_ns),
        _nanoseconds(first if isinstance(first, int) else None),
        tokens,
        None if is_run else _encodable(record.model),
        None if is_run else _encodable(record.provider),
        _encodable(thread_of(record.metadata)),
    )


def _nanoseconds(value: int | None) -> int | None:
    return None if value is None else min(max(0, value), _LONGEST_NS)


def _encodable(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode()


def _digest(found: dict[str, Any]) -> Digest:
    return Digest(status=STATUSES[found.pop("ended")], **found)
