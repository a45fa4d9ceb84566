"""Replay in a process that another process starts: ``PLSYNC_REPLAY`` names its recording."""

from __future__ import annotations

import atexit
import os
from typing import Any, Final, get_args

from plsync.replay.options import Mode
from plsync.replay.proxy.patch import record_all

__all__ = ["VARIABLE", "replay_from_environment"]

VARIABLE: Final = "PLSYNC_REPLAY"


def replay_from_environment() -> None:
    """Serve or record the calls of every model until the process ends.

    The variable is the path of a recording, or a mode, a colon and the path: ``once:./calls.jsonl``.

    Raises:
        ValueError: the variable has a mode that the recording cannot have.
    """
    value = os.environ[VARIABLE]
    mode: Any
    mode, separator, path = value.partition(":")
    if not separator or mode not in get_args(Mode):
        mode, path = "none", value
    block = record_all(path, mode)
    block.__enter__()
    atexit.register(block.__exit__, None, None, None)
