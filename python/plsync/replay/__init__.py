"""Deterministic replay: calls of a model recorded once, and served again without network, key or model.

>>> from langchain_core.language_models import FakeListChatModel
>>> from plsync.replay import with_recording
>>> model = with_recording(FakeListChatModel(responses=["Paris"]), "./capitals.jsonl", mode="once")
>>> model.invoke("The capital of France?").content
'Paris'

The public names live here and load on first use: pytest imports this package in every run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plsync.replay.everywhere import record_all as record_all
    from plsync.replay.exporting import ExportReport as ExportReport
    from plsync.replay.exporting import export as export
    from plsync.replay.models import with_recording as with_recording
    from plsync.replay.recording import Recording as Recording
    from plsync.replay.standalone import load as load

_HOMES = {
    "ExportReport": "plsync.replay.exporting",
    "Recording": "plsync.replay.recording",
    "export": "plsync.replay.exporting",
    "load": "plsync.replay.standalone",
    "record_all": "plsync.replay.everywhere",
    "with_recording": "plsync.replay.models",
}

__all__ = ["ExportReport", "Recording", "export", "load", "record_all", "with_recording"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
