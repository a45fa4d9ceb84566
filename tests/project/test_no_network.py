"""Without a network: recording opens no socket, and `plsync run` waits, without spinning, until there is one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync import Journal
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.calls import states, write_calls
from tests.support.commands import run
from tests.support.namespace import PREFIX, needs_namespace
from tests.support.root import ROOT
from tests.support.snippets import snippets_of

# The whole minute is `make crash`'s.
WATCHED = float(os.environ.get("PLSYNC_OFFLINE_SECONDS", "8"))
RUN = [*PREFIX, sys.executable, "-c", "from plsync.cli import main; main()", "run"]


def environment(path: Path) -> dict[str, str]:
    return {**os.environ, "PLSYNC_JOURNAL": str(path), "PROMPTLAYER_API_KEY": "pl_key", "PROMPTLAYER_BASE_URL": ""}


@pytest.fixture
def running(path: Path) -> Iterator[subprocess.Popen[str]]:
    write_calls(path, 3)
    pipe = subprocess.PIPE
    with programs.Popen(RUN, env=environment(path), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert "no connection to https://api.promptlayer.com" in process.stdout.readline()
        yield process
        process.terminate()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@needs_namespace
def test_once_reports_waiting_records_and_keeps_them(path: Path) -> None:
    write_calls(path, 3)
    done = programs.run([*RUN, "--once"], env=environment(path), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "3 records to send, kept in the journal" in done.stdout
    assert "Traceback" not in done.stderr
    assert set(states(path).values()) == {"pending"}


@needs_namespace
@pytest.mark.timeout(WATCHED + 60)
def test_it_waits_without_spinning(running: subprocess.Popen[str]) -> None:
    begun, used = time.monotonic(), cpu_seconds(running.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(WATCHED)
    assert (cpu_seconds(running.pid) - used) / (time.monotonic() - begun) < 0.01


@needs_namespace
def test_it_can_be_stopped(running: subprocess.Popen[str], path: Path) -> None:
    running.terminate()
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 3
    assert "Traceback" not in errors
    assert set(states(path).values()) == {"pending"}


@needs_namespace
def test_recording_needs_no_network(path: Path) -> None:
    code = (
        "import sys\n"
        "from langchain_core.language_models import FakeListChatModel\n"
        "def hook(event, args):\n"
        "    if event.startswith('socket.'): print('SOCKET', event)\n"
        "# Not earlier: urllib3, which LangChain imports, tries out at import whether there is IPv6.\n"
        "sys.addaudithook(hook)\n"
        "from plsync import PromptLayerCallbackHandler\n"
        "model = FakeListChatModel(responses=['yes'])\n"
        "print(model.invoke('?', {'callbacks': [PromptLayerCallbackHandler()]}).content)\n"
    )
    command = [*PREFIX, sys.executable, "-c", code]
    done = programs.run(command, env=environment(path), capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "yes\n"
    assert len(states(path)) == 1


@needs_namespace
def test_an_agent_on_a_local_model_arrives_once_there_is_a_network(
    path: Path, tmp_path: Path, server: PromptLayerServer
) -> None:
    pytest.importorskip("gpt4all", reason="gpt4all has no wheel for this machine")
    (code,) = (each.body for each in snippets_of(ROOT / "docs/guide/agents.md")[0] if "GPT4All" in each.body)
    command = [*PREFIX, sys.executable, "-W", "ignore", "-c", code]
    programs.run(command, cwd=tmp_path, env=environment(path), capture_output=True, check=True, timeout=60)
    address = {"PROMPTLAYER_BASE_URL": server.url, "PROMPTLAYER_API_KEY": server.api_key}
    sent = run(path, "run", "--once", **address)
    assert sent.returncode == 0, sent.stderr
    tree = server.tree("forecast", closed=True)
    assert [span.name for span in tree.children] == ["think", "tools", "think"]
    assert tree.find("Tool: temperature").attributes["function_output"] == "It is 4 degrees in Paris."
    with Journal.open(path) as journal:
        server.assert_exactly_once(record.id for record in journal.records())
        assert len(tree.calls) == journal.stats().states["acked"] == 2
