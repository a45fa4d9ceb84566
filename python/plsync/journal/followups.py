"""Follow-ups: scores, metadata, prompt links and groups of a request, from queueing until delivery.

:mod:`plsync.track` queues them, and ``plsync run`` sends them. A follow-up waits for the request id of its record. The
follow-ups of one record are sent in order. The journal keeps sent follow-ups with the content of their record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from uuid import UUID

import orjson

from plsync._common.clock import datetime_from_ms, now_ms
from plsync._common.native import FailedFollowUp
from plsync.errors import InvalidFollowUp, JournalCorrupt
from plsync.journal import lookup

if TYPE_CHECKING:
    from plsync._common import native
    from plsync.journal.doorbell import Doorbell

__all__ = ["FailedFollowUp", "FollowUp", "FollowUpQueue", "FollowUpState", "Op"]

Op = Literal["score", "metadata", "prompt", "group"]
FollowUpState = Literal["pending", "dead", "sent"]

_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class FollowUp:
    """One follow-up in the journal."""

    key: bytes
    """The key of the follow-up in the store."""
    number: int
    """Unique in the journal; later ones are higher."""
    op: Op
    payload: dict[str, Any]
    """The body that PromptLayer receives, without the request id."""
    record_id: str | None
    """The id of the record; None for a request that the journal does not know."""
    request_id: int | None
    """PromptLayer's request id; None until PromptLayer has acked the record."""
    state: FollowUpState
    """``dead``: PromptLayer refused the follow-up. The queue keeps it, and a requeue makes it pending again.

    ``sent``: PromptLayer has it."""
    attempts: int
    """Attempts that failed."""
    due_at: datetime | None
    """Not sent before this time. None: sent as soon as its record has a request id and earlier ones are sent."""
    queued_at: datetime
    last_error: str | None
    """Why the last attempt failed; None for a sent one."""
    sent_at: datetime | None = None
    """When PromptLayer accepted it; None before."""
    status: int | None = None
    """The HTTP status of that response."""

    @classmethod
    def from_native(cls, stored: native.FollowUp) -> FollowUp:
        """The follow-up of a native one.

        Raises:
            JournalCorrupt: its content is no JSON.
        """
        record_id = stored.record_id
        try:
            payload = orjson.loads(stored.payload)
        except ValueError:
            raise JournalCorrupt(
                f"damaged: the content of follow-up {stored.number} is no JSON; the rest of the journal is not "
                "affected; run `plsync check`"
            ) from None
        return cls(
            key=stored.key,
            number=stored.number,
            op=cast("Op", stored.op),
            payload=payload,
            record_id=None if record_id is None else str(UUID(bytes=record_id)),
            request_id=stored.request_id,
            state=cast("FollowUpState", stored.state),
            attempts=stored.attempts,
            due_at=datetime_from_ms(stored.due) if stored.due else None,
            queued_at=datetime_from_ms(stored.queued_at),
            last_error=stored.last_error,
            sent_at=None if stored.sent_at is None else datetime_from_ms(stored.sent_at),
            status=stored.status,
        )

    def as_dict(self) -> dict[str, Any]:
        """The same names without ``key``, JSON-able; times as ISO 8601 text."""
        times = {"due_at": self.due_at, "queued_at": self.queued_at, "sent_at": self.sent_at}
        shown = asdict(self) | {name: time and time.isoformat() for name, time in times.items()}
        del shown["key"]
        return shown


