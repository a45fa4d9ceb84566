"""Assertions about the trees of spans that the stand-in received."""

from __future__ import annotations

from abc import ABC, abstractmethod

from plsync.testing.span_tree import SpanTree

__all__ = ["TreeAssertions"]

_LISTED = 10


class TreeAssertions(ABC):
    """Assertions about trees. Each raises ``AssertionError`` with a drawing of the trees that exist."""

    @property
    @abstractmethod
    def trees(self) -> list[SpanTree]:
        """The tree of each trace, in the order in which the traces began."""

    def find_trees(
        self,
        name: str | None = None,
        *,
        trace_id: str | None = None,
        record_id: str | None = None,
        closed: bool | None = None,
    ) -> list[SpanTree]:
        """The trees that match every argument.

        Args:
            name: the name of the root span.
            trace_id: the id of the trace.
            record_id: the id of the plsync record of any span of the tree.
            closed: whether the trace is closed; None for either.

        >>> from plsync.testing import PromptLayerServer
        >>> with PromptLayerServer() as server:
        ...     server.find_trees("agent", closed=True)
        []
        """
        span_id = None if record_id is None else record_id.replace("-", "")[16:]
        return [
            tree
            for tree in self.trees
            if (name is None or tree.name == name)
            and (trace_id is None or tree.trace_id == trace_id)
            and (span_id is None or any(span.span_id == span_id for span in tree))
            and (closed is None or tree.closed == closed)
        ]

    def tree(
        self,
        name: str | None = None,
        *,
        trace_id: str | None = None,
        record_id: str | None = None,
        closed: bool | None = None,
    ) -> SpanTree:
        """Assert that exactly one tree matches, and that it is whole: one root, and each parent was received.

        Args:
            name: the name of the root span.
            trace_id: the id of the trace.
            record_id: the id of the plsync record of any span of the tree.
            closed: whether the trace is closed; None for either.

        Returns:
            The root span, with its ``children``, ``calls`` and ``linked`` trees.

        Raises:
            AssertionError: no tree or several trees match, the trace has a second root, or a parent is missing.

        >>> from plsync.testing import PromptLayerServer
        >>> with PromptLayerServer() as server:
        ...     server.tree("agent")
        Traceback (most recent call last):
        AssertionError: 0 trees have name='agent', not 1; no root span was received
        """
        found = self.find_trees(name, trace_id=trace_id, record_id=record_id, closed=closed)
        criteria = {"name": name, "trace_id": trace_id, "record_id": record_id, "closed": closed}
        shown = ", ".join(f"{key}={value!r}" for key, value in criteria.items() if value is not None)
        if len(found) != 1:
            number = f"{len(found)} trees have {shown}" if shown else f"there are {len(found)} trees"
            raise AssertionError(f"{number}, not 1; {_summary(found or self.trees)}")
        (tree,) = found
        if tree.orphans:
            names = ", ".join(repr(span.name) for span in tree.orphans[:_LISTED])
            raise AssertionError(
                f"the parents of {len(tree.orphans)} spans of trace {tree.trace_id} were not received: {names};\n{tree}"
            )
        roots = [root for root in self.trees if root.trace_id == tree.trace_id]
        if len(roots) > 1:
            raise AssertionError(f"trace {tree.trace_id} has {len(roots)} roots, not 1; {_summary(roots)}")
        return tree


def _summary(trees: list[SpanTree]) -> str:
    if not trees:
        return "no root span was received"
    more = f"\nand {len(trees) - _LISTED} more" if len(trees) > _LISTED else ""
    return f"{len(trees)} received:\n" + "\n".join(map(str, trees[:_LISTED])) + more
