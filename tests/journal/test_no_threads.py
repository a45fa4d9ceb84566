"""A process that cannot start more threads ingests and reads a journal without them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync import Journal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")

# The system never refuses a thread to root.
PROGRAM = """
import os, resource, sys
from plsync import Journal

if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
with Journal.open(sys.argv[1], create=True) as journal:
    for number in range(3000):
        journal.append(b"x" * 500)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    journal.flush()
    print(journal.check().problems)
"""


@pytest.fixture
def path() -> Iterator[Path]:
    """A path where a user without the rights of root can write."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)  # noqa: S103 - for as long as the test runs
        yield Path(directory, "journal")


def test_a_journal_is_ingested_and_checked_without_threads(path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    with Journal.open(path) as journal:
        assert journal.flush().journaled == 3000
        assert journal.stats().spool.segments == 0
