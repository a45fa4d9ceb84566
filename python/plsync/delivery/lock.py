"""One sender a journal: two would send each other's records in doubt. The lock says who it is, and how it is going."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from plsync.errors import JournalLocked

__all__ = ["Sender", "SenderLock", "current_sender", "sole_sender"]

_MOST: Final = 4096
_TRIES: Final = 5
_BETWEEN_TRIES: Final = 0.02


@dataclass(frozen=True)
class Sender:
    """The process that sends a journal's records."""

    pid: int
    since: float
    """When it began, in seconds since the epoch."""
    doing: str
    """``sending``, ``idle``, or why it waits."""


class SenderLock:
    """The lock, held."""

    def __init__(self, descriptor: int) -> None:
        """``descriptor``: of the locked file."""
        self._descriptor = descriptor
        self._since = time.time()
        self._told = ""
        self.tell("sending")

    def tell(self, doing: str) -> None:
        """Say how it is going, to whoever asks with :func:`current_sender`."""
        if doing == self._told:
            return
        self._told = doing
        text = orjson.dumps({"pid": os.getpid(), "since": self._since, "doing": doing[:300]})
        # Always as long, so that nothing of an older text is left behind it.
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text.ljust(_MOST - 1) + b"\n")


@contextlib.contextmanager
def sole_sender(journal: Path) -> Iterator[SenderLock]:
    """Hold ``sync.lock`` of the journal; the system lets go of it when the process dies.

    Raises:
        JournalLocked: another process is sending from this journal.
    """
    descriptor = os.open(journal / "sync.lock", os.O_RDWR | os.O_CREAT, 0o600)
    _held.add(descriptor)
    try:
        if not _lock_soon(descriptor):
            holder = _read(descriptor)
            who = "" if holder is None else f" (process {holder.pid}, since {_clock(holder.since)})"
            raise JournalLocked(
                f"another `plsync run`{who} is at work on {journal}; nothing was sent twice: let it finish, or stop it"
            )
        yield SenderLock(descriptor)
    finally:
        # A forked child has let go of it already.
        if descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)


def current_sender(journal: Path) -> Sender | None:
    """Who is sending from this journal right now."""
    try:
        descriptor = os.open(journal / "sync.lock", os.O_RDWR)
    except OSError:
        return None
    try:
        _lock(descriptor)
    except OSError:
        return _read(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _lock_soon(descriptor: int) -> bool:
    """Take the lock. Whoever looks who has it holds it for an instant, so once is not enough."""
    for _ in range(_TRIES):
        try:
            _lock(descriptor)
        except OSError:
            time.sleep(_BETWEEN_TRIES)
        else:
            return True
    return False


def _let_go() -> None:
    # The lock belongs to the open file, which a forked child shares: it would outlive the sender in it.
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


_held: set[int] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _read(descriptor: int) -> Sender | None:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        told: dict[str, Any] = orjson.loads(os.read(descriptor, _MOST))
        return Sender(int(told["pid"]), float(told["since"]), str(told["doing"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # A byte far behind the text: Windows keeps others from reading what is locked.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
