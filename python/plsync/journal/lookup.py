"""Finds one record by one of its ids, with git's rules for abbreviations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypedDict
from uuid import UUID

from plsync._common.native import FLAG_RUN
from plsync._common.paths import current_delivery, current_journal
from plsync.errors import AmbiguousId, InvalidFollowUp, RecordNotFound
from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync._common.native import Row, Store

__all__ = ["Target", "abbreviate", "find", "short_id", "target", "unknown"]

_SHORTEST: Final = 4
_WHOLE: Final = 32
_ABBREVIATED: Final = range(_SHORTEST, _WHOLE + 1)
_MOST_LISTED: Final = 5
# An error holds this many of the records that an id names.
_MOST_CANDIDATES: Final = 20
# In front of the end of an id.
_ELLIPSES: Final = ("…", "...")
_HEX: Final = re.compile(r"[0-9a-f-]+")
# Digits of the largest request id.
_LONGEST_REQUEST: Final = 19


class Target(TypedDict, total=False):
    """The subject of a follow-up: one of the two keys."""

    record_id: bytes
    request_id: int


def find(store: Store, key: str | int | UUID) -> Row:
    """The row of one record.

    Args:
        store: the journal's.
        key: a record id, its beginning or its end (4 digits or more), a run id, or PromptLayer's request id, also as
            ``#4711``. An end may have an ellipsis in front.

    Raises:
        RecordNotFound: no record has that id.
        AmbiguousId: several records have it; the message lists them.
    """
    if isinstance(key, int):
        return _one(store, _by_request(store, key), str(key))
    text = _written(key)
    if text.startswith(_ELLIPSES) and _HEX.fullmatch(text.lstrip("….")):
        return _one(store, _by_end(store, text.lstrip("….")), text)
    digits = text.replace("-", "")
    is_hex = _HEX.fullmatch(text) is not None
    ids = store.ids_starting_with(digits, _MOST_CANDIDATES + 1) if is_hex and len(digits) in _ABBREVIATED else []
    if not ids and is_hex and len(digits) == _WHOLE:
        ids = store.by_label("r", bytes.fromhex(digits), _MOST_CANDIDATES + 1)
    number = _request_number(text)
    if not ids and number is not None:
        ids = _by_request(store, number)
    ids = ids or _by_end(store, text)
    if not ids and f"#{number}" != text and (not is_hex or len(digits) not in _ABBREVIATED):
        raise RecordNotFound(f"{str(key)!r} is {_malformed(len(digits) if is_hex else None)}")
    return _one(store, ids, text)


def target(store: Store, key: int | str | UUID, ingest: Callable[[], object]) -> Target:
    """The subject of a follow-up, in the store's terms.

    Args:
        store: the journal's.
        key: a whole record id, run id or request id: no program should depend on an abbreviation. Digits alone are a
            request id, which the journal need not know.
        ingest: moves recent calls from the spool into the store. Called when no record has the id.

    Raises:
        RecordNotFound: no record has the record id or run id.
        AmbiguousId: several records have the run id or the request id; the message lists them.
        InvalidFollowUp: ``key`` is not an id.
    """
    if isinstance(key, int) and not isinstance(key, bool):
        return _request(store, key)
    if not isinstance(key, str | UUID):
        raise InvalidFollowUp(f"{key!r} is not a request id, record id or run id; nothing was queued")
    text = _written(key)
    digits = text.replace("-", "")
    if (number := _request_number(text)) is not None:
        return _request(store, number)
    if not _HEX.fullmatch(text) or len(digits) != _WHOLE:
        message = f"{text!r} is not a request id, record id or run id; nothing was queued: use the whole id"
        raise InvalidFollowUp(message)
    id_bytes = bytes.fromhex(digits)
    ids = _by_record_or_run(store, id_bytes)
    if not ids:
        ingest()
        ids = _by_record_or_run(store, id_bytes)
    if len(ids) > 1:
        message = f"{text} is the run of more than one record: {_listed(ids)}; nothing was queued: use a record id"
        raise AmbiguousId(message, _candidates(store, ids))
    if not ids:
        raise unknown(key, store.path)
    row = store.get(ids[0])
    if row is not None and row.flags & FLAG_RUN:
        message = f"{text} is a {Record(row).kind}, which has no request id; nothing was queued: use the id of a call"
        raise InvalidFollowUp(message)
    return {"record_id": ids[0]}


def unknown(key: object, path: str) -> RecordNotFound:
    """The error for a follow-up whose record id no record has."""
    return RecordNotFound(f"no record has the id {key} in {path}; nothing was queued: `plsync list` shows the ids")


def short_id(store: Store, record: Record, digits: int = 8) -> str:
    """The shortest beginning of a record's id that names only this record, and at least ``digits`` long."""
    return abbreviate(record.id, max(digits, store.short_id_length(UUID(record.id).bytes)))


