"""Shortages of this machine, which pass: of disk space, memory, threads and files, and of a disk that takes writes."""

from __future__ import annotations

import errno
from typing import Final

from plsync._common.logged import cleaned_line
from plsync.errors import JournalError
from plsync.promptlayer.outcomes import Exhausted

__all__ = ["shortage_in"]

# LMDB makes EIO of a write that the disk took in part, as a full disk does.
_NUMBERS: Final = frozenset(
    getattr(errno, name)
    for name in ("EAGAIN", "EDQUOT", "EFBIG", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EROFS")
    if hasattr(errno, name)
)
# Python has no other sign of it.
_NO_THREAD: Final = "can't start new thread"


def shortage_in(error: Exception) -> Exhausted | None:
    """The shortage that an exception reports; None for an exception with another cause."""
    number = error.errno if isinstance(error, OSError | JournalError) else None
    is_thread = isinstance(error, RuntimeError) and _NO_THREAD in str(error)
    if number in _NUMBERS or is_thread or isinstance(error, MemoryError):
        return Exhausted(cleaned_line(str(error) or type(error).__name__))
    return None
