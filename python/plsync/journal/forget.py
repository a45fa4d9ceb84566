"""Removes the content of records for good, for :meth:`plsync.Journal.forget`, and makes the receipt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from plsync._common.native import FLAG_FORGOTTEN
from plsync.errors import RecordNotFound
from plsync.journal import lookup, tree
from plsync.journal.record import STATES, Record, State
from plsync.journal.search_cache import SearchCache

if TYPE_CHECKING:
    from plsync._common.native import Store

__all__ = ["LIMITS", "ForgetReceipt", "ForgottenRecord", "chosen_ids", "forget", "whole_trees"]

LIMITS: Final = (
    "Backups, file system snapshots and exported recordings keep their copies.",
    "A disk may keep the bytes of overwritten and removed files until it reuses the space.",
    "PromptLayer keeps the requests that it has: delete them there by their request ids.",
)
"""The limits of every removal, one sentence each."""

_NOT_SEARCHED: Final = "The disk was full, so the newest events were not searched. Run this again."
# Digits of the largest request id.
_LONGEST_REQUEST: Final = 19
_SENT: Final[dict[str, Literal["yes", "unknown"]]] = {
    "acked": "yes",
    "leased": "unknown",
    "in_doubt": "unknown",
    "carried": "unknown",
    "received": "unknown",
}


@dataclass(frozen=True, slots=True)
class ForgottenRecord:
    """A record without its content."""

    record_id: str
    request_id: int | None
    """PromptLayer's id of the request, or None."""
    state: State
    """The state before. A record that was not sent is dead now, and is never sent."""
    at_promptlayer: Literal["yes", "no", "unknown"]
    """``unknown``: the record was sent, and no clear response came yet."""
    was_forgotten: bool
    """Whether the content had been removed before."""
    running: bool
    """Whether the call had not ended. Its end is dropped when it comes."""
    events: int
    """Events removed from the store: the request and the answer."""
    labels: int
    """Entries removed from the search index: tags, model and run ids."""
    followups: int
    """Follow-ups removed: waiting, refused and sent ones."""
    callbacks: int
    """Callbacks removed."""
    server: str | None = None
    """The base URL of the server that has or may have the record; None if it was not sent, or the server is unknown."""

    @classmethod
    def from_dict(cls, found: dict[str, Any], server: str | None) -> ForgottenRecord:
        """The record of the store's dict."""
        number: int | None = found["request_id"]
        return cls(
            record_id=str(UUID(bytes=found["id"])),
            request_id=number,
            state=found["state"],
            at_promptlayer=_SENT.get(found["state"], "no"),
            was_forgotten=found["was_forgotten"],
            running=found["is_running"],
            server=server,
            **{name: found[name] for name in ("events", "labels", "followups", "callbacks")},
        )


