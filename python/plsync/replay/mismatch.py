"""What to say when no recorded call answers a request: which one is nearest, and where it differs, line by line."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from plsync.errors import RecordingFormatError
from plsync.replay.request.request import Request
from plsync.replay.storage.recorded_call import Call

__all__ = ["explain", "request_lines"]

# Compared closely; of the others only the lines they share are counted.
_CLOSELY: Final = 5
_FEW_CHARACTERS: Final = 4000
_MOST_LINES: Final = 60
_WIDTH: Final = 110


def explain(request: Request, source: str, recorded_calls: Sequence[Call], *, recorded: int, mode: str | None) -> str:
    """The message of a miss.

    Args:
        request: what was asked.
        source: the recording's file, or the journal.
        recorded_calls: those to look for the nearest in.
        recorded: how many answers there were to just this request: all of them have been served.
        mode: the recording's; ``None`` for a journal.
    """
    if recorded:
        times = "once" if recorded == 1 else f"{recorded} times"
        advice = "record it anew, or open the recording with exhausted='repeat'"
        return f"this was recorded {times} in {source}, and is asked once more; no model was asked: {advice}\n" + (
            "\n".join(f"    {line}" for line in _shortened(request_lines(request)))
        )
    head = f"no recorded call in {source} answers this one; no model was asked"
    nearest = _nearest(request, recorded_calls)
    if nearest is None:
        asked = "\n".join(f"    {line}" for line in _shortened(request_lines(request)))
        what = "nothing is recorded there" if not recorded_calls else "nothing like it is recorded there"
        return f"{head}: {what}. {_advice(mode)}\n{asked}"
    call, share = nearest
    difference = _difference(call.request, request)
    return f"{head}. {_advice(mode)}\nThe nearest is in {call.where} ({share:.0%} alike):\n{difference}"


def request_lines(request: Request) -> list[str]:
    """A request as lines of ``place: value``; a text of several lines or sentences takes as many.

    >>> request_lines(Request("llm", {"prompt": "Why? Tell me.", "stop": ["x"]}))
    ['prompt: Why?', 'prompt| Tell me.', 'stop[0]: x']
    """
    lines = list(_lines("", request.asked))
    # One who matches by these, or is served by them, wants to see them.
    return lines + ([f"model: {request.model}"] if request.model else [])


def _lines(place: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _lines(f"{place}.{key}" if place else str(key), item)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _lines(f"{place}[{number}]", item)
    else:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        first, *rest = _parts(text)
        yield f"{place}: {first}"
        yield from (f"{place}| {part}" for part in rest)


def _parts(text: str) -> list[str]:
    """Pieces that stay where they are when something before them changes: lines, sentences, then words."""
    parts: list[str] = []
    for line in text.split("\n"):
        for sentence in re.split(r"(?<=[.!?;]) +", line):
            while_long = sentence
            while len(while_long) > _WIDTH:
                cut = while_long.rfind(" ", 1, _WIDTH) + 1 or _WIDTH
                parts.append(while_long[:cut].rstrip())
                while_long = while_long[cut:]
            parts.append(while_long)
    return parts


def _nearest(request: Request, calls: Sequence[Call]) -> tuple[Call, float] | None:
    asked = request_lines(request)
    wanted = Counter(asked)
    scored = []
    for number, call in enumerate(calls):
        try:
            lines = request_lines(call.request)
        except RecordingFormatError:
            continue
        shared = sum((wanted & Counter(lines)).values())
        scored.append((2 * shared / ((len(asked) + len(lines)) or 1), -number, call, lines))
    best: tuple[float, Call] | None = None
    for _, _, call, lines in sorted(scored, key=lambda one: one[:2], reverse=True)[:_CLOSELY]:
        share = _alike(lines, asked)
        if best is None or share > best[0]:
            best = share, call
    return None if best is None else (best[1], best[0])


def _alike(lines: list[str], asked: list[str]) -> float:
    # What is said, and not where: the places are much alike in any two requests.
    lines, asked = ([re.split(r"[:|] ", line, maxsplit=1)[-1] for line in side] for side in (lines, asked))
    one, other = "\n".join(lines), "\n".join(asked)
    # By characters as long as that takes no time.
    if len(one) + len(other) <= _FEW_CHARACTERS:
        return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
    return difflib.SequenceMatcher(None, lines, asked, autojunk=False).ratio()


def _difference(recorded: Request, asked: Request) -> str:
    one, other = request_lines(recorded), request_lines(asked)
    lines = list(difflib.unified_diff(one, other, "recorded", "asked", lineterm="", n=1))
    if not lines:
        settings = f"settings {recorded.settings} were recorded, {asked.settings} asked"
        return f"    (alike, but for what `match` compares: {settings})"
    return "\n".join(f"    {line}" for line in _shortened(lines))


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[:_MOST_LINES], f"... and {len(lines) - _MOST_LINES} more lines"]


def _advice(mode: str | None) -> str:
    if mode is None:
        return "Calls that a journal does not have can be recorded into what `plsync export` makes of it"
    if mode == "none":
        return "Record it with mode='new_episodes', or `pytest --plsync-record=new_episodes`"
    return "A recording that exists is only served from in mode='once': use 'new_episodes' to add to it"
