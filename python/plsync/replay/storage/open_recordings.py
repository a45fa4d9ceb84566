"""The open recordings of this process: a file that is opened again is sorted first."""

from __future__ import annotations

import contextlib
import weakref
from pathlib import Path
from typing import Protocol

from plsync._common.background import ForkGuard
from plsync.errors import ReplayError

__all__ = ["close_others"]


class _Open(Protocol):
    path: Path

    def close(self) -> None: ...


_open_recordings: weakref.WeakSet[_Open] = weakref.WeakSet()
# Without this, a fork could copy the set while another thread changes it.
_registering = ForkGuard(1.0)


def close_others(recording: _Open) -> None:
    """Register a recording, and close the other recordings of its file, so that they sort the file now.

    A line must not move while its call is served. A recording that is no longer used closes only when Python's garbage
    collector runs.
    """
    with _registering:
        others = [other for other in _open_recordings if other.path == recording.path]
        _open_recordings.add(recording)
    for other in others:
        # The owner of the other recording gets this error when it closes the recording.
        with contextlib.suppress(ReplayError):
            other.close()
