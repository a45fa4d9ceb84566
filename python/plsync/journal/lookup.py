"""Finding one record by what a person has at hand, by git's rules for abbreviations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypedDict
from uuid import UUID

from plsync.errors import AmbiguousId, InvalidFollowUp, RecordNotFound

if TYPE_CHECKING:
    from plsync._common.native import Row, Store
    from plsync.journal.journal import Journal

__all__ = ["abbreviate", "find", "target", "unknown"]

_SHORTEST: Final = 4
_SHOWN: Final = 5
_HEX: Final = re.compile(r"[0-9a-f-]+")
# Digits of the largest number that PromptLayer's ids can be.
_LONGEST_REQUEST: Final = 19


class _Target(TypedDict, total=False):
    """One of the two."""

    record_id: bytes
    request_id: int


def find(store: Store, key: str | int | UUID) -> Row:
    """The row ``key`` names: a record id or an abbreviation of it, a run id, or PromptLayer's request id.

    Raises:
        RecordNotFound: nothing has that id.
        AmbiguousId: several records do; the message lists them.
    """
    if isinstance(key, int):
        return _one(store, _by_request(store, key), str(key))
    text = str(key).strip().lower()
    nibbles = text.replace("-", "")
    if not _HEX.fullmatch(text) or len(nibbles) > 32:
        raise RecordNotFound(f"{str(key)!r} is not a record id: ids are hex digits, as `plsync list` shows them")
    ids = store.resolve(nibbles, _SHOWN + 1) if len(nibbles) >= _SHORTEST else []
    if not ids and len(nibbles) == 32:
        ids = store.by_label("r", bytes.fromhex(nibbles), _SHOWN + 1)
    if not ids and text.isdecimal():
        ids = _by_request(store, int(text))
    if not ids and len(nibbles) < _SHORTEST:
        raise RecordNotFound(f"{text!r} is too short for a record id: give at least {_SHORTEST} of its digits")
    return _one(store, ids, text)


def target(journal: Journal, store: Store, key: int | str | UUID) -> _Target:
    """What a follow-up is about, as the store takes it. Ids are given whole: no program should rest on an abbreviation.

    Digits alone are a request id, which the journal need not know.

    Raises:
        RecordNotFound: it is a record id or run id, and no record has it.
        AmbiguousId: it is the run id of several records; the message lists them.
        InvalidFollowUp: it is no id.
    """
    if isinstance(key, int) and not isinstance(key, bool):
        return _request(key)
    if not isinstance(key, str | UUID):
        raise InvalidFollowUp(f"{key!r} is no request id, record id or run id; nothing was queued")
    text = str(key).strip().lower()
    nibbles = text.replace("-", "")
    if text.isdecimal() and len(text) <= _LONGEST_REQUEST:
        return _request(int(text))
    if not _HEX.fullmatch(text) or len(nibbles) != 32:
        raise InvalidFollowUp(f"{text!r} is no request id, record id or run id; nothing was queued: give the whole id")
    wanted = bytes.fromhex(nibbles)
    if store.get(wanted) is not None:
        return {"record_id": wanted}
    ids = store.by_label("r", wanted, _SHOWN + 1)
    if not ids:
        # A call of a moment ago, which nobody has taken in yet.
        journal.ingest(wait=True)
        ids = [wanted] if store.get(wanted) is not None else store.by_label("r", wanted, _SHOWN + 1)
    if len(ids) > 1:
        raise AmbiguousId(
            f"{text} is the run of more than one record: {_listed(ids)}; nothing was queued: give a record id"
        )
    if not ids:
        raise unknown(key, store.path)
    return {"record_id": ids[0]}


def unknown(key: object, path: str) -> RecordNotFound:
    """No record has the id that a follow-up names."""
    return RecordNotFound(
        f"no record has the id {key} in {path}; nothing was queued: `plsync list` shows the ids there are"
    )


def abbreviate(record_id: str, digits: int) -> str:
    """The first ``digits`` hex digits of a record id, dashes kept in between, so that it is still its beginning.

    >>> abbreviate("0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b", 10)
    '0199a3b2-c4'
    """
    dashes = sum(digits > position for position in (8, 12, 16, 20))
    return record_id[: digits + dashes]


def _by_request(store: Store, request_id: int) -> list[bytes]:
    # The store keeps request ids as unsigned 64-bit numbers; nothing outside that range can be one.
    found = store.by_request(request_id) if 0 <= request_id < 1 << 64 else None
    return [] if found is None else [found]


def _request(request_id: int) -> _Target:
    if not 0 < request_id < 1 << 63:
        raise InvalidFollowUp(f"{request_id} is no request id; nothing was queued")
    return {"request_id": request_id}


def _listed(ids: list[bytes]) -> str:
    shown = ", ".join(str(UUID(bytes=found)) for found in ids[:_SHOWN])
    return shown + (", ..." if len(ids) > _SHOWN else "")


def _one(store: Store, ids: list[bytes], key: str) -> Row:
    if len(ids) > 1:
        raise AmbiguousId(f"{key} names more than one record: {_listed(ids)}; give more digits or a whole record id")
    row = store.get(ids[0]) if ids else None
    if row is None:
        raise RecordNotFound(f"no record has the id {key} in {store.path}; `plsync list` shows the ids there are")
    return row
