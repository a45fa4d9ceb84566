"""The order of a recording: recording the same calls again writes the same lines in the same places.

Calls end in any order, and each line is appended when its call ends. Closing a recording sorts the file. Lines that the
file had before keep their places. A new line follows the line of the call that began before it. Calls that ran at the
same time are sorted by their requests, since chance decides which of them began first.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from plsync.journal.events.tagged import MESSAGES, TAG
from plsync.replay.storage.file import key_of

__all__ = ["NewLine", "ordered_lines"]

# Parts of a message that differ each time a model returns the same response.
_VARYING: Final = frozenset({"id", "created", "created_at", "request_id", "system_fingerprint"})
_TOOL_CALLS: Final = ("tool_calls", "tool_call_chunks", "invalid_tool_calls")


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line that this process has recorded, and when its call ran."""

    line: bytes
    start_ns: int
    """Start of the call, in monotonic nanoseconds."""
    end_ns: int
    """End of the call, likewise."""


def ordered_lines(lines: Sequence[bytes], new: list[NewLine], old: Sequence[bytes] = ()) -> list[bytes]:
    """The lines of a file in their order.

    Args:
        lines: every line of the file, the new ones included.
        new: the lines of this process. A line whose response did not change becomes the line that it replaces.
        old: the lines that new lines may replace, because the recording is made again.
    """
    order, places, present = _split(lines, new, old)
    followers: list[list[bytes]] = [[] for _ in range(len(order) + 1)]
    place = len(order)  # behind the last line
    new[:] = _by_time(new)
    for number, added in enumerate(new):
        if not present[added.line]:  # the user edited or removed the line, and the edit stays
            continue
        present[added.line] -= 1
        if replaceable := places[key_of(added.line)]:
            place = replaceable.popleft()
            if _same_response(order[place], added.line):
                new[number] = replace(added, line=order[place])
            else:
                order[place] = added.line
        else:
            followers[place].append(added.line)
    return [line for number, own in enumerate([*order, None]) for line in (own, *followers[number]) if line is not None]


def _split(
    lines: Sequence[bytes], new: Sequence[NewLine], old: Sequence[bytes]
) -> tuple[list[bytes], defaultdict[bytes | None, deque[int]], Counter[bytes]]:
    """The lines that are not new, the places of replaceable lines by key, and the new lines that the file holds."""
    unseen, replaceable = Counter(added.line for added in new), Counter(old)
    order: list[bytes] = []
    places: defaultdict[bytes | None, deque[int]] = defaultdict(deque)
    present: Counter[bytes] = Counter()
    for line in lines:
        if unseen[line]:
            unseen[line] -= 1
            present[line] += 1
            continue
        if replaceable[line]:
            replaceable[line] -= 1
            places[key_of(line)].append(len(order))
        order.append(line)
    return order, places, present


def _by_time(new: Sequence[NewLine]) -> list[NewLine]:
    """New lines by start; lines of calls that overlap by request."""
    ordered: list[NewLine] = []
    overlapping: list[NewLine] = []
    end = 0
    for added in sorted(new, key=lambda added: added.start_ns):
        if overlapping and added.start_ns >= end:
            ordered += sorted(overlapping, key=_request_bytes)
            overlapping = []
        overlapping.append(added)
        end = max(end, added.end_ns)
    return ordered + sorted(overlapping, key=_request_bytes)


def _request_bytes(added: NewLine) -> bytes:
    return orjson.dumps(orjson.loads(added.line)["request"], option=orjson.OPT_SORT_KEYS)


def _same_response(old: bytes, new: bytes) -> bool:
    """Whether two lines differ only in values that always vary, so that the old line may stay."""
    try:
        one, other = orjson.loads(old), orjson.loads(new)
    except orjson.JSONDecodeError:  # the old line is damaged, and the new one repairs it
        return False
    return bool(_without_varying({**one, "ms": None}) == _without_varying({**other, "ms": None}))


def _without_varying(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_varying(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = value.get("v")
    if value.get(TAG) in MESSAGES and isinstance(fields, dict):
        value = {**value, "v": _stable_fields(fields)}
    return {key: _without_varying(item) for key, item in value.items()}


def _stable_fields(fields: dict[str, Any]) -> dict[str, Any]:
    kept = {key: item for key, item in fields.items() if key != "id"}
    for key in _TOOL_CALLS:
        if isinstance(kept.get(key), list):
            kept[key] = [{**call, "id": None} if isinstance(call, dict) else call for call in kept[key]]
    if isinstance(metadata := kept.get("response_metadata"), dict):
        kept["response_metadata"] = {key: item for key, item in metadata.items() if key not in _VARYING}
    return kept
