"""The memory that contents of records may take while they are sent, over all senders of a process.

A sender takes the estimated cost of records before it reads them. A record that costs more than the whole budget goes
alone: no sender of the process reads another record before it is sent.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = [
    "DEFAULT_MEMORY",
    "Holding",
    "MemoryBudget",
    "Share",
    "default_memory",
    "process_budget",
    "return_freed_memory",
]

DEFAULT_MEMORY: Final = 512 << 20
"""Bytes that a sender's process takes at most by default. It suffices for the largest event, of 64 MB."""

# A record takes this many times the bytes of its events while it is translated, and then while its JSON is sent.
# tests/delivery/test_memory.py measures both.
_TRANSLATING: Final = 6
_SENDING: Final = 2
# The part of a container's limit that a sender takes. Other programs may run in the container.
_SHARE_OF_LIMIT: Final = 0.8
# The store maps its file. The system counts up to these bytes of it as memory of the process.
_MAPPED: Final = 48 << 20
# An ingest of small events takes up to these bytes, and an ingest of a large event this many times its bytes.
_INGESTING: Final = 24 << 20
_INGEST_FACTOR: Final = 2
# The budget of a process without room for one. It sends one record at a time.
_LEAST: Final = 4 << 20
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")


@dataclass
class Share:
    """A part of the budget, before the records are known."""

    room: int
    """Bytes of events that may be read now."""
    alone: bool
    """Whether no record is being sent. Then one record of any size may be read."""
    cost: int = field(default=0, repr=False)


@dataclass
class Holding:
    """The memory that the records of one request take."""

    size: int
    """Bytes of events."""
    cost: int


class MemoryBudget:
    """The bytes that the contents of records may take. Any thread may call.

    Args:
        limit: bytes.

    >>> from plsync.delivery.memory import MemoryBudget
    >>> budget = MemoryBudget(600_000)
    >>> share = budget.reserve(90_000)
    >>> share.room, share.alone
    (90000, True)
    >>> held = budget.hold(90_000); budget.end(share)
    >>> budget.reserve(90_000)
    Share(room=10000, alone=False)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._used = 0
        self._waiting: object | None = None

    @classmethod
    def of_process(cls, memory: int) -> MemoryBudget:
        """The budget of a process that may take ``memory`` bytes in all. Its present memory counts."""
        return cls(max(_LEAST, memory - _resident() - _MAPPED - _INGESTING))

    def reserve(self, events: int, owner: object = None) -> Share:
        """Reserve the cost of events.

        Args:
            events: bytes of events, at most.
            owner: the sender. While another sender waits to be alone, there is no room.
        """
        with self._lock:
            if self._waiting is not None and self._waiting is not owner:
                return Share(0, alone=False)
            alone = self._used == 0
            cost = max(0, min(events * _TRANSLATING, self.limit - self._used))
            self._used += cost
            return Share(cost // _TRANSLATING, alone, cost)

    def end(self, share: Share) -> None:
        """End a reservation, after :meth:`hold` for the records that were read."""
        with self._lock:
            self._used -= share.cost
            share.cost = 0

    def hold(self, size: int) -> Holding:
        """Take the cost of records that were read, with ``size`` bytes of events."""
        with self._lock:
            holding = Holding(size, size * _TRANSLATING)
            self._used += holding.cost
            return holding

    def translated(self, holding: Holding) -> None:
        """Reduce the cost of records to the cost of their JSON."""
        self._set(holding, min(holding.cost, holding.size * _SENDING))

    def release(self, holding: Holding) -> None:
        """Return the cost of records that were sent."""
        self._set(holding, 0)

    def _set(self, holding: Holding, cost: int) -> None:
        with self._lock:
            self._used += cost - holding.cost
            holding.cost = cost

    def largest_event(self) -> int:
        """The bytes of the largest event that can be ingested beside the records that are being sent."""
        with self._lock:
            return max(_LEAST, self.limit - self._used) // _INGEST_FACTOR

    def wait_alone(self, owner: object) -> None:
        """Let no other sender read records until :meth:`stop_waiting`."""
        with self._lock:
            self._waiting = self._waiting or owner

    def stop_waiting(self, owner: object) -> None:
        """Let all senders read records again, if this sender waits to be alone."""
        with self._lock:
            if self._waiting is owner:
                self._waiting = None


def default_memory(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int:
    """The bytes that a sender's process may take: :data:`DEFAULT_MEMORY`, and less under the limit of a control group.

    Args:
        cgroups: the directory where the control groups are mounted.
        own: the file that lists the control groups of this process.
    """
    limits = [limit for file in _limit_files(cgroups, own) if (limit := _limit_in(file)) is not None]
    return min([DEFAULT_MEMORY, *(int(limit * _SHARE_OF_LIMIT) for limit in limits)])


def _limit_files(cgroups: Path, own: Path) -> Iterator[Path]:
    """The files that may limit the memory of this process: of its control groups, and of their parents."""
    paths = {"": "/", "memory": "/"}
    with suppress(OSError):
        for line in own.read_text(errors="surrogateescape").splitlines():
            _, controllers, path = line.split(":", 2)
            paths |= dict.fromkeys(set(controllers.split(",")) & set(paths), path)
    # Version 2 has one tree of groups, version 1 one for each controller. A container often sees its group at the root.
    for name in ("memory.max", "memory.high"):
        yield from (directory / name for directory in _with_parents(cgroups, paths[""]))
    yield from (directory / "memory.limit_in_bytes" for directory in _with_parents(cgroups / "memory", paths["memory"]))


def _with_parents(root: Path, group: str) -> list[Path]:
    """The directories of a control group and of its parents, below the root of their tree."""
    # A group outside of the root of a container is "/../name", and its files are not visible.
    parts = [part for part in group.split("/") if part and part != ".."]
    return [root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]


def _limit_in(file: Path) -> int | None:
    with suppress(OSError, ValueError):  # no such controller, or "max"
        return int(file.read_text())
    return None


def return_freed_memory() -> None:
    """Return the memory of freed contents to the system. glibc keeps up to 64 MB of it for each thread."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def _resident() -> int:
    """Bytes of memory that this process takes now; 0 on systems that do not report them."""
    if sys.platform == "win32":
        return 0
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


_lock = threading.Lock()
_process: MemoryBudget | None = None


def process_budget() -> MemoryBudget:
    """The budget that all senders of this process share. The first call decides its size."""
    global _process  # noqa: PLW0603 - one for the process
    with _lock:
        if _process is None:
            _process = MemoryBudget(max(_LEAST, min(default_memory() - _MAPPED, DEFAULT_MEMORY) // 2))
        return _process
