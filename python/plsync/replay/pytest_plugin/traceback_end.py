"""Ends the traceback of a replay failure in the code of the test, as plsync and LangChain are not at fault."""

from __future__ import annotations

from typing import Final

from plsync.errors import NetworkBlocked, NoRecording

__all__ = ["end_in_own_code"]

_LIBRARIES: Final = ("plsync", "langchain", "langgraph", "asyncio", "concurrent", "threading", "contextvars")


def end_in_own_code(error: BaseException) -> None:
    """Remove the frames behind the last frame of the test, of an error of replay."""
    if not isinstance(error, (NoRecording, NetworkBlocked)):
        return
    last = None
    traceback = error.__traceback__
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if not module.startswith(_LIBRARIES):
            last = traceback
        traceback = traceback.tb_next
    if last is not None:
        last.tb_next = None
