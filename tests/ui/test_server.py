"""``plsync ui`` as a process: its link, its port, its end, its browser, and other users of the machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from plsync import Journal
from tests.support import programs
from tests.support.calls import wait_until, write_calls
from tests.support.commands import PLSYNC, environment, run
from tests.support.page import started_page
from tests.support.spooling import SpoolWriter
from tests.support.users import STRANGER, as_user, needs_root

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def test_the_page_starts_answers_and_ends(path: Path) -> None:
    write_calls(path, 3)
    with started_page(path) as page, page.client() as client:
        assert page.link == f"http://127.0.0.1:{page.port}/#t={page.token}"
        assert client.get("/api/journal").json()["records"] == 3
        assert client.get("/api/calls", headers={"authorization": ""}).status_code == 401
        # A tab that listens does not keep the server.
        with client.stream("GET", "/api/events") as events:
            lines = events.iter_lines()
            assert json.loads(next(lines))["type"] == "hello"
            began = time.monotonic()
            page.process.send_signal(signal.SIGINT)
            _, errors = page.process.communicate(timeout=10)
        assert (page.process.returncode, errors) == (0, "")
        assert time.monotonic() - began < 5


def test_people_read_the_link_and_the_way_to_it_from_elsewhere(path: Path) -> None:
    write_calls(path, 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [str(PLSYNC), "ui", "--no-open", "--port", str(port)]
        process = programs.Popen(
            command, env=environment(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            process.terminate()
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    own = int(lines[1].rpartition(":")[2].partition("/")[0])
    assert own != port
    assert lines[0] == f"journal       {path}  (1 call)\n"
    assert lines[1].startswith(f"open          http://127.0.0.1:{own}/#t=")
    assert lines[2] == " " * 14 + "this machine only; Ctrl-C ends it\n"
    assert lines[3] == " " * 14 + f"from elsewhere: ssh -L {own}:127.0.0.1:{own} HOST, then the same link\n"
    assert errors == f"plsync: port {port} is taken; the page is at port {own}\n"


@needs_root
def test_another_user_of_the_machine_gets_nothing(path: Path) -> None:
    write_calls(path, 1)
    with started_page(path) as page:
        port, token = page.port, page.token

        def spy() -> tuple[set[int], bytes, list[str]]:
            found = b""
            for entry in Path("/proc").iterdir():
                try:
                    found += (entry / "cmdline").read_bytes()
                    found += (entry / "environ").read_bytes()
                except OSError:
                    continue
            paths = ("/api/journal", "/api/calls", "/api/events", "/api/search?q=question")
            answers = [httpx.get(f"http://127.0.0.1:{port}{one}", timeout=10) for one in paths]
            return {answer.status_code for answer in answers}, found, [answer.text for answer in answers]

        statuses, processes, texts = as_user(STRANGER, spy)
        assert statuses == {401}
        assert token.encode() not in processes
        assert not [text for text in texts if token in text or "question" in text]
        addresses = Path("/proc/net/tcp").read_text()
        listening = [line.split()[1] for line in addresses.splitlines() if line.split()[1].endswith(f":{port:04X}")]
        assert listening[0].startswith("0100007F")


def test_a_kill_of_the_server_loses_nothing(path: Path) -> None:
    writer = SpoolWriter(path)
    ids = [writer.call("a", "b", at=1_760_000_000_000)]
    with started_page(path) as page, page.client() as client:
        stop = threading.Event()
        answered: list[int] = []

        def use() -> None:
            while not stop.is_set():
                try:
                    client.get("/api/calls")
                    if client.post(f"/api/calls/{ids[0]}/score", json={"score": 1}).status_code == 201:
                        answered.append(1)
                except httpx.HTTPError:
                    return

        users = [threading.Thread(target=use) for _ in range(3)]
        for user in users:
            user.start()
        for number in range(50):
            ids.append(writer.call("a", "b", at=1_760_000_000_001 + number))
        wait_until(lambda: client.get("/api/count").json()["count"] > 10 and len(answered) > 3)
        page.process.kill()
        stop.set()
        for user in users:
            user.join()
    writer.close()
    with Journal.open(path) as journal:
        assert sorted(record.id for record in journal.records()) == sorted(ids)
        assert journal.check().problems == []
        assert len(journal.followups.of(ids[0])) >= len(answered)


def test_the_browser_gets_the_path_of_a_private_file_and_no_token(path: Path, tmp_path: Path) -> None:
    write_calls(path, 1)
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    script = f"#!{sys.executable}\nimport os, sys, urllib.request\n"
    script += "file = urllib.request.url2pathname(sys.argv[1].removeprefix('file://'))\n"
    script += "text = sys.argv[1] + chr(10) + oct(os.stat(file).st_mode) + chr(10) + open(file).read()\n"
    script += f"open({str(opened)!r} + '~', 'w').write(text); os.rename({str(opened)!r} + '~', {str(opened)!r})\n"
    browser.write_text(script)
    browser.chmod(0o755)
    variables = {"BROWSER": f"{browser} %s", "DISPLAY": ":99", "XDG_STATE_HOME": str(tmp_path / "state")}
    command = [str(PLSYNC), "ui", "--json", "--port", "0"]
    process = programs.Popen(command, env=environment(path, **variables), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        link = json.loads(process.stdout.readline())["link"]
        wait_until(opened.exists)
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
    address, mode, page = opened.read_text().split("\n", 2)
    assert address.startswith("file:///")
    assert link.partition("#t=")[2] not in address
    assert mode == "0o100600"
    assert f'content="0;url={link}"' in page
    assert not Path(address.removeprefix("file://")).exists()


def test_without_the_extra_the_command_names_it(path: Path, tmp_path: Path) -> None:
    write_calls(path, 1)
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError(name='starlette')")
    done = run(path, "ui", PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 1
    assert done.stderr == "plsync: the web view needs two packages: pip install 'plsync[ui]'\n"


def test_a_missing_file_of_prices_is_an_error(path: Path, tmp_path: Path) -> None:
    write_calls(path, 1)
    done = run(path, "ui", "--no-open", "--prices", str(tmp_path / "prices.json"))
    assert done.returncode == 1
    assert "No such file or directory; the page was not started: check the path" in done.stderr


def test_without_a_journal_nothing_is_started(path: Path) -> None:
    done = run(path, "ui", "--no-open")
    assert done.returncode == 1
    assert "no journal at" in done.stderr
    assert not path.exists()
