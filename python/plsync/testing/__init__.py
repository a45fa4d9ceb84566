"""A PromptLayer stand-in for tests, demos and your own suites: a real HTTP server on loopback.

It answers with PromptLayer's documented shapes, validates requests strictly, and can be told to fail.

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

__all__ = ["Fault", "Faults", "PromptLayerServer", "Received"]

# pytest loads this package in every suite; most of those need no server.
__getattr__, __dir__ = exports(
    __name__,
    {
        "Fault": "plsync.testing.faults",
        "Faults": "plsync.testing.faults",
        "PromptLayerServer": "plsync.testing.server",
        "Received": "plsync.testing.server",
    },
)
