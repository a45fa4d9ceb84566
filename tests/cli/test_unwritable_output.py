"""Standard output on a full disk, or in a terminal that has gone: one line names it, and the exit code is 1."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from plsync import Journal
from tests.support import programs
from tests.support.calls import write_calls
from tests.support.commands import PLSYNC, environment

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [["status"], ["list"], ["list", "--json"], ["usage", "--json"], ["check"]])
def test_an_output_that_cannot_be_written_is_named_in_one_line(path: Path, command: list[str], unbuffered: str) -> None:
    write_calls(path, 2)
    with open("/dev/full", "w") as full:
        done = programs.run(
            [PLSYNC, *command],
            env=environment(path, PYTHONUNBUFFERED=unbuffered),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("plsync: No space left on device: the output; every recorded event is kept")


def test_a_command_does_its_work_without_any_output(path: Path) -> None:
    (id,) = write_calls(path, 1)
    with open("/dev/full", "w") as full:
        command = [PLSYNC, "forget", id, "--yes"]
        done = programs.run(command, env=environment(path), stdout=full, stderr=full, check=False)
    assert done.returncode == 1
    with Journal.open(path) as journal:
        assert journal.get(id).forgotten
