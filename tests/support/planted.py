"""Files that an attacker plants in a journal under plsync's names: links, FIFOs, devices and directories."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

WRITER: Final = "01234567-89ab-7cde-8f01-23456789abcd".replace("-", "")

PLACES: Final = (
    "FORMAT",
    "ingest.lock",
    "sync.lock",
    "doorbell",
    "spool",
    "lmdb",
    "lmdb-1",
    "lmdb/data.mdb",
    "lmdb/lock.mdb",
    "lmdb/stamp",
    f"spool/{WRITER}-00000000.seg",
    f"spool/{WRITER}-00000001.new",
    f"spool/{WRITER}.lock",
)
"""Every name that plsync opens in a journal."""


def _link(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def _hard_link(place: Path, victim: Path) -> None:
    os.link(next(path for path in sorted(victim.rglob("*")) if path.is_file()) if victim.is_dir() else victim, place)


def _dangling(place: Path, victim: Path) -> None:
    place.symlink_to(victim.with_name("created"))


def _fifo(place: Path, _: Path) -> None:
    os.mkfifo(place)


def _device(place: Path, _: Path) -> None:
    place.symlink_to("/dev/zero")


def _directory(place: Path, victim: Path) -> None:
    place.mkdir()
    (place / "letter").write_bytes(b"dear")


KINDS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "link": _link,
    "hard link": _hard_link,
    "dangling link": _dangling,
    "fifo": _fifo,
    "device": _device,
    "directory": _directory,
}


def plant(journal: Path, place: str, kind: str, victim: Path) -> None:
    """Put a file of a kind in the place of plsync's own; links lead to ``victim``."""
    target = journal / place
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    KINDS[kind](target, victim)


def state_of(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below a directory: mode, time of the last change, and content."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(directory))] = (status.st_mode, status.st_mtime_ns if path.is_file() else 0, content)
    return found
