"""A PromptLayer stand-in for tests and demos: a real HTTP server on loopback.

Its responses have the shapes that PromptLayer documents. It validates every request and can fail on demand.

- :class:`PromptLayerServer`: the server, with assertions about its request logs.
- :class:`Fault`: one failure of the network or the server, for :meth:`PromptLayerServer.plan`.
- :class:`Faults`: the methods that inject failures. :class:`PromptLayerServer` inherits them.
- :class:`Received`: one request that the server received.
- :class:`SpanTree`: the spans of a trace as a tree.
- :mod:`plsync.testing.tiny_model`: writes a tiny language model that GPT4All and llama.cpp run.

pytest finds two fixtures where plsync is installed: ``promptlayer_server`` and ``plsync_journal``.

The server needs pydantic, which comes with langchain-core.

>>> from plsync.testing import PromptLayerServer
>>> with PromptLayerServer() as server:
...     server.url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plsync._common.lazy import exports

if TYPE_CHECKING:
    from plsync.testing.faults import Fault as Fault
    from plsync.testing.faults import Faults as Faults
    from plsync.testing.server import PromptLayerServer as PromptLayerServer
    from plsync.testing.server import Received as Received
    from plsync.testing.span_tree import SpanTree as SpanTree

__all__ = ["Fault", "Faults", "PromptLayerServer", "Received", "SpanTree"]

# pytest loads this package in every suite, and most suites need no server.
__getattr__, __dir__ = exports(
    __name__,
    {
        "Fault": "plsync.testing.faults",
        "Faults": "plsync.testing.faults",
        "PromptLayerServer": "plsync.testing.server",
        "Received": "plsync.testing.server",
        "SpanTree": "plsync.testing.span_tree",
    },
)
