"""A small file system, and a file that fills it. Mounting needs root on Linux; the test is skipped otherwise."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

import pytest

from tests.support.calls import wait_until

_TIMES_FULL = 10


@contextmanager
def small_disk(path: Path, size: str = "4m") -> Iterator[Path]:
    """A tmpfs of this size in a directory."""
    path.mkdir(exist_ok=True)
    if not _mounted(["-t", "tmpfs", "-o", f"size={size}", "plsync-test", str(path)]):
        pytest.skip("mounting needs root")
    try:
        yield path
    finally:
        subprocess.run(["/bin/umount", "-l", str(path)], check=True)


@contextmanager
def small_ext4(path: Path, megabytes: int = 25) -> Iterator[Path]:
    """An ext4 volume of this size in a new directory."""
    image = path.with_name(f"{path.name}.ext4")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    path.mkdir()
    made = subprocess.run(["/sbin/mkfs.ext4", "-q", "-O", "^has_journal", str(image)], capture_output=True, check=False)
    mounted = made.returncode == 0 and _mounted(["-o", "loop", str(image), str(path)])
    if not mounted:
        pytest.skip("mounting needs root, a loop device and mkfs.ext4")
    try:
        yield path
    finally:
        subprocess.run(["/bin/umount", "-l", str(path)], check=True)


def stop_writes(disk: Path) -> None:
    """Let an ext4 volume take no writes any more, as after an error of its disk; its mount stays writable."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    device = next(Path(device).name for device, at, *_ in mounts if at == str(disk))
    trigger = Path(f"/sys/fs/ext4/{device}/trigger_fs_error")
    if not (trigger.exists() and _mounted(["-o", "remount,errors=remount-ro", str(disk)])):
        pytest.skip("needs the error trigger of ext4")
    trigger.write_text("a test")


def _mounted(arguments: list[str]) -> bool:
    return subprocess.run(["/bin/mount", *arguments], capture_output=True, check=False).returncode == 0


def fill(disk: Path) -> Path:
    """Fills the disk with a file, until it stays full.

    A thread of this process may free blocks later. It closes a deleted file, or removes a new segment that has too
    little room.
    """
    wait_until(lambda: not _has_deleted_files(disk))
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        times_full = 0
        while times_full < _TIMES_FULL:
            times_full = 0 if _grows(file) else times_full + 1
            time.sleep(0.005)
    return ballast


def _grows(file: FileIO) -> bool:
    size = file.tell()
    for step in (1 << 16, 1 << 12):
        with suppress(OSError):
            while True:
                file.write(b"x" * step)
    return file.tell() > size


def _has_deleted_files(disk: Path) -> bool:
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            name = os.readlink(descriptor)
            if name.startswith(f"{disk}/") and name.endswith(" (deleted)"):
                return True
    return False
