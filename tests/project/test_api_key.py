"""The API key goes into one HTTP header, and nowhere else: not the journal, not a log, not a message."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync.testing import PromptLayerServer
from tests.support.calls import write_calls

KEY = "pl_ThisIsTheKeyThatNobodyMaySee"
# Without the pauses after failures, of which there are many here.
MAIN = (
    "import functools; from plsync.delivery import policy\n"
    "policy.SendPolicy = functools.partial(policy.SendPolicy, shortest_pause=0.01, longest_pause=0.02)\n"
    "from plsync.cli import main; main()\n"
)
RUN = [sys.executable, "-X", "dev", "-c", MAIN]
# Every library logs everything.
VERBOSE = "import logging; logging.basicConfig(level=logging.DEBUG)\n"


@pytest.fixture
def server() -> Iterator[PromptLayerServer]:
    with PromptLayerServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.mkdir(mode=0o700)
    write_calls(path, 20)
    return path


def output(path: Path, server: PromptLayerServer, command: list[str], key: str = KEY) -> str:
    settings = {"PLSYNC_JOURNAL": str(path), "PROMPTLAYER_API_KEY": key, "PROMPTLAYER_BASE_URL": server.url}
    env = {**os.environ, **settings}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode in {0, 1, 3}
    return done.stdout + done.stderr


def assert_unseen(path: Path, text: str) -> None:
    assert KEY not in text
    files = [file for file in path.rglob("*") if file.is_file()]
    assert files
    assert [file.name for file in files if KEY.encode() in file.read_bytes()] == []


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_run_that_meets_everything_shows_it_nowhere(path: Path, server: PromptLayerServer, option: list[str]) -> None:
    server.plan(seed=3, fraction=0.5)
    text = ""
    for _ in range(3):
        text += output(path, server, [*RUN, "run", "--once", "--settle", "0", "--batch", "2", *option])
    server.clear()
    text += output(path, server, [*RUN, "run", "--once", "--settle", "0"])
    text += output(path, server, [*RUN, "status"]) + output(path, server, [*RUN, "list", "--json"])
    assert len(server.request_logs) == 20
    assert_unseen(path, text)


def test_a_key_that_is_refused_is_not_repeated(path: Path, server: PromptLayerServer) -> None:
    server.fail(401, body=f'{{"success": false, "message": "no such key: {KEY}"}}'.encode())
    assert_unseen(path, output(path, server, [*RUN, "run", "--once"]))


def test_a_program_that_sends_by_itself_logs_it_nowhere(path: Path, server: PromptLayerServer) -> None:
    code = VERBOSE + (
        "from langchain_core.language_models import FakeListChatModel\n"
        "from plsync import Journal, PromptLayerCallbackHandler\n"
        "handler = PromptLayerCallbackHandler(sync='thread')\n"
        "FakeListChatModel(responses=['yes']).invoke('?', {'callbacks': [handler]})\n"
        "print(Journal.open().flush(wait='acked', timeout=60))\n"
    )
    text = output(path, server, [sys.executable, "-c", code])
    assert "waiting=0" in text
    assert "httpcore" in text
    assert_unseen(path, text)
