"""Commands of one side of an air gap in a process with a preloaded library, whose source is a C file of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["compiled", "run_preloaded"]


def compiled(source: Path, directory: Path) -> Path:
    """The library of a C file. The test is skipped without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("not installed: cc")
    built = directory / f"{source.stem}.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True)
    return built


def run_preloaded(
    library: Path, side: Path, arguments: list[str], **variables: str
) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run a command on one side. Returns its result, and the number of counted calls: 0 after a kill."""
    counted = side / "calls"
    counted.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PLSYNC_KEYS": str(side / "keys"),
        "PLSYNC_JOURNAL": str(side / "journal"),
        "LD_PRELOAD": str(library),
        "PLSYNC_TEST_CALLS": str(counted),
        **variables,
    }
    command = [sys.executable, "-c", "from plsync.cli import main; main()", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done, int(counted.read_text()) if counted.exists() else 0
