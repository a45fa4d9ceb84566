"""A flight recorder for LLM calls: recorded locally by a LangChain callback, replayed to PromptLayer by ``plsync run``.

The public names live here and load on first use, so that ``import plsync`` costs nearly nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plsync import errors as errors
    from plsync import prompts as prompts
    from plsync import track as track
    from plsync.errors import PlsyncError as PlsyncError
    from plsync.errors import PlsyncWarning as PlsyncWarning
    from plsync.handler import PromptLayerCallbackHandler as PromptLayerCallbackHandler
    from plsync.journal import Journal as Journal
    from plsync.record import Record as Record
    from plsync.recovery import salvage as salvage

_HOMES = {
    "Journal": "plsync.journal",
    "PlsyncError": "plsync.errors",
    "PlsyncWarning": "plsync.errors",
    "PromptLayerCallbackHandler": "plsync.handler",
    "Record": "plsync.record",
    "salvage": "plsync.recovery",
}
# Modules that `import plsync` alone gives, as the old `import promptlayer` gave them.
_MODULES = frozenset({"prompts", "track"})

__all__ = [
    "Journal",
    "PlsyncError",
    "PlsyncWarning",
    "PromptLayerCallbackHandler",
    "Record",
    "prompts",
    "salvage",
    "track",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"plsync.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
