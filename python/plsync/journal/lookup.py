"""Finds one record by one of its ids, with git's rules for abbreviations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypedDict
from uuid import UUID

from plsync.errors import AmbiguousId, InvalidFollowUp, RecordNotFound

if TYPE_CHECKING:
    from plsync._common.native import Row, Store

__all__ = ["Target", "abbreviate", "find", "target", "unknown"]

_SHORTEST: Final = 4
_MOST_LISTED: Final = 5
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
        key: a record id or an abbreviation of it (4 digits or more), a run id, or PromptLayer's request id.

    Raises:
        RecordNotFound: no record has that id.
        AmbiguousId: several records have it; the message lists them.
    """
    if isinstance(key, int):
        return _one(store, _by_request(store, key), str(key))
    text = str(key).strip().lower()
    digits = text.replace("-", "")
    if not _HEX.fullmatch(text) or len(digits) > 32:
        raise RecordNotFound(f"{str(key)!r} is not a record id: ids are hex digits, and `plsync list` shows them")
    ids = store.ids_starting_with(digits, _MOST_LISTED + 1) if len(digits) >= _SHORTEST else []
    if not ids and len(digits) == 32:
        ids = store.by_label("r", bytes.fromhex(digits), _MOST_LISTED + 1)
    if not ids and text.isdecimal():
        ids = _by_request(store, int(text))
    if not ids and len(digits) < _SHORTEST:
        raise RecordNotFound(f"{text!r} is too short for a record id: use at least {_SHORTEST} of its digits")
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
        AmbiguousId: several records have the run id; the message lists them.
        InvalidFollowUp: ``key`` is not an id.
    """
    if isinstance(key, int) and not isinstance(key, bool):
        return _request(key)
    if not isinstance(key, str | UUID):
        raise InvalidFollowUp(f"{key!r} is not a request id, record id or run id; nothing was queued")
    text = str(key).strip().lower()
    digits = text.replace("-", "")
    if text.isdecimal() and len(text) <= _LONGEST_REQUEST:
        return _request(int(text))
    if not _HEX.fullmatch(text) or len(digits) != 32:
        message = f"{text!r} is not a request id, record id or run id; nothing was queued: use the whole id"
        raise InvalidFollowUp(message)
    id_bytes = bytes.fromhex(digits)
    ids = _by_record_or_run(store, id_bytes)
    if not ids:
        ingest()
        ids = _by_record_or_run(store, id_bytes)
    if len(ids) > 1:
        raise AmbiguousId(
            f"{text} is the run of more than one record: {_listed(ids)}; nothing was queued: use a record id"
        )
    if not ids:
        raise unknown(key, store.path)
    return {"record_id": ids[0]}


def unknown(key: object, path: str) -> RecordNotFound:
    """The error for a follow-up whose record id no record has."""
    return RecordNotFound(f"no record has the id {key} in {path}; nothing was queued: `plsync list` shows the ids")


def abbreviate(record_id: str, digits: int) -> str:
    """The first ``digits`` hex digits of a record id, with its dashes.

    >>> abbreviate("0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b", 10)
    '0199a3b2-c4'
    """
    dashes = sum(digits > position for position in (8, 12, 16, 20))
    return record_id[: digits + dashes]


def _by_record_or_run(store: Store, id_bytes: bytes) -> list[bytes]:
    return [id_bytes] if store.get(id_bytes) is not None else store.by_label("r", id_bytes, _MOST_LISTED + 1)


def _by_request(store: Store, request_id: int) -> list[bytes]:
    # The store keeps request ids as unsigned 64-bit numbers.
    return store.by_request(request_id) if 0 <= request_id < 1 << 64 else []


def _request(request_id: int) -> Target:
    if not 0 < request_id < 1 << 63:
        raise InvalidFollowUp(f"{request_id} is not a request id; nothing was queued")
    return {"request_id": request_id}


def _listed(ids: list[bytes]) -> str:
    shown = ", ".join(str(UUID(bytes=found)) for found in ids[:_MOST_LISTED])
    return shown + (", ..." if len(ids) > _MOST_LISTED else "")


def _one(store: Store, ids: list[bytes], key: str) -> Row:
    if len(ids) > 1:
        raise AmbiguousId(f"{key} names more than one record: {_listed(ids)}; use more digits or a whole record id")
    row = store.get(ids[0]) if ids else None
    if row is None:
        raise RecordNotFound(f"no record has the id {key} in {store.path}; `plsync list` shows the ids")
    return row
