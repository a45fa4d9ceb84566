"""``plsync run`` delivers on when its output cannot be written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from plsync.testing import PromptLayerServer
from tests.delivery.test_run import COMMAND, environment
from tests.support import programs
from tests.support.calls import states, wait_until, write_calls

needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
MODES = pytest.mark.parametrize("options", [(), ("--json",)], ids=["lines", "json"])


def all_acked(path: Path, number: int) -> bool:
    return list(states(path).values()) == ["acked"] * number


@MODES
def test_a_run_whose_reader_is_dead_delivers_later_calls(
    path: Path, server: PromptLayerServer, options: tuple[str, ...]
) -> None:
    write_calls(path, 1)
    reading, writing = os.pipe()
    with programs.Popen([*COMMAND, *options], env=environment(path, server), stdout=writing, stderr=writing) as run:
        os.close(writing)
        wait_until(lambda: all_acked(path, 1))
        os.close(reading)
        for number in (2, 3):
            write_calls(path, 1)
            wait_until(lambda: all_acked(path, number))  # noqa: B023 - called in this round
        run.terminate()
        assert run.wait(30) == 0


@needs_full_device
@MODES
def test_a_run_whose_log_is_on_a_full_disk_delivers_and_exits_with_its_own_code(
    path: Path, server: PromptLayerServer, options: tuple[str, ...]
) -> None:
    write_calls(path, 2)
    with open("/dev/full", "w") as full:
        command = [*COMMAND, "--once", *options]
        done = programs.run(command, env=environment(path, server), stdout=full, stderr=full, timeout=60, check=False)
    assert done.returncode == 0
    assert all_acked(path, 2)


@needs_full_device
def test_prints_of_a_callback_may_fail(path: Path, server: PromptLayerServer, tmp_path: Path) -> None:
    write_calls(path, 1)
    (tmp_path / "app_of_user.py").write_text(
        "def save(promptlayer_id):\n"
        "    print('stored', promptlayer_id, flush=True)\n"
        "    open('ids', 'a').write(f'{promptlayer_id} ')\n"
    )
    command = [*COMMAND, "--once", "--callbacks", "app_of_user:save"]
    with open("/dev/full", "w") as full:
        done = programs.run(
            command, env=environment(path, server), cwd=tmp_path, stdout=full, stderr=full, timeout=60, check=False
        )
    assert done.returncode == 0
    assert all_acked(path, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is POSIX's")
def test_a_log_at_its_limit_holds_whole_lines(path: Path, server: PromptLayerServer, tmp_path: Path) -> None:
    import resource  # noqa: PLC0415 - missing on Windows

    from plsync.cli import tolerant_output  # noqa: PLC0415

    log = tmp_path / "log"
    with open(log, "wb") as file:
        stream = tolerant_output._TolerantFile(file.fileno())
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            for line in (b"first\n", b"cut in two\n", b"dropped\n"):
                assert stream.write(line) == len(line)
            assert stream.write(b"begins in the gap, ") == 19
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        stream.write(b"ends behind it\nlast\n")
    assert log.read_bytes() == b"first\ncut \nlast\n"
