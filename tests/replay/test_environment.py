"""``PLSYNC_REPLAY`` in processes that a program or a test starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.replaying import lines

PROGRAM = """
import sys
from langchain_core.language_models import FakeListChatModel
print(FakeListChatModel(responses=[sys.argv[1]]).invoke("q").content)
"""

SPAWN = """
import importlib, multiprocessing
from concurrent.futures import ProcessPoolExecutor
from langchain_core.language_models import FakeListChatModel

def work(question):
    return FakeListChatModel(responses=["live"]).invoke(question).content

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn, importlib.import_module, ("plsync",)) as pool:
        print(sorted(pool.map(work, "abcd")))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def start(variable: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PLSYNC_REPLAY": variable}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_child_that_imports_plsync_records_and_replays(path: Path) -> None:
    program = f"import plsync\n{PROGRAM}"
    assert start(f"once:{path}", "-c", program, "first").stdout == "first\n"
    assert len(lines(path)) == 1
    assert start(str(path), "-c", program, "live").stdout == "first\n"
    assert "NoRecording" in start(str(path), "-c", program.replace('"q"', '"other"'), "live").stderr
    assert start("", "-c", program, "live").stdout == "live\n"


def test_a_program_that_does_not_import_plsync_is_run_under_it(path: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAM)
    assert start(f"once:{path}", "-m", "plsync.replay", str(tmp_path / "app.py"), "first").stdout == "first\n"
    assert start(str(path), "-m", "plsync.replay", str(tmp_path / "app.py"), "live").stdout == "first\n"
    assert "usage: PLSYNC_REPLAY=" in start("", "-m", "plsync.replay", "app.py").stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no safe path")
def test_a_safe_path_keeps_the_programs_directory_out(path: Path, tmp_path: Path) -> None:
    (tmp_path / "sibling.py").write_text("print('imported')")
    (tmp_path / "app.py").write_text("import sys, sibling, os\n")
    arguments = ["-m", "plsync.replay", str(tmp_path / "app.py")]
    assert start(f"once:{path}", *arguments).stdout == "imported\n"
    done = start(f"once:{path}", "-P", *arguments)
    assert done.stdout == ""
    assert "No module named 'sibling'" in done.stderr


def test_the_processes_of_a_spawned_pool_record_and_replay(path: Path, tmp_path: Path) -> None:
    program = tmp_path / "pool.py"
    program.write_text(SPAWN)
    assert start(f"new_episodes:{path}", str(program)).stdout == "['live', 'live', 'live', 'live']\n"
    assert len(lines(path)) == 4
    program.write_text(SPAWN.replace('"live"', '"-"'))
    assert start(str(path), str(program)).stdout == "['live', 'live', 'live', 'live']\n"
