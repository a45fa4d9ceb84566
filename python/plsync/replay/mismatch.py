"""The message for a request that no recorded call matches: the nearest call, and a line-by-line difference."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from plsync._common.large_json import dumps
from plsync._terminal import visible
from plsync.errors import RecordingFormatError
from plsync.replay import line_diff
from plsync.replay.invisible import escaped_pairs
from plsync.replay.request.request import Request
from plsync.replay.storage.recorded_call import RecordedCall

__all__ = ["explain", "explain_stopped", "explain_stream_end", "request_lines"]

# The number of calls that are compared in full. The number of shared lines selects them.
_FULL_COMPARISONS: Final = 5
_FEW_CHARACTERS: Final = 4000
# Pairs of equal characters: English of the length above has fewer. Repetitive texts are compared by lines.
_MOST_PAIRS: Final = 400_000
_LONGEST_LINE: Final = 400
_LONGEST_SETTINGS: Final = 4000
_MAX_LINES: Final = 60
_WIDTH: Final = 110


def explain(
    request: Request, source: str, recorded_calls: Sequence[RecordedCall], *, recorded: int, mode: str | None
) -> str:
    """The message for a request that cannot be served.

    Args:
        request: the request.
        source: the path of the recording or journal.
        recorded_calls: the calls among which the nearest one is searched.
        recorded: the number of calls that match the request and were all served already.
        mode: the mode of the recording; ``None`` for a journal.
    """
    if recorded:
        times = "once" if recorded == 1 else f"{recorded} times"
        head = f"this request was recorded {times} in {source}, and the program makes it once more; no model was called"
        advice = "record it again, or open the recording with exhausted='repeat'"
        return f"{head}: {advice}\n{_indented(request_lines(request))}"
    head = f"no recorded call in {source} matches this request; no model was called"
    nearest = _nearest(request, recorded_calls)
    if nearest is None:
        reason = "no similar call is recorded" if recorded_calls else "nothing is recorded there"
        advice = _advice("new" if mode == "none" and not os.path.exists(source) else mode)
        return f"{head}: {reason}. {advice}\n{_indented(request_lines(request))}"
    call, ratio = nearest
    difference = _difference(call.request, request)
    return f"{head}. {_advice(mode)}\nThe nearest call is in {call.location} ({ratio:.0%} alike):\n{difference}"


def explain_stopped(call: RecordedCall, source: str) -> str:
    """The message for a request whose only recorded response is not complete."""
    if call.given_up:
        return (
            f"the recorded program cancelled this call ({call.location} of {source}), which only async code replays; "
            "no model was called: record the call again"
        )
    return (
        f"the recorded program stopped reading this response ({call.location} of {source}), so its end is unknown; "
        "no model was called: record the call again"
    )


def explain_given_up(waited: float, source: str) -> str:
    """The message for a program that waits for a call that the recorded program cancelled.

    Args:
        waited: the seconds after which the recorded program cancelled the call.
        source: the path of the recording.
    """
    return (
        f"the recorded program cancelled this call after {waited:.1f} s, so its response is unknown, and this program "
        f"waits longer; no model was called. The call was served from {source}: record the call again"
    )


def explain_stream_end(chunks: int, source: str) -> str:
    """The message for a stream that is read further than the recorded program read it.

    Args:
        chunks: the number of chunks that were served.
        source: the path of the recording.
    """
    return (
        f"the recorded program stopped reading this response after {chunks} chunks, so the rest is unknown. "
        f"The chunks were served from {source}: record the call again to read on"
    )


def request_lines(request: Request, shown: Mapping[str, str] | None = None) -> list[str]:
    """A request as lines of ``path: value``; a text of several lines or sentences takes one line for each.

    Args:
        request: the request.
        shown: texts that replace values, by path.

    >>> request_lines(Request("llm", {"prompt": "Why? Please answer.", "stop": ["x"]}))
    ['prompt: Why?', 'prompt| Please answer.', 'stop[0]: x']
    """
    lines = list(_lines("", request.body, shown or {}))
    # The model chooses among matching calls, and ``match`` may compare it.
    lines += [f"model: {request.model}"] if request.model else []
    return lines + list(_lines("model_settings", request.model_settings, {})) * bool(request.model_settings)


def _lines(path: str, value: Any, shown: Mapping[str, str]) -> Iterator[str]:
    if path in shown:
        yield f"{path}: {shown[path]}"
    elif isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _lines(f"{path}.{key}" if path else str(key), item, shown)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _lines(f"{path}[{number}]", item, shown)
    else:
        text = value if isinstance(value, str) else dumps(value).decode()
        first, *rest = _pieces(text)
        yield f"{path}: {first}"
        yield from (f"{path}| {piece}" for piece in rest)


def _pieces(text: str) -> list[str]:
    """Lines, sentences, then words: a change in the text moves no piece behind it."""
    pieces: list[str] = []
    for line in text.split("\n"):
        for sentence in re.split(r"(?<=[.!?;]) +", line):
            at = 0
            while len(sentence) - at > _WIDTH:
                cut = sentence.rfind(" ", at + 1, at + _WIDTH) + 1 or at + _WIDTH
                pieces.append(sentence[at:cut].rstrip())
                at = cut
            pieces.append(sentence[at:])
    return pieces


def _nearest(request: Request, calls: Sequence[RecordedCall]) -> tuple[RecordedCall, float] | None:
    """The most similar call, and its similarity between 0 and 1."""
    wanted_lines = request_lines(request)
    wanted = Counter(wanted_lines)
    scored = []
    for number, call in enumerate(calls):
        try:
            lines = request_lines(call.request)
        except RecordingFormatError:
            continue
        shared = sum((wanted & Counter(lines)).values())
        scored.append((2 * shared / ((len(wanted_lines) + len(lines)) or 1), -number, call, lines))
    best: tuple[float, RecordedCall] | None = None
    for _, _, call, lines in sorted(scored, key=lambda score: score[:2], reverse=True)[:_FULL_COMPARISONS]:
        ratio = _ratio(lines, wanted_lines)
        if best is None or ratio > best[0]:
            best = ratio, call
    return None if best is None else (best[1], best[0])


def _ratio(lines: list[str], other_lines: list[str]) -> float:
    # Only values are compared: the paths are similar in any two requests.
    lines, other_lines = ([re.split(r"[:|] ", line, maxsplit=1)[-1] for line in side] for side in (lines, other_lines))
    one, other = "\n".join(lines), "\n".join(other_lines)
    # A comparison by characters is better, and fast enough for short texts.
    if len(one) + len(other) <= _FEW_CHARACTERS and line_diff.is_cheap(one, other, _MOST_PAIRS):
        return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
    return line_diff.ratio(lines, other_lines)


def _difference(recorded: Request, current: Request) -> str:
    if not current.model_settings:  # a journal always has them
        recorded = replace(recorded, model_settings={})
    shown, current_shown = escaped_pairs(recorded.body, current.body)
    one, other = request_lines(recorded, shown), request_lines(current, current_shown)
    changes = list(line_diff.unified(one, other))
    if not changes:
        settings = f"recorded settings {recorded.settings}, requested settings {current.settings}"
        if len(settings) > _LONGEST_SETTINGS:
            settings = f"{settings[:_LONGEST_SETTINGS]}..."
        return f"    (only parts differ that are not shown, but that `match` compares: {settings})"
    return _indented(["--- recorded", "+++ requested", *changes])


def _indented(lines: list[str]) -> str:
    if len(lines) > _MAX_LINES:
        lines = [*lines[:_MAX_LINES], f"... and {len(lines) - _MAX_LINES} more lines"]
    # A line begins with the path of its value, which may be longer than the value.
    lines = [line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..." for line in lines]
    # A name of a request may have a newline. A line of the message must not begin with a text of the request.
    return "\n".join("    " + visible(line).replace("\n", "\\n") for line in lines)


def _advice(mode: str | None) -> str:
    if mode is None:
        return "To add calls, write the journal into a recording with `plsync export`, and record into that file"
    if mode == "new":
        return "Record it with mode='once', or `pytest --plsync-record=once`"
    if mode == "none":
        return "Record it with mode='new_episodes', or `pytest --plsync-record=new_episodes`"
    return "mode='once' only serves a recording that exists: use 'new_episodes' to add to it"
