"""The order of a recording: the same calls recorded anew give the same lines in the same places.

Calls end in any order, and their lines are appended as they do. When a recording is closed, calls it had before keep
their places, and each new one follows the one that began before it. Calls that ran at the same time are put in the
order of their requests, since which of them began first is chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from plsync.journal.events.tagged import MESSAGES, TAG
from plsync.replay.storage.file import key_of

__all__ = ["New", "settled"]

# Of a message: what differs each time the same answer is given.
_VARYING: Final = frozenset({"id", "created", "created_at", "request_id", "system_fingerprint"})
_CALLS: Final = ("tool_calls", "tool_call_chunks", "invalid_tool_calls")


@dataclass(frozen=True, slots=True)
class New:
    """A line this process has recorded, and monotonic ns of its call's start and end."""

    line: bytes
    began: int
    ended: int


def settled(lines: Sequence[bytes], new: list[New], before: Sequence[bytes] = ()) -> list[bytes]:
    """The lines in their order.

    Args:
        lines: the file as it is, what is new included.
        new: what this process has added. A line that says the same as the one it would replace becomes that one.
        before: lines that what is new may replace: those the file had when it was to be recorded anew.
    """
    mine, old = Counter(one.line for one in new), Counter(before)
    order: list[bytes] = []
    places: dict[bytes | None, deque[int]] = defaultdict(deque)
    there: Counter[bytes] = Counter()
    for line in lines:
        if mine[line]:
            mine[line] -= 1
            there[line] += 1
            continue
        if old[line]:
            old[line] -= 1
            places[key_of(line)].append(len(order))
        order.append(line)
    followers: list[list[bytes]] = [[] for _ in range(len(order) + 1)]
    last = len(order)  # behind everything
    new[:] = _in_order(new)
    for number, one in enumerate(new):
        if not there[one.line]:  # edited or removed meanwhile, and that is to stay
            continue
        there[one.line] -= 1
        if replaced := places[key_of(one.line)]:
            last = replaced.popleft()
            if _says_the_same(order[last], one.line):
                new[number] = replace(one, line=order[last])
            else:
                order[last] = one.line
        else:
            followers[last].append(one.line)
    return [line for place, own in enumerate([*order, None]) for line in (own, *followers[place]) if line is not None]


def _in_order(new: Sequence[New]) -> list[New]:
    ordered: list[New] = []
    together: list[New] = []
    until = 0
    for one in sorted(new, key=lambda one: one.began):
        if together and one.began >= until:
            ordered += sorted(together, key=_by_request)
            together = []
        together.append(one)
        until = max(until, one.ended)
    return ordered + sorted(together, key=_by_request)


def _by_request(one: New) -> bytes:
    return orjson.dumps(orjson.loads(one.line)["request"], option=orjson.OPT_SORT_KEYS)


def _says_the_same(old: bytes, new: bytes) -> bool:
    """Whether an answer differs from the one before only in what always differs: then the old line may stay."""
    try:
        one, other = orjson.loads(old), orjson.loads(new)
    except orjson.JSONDecodeError:  # somebody broke the old line; what is recorded anew mends it
        return False
    return bool(_lasting({**one, "ms": None}) == _lasting({**other, "ms": None}))


def _lasting(value: Any) -> Any:
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = value.get("v")
    if value.get(TAG) in MESSAGES and isinstance(fields, dict):
        value = {**value, "v": _without_varying(fields)}
    return {key: _lasting(item) for key, item in value.items()}


def _without_varying(fields: dict[str, Any]) -> dict[str, Any]:
    kept = {key: item for key, item in fields.items() if key != "id"}
    for key in _CALLS:
        if isinstance(kept.get(key), list):
            kept[key] = [{**call, "id": None} if isinstance(call, dict) else call for call in kept[key]]
    if isinstance(metadata := kept.get("response_metadata"), dict):
        kept["response_metadata"] = {key: item for key, item in metadata.items() if key not in _VARYING}
    return kept
