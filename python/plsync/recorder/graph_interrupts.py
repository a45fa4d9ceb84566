"""LangGraph's callback for a graph that stops at a breakpoint (``interrupt_before``, ``interrupt_after``).

LangChain reports the end of such a graph like any other end. LangGraph 1.1.7 and newer report the stop before it, but
only to instances of ``langgraph.callbacks.GraphCallbackHandler``. plsync does not depend on LangGraph, so a handler
gets this base class when the program has imported LangGraph.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from plsync._common.native import Recorder

__all__ = ["GraphInterrupts"]

_with_base: Final[dict[type, type]] = {}


class GraphInterrupts:
    """The part of the handler that notes which graphs wait."""

    _recorder: Recorder

    def on_interrupt(self, event: Any) -> None:
        """Notes that the graph of ``event.run_id`` waits for a person. It ends later, and well."""
        self._recorder.note_wait(event.run_id)

    def on_resume(self, event: Any) -> None:
        """Does nothing: the resumed graph is another run, whose start is reported."""

    def _join_langgraph(self) -> bool:
        """Adds LangGraph's base class to this handler, and returns whether LangGraph is there.

        Native code calls it at the start of a run.
        """
        base = getattr(sys.modules.get("langgraph.callbacks"), "GraphCallbackHandler", None)
        cls = type(self)
        if not isinstance(base, type):
            return False
        if not issubclass(cls, base):
            with contextlib.suppress(Exception):  # a subclass of the program may refuse subclasses
                if cls not in _with_base:
                    names = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
                    _with_base[cls] = type(cls.__name__, (cls, base), {**names, "_plain_class": cls})
                self.__class__ = _with_base[cls]
        return True
