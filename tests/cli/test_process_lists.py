"""The arguments of processes, which every user of a machine can list: no key and no prompt among them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from plsync.testing import PromptLayerServer
from tests.support.commands import PLSYNC, environment
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000
PROMPT = "prompt-that-nobody-may-read"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def arguments_of_descendants(process: int) -> set[str]:
    """The command lines of a process and of the processes that it started."""
    found = set()
    with contextlib.suppress(OSError):
        found.add(Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                found |= arguments_of_descendants(int(child))
    return found


def seen_while(start: Callable[[], subprocess.Popen[bytes]]) -> set[str]:
    """All command lines while a command runs."""
    seen: set[str] = set()
    with start() as process:
        while process.poll() is None:
            seen |= arguments_of_descendants(process.pid)
            time.sleep(0.002)
    return seen


@pytest.mark.parametrize("command", ["run", "salvage"])
def test_no_command_line_has_a_key_or_a_prompt(
    writer: SpoolWriter, path: Path, tmp_path: Path, server: PromptLayerServer, command: str
) -> None:
    for number in range(20):
        writer.call(PROMPT, PROMPT, at=T + number, metadata={"note": PROMPT})
    writer.close()
    options = {
        "run": ["--once", "--exec", f"{sys.executable} -c 'import time; time.sleep(0.05)' {{request_id}} {{run_id}}"],
        "salvage": [str(path), str(tmp_path / "saved")],
    }[command]
    key = {"PROMPTLAYER_API_KEY": server.api_key, "PROMPTLAYER_BASE_URL": server.url}
    started = environment(path, **key)
    output = subprocess.DEVNULL
    seen = seen_while(lambda: subprocess.Popen([str(PLSYNC), command, *options], env=started, stdout=output))
    assert len(seen) >= 2, "the child process was not seen"
    assert not [line for line in seen if server.api_key in line or PROMPT in line]
