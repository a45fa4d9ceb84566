"""The spans of a trace as a tree, and its drawing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plsync.testing.state.storage import JSON

__all__ = ["SpanTree", "trees_of"]


class SpanTree:
    """A span with its children. The tree of a trace is its root span.

    Iterating over a tree yields its span and all spans below it, each parent before its children. ``str(tree)`` draws
    the names.

    >>> root = SpanTree({"name": "agent", "trace_id": "t1", "span_id": "s1"})
    >>> call = SpanTree({"name": "ChatOpenAI", "trace_id": "t1", "span_id": "s2"})
    >>> root.add(call)
    >>> print(root)
    agent
    └─ ChatOpenAI
    """

    def __init__(self, span: JSON, log: JSON | None = None, *, closed: bool = False) -> None:
        self.span = span
        """The span as received, with its row ``id``, ``span_id``, ``trace_id`` and ``request_log_id``."""
        self.log = log
        """The newest request log of the span; None for a span without a log."""
        self.closed = closed
        """Whether the trace is closed, and rejects further spans."""
        self.parent: SpanTree | None = None
        """The span above; None for a root."""
        self.children: list[SpanTree] = []
        """The spans below, in the order of their start."""
        self.orphans: list[SpanTree] = []
        """Of a root: the spans of the trace whose parent the server has not received."""
        self.linked: list[SpanTree] = []
        """Of a root: the trees of other traces that link to a span of this tree."""

    @property
    def name(self) -> str:
        """The name of the span."""
        return str(self.span.get("name", ""))

    @property
    def trace_id(self) -> str:
        """The id of the trace."""
        return str(self.span["trace_id"])

    @property
    def span_id(self) -> str:
        """The id of the span."""
        return str(self.span["span_id"])

    @property
    def status(self) -> str:
        """``OK``, ``ERROR`` or ``UNSET``."""
        return str(self.span.get("status", {}).get("status_code", "")).removeprefix("StatusCode.")

    @property
    def attributes(self) -> JSON:
        """The attributes of the span."""
        return dict(self.span.get("attributes", {}))

    @property
    def calls(self) -> list[SpanTree]:
        """The spans with a request log: the calls of models, in the order of the tree."""
        return [span for span in self if span.log is not None]

    def __iter__(self) -> Iterator[SpanTree]:
        waiting = [self]
        while waiting:
            span = waiting.pop()
            yield span
            waiting.extend(reversed(span.children))

    def find(self, name: str, **attributes: Any) -> SpanTree:
        """The one span of the tree with a name.

        Args:
            name: the name of the span.
            attributes: attributes of the span and their values.

        Raises:
            AssertionError: no span or several spans match. The message draws the tree.

        >>> SpanTree({"name": "agent", "trace_id": "t1", "span_id": "s1"}).find("Tool: add")
        Traceback (most recent call last):
        AssertionError: 0 spans have the name 'Tool: add', not 1:
        agent
        """
        found = [span for span in self if span.name == name and attributes.items() <= span.attributes.items()]
        if len(found) != 1:
            detail = f" and {attributes}" if attributes else ""
            raise AssertionError(f"{len(found)} spans have the name {name!r}{detail}, not 1:\n{self}")
        return found[0]

    def add(self, child: SpanTree) -> None:
        """Append a child."""
        child.parent = self
        self.children.append(child)

    def as_json(self) -> JSON:
        """The names, ids and logs of the tree, nested in ``children``."""
        nested: JSON = {}
        waiting = [(self, nested)]
        while waiting:
            span, shown = waiting.pop()
            children: list[JSON] = [{} for _ in span.children]
            shown |= {"name": span.name, "span_id": span.span_id, "trace_id": span.trace_id, "status": span.status}
            shown |= {"request_log_id": span.span.get("request_log_id"), "closed": span.closed, "children": children}
            waiting.extend(zip(span.children, children, strict=True))
        return nested

    def __str__(self) -> str:
        lines = []
        waiting = [(self, "", "")]
        while waiting:
            span, first, rest = waiting.pop()
            lines.append(first + span.name)
            last = len(span.children) - 1
            waiting.extend(
                (child, rest + ("└─ " if place == last else "├─ "), rest + ("   " if place == last else "│  "))
                for place, child in reversed(list(enumerate(span.children)))
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"SpanTree({self.name!r}, {sum(1 for _ in self)} spans, trace {self.trace_id})"


def trees_of(spans: Iterable[JSON], logs: Iterable[JSON], closed: set[str], alone: Mapping[str, int]) -> list[SpanTree]:
    """The trees of all traces, in the order in which their first spans arrived.

    A trace has a tree for each of its spans without a parent. It is left out until such a span arrives.

    Args:
        spans: spans in the order of arrival.
        logs: request logs, oldest first.
        closed: the ids of closed traces.
        alone: the ids of logs that came without their span, by the id of the span.
    """
    known = {log["id"]: log for log in logs}
    traces: dict[str, dict[str, SpanTree]] = {}
    for span in spans:
        trace_id, span_id = span["trace_id"], span["span_id"]
        log = known.get(span["request_log_id"] or alone.get(span_id))
        tree = SpanTree(span, log, closed=trace_id in closed)
        traces.setdefault(trace_id, {})[span_id] = tree
    roots = [root for members in traces.values() for root in _grown(members)]
    _link(roots)
    return roots


def _grown(members: dict[str, SpanTree]) -> list[SpanTree]:
    """The roots among the spans of a trace, with all others below them."""
    roots, orphans = [], []
    for tree in sorted(members.values(), key=lambda tree: (tree.span["start_time"], tree.span["id"])):
        parent_id = tree.span.get("parent_id")
        if not parent_id:
            roots.append(tree)
        elif parent_id in members:
            members[parent_id].add(tree)
        else:
            orphans.append(tree)
    reached = {span.span_id for top in (*roots, *orphans) for span in top}
    orphans += [tree for span_id, tree in members.items() if span_id not in reached]  # a circle of parents
    for root in roots:
        root.orphans = orphans
    return roots


def _link(roots: list[SpanTree]) -> None:
    own = {root.trace_id: root for root in reversed(roots)}
    for root in roots:
        for link in root.span.get("links") or ():
            target = link.get("context", {}).get("trace_id")
            if target in own and target != root.trace_id and root not in own[target].linked:
                own[target].linked.append(root)
