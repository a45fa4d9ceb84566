"""Getting a journal back that a disk has damaged."""

from __future__ import annotations

import os

from plsync.reports import SalvageReport

__all__ = ["salvage"]


def salvage(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> SalvageReport:
    """Write what can be read of the journal at ``source`` into a new one at ``target``.

    Records keep their ids, states, request ids and callbacks. One whose state is lost comes out in doubt, and is looked
    up before it is sent again. ``source`` is only read; programs that still write to it should be stopped first.

    Raises:
        JournalNotFound: there is no directory at ``source``.
        JournalFormatError: ``target`` exists.
        JournalError: a directory cannot be read or written.
    """
    from plsync import _native  # noqa: PLC0415 - importing plsync must not load the native module

    return SalvageReport(**_native.salvage(os.fspath(source), os.fspath(target)))
