"""A PromptLayer stand-in for tests, demos and your own suites: a real HTTP server on loopback.

It answers with PromptLayer's documented shapes, validates requests strictly, and can be told to fail.

>>> from plsync.testing import PromptLayerServer
>>> with PromptLayerServer() as server:
...     server.url.startswith("http://127.0.0.1:")
True
"""

from plsync.testing.faults import Faults
from plsync.testing.server import PromptLayerServer, Received

__all__ = ["Faults", "PromptLayerServer", "Received"]