def abbreviate(record_id: str, digits: int) -> str:
    """The first ``digits`` hex digits of a record id, with its dashes.

    >>> abbreviate("0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b", 10)
    '0199a3b2-c4'
    """
    dashes = sum(digits > position for position in (8, 12, 16, 20))
    return record_id[: digits + dashes]


def _by_record_or_run(store: Store, id_bytes: bytes) -> list[bytes]:
    return [id_bytes] if store.get(id_bytes) is not None else store.by_label("r", id_bytes, _MOST_CANDIDATES + 1)


def _by_end(store: Store, text: str) -> list[bytes]:
    """The ids that end with these digits, as ``plsync list`` shows them."""
    digits = text.replace("-", "")
    is_end = len(digits) in _ABBREVIATED and _HEX.fullmatch(digits) is not None
    return store.ids_ending_with(digits, _MOST_CANDIDATES + 1) if is_end else []


def _by_request(store: Store, request_id: int) -> list[bytes]:
    # The store keeps request ids as unsigned 64-bit numbers.
    return store.by_request(request_id) if 0 <= request_id < 1 << 64 else []


def _request(store: Store, request_id: int) -> Target:
    if not 0 < request_id < 1 << 63:
        raise InvalidFollowUp(f"{request_id} is not a request id; nothing was queued")
    delivery, journal = current_delivery.get(), current_journal.get()
    if delivery is not None and delivery.request_id == request_id and str(journal) == store.path:
        return {"record_id": delivery.record_id}
    ids = store.by_request(request_id)
    if len(ids) > 1:
        several = f"the request id {request_id} is of more than one record: {_listed(ids)}"
        message = f"{several}; nothing was queued: use a record id"
        raise AmbiguousId(message, _candidates(store, ids))
    return {"request_id": request_id}


def _written(key: str | int | UUID) -> str:
    return str(key).strip().lower()


def _request_number(text: str) -> int | None:
    digits = text.removeprefix("#")
    return int(digits) if digits.isdecimal() and len(digits) <= _LONGEST_REQUEST else None


def _malformed(digits: int | None) -> str:
    """Why a text with a number of hex digits, or with other characters, is no id of a record."""
    if digits is None:
        return "not a record id: ids are hex digits, and `plsync list` shows them"
    if digits < _SHORTEST:
        return f"too short for a record id: use at least {_SHORTEST} of its digits"
    return f"not a record id: it has {digits} hex digits, and a whole id has {_WHOLE}; `plsync list` shows the ids"


def _listed(ids: list[bytes]) -> str:
    shown = ", ".join(str(UUID(bytes=found)) for found in ids[:_MOST_LISTED])
    return shown + (", ..." if len(ids) > _MOST_LISTED else "")


def _candidates(store: Store, ids: list[bytes]) -> dict[str, Record]:
    rows = [row for found in sorted(ids) if (row := store.get(found)) is not None]
    return {short_id(store, record): record for record in map(Record, rows)}


def _one(store: Store, ids: list[bytes], key: str) -> Row:
    if len(ids) > 1:
        message = f"{key} names more than one record: {_listed(ids)}; use more digits or a whole record id"
        raise AmbiguousId(message, _candidates(store, ids))
    row = store.get(ids[0]) if ids else None
    if row is None:
        raise RecordNotFound(f"no record has the id {key} in {store.path}; `plsync list` shows the ids")
    return row
