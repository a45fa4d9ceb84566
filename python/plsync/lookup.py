"""Finding one record by what a person has at hand, by git's rules for abbreviations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

from plsync.errors import AmbiguousId, RecordNotFound

if TYPE_CHECKING:
    from plsync._native import Row, Store

__all__ = ["abbreviate", "find"]

_SHORTEST: Final = 4
_SHOWN: Final = 5
_HEX: Final = re.compile(r"[0-9a-f-]+")


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


def _one(store: Store, ids: list[bytes], key: str) -> Row:
    if len(ids) > 1:
        shown = ", ".join(str(UUID(bytes=found)) for found in ids[:_SHOWN])
        more = ", ..." if len(ids) > _SHOWN else ""
        raise AmbiguousId(f"{key} names more than one record: {shown}{more}; give more digits or a whole record id")
    row = store.get(ids[0]) if ids else None
    if row is None:
        raise RecordNotFound(f"no record has the id {key} in {store.path}; `plsync list` shows the ids there are")
    return row
