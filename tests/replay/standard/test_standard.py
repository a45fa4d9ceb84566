"""LangChain's official suites pass on recorded models and embeddings, and on their replay without a live model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.openai_server import OpenAIServer
from tests.support.root import ROOT

SUITE = Path(__file__).with_name("suite.py")

PLUGINS = ("cacheprovider", "platformdirs", "langsmith_plugin", "codspeed", "hypothesispytest", "xdist")


def run(way: str, directory: Path, url: str) -> str:
    """The output of pytest for the suite, run in another process."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **{"PLSYNC_SUITE": way, "PLSYNC_RECORDINGS": str(directory / "recordings")},
        **{"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        **{"OPENAI_BASE_URL": url, "PYTHONWARNINGS": "ignore"},
    }
    snapshots = ["--snapshot-update"] if way == "recorded" else []
    without = [argument for name in PLUGINS for argument in ("-p", f"no:{name}")]
    suite = directory / "suite.py"
    suite.write_text(SUITE.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-rs", "-q", "--benchmark-disable", *without, *snapshots, str(suite)]
    command += ["-o", "asyncio_mode=auto", "--rootdir", str(directory)]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(300)
def test_the_official_suites_pass_recorded_and_replayed(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        recorded = run("recorded", tmp_path, server.url)
        live_calls = len(server.requests)
    replayed = run("replayed", tmp_path, "http://127.0.0.1:1")
    assert live_calls > 60
    for output in (recorded, replayed):
        passed = re.search(r"(\d+) passed, 1 skipped", output)
        assert passed, output
        assert int(passed[1]) >= 64
        # The skipped test compares a provider's latency with a cassette of its HTTP.
        assert "VCR not set up." in output
