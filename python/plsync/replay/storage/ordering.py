"""The order of a recording: recording the same calls again writes the same lines in the same places.

Calls end in any order, and each line is appended when its call ends. Closing a recording sorts the file. Lines that the
file had before keep their places. A new line follows the line of the call that began before it. Calls that ran at the
same time are sorted by their requests, since chance decides which of them began first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from plsync._common.large_json import dumps, loads
from plsync.replay.matching import Matcher
from plsync.replay.storage.replacing import replaced_places
from plsync.replay.storage.same_response import same_response

__all__ = ["NewLine", "ordered_lines"]


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line that this process has recorded, and when its call ran."""

    line: bytes
    start_ns: int
    """Start of the call, in monotonic nanoseconds."""
    end_ns: int
    """End of the call, likewise."""


def ordered_lines(
    lines: Sequence[bytes], new: list[NewLine], old: Sequence[bytes] = (), matcher: Matcher | None = None
) -> list[bytes]:
    """The lines of a file in their order.

    Args:
        lines: every line of the file, the new ones included.
        new: the lines of this process. A line whose response did not change becomes the line that it replaces.
        old: the lines that new lines may replace, because the recording is made again.
        matcher: finds the line that a new line replaces.
    """
    order, replaceable, present = _split(lines, new, old)
    followers: list[list[bytes]] = [[] for _ in range(len(order) + 1)]
    place = len(order)  # behind the last line
    new[:] = _by_time(new)
    held: dict[int, bytes] = {}
    for number, added in enumerate(new):
        if present[added.line]:  # otherwise the user edited or removed the line, and the edit stays
            present[added.line] -= 1
            held[number] = added.line
    places = replaced_places(held, replaceable, matcher or Matcher())
    for number, line in held.items():
        if number not in places:
            followers[place].append(line)
            continue
        place = places[number]
        if same_response(order[place], line):
            new[number] = replace(new[number], line=order[place])
        else:
            order[place] = line
    return [line for number, own in enumerate([*order, None]) for line in (own, *followers[number]) if line is not None]


def _split(
    lines: Sequence[bytes], new: Sequence[NewLine], old: Sequence[bytes]
) -> tuple[list[bytes], dict[int, bytes], Counter[bytes]]:
    """The lines that are not new, the replaceable lines by place, and the new lines that the file holds."""
    unseen, replaceable = Counter(added.line for added in new), Counter(old)
    order: list[bytes] = []
    places: dict[int, bytes] = {}
    present: Counter[bytes] = Counter()
    for line in lines:
        if unseen[line]:
            unseen[line] -= 1
            present[line] += 1
            continue
        if replaceable[line]:
            replaceable[line] -= 1
            places[len(order)] = line
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
    call = loads(added.line)
    return dumps([call["request"], call.get("place")], option=orjson.OPT_SORT_KEYS)
