"""Deterministic replay: calls of a model are recorded once, and served again without a network, a key or a model.

>>> from langchain_core.language_models import FakeListChatModel
>>> from plsync.replay import with_recording
>>> model = with_recording(FakeListChatModel(responses=["Paris"]), "./capitals.jsonl", mode="once")
>>> model.invoke("The capital of France?").content
'Paris'

The public names load on first use, because pytest imports this package in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plsync._common.lazy import exports

if TYPE_CHECKING:
    from plsync.replay.exporter import ExportReport as ExportReport
    from plsync.replay.exporter import export as export
    from plsync.replay.proxy.load import load as load
    from plsync.replay.proxy.patch import record_all as record_all
    from plsync.replay.proxy.wrap import with_recording as with_recording
    from plsync.replay.recording import Recording as Recording

__all__ = ["ExportReport", "Recording", "export", "load", "record_all", "with_recording"]

__getattr__, __dir__ = exports(
    __name__,
    {
        "ExportReport": "plsync.replay.exporter",
        "Recording": "plsync.replay.recording",
        "export": "plsync.replay.exporter",
        "load": "plsync.replay.proxy.load",
        "record_all": "plsync.replay.proxy.patch",
        "with_recording": "plsync.replay.proxy.wrap",
    },
)
