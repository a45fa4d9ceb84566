"""Keeps two processes from changing a recording at once."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from plsync._common.files import SAFE_FLAGS

__all__ = ["file_lock"]


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the only right to change a file. A process that dies releases it."""
    descriptor = _open_locked(path)
    try:
        yield
    finally:
        _unlock(descriptor)
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _open_locked(path: Path) -> int:
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | SAFE_FLAGS, 0o600)
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        return descriptor

    def _unlock(descriptor: int) -> None:
        pass  # the close releases the lock

else:
    import fcntl

    def _open_locked(path: Path) -> int:
        # The directory is locked: it outlives the files that are replaced, and leaves no lock file to commit.
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a network file system may refuse to lock a read-only descriptor
            os.close(descriptor)
            descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | SAFE_FLAGS, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def _unlock(descriptor: int) -> None:
        # A child that was forked meanwhile shares the open file, and would keep the lock.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
