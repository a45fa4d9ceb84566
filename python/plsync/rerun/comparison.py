"""Compares the answers of a rerun with the recorded ones."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Final

from plsync.rerun.answers import Answer
from plsync.rerun.originals import Original

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["Comparison", "Judge", "Sums", "compare"]

Judge = Callable[[Any, "Record"], Any]
"""A measure of the user: it receives the recorded call and the rerun, and returns a number, a bool or a text.

The recorded call is a ``Record``, or the dict of a line of a recording (``docs/reference/recordings.md``).
"""

# The time of a text comparison grows with the product of both lengths.
_MOST_WORDS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """One request: the recorded answer, and the answer of another model."""

    original: str
    """The id of the recorded call."""
    rerun: str
    """The id of the rerun's record."""
    model: str
    """The model of the rerun, as ``PROVIDER:MODEL``."""
    recorded_model: str | None
    tools: bool | None
    """Whether both answers call the same tools with the same arguments. None if the request offers no tools."""
    structured: bool | None
    """Whether both answers have the same structured output. None if the request has no response format."""
    text: float | None
    """How similar the texts are, by words: from 0 to 1. None if neither answer has a text."""
    input_tokens: tuple[int | None, int | None]
    """Of the recorded answer, and of the rerun."""
    output_tokens: tuple[int | None, int | None]
    seconds: tuple[float | None, float | None]
    """The durations of both calls."""
    errors: tuple[str | None, str | None]
    """Why a call has no answer. Then only tokens and durations are compared."""
    judgement: Any = None
    """The return value of the judge."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able. A pair is a dict with the keys ``recorded`` and ``rerun``."""
        pairs = ("input_tokens", "output_tokens", "seconds", "errors")
        return asdict(self) | {
            name: dict(zip(("recorded", "rerun"), getattr(self, name), strict=True)) for name in pairs
        }


@dataclass(slots=True)
class Sums:
    """Sums over comparisons."""

    compared: int = 0
    """Requests with two answers."""
    failed: int = 0
    """Requests to which one of the calls has no answer."""
    tools: tuple[int, int] = (0, 0)
    """Requests with the same tool calls, of all that offer tools."""
    structured: tuple[int, int] = (0, 0)
    """Requests with the same structured output, of all with a response format."""
    text: float | None = None
    """The mean similarity of the texts."""
    input_tokens: tuple[int, int] = (0, 0)
    """Of the recorded answers, and of the reruns. A request counts if both calls report the number."""
    output_tokens: tuple[int, int] = (0, 0)
    seconds: tuple[float | None, float | None] = (None, None)
    """The median durations."""
    judgement: float | None = None
    """The mean of the judge's numbers; a bool counts as 0 or 1."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        found = asdict(self)
        for name in ("tools", "structured"):
            found[name] = dict(zip(("same", "of"), getattr(self, name), strict=True))
        for name in ("input_tokens", "output_tokens", "seconds"):
            found[name] = dict(zip(("recorded", "rerun"), getattr(self, name), strict=True))
        return found

    @classmethod
    def of(cls, comparisons: Iterable[Comparison]) -> Sums:
        """The sums over comparisons."""
        items = list(comparisons)
        whole = [item for item in items if item.errors == (None, None)]
        texts = [item.text for item in whole if item.text is not None]
        numbers = [float(item.judgement) for item in whole if isinstance(item.judgement, (bool, int, float))]
        return cls(
            len(whole),
            len(items) - len(whole),
            _agreement([item.tools for item in whole]),
            _agreement([item.structured for item in whole]),
            statistics.fmean(texts) if texts else None,
            _totals([item.input_tokens for item in whole]),
            _totals([item.output_tokens for item in whole]),
            _medians([item.seconds for item in whole]),
            statistics.fmean(numbers) if numbers else None,
        )


def compare(original: Original, rerun: Record, model: str, judge: Judge | None = None) -> Comparison:
    """Compare a recorded call with a rerun of it.

    Args:
        original: the recorded call.
        rerun: the record of the rerun.
        model: the model of the rerun, as ``PROVIDER:MODEL``.
        judge: the user's own measure. It is not called if one of the calls has no answer.
    """
    old, new = original.answer, Answer.of_record(rerun)
    errors = (old.error, new.error)
    is_whole = errors == (None, None)
    body = original.request.body
    return Comparison(
        original.id,
        rerun.id,
        model,
        original.request.model,
        _same_tools(old, new) if is_whole and body.get("tools") else None,
        _same(old.structured(), new.structured()) if is_whole and body.get("response_format") else None,
        _similarity(old.text, new.text) if is_whole else None,
        (old.input_tokens, new.input_tokens),
        (old.output_tokens, new.output_tokens),
        (old.seconds, new.seconds),
        errors,
        judge(original.source, rerun) if judge is not None and is_whole else None,
    )


def _same_tools(old: Answer, new: Answer) -> bool:
    """Whether the calls are equal. The order of calls of one answer has no meaning."""
    return sorted(map(_canonical, old.tool_calls)) == sorted(map(_canonical, new.tool_calls))


def _same(old: Any, new: Any) -> bool:
    return old is not None and new is not None and _canonical(old) == _canonical(new)


def _canonical(value: Any) -> str:
    # Not orjson: the arguments of a tool may have integers of any size.
    return json.dumps(_without_whole_floats(value), sort_keys=True, default=str)


def _without_whole_floats(value: Any) -> Any:
    """The value with whole floats as integers: providers write 4 and 4.0 for one number."""
    if isinstance(value, dict):
        return {str(key): _without_whole_floats(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_whole_floats(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _similarity(old: str, new: str) -> float | None:
    if not (old or new):
        return None
    return round(SequenceMatcher(None, old.split()[:_MOST_WORDS], new.split()[:_MOST_WORDS]).ratio(), 4)


def _agreement(found: list[bool | None]) -> tuple[int, int]:
    known = [item for item in found if item is not None]
    return sum(known), len(known)


def _totals(pairs: list[tuple[int | None, int | None]]) -> tuple[int, int]:
    known = [(old, new) for old, new in pairs if old is not None and new is not None]
    return sum(old for old, _ in known), sum(new for _, new in known)


def _medians(pairs: list[tuple[float | None, float | None]]) -> tuple[float | None, float | None]:
    def median(values: Iterator[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    return median(old for old, _ in pairs), median(new for _, new in pairs)
