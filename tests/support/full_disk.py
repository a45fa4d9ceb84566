"""A small file system, and a file that fills it. Mounting needs root on Linux; the test is skipped otherwise."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size: str = "4m") -> Iterator[Path]:
    """A tmpfs of this size in a directory."""
    command = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "plsync-test", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs root")
    try:
        yield path
    finally:
        subprocess.run(["/bin/umount", "-l", str(path)], check=True)


def fill(disk: Path) -> Path:
    """Fills the disk with a file."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast
