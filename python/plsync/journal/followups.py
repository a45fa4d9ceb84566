"""Follow-ups: scores, metadata, prompt links and groups of a request, from when they are queued until they are sent.

:mod:`plsync.track` queues them, ``plsync run`` sends them. They wait for the request id of their record, and keep their
order within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast
from uuid import UUID

import orjson

from plsync._common.clock import datetime_from_ms
from plsync._common.native import FailedFollowUp
from plsync.errors import InvalidFollowUp
from plsync.journal import lookup

if TYPE_CHECKING:
    from plsync._common import native
    from plsync.journal.journal import Journal

__all__ = ["FailedFollowUp", "FollowUp", "FollowUpQueue", "Op"]

Op = Literal["score", "metadata", "prompt", "group"]


@dataclass(frozen=True, slots=True)
class FollowUp:
    """One follow-up as it waits in the journal."""

    key: bytes
    """What names it to the store."""
    number: int
    """Unique in the journal; later ones are higher."""
    op: Op
    payload: dict[str, Any]
    """What PromptLayer is sent, without the request id."""
    record_id: str | None
    """The record it is about; None for a request that the journal does not know."""
    request_id: int | None
    """PromptLayer's id; None while the record has none yet."""
    state: Literal["pending", "dead"]
    """``dead``: PromptLayer refused it; it is kept, and not sent again by itself."""
    attempts: int
    """Tries that failed."""
    due_at: datetime | None
    """Not sent before this; None: whenever its record has its request id, and those before it are sent."""
    queued_at: datetime
    last_error: str | None
    """What the last try met."""

    @classmethod
    def of(cls, stored: native.FollowUp) -> FollowUp:
        """The store's answer."""
        record_id = stored.record_id
        return cls(
            key=stored.key,
            number=stored.number,
            op=cast("Op", stored.op),
            payload=orjson.loads(stored.payload),
            record_id=None if record_id is None else str(UUID(bytes=record_id)),
            request_id=stored.request_id,
            state="dead" if stored.dead else "pending",
            attempts=stored.attempts,
            due_at=datetime_from_ms(stored.due) if stored.due else None,
            queued_at=datetime_from_ms(stored.queued_at),
            last_error=stored.last_error,
        )

    def as_dict(self) -> dict[str, Any]:
        """The same names without ``key``, JSON-able; times as ISO 8601 text."""
        times = {"due_at": self.due_at and self.due_at.isoformat(), "queued_at": self.queued_at.isoformat()}
        shown = asdict(self) | times
        del shown["key"]
        return shown


class FollowUpQueue:
    """The follow-ups of one journal: :attr:`plsync.Journal.followups`. A call that changes some is one transaction."""

    def __init__(self, journal: Journal, store: native.Store) -> None:
        """Of an open journal; programs use its ``followups``."""
        self._journal = journal
        self._store = store

    def add(self, op: Op, payload: dict[str, Any], about: int | str | UUID) -> int:
        """Queue a follow-up; when this returns it is on disk. What PromptLayer takes is :mod:`plsync.track`'s affair.

        Args:
            op: what to do to the request.
            payload: the body that PromptLayer is sent, without ``request_id``.
            about: a request id, a record id or a run id.

        Returns:
            Its number.

        Raises:
            RecordNotFound: no record has the id.
            AmbiguousId: more than one record has the run id.
            InvalidFollowUp: it is no JSON, or of more than 1 MiB; or ``about`` is none of these.
            JournalError: it could not be written.
        """
        try:
            body = orjson.dumps(payload)
        except (TypeError, ValueError) as error:
            raise InvalidFollowUp(f"a {op} that is no JSON ({error}) cannot be sent; nothing was queued") from error
        target = lookup.target(self._journal, self._store, about)
        number = self._store.follow_up(op, body, **target)
        if number is None:  # nothing removes records, so only damage can have come in between
            raise lookup.unknown(about, self._store.path)
        self._journal.doorbell()
        return number

    def of(self, about: int | str | UUID) -> list[FollowUp]:
        """Those of one record or request, in the order they are sent; dead ones among them.

        Raises:
            RecordNotFound, AmbiguousId, InvalidFollowUp: as :meth:`add`.
        """
        target = lookup.target(self._journal, self._store, about)
        return list(map(FollowUp.of, self._store.followups(**target)))

    def dead(self, limit: int = 100) -> list[FollowUp]:
        """Those that PromptLayer refused."""
        return list(map(FollowUp.of, self._store.dead_followups(limit)))

    def requeue(self, about: int | str | UUID | None = None) -> int:
        """Make dead follow-ups pending again, due now: of one record or request, or all; how many."""
        target = {} if about is None else lookup.target(self._journal, self._store, about)
        return self._store.requeue_followups(**target)

    # --- sending ---

    def claim(self, limit: int, lease_ms: int, now_ms: int) -> list[FollowUp]:
        """Take those of up to ``limit`` requests for sending, in order within each.

        Should nobody say how it went, they are due again after the lease.
        """
        return list(map(FollowUp.of, self._store.claim_followups(limit, lease_ms, now_ms)))

    def done(self, sent: Sequence[FollowUp]) -> None:
        """Remove what PromptLayer has."""
        self._store.followups_done([followup.key for followup in sent])

    def failed(self, failed: Sequence[FailedFollowUp]) -> None:
        """Make claimed follow-ups pending again until their ``not_before``, or dead."""
        self._store.followups_failed(failed)

    def release(self, unsent: Sequence[FollowUp]) -> None:
        """Give back what was claimed and not tried."""
        self._store.release_followups([followup.key for followup in unsent])

    def next_due(self) -> int | None:
        """When one may be sent next, ms since the epoch; None when none can be."""
        return self._store.next_followup_due()

    def mend(self, before_ms: int, after_ms: int, longest_ms: int) -> int:
        """Move waits along with a clock set from ``before_ms`` to ``after_ms``, none longer than ``longest_ms``."""
        return self._store.mend_followups(before_ms, after_ms, longest_ms)