class FollowUpQueue:
    """The follow-ups of one journal: :attr:`plsync.Journal.followups`. Each call that changes some is one transaction.

    >>> from plsync import Journal
    >>> with Journal.open(create=True) as journal:
    ...     journal.followups.add("score", {"score": 90}, 4711)
    ...     [followup.payload for followup in journal.followups.of(4711)]
    1
    [{'score': 90}]
    """

    def __init__(self, store: native.Store, doorbell: Doorbell, ingest: Callable[[], object]) -> None:
        """Programs use :attr:`plsync.Journal.followups`.

        Args:
            store: the journal's.
            doorbell: rung after a follow-up is queued, for a sender that waits.
            ingest: moves recent calls from the spool into the store.
        """
        self._store = store
        self._doorbell = doorbell
        self._ingest = ingest

    def add(self, op: Op, payload: dict[str, Any], about: int | str | UUID) -> int:
        """Queue a follow-up. The entry is on disk when this returns. :mod:`plsync.journal.tracker` checks payloads.

        Args:
            op: the operation.
            payload: the body that PromptLayer receives, without ``request_id``.
            about: a request id, a record id or a run id.

        Returns:
            Its number.

        Raises:
            RecordNotFound: no record has the id.
            AmbiguousId: more than one record has the run id.
            InvalidFollowUp: the payload is not JSON or exceeds 1 MiB, or ``about`` is not an id.
            JournalError: the journal could not be written.
        """
        try:
            body = orjson.dumps(payload)
        except (TypeError, ValueError) as error:
            raise InvalidFollowUp(f"the {op} is not JSON ({error}); nothing was queued: use JSON values") from error
        number = self._store.follow_up(op, body, **self._target(about))
        if number is None:  # nothing removes records, so the store was damaged in between
            raise lookup.unknown(about, self._store.path)
        # The follow-up is queued. Without a doorbell the sender finds it at its next round.
        with contextlib.suppress(OSError):
            self._doorbell.ring()
        return number

    def of(self, about: int | str | UUID) -> list[FollowUp]:
        """The follow-ups of one record or request that wait or are dead, in the order of delivery.

        Raises:
            RecordNotFound, AmbiguousId, InvalidFollowUp: as :meth:`add`.
        """
        return list(map(FollowUp.from_native, self._store.followups(**self._target(about))))

    def history(self, about: int | str | UUID) -> list[FollowUp]:
        """All follow-ups of one record or request in the order of queueing, sent ones included.

        The quota removes sent follow-ups together with the content of their record.

        Raises:
            RecordNotFound, AmbiguousId, InvalidFollowUp: as :meth:`add`.
        """
        target = self._target(about)
        found = [*self._store.followups(**target), *self._store.sent_followups(**target)]
        # A follow-up that a sender finishes between the two reads is in both lists; the later state counts.
        return list({one.number: FollowUp.from_native(one) for one in sorted(found, key=_number)}.values())

    def by_state(self, state: FollowUpState, *, limit: int | None = None) -> Iterator[FollowUp]:
        """The follow-ups of one state in the journal.

        Args:
            state: ``pending``, ``dead`` or ``sent``.
            limit: the maximum number; None for all.

        Returns:
            Follow-ups of requests without a record, then follow-ups of records, the newest record first.

        Raises:
            ValueError: another state.
        """
        before = None
        remaining = limit
        while remaining is None or remaining > 0:
            size = _PAGE if remaining is None else min(_PAGE, remaining)
            page = self._store.list_followups(state, before, size)
            yield from map(FollowUp.from_native, page)
            if len(page) < size:
                return
            before = page[-1].key
            remaining = None if remaining is None else remaining - size

    def dead(self, limit: int = 100) -> list[FollowUp]:
        """At most ``limit`` follow-ups that PromptLayer refused."""
        return list(map(FollowUp.from_native, self._store.dead_followups(limit)))

    def requeue(self, about: int | str | UUID | None = None) -> int:
        """Make the dead follow-ups of one record or request pending, due now; of all records by default.

        Returns:
            How many follow-ups.

        Raises:
            RecordNotFound, AmbiguousId, InvalidFollowUp: as :meth:`add`.
        """
        target = lookup.Target() if about is None else self._target(about)
        return self._store.requeue_followups(**target)

    def resend(self, about: int | str | UUID) -> int:
        """Make the sent follow-ups of one record or request pending, due now, for another server.

        Returns:
            How many follow-ups.

        Raises:
            RecordNotFound, AmbiguousId, InvalidFollowUp: as :meth:`add`.
        """
        return self._store.resend_followups(**self._target(about))

    def _target(self, about: int | str | UUID) -> lookup.Target:
        return lookup.target(self._store, about, self._ingest)

    # --- delivery ---

    def claim(self, limit: int, lease_ms: int, now_ms: int) -> list[FollowUp]:
        """Lease the due follow-ups of at most ``limit`` requests, in order within each.

        Args:
            limit: the maximum number of requests.
            lease_ms: the follow-ups are due again after this, unless :meth:`done` or :meth:`failed` settles them.
            now_ms: the time, in ms since the epoch.
        """
        return list(map(FollowUp.from_native, self._store.claim_followups(limit, lease_ms, now_ms)))

    def done(self, sent: Sequence[FollowUp], status: int = 200) -> None:
        """Store that PromptLayer has these follow-ups, as of now.

        Args:
            sent: claimed follow-ups.
            status: the HTTP status of the responses.
        """
        self._store.followups_done([(followup.key, status) for followup in sent], now_ms())

    def failed(self, failed: Sequence[FailedFollowUp]) -> None:
        """Store the failures of claimed follow-ups."""
        self._store.followups_failed(failed)

    def release(self, unsent: Sequence[FollowUp]) -> None:
        """Release claimed follow-ups that were not sent."""
        self._store.release_followups([followup.key for followup in unsent])

    def next_due(self) -> int | None:
        """When the next follow-up is due, in ms since the epoch. None when none can be sent."""
        return self._store.next_followup_due()

    def shift_waits(self, before_ms: int, after_ms: int, longest_ms: int) -> int:
        """Correct the waits of follow-ups after the wall clock was set.

        Args:
            before_ms: the time that the clock would show, in ms since the epoch.
            after_ms: the time that it shows.
            longest_ms: the longest wait that remains.

        Returns:
            How many follow-ups.
        """
        return self._store.shift_followup_waits(before_ms, after_ms, longest_ms)


def _number(followup: native.FollowUp) -> int:
    return followup.number
