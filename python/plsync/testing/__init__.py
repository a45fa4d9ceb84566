"""A PromptLayer stand-in for tests, demos and your own suites: a real HTTP server on loopback.

It answers with PromptLayer's documented shapes, validates requests strictly, and can be told to fail.

>>> from plsync.testing import PromptLayerServer
>>> with PromptLayerServer() as server:
...     server.url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plsync.testing.faults import Fault as Fault
    from plsync.testing.faults import Faults as Faults
    from plsync.testing.server import PromptLayerServer as PromptLayerServer
    from plsync.testing.server import Received as Received

_HOMES = {
    "Fault": "plsync.testing.faults",
    "Faults": "plsync.testing.faults",
    "PromptLayerServer": "plsync.testing.server",
    "Received": "plsync.testing.server",
}

__all__ = ["Fault", "Faults", "PromptLayerServer", "Received"]


def __getattr__(name: str) -> Any:
    # On first use: pytest loads plsync's fixtures in every suite, and most of those need no server.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