@dataclass(frozen=True, slots=True)
class ForgetReceipt:
    """The result of ``Journal.forget()``: which content was removed, and which content waits."""

    journal: str
    journal_id: str
    at: datetime
    dry_run: bool
    """Whether nothing was removed: the receipt lists the records that would be forgotten."""
    records: list[ForgottenRecord]
    followups: int
    """Follow-ups removed that belonged to request ids without a record."""
    frames: int
    """Events overwritten in the spool."""
    cache_entries: int
    """Entries removed from the search cache of recordings."""
    before: int
    """Bytes of the store's file before."""
    after: int
    """Bytes of the store's file afterwards."""
    waiting: list[str]
    """Content that may still be in the journal, and the way to remove it; empty when the removal is complete."""
    limits: tuple[str, ...] = LIMITS

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; the time as ISO 8601 text."""
        return asdict(self) | {"at": self.at.isoformat(), "limits": list(self.limits)}


def chosen_ids(store: Store, keys: Iterable[int | str | UUID]) -> tuple[list[bytes], list[int]]:
    """The record ids, and the request ids without a record, that keys name.

    Raises:
        RecordNotFound: no record has the id, and it is no request id with follow-ups.
        AmbiguousId: several records have it; the message lists them.
    """
    records, requests = [], []
    for key in keys:
        try:
            records.append(lookup.find(store, key).id)
        except RecordNotFound:
            text = str(key).strip()
            if not (text.isdecimal() and len(text) <= _LONGEST_REQUEST):
                raise
            request = int(text)
            if not (store.followups(request_id=request) or store.sent_followups(request_id=request)):
                raise
            requests.append(request)
    return records, requests


def whole_trees(store: Store, records: Iterable[bytes]) -> list[bytes]:
    """The records, each with all others of its tree: the root has the messages of its calls, and a tool its data."""
    if not store.stats()["runs"]:
        return list(records)
    found: dict[bytes, None] = {}
    for record_id in records:
        if record_id in found:
            continue
        found[record_id] = None
        row = store.get(record_id)
        root = None if row is None else Record(row).root_id
        if root is not None:
            found |= dict.fromkeys(row.id for row in tree.members(store, UUID(root).bytes))
    return list(found)


def forget(
    store: Store, records: list[bytes], requests: list[int], *, dry_run: bool, whole: bool = True
) -> ForgetReceipt:
    """Forget records, and the follow-ups of requests. Programs call :meth:`plsync.Journal.forget`.

    Args:
        store: the store.
        records: ids of records.
        requests: request ids without a record.
        dry_run: remove nothing.
        whole: whether the store had every event when the records were chosen. On a full disk some stay in the spool.
    """
    at = datetime.now(timezone.utc)
    if dry_run:
        found = _preview(store, records)
        return ForgetReceipt(store.path, store.journal_id(), at, True, found, 0, 0, 0, 0, 0, [])
    report = store.forget(records, requests)
    found = [ForgottenRecord.from_dict(record, _server(store, record["id"])) for record in report["records"]]
    return ForgetReceipt(
        journal=store.path,
        journal_id=store.journal_id(),
        at=at,
        dry_run=False,
        records=found,
        followups=report["followups"],
        frames=report["frames"],
        cache_entries=SearchCache(store.journal_id()).remove({record.record_id for record in found}),
        before=report["before"],
        after=report["after"],
        waiting=[*_waiting(report, found), *([] if whole else [_NOT_SEARCHED])],
    )


def _server(store: Store, record_id: bytes) -> str | None:
    row = store.get(record_id)
    return None if row is None else row.server


def _preview(store: Store, records: list[bytes]) -> list[ForgottenRecord]:
    """The records before a removal, with the numbers of their events and follow-ups."""
    found = []
    for record_id in dict.fromkeys(records):
        row = store.get(record_id)
        if row is None:
            continue
        state = STATES[row.state]
        found.append(
            ForgottenRecord(
                record_id=str(UUID(bytes=record_id)),
                request_id=row.request_id,
                state=state,
                at_promptlayer=_SENT.get(state, "no"),
                was_forgotten=bool(row.flags & FLAG_FORGOTTEN),
                running=row.ended == 0,
                events=sum(body is not None for body in (row.start, row.end)),
                labels=0,
                followups=len(store.followups(record_id=record_id)) + len(store.sent_followups(record_id=record_id)),
                callbacks=0,
                server=row.server,
            )
        )
    return found


def _waiting(report: dict[str, Any], records: list[ForgottenRecord]) -> Iterable[str]:
    for file in report["skipped"]:
        yield f"spool/{file['name']} could not be searched: it {file['reason']}. Run this again as its owner."
    for file in report["unreadable"]:
        yield (
            f"{file['name']} has {file['bytes']:,} unreadable bytes, which may be of any record. "
            "Remove the file if you need no salvage of it."
        )
    if report["lacks_room"]:
        yield (
            "The disk had no room for a copy of the store, so the store's file may keep old bytes in its pages. "
            "Free some space, and run `plsync compact`."
        )
    if report["has_leftovers"]:
        yield "An old file of the store is still open in another process. Run `plsync compact` when it has ended."
    running = sum(record.running for record in records)
    if running:
        yield f"{running:,} of the calls had not ended. plsync drops and overwrites their ends when it ingests them."
