"""``plsync run`` at the end of its session: SIGHUP, and a terminal that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from plsync.testing import PromptLayerServer
from tests.delivery.test_run import COMMAND, environment
from tests.support import programs
from tests.support.calls import states, wait_until, write_calls

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")


@pytest.mark.parametrize("repeated", [1, 3])
def test_the_end_of_the_session_lets_the_requests_in_flight_finish(
    path: Path, server: PromptLayerServer, repeated: int
) -> None:
    write_calls(path, 3)
    server.hang(1, path="/spans-bulk")
    leader, terminal = os.openpty()
    command = [*COMMAND, "--batch", "1", "--in-flight", "1"]
    with programs.Popen(command, env=environment(path, server), stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        wait_until(lambda: len(server.request_logs) == 1)
        os.close(leader)
        for _ in range(repeated):
            process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 3
    assert sorted(states(path).values()) == ["acked"] + ["pending"] * 2


def test_nohup_keeps_a_run_alive(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    command = ["nohup", *COMMAND]
    with programs.Popen(command, env=environment(path, server), stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: list(states(path).values()) == ["acked"])
        process.send_signal(signal.SIGHUP)
        write_calls(path, 1)
        wait_until(lambda: list(states(path).values()) == ["acked"] * 2)
        process.terminate()
        assert process.wait(30) == 0
