"""A difference of two lists of lines whose cost is bounded: a recording may hold long and repetitive texts."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["is_cheap", "ratio", "unified"]

Range = tuple[int, int, int, int]
"""The begin and the end of lines on both sides."""

# Pairs of equal lines times the possible number of blocks: difflib takes about this number of steps. A million take a
# tenth of a second.
_MOST_STEPS: Final = 3_000_000


def ratio(one: Sequence[str], other: Sequence[str]) -> float:
    """The share of equal lines, in order, between 0 and 1."""
    equal = sum(end - start for start, end, _, _ in _blocks(one, other))
    return 2 * equal / ((len(one) + len(other)) or 1)


def unified(one: Sequence[str], other: Sequence[str], context: int = 1) -> Iterator[str]:
    """The lines of a unified difference without its head: ``@@`` lines, and lines with a sign in front.

    >>> list(unified(["a", "b"], ["a", "c"]))
    ['@@ -1,2 +1,2 @@', ' a', '-b', '+c']
    """
    matcher = difflib.SequenceMatcher(None, "", "")
    matcher.opcodes = _opcodes(one, other)  # type: ignore[attr-defined]
    for group in matcher.get_grouped_opcodes(context):
        first, last = group[0], group[-1]
        yield f"@@ -{_lines_of(first[1], last[2])} +{_lines_of(first[3], last[4])} @@"
        for tag, start, end, other_start, other_end in group:
            if tag == "equal":
                yield from (f" {line}" for line in one[start:end])
                continue
            yield from (f"-{line}" for line in one[start:end])
            yield from (f"+{line}" for line in other[other_start:other_end])


def is_cheap(one: Sequence[str], other: Sequence[str], most: int) -> bool:
    """Whether at most ``most`` pairs of an item of each side are equal."""
    return _pairs(one, other) <= most


def _pairs(one: Sequence[str], other: Sequence[str]) -> int:
    counts = Counter(other)
    return sum(number * counts[item] for item, number in Counter(one).items())


def _opcodes(one: Sequence[str], other: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    found = []
    at, other_at = 0, 0
    for start, end, other_start, other_end in [*_blocks(one, other), (len(one), len(one), len(other), len(other))]:
        if at < start or other_at < other_start:
            kind = "insert" if at == start else "delete" if other_at == other_start else "replace"
            found.append((kind, at, start, other_at, other_start))
        if start < end:
            found.append(("equal", start, end, other_start, other_end))
        at, other_at = end, other_end
    return found


def _blocks(one: Sequence[str], other: Sequence[str]) -> list[Range]:
    """The blocks of equal lines, in order."""
    blocks: list[Range] = []
    steps = _MOST_STEPS
    ranges: list[tuple[Range, bool]] = [((0, len(one), 0, len(other)), True)]
    while ranges:
        (start, end, other_start, other_end), may_split = ranges.pop()
        length = _common(one[start:end], other[other_start:other_end])
        blocks.append((start, start + length, other_start, other_start + length))
        start, other_start = start + length, other_start + length
        length = _common(one[start:end][::-1], other[other_start:other_end][::-1])
        blocks.append((end - length, end, other_end - length, other_end))
        end, other_end = end - length, other_end - length
        if start == end or other_start == other_end:
            continue
        lines, other_lines = one[start:end], other[other_start:other_end]
        cost = _pairs(lines, other_lines) * min(len(lines), len(other_lines))
        if cost <= steps:
            steps -= cost
            matcher = difflib.SequenceMatcher(None, lines, other_lines, autojunk=False)
            for at, other_at, size in matcher.get_matching_blocks():
                blocks.append((start + at, start + at + size, other_start + other_at, other_start + other_at + size))
        elif may_split:
            anchors = [(start + at, other_start + other_at) for at, other_at in _anchors(lines, other_lines)]
            for at, other_at in anchors:
                ranges.append(((start, at, other_start, other_at), False))
                blocks.append((at, at + 1, other_at, other_at + 1))
                start, other_start = at + 1, other_at + 1
            if anchors:
                ranges.append(((start, end, other_start, other_end), False))
    return _joined(sorted(block for block in blocks if block[0] < block[1]))


def _joined(blocks: list[Range]) -> list[Range]:
    joined: list[Range] = []
    for block in blocks:
        if joined and joined[-1][1] == block[0] and joined[-1][3] == block[2]:
            joined[-1] = (joined[-1][0], block[1], joined[-1][2], block[3])
        else:
            joined.append(block)
    return joined


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """The number of equal lines at the begin of both sides."""
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)


def _anchors(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Lines that each side has once, in the longest order that both sides share (a patience difference)."""
    counts, other_counts = Counter(one), Counter(other)
    other_at = {line: at for at, line in enumerate(other) if other_counts[line] == 1}
    pairs = [(at, other_at[line]) for at, line in enumerate(one) if counts[line] == 1 and line in other_at]
    tails: list[int] = []
    tail_pairs: list[int] = []
    before: list[int] = []
    for number, (_, position) in enumerate(pairs):
        length = bisect_left(tails, position)
        before.append(tail_pairs[length - 1] if length else -1)
        tails[length : length + 1] = [position]
        tail_pairs[length : length + 1] = [number]
    found = []
    number = tail_pairs[-1] if tail_pairs else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]


def _lines_of(start: int, end: int) -> str:
    """The lines of a side as in a unified difference, where line 1 is the first."""
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
