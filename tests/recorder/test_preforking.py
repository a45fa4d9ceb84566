"""A real gunicorn that loads the application, and with it the handler, before it forks its workers."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from plsync import Journal
from tests.support.commands import environment
from tests.support.models import records, texts
from tests.support.root import ROOT

pytest.importorskip("gunicorn", reason="gunicorn runs where processes fork")


class Server:
    """Two workers behind a Unix socket."""

    def __init__(self, journal: Path, directory: Path) -> None:
        self.address = directory / "s"
        command = ["-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"unix:{self.address}"]
        self.process = subprocess.Popen(
            [sys.executable, *command, "tests.support.preloaded_app:application"],
            env=environment(journal, PYTHONPATH=str(ROOT)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def get(self, path: str) -> int:
        """The id of the process that answered."""
        with socket.socket(socket.AF_UNIX) as connected:
            connected.connect(str(self.address))
            connection = http.client.HTTPConnection("localhost", timeout=60)
            connection.sock = connected
            connection.request("GET", path)
            return int(connection.getresponse().read())

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while not self.address.exists():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> int:
        self.process.terminate()
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def server(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # The path of the test's directory may be too long for a socket.
    started = Server(path, tmp_path_factory.mktemp("g"))
    started.wait()
    yield started
    started.process.kill()
    started.process.communicate()


def test_workers_forked_after_loading_record_every_request(server: Server, path: Path) -> None:
    requests: list[str] = []
    workers: set[int] = set()
    with ThreadPoolExecutor(4) as pool:
        while len(workers) < 2 or len(requests) < 20:
            paths = [f"/{len(requests) + number}" for number in range(4)]
            requests += paths
            workers |= set(pool.map(server.get, paths))
            assert len(requests) < 1000
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        server.get("/dies")
    requests.append("/after")
    server.get("/after")
    assert server.stop() == 0
    found = records(path)
    assert sorted(texts(record)[0] for record in found if record.status == "ok") == sorted(["loaded", *requests])
    (killed,) = [record for record in found if record.status != "ok"]
    assert killed.error is not None
    assert killed.error["type"] == "Abandoned"
    assert killed.input[0]["content"] == "last words"
    with Journal.open(path) as journal:
        assert journal.check().problems == []
