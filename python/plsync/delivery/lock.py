"""The lock that allows one sender per journal. Its file has the sender's process, its activity and its heartbeat.

A second sender would take the first one's leased records for records in doubt.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from plsync._common.clock import elapsed
from plsync._common.files import admit_directory, open_own
from plsync.errors import JournalError, JournalLocked

__all__ = ["SenderLock", "SenderProcess", "current_sender", "last_sender", "sole_sender"]

_FILE_SIZE: Final = 4096
_ATTEMPTS: Final = 5
_BETWEEN_ATTEMPTS: Final = 0.02
# Seconds between two heartbeats.
_BEAT: Final = 10.0


@dataclass(frozen=True)
class SenderProcess:
    """The process that sends a journal's records."""

    pid: int
    since: float
    """The time it took the lock, in seconds since the epoch."""
    activity: str
    """``sending``, ``idle``, or the reason for a pause."""
    alive: float | None = None
    """The time of its last heartbeat, in seconds since the epoch; None from an earlier version."""

    @property
    def silence(self) -> float | None:
        """Seconds since the last heartbeat; None without one."""
        return None if self.alive is None else max(0.0, time.time() - self.alive)


class SenderLock:
    """The lock while this process holds it.

    Args:
        descriptor: the file descriptor of the locked file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._since = time.time()
        self._reported = ""
        self._beat_at = 0.0
        self.report("sending")

    def report(self, activity: str) -> None:
        """Write the present activity, for :func:`current_sender` in other processes."""
        if activity == self._reported:
            return
        self._reported = activity
        self._write()

    def beat(self) -> None:
        """Write a heartbeat if the last one is ten seconds old. For each turn of the sender's loop."""
        if elapsed() - self._beat_at >= _BEAT:
            self._write()

    def _write(self) -> None:
        self._beat_at = elapsed()
        facts = {"pid": os.getpid(), "since": self._since, "doing": self._reported[:300], "alive": time.time()}
        text = orjson.dumps(facts)
        # A constant length, so that the end of an older text is overwritten.
        # On a full disk the lock still holds, so the sender goes on.
        with contextlib.suppress(OSError):
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, text.ljust(_FILE_SIZE - 1) + b"\n")


@contextlib.contextmanager
def sole_sender(journal: Path) -> Iterator[SenderLock]:
    """Hold ``sync.lock`` of a journal. The system releases the lock when the process dies.

    Args:
        journal: the journal's directory.

    Raises:
        JournalLocked: another process is sending from this journal.
        JournalError: the journal belongs to another user, or ``sync.lock`` is no file of this user.
    """
    try:
        # Also for root: a sender imports the functions that the journal names.
        admit_directory(journal, journal=True)
        descriptor = open_own(journal / "sync.lock", create=True, journal=True)
    except PermissionError as error:
        raise JournalError(f"{error.filename}: {error.strerror}; nothing was sent") from error
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        raise JournalError(
            f"the journal {journal} is on a read-only file system; nothing was sent: send from the journal itself"
        ) from error
    _held.add(descriptor)
    try:
        if not _try_lock(descriptor):
            holder = _read(descriptor)
            who = "" if holder is None else f" (process {holder.pid}, since {_local_time(holder.since)})"
            raise JournalLocked(
                f"another `plsync run`{who} sends from {journal}; nothing was sent twice: let it finish, or stop it"
            )
        yield SenderLock(descriptor)
    finally:
        # A forked child has closed it already.
        if descriptor in _held:
            _unlock(descriptor)
            _held.discard(descriptor)
            os.close(descriptor)


def current_sender(journal: Path) -> SenderProcess | None:
    """The process that sends from a journal now; None when no process does.

    Args:
        journal: the journal's directory.
    """
    try:
        descriptor = _open(journal / "sync.lock")
    except OSError:
        return None
    try:
        _lock(descriptor)
    except OSError:
        return _read(descriptor)
    else:
        return None
    finally:
        _unlock(descriptor)
        os.close(descriptor)


def last_sender(journal: Path) -> SenderProcess | None:
    """The process that sends from a journal, or the last one that did; None when there was none.

    Args:
        journal: the journal's directory.
    """
    try:
        descriptor = open_own(journal / "sync.lock", journal=True)
    except OSError:
        return None
    try:
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return open_own(path, write=True, journal=True)
    except OSError:  # a read-only journal; a lock needs no right to write
        return open_own(path, journal=True)


def _try_lock(descriptor: int) -> bool:
    """Take the lock, with retries: a process in :func:`current_sender` holds it for an instant."""
    for _ in range(_ATTEMPTS):
        try:
            _lock(descriptor)
        except OSError:
            time.sleep(_BETWEEN_ATTEMPTS)
        else:
            return True
    return False


def _close_in_child() -> None:
    # A forked child shares the open file, and with it the lock: the lock would outlive the sender.
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


_held: set[int] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _read(descriptor: int) -> SenderProcess | None:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        stored: dict[str, Any] = orjson.loads(os.read(descriptor, _FILE_SIZE))
        alive = stored.get("alive")
        return SenderProcess(
            int(stored["pid"]),
            float(stored["since"]),
            str(stored["doing"]),
            None if alive is None else float(alive),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # A byte far behind the text: on Windows other processes cannot read a locked range.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        pass  # the close releases the lock

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        # A child that was forked meanwhile shares the open file, and would keep the lock.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
