"""Divides a batch into requests. A request closes all of its traces or none, and the last part of a tree closes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from plsync.promptlayer.mapping.sent_span import parent_of, with_parent, without_content

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["Part", "Requests", "Span"]


class Span(NamedTuple):
    """A record on its way, with its span as JSON. The record has no content any more."""

    record: Record
    body: bytes
    trace_id: str
    in_tree: bool
    """Whether the trace has the spans of a tree."""
    is_bare: bool = False
    """Whether it is the span of a step without content, because PromptLayer refused the content."""


class Part(NamedTuple):
    """The spans of one request."""

    spans: Sequence[Span]
    closes: bool
    """Whether the request closes the traces of its spans."""


class Requests:
    """The requests of a batch, in the order in which they are sent. A refused request is halved.

    The spans of a trace follow each other, in the order of the journal. The last of them is in the request that closes
    the trace, unless the tree has more records to come.

    Args:
        spans: the spans of the batch, in the order of the journal.
        unfinished: the traces that are not closed, because more records of their trees are to come.
        divide: divides spans into groups for separate requests, in order.
    """

    def __init__(
        self,
        spans: Sequence[Span],
        unfinished: Collection[str],
        divide: Callable[[Sequence[Span]], Iterable[Sequence[Span]]],
    ) -> None:
        in_order = _by_trace(spans)
        self._last = {span.trace_id: span.record.seq for span in in_order if span.trace_id not in unfinished}
        self._parts = [part for group in divide(in_order) for part in self._divided(group)][::-1]
        self.unclosed: list[str] = []
        """The traces whose last span was refused. PromptLayer has the other spans of their trees."""

    def __bool__(self) -> bool:
        return bool(self._parts)

    def take(self) -> Part:
        """The next request."""
        return self._parts.pop()

    def halve(self, part: Part) -> None:
        """Put the halves of a refused request in front of all other requests."""
        middle = len(part.spans) // 2
        for half in (part.spans[middle:], part.spans[:middle]):
            self._parts += self._divided(half)[::-1]

    def refuse(self, part: Part, reason: str) -> bool:
        """Note that PromptLayer refused the one span of a request. Returns whether it is sent again without content.

        The span of a step has descendants in its tree, and a trace without its root is not listed. A call is its log.
        """
        (span,) = part.spans
        if not span.in_tree:
            return False
        if span.record.is_run and not span.is_bare:
            bare = span._replace(body=without_content(span.body, reason), is_bare=True)
            self._parts.append(Part([bare], part.closes))
            return True
        if part.closes:
            self.unclosed.append(span.trace_id)
        self._parts = [part._replace(spans=[_adopted(other, span) for other in part.spans]) for part in self._parts]
        return False

    def _divided(self, spans: Sequence[Span]) -> list[Part]:
        """Divide spans further, so that each request closes all of its traces or none."""
        ends = {span.trace_id for span in spans if self._last.get(span.trace_id) == span.record.seq}
        return [Part(list(group), closes) for closes, group in groupby(spans, key=lambda span: span.trace_id in ends)]


def _adopted(span: Span, refused: Span) -> Span:
    """A span whose parent was refused, as a child of the refused span's parent."""
    if span.trace_id != refused.trace_id or parent_of(span.body) != refused.record.span_id:
        return span
    return span._replace(body=with_parent(span.body, parent_of(refused.body)))


def _by_trace(spans: Sequence[Span]) -> list[Span]:
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    return [span for members in traces.values() for span in members]
