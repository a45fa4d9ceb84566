"""The heartbeat of a sender and systemd's watchdog: both follow the turns of the loop, and nothing else."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from plsync._common.clock import elapsed
from plsync.cli.systemd import Watchdog, notify
from plsync.delivery import lock as lock_module
from plsync.delivery import runner as runner_module
from plsync.delivery.lock import current_sender, sole_sender
from plsync.delivery.policy import SendPolicy
from plsync.delivery.runner import Runner
from plsync.delivery.wake import Wake
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer
from tests.delivery.test_run import start
from tests.support.calls import wait_until, write_calls


class Turns:
    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self) -> None:
        self.times.append(elapsed())

    def since(self, at: float) -> int:
        return sum(time > at for time in list(self.times))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "_TURN", 0.05)


def test_the_loop_turns_while_idle_and_offline_and_not_while_it_hangs(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    turns = Turns()
    with (
        Journal.open(path) as journal,
        PromptLayerClient(server.api_key, server.url) as client,
        Wake(path) as wake,
    ):
        runner = Runner(journal, client, SendPolicy(), wake, on_turn=turns)
        thread = threading.Thread(target=lambda: list(runner.forever()))
        thread.start()
        try:
            wait_until(lambda: len(server.request_logs) == 1)
            idle = elapsed()
            wait_until(lambda: turns.since(idle) > 3)
            server.hang(2.0, path="/spans-bulk")
            write_calls(path, 1)
            wait_until(lambda: len(server.request_logs) == 2)
            sending = elapsed()
            wait_until(lambda: turns.since(sending) > 3)
            # Another process holds the lock of the ingest, and does not go on.
            with open(path / "ingest.lock", "rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                write_calls(path, 1)
                wait_until(lambda: elapsed() - turns.times[-1] > 0.5)
                hanging = elapsed()
            wait_until(lambda: turns.since(hanging) > 3)
            with server.offline():
                write_calls(path, 1)
                offline = elapsed()
                wait_until(lambda: turns.since(offline) > 10)
        finally:
            runner.stop()
            thread.join(10)


def test_a_heartbeat_is_written_every_ten_seconds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(lock_module, "elapsed", lambda: now)
    Journal.open(path, create=True).close()
    with sole_sender(path) as lock:
        beats = set()
        for _ in range(60):
            now += 1
            lock.beat()
            found = current_sender(path)
            assert found is not None
            beats.add(found.alive)
        assert len(beats) == 7
        assert found is not None
        silence = found.silence
        assert silence is not None
        assert 0 <= silence < 60


# --- systemd ---


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_receives_notifications_on_both_kinds_of_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"@plsync-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1", "STATUS=idle")
        assert manager.recv(4096) == b"READY=1\nSTATUS=idle"


@pytest.mark.parametrize(
    ("variables", "interval"),
    [
        ({}, float("inf")),
        ({"WATCHDOG_USEC": "600000000"}, 300.0),
        ({"WATCHDOG_USEC": "0"}, float("inf")),
        ({"WATCHDOG_USEC": "soon"}, float("inf")),
        ({"WATCHDOG_USEC": "600000000", "WATCHDOG_PID": "1"}, float("inf")),
    ],
)
def test_the_watchdog_is_notified_at_half_of_its_time(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], interval: float
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Watchdog().interval == interval


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_a_run_that_idles_notifies_the_watchdog(path: Path, server: PromptLayerServer, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        with start(path, server, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000") as process:
            received = [manager.recv(4096) for _ in range(5)]
            began = time.monotonic()
            while received[-1] != b"WATCHDOG=1" or time.monotonic() - began < 0.5:
                received.append(manager.recv(4096))
            process.terminate()
    assert received[0].startswith(b"READY=1")
    assert received.count(b"WATCHDOG=1") >= 2
