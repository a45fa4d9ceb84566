"""A flight recorder for LLM calls: recorded locally by a LangChain callback, sent to PromptLayer by ``plsync run``.

The public names load on first use, so that ``import plsync`` costs nearly nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from plsync._common.lazy import exports

if TYPE_CHECKING:
    from plsync import errors as errors
    from plsync import prompts as prompts
    from plsync import track as track
    from plsync.errors import PlsyncError as PlsyncError
    from plsync.errors import PlsyncWarning as PlsyncWarning
    from plsync.journal.journal import Journal as Journal
    from plsync.journal.record import Record as Record
    from plsync.journal.salvage import salvage as salvage
    from plsync.recorder.handler import PromptLayerCallbackHandler as PromptLayerCallbackHandler

    __version__: str

__all__ = [
    "Journal",
    "PlsyncError",
    "PlsyncWarning",
    "PromptLayerCallbackHandler",
    "Record",
    "__version__",
    "prompts",
    "salvage",
    "track",
]

_export, __dir__ = exports(
    __name__,
    {
        "Journal": "plsync.journal.journal",
        "PlsyncError": "plsync.errors",
        "PlsyncWarning": "plsync.errors",
        "PromptLayerCallbackHandler": "plsync.recorder.handler",
        "Record": "plsync.journal.record",
        "errors": "plsync.errors",
        "prompts": "plsync.prompts",
        "salvage": "plsync.journal.salvage",
        "track": "plsync.track",
    },
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - slow to import, rarely needed

        return version("plsync")
    return _export(name)


# A process that another process starts has no other place to begin a replay in.
if os.environ.get("PLSYNC_REPLAY"):
    importlib.import_module("plsync.replay.proxy.environment").replay_from_environment()
