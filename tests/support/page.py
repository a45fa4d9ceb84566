"""The page of a journal, in the process of a test or in one that is started."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from plsync import Journal
from plsync.ui.app import make_app
from plsync.ui.settings import Settings
from tests.support import programs
from tests.support.commands import PLSYNC, environment

TOKEN = "t" * 43
HOST = "127.0.0.1:7717"
BEARER = {"authorization": f"Bearer {TOKEN}"}
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


@contextlib.contextmanager
def page_of(path: Path, **settings: Any) -> Iterator[TestClient]:
    """A client with the token and the origin of the page."""
    with Journal.open(path) as journal:
        app = make_app(journal, Settings(token=TOKEN, **settings))
        with TestClient(app, base_url=f"http://{HOST}", headers={**BEARER, **SAME_ORIGIN}) as client:
            yield client


def lines_of(text: str) -> list[dict[str, Any]]:
    """The objects of a response of NDJSON."""
    return [json.loads(line) for line in text.split("\n") if line]


@dataclass
class StartedPage:
    """A ``plsync ui`` that runs."""

    process: subprocess.Popen[str]
    link: str
    port: int

    @property
    def token(self) -> str:
        return self.link.partition("#t=")[2]

    def client(self) -> httpx.Client:
        """A client as the page is one."""
        headers = {"authorization": f"Bearer {self.token}", **SAME_ORIGIN}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=30)


@contextlib.contextmanager
def started_page(journal: Path, *arguments: str, **variables: str) -> Iterator[StartedPage]:
    """``plsync ui`` in a process. It is killed at the end if it still runs."""
    command = [str(PLSYNC), "ui", "--no-open", "--json", "--port", "0", *arguments]
    process = programs.Popen(
        command,
        env=environment(journal, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=sys.platform != "win32",
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            assert process.stderr is not None
            raise AssertionError(process.stderr.read())
        printed = json.loads(line)
        yield StartedPage(process, printed["link"], printed["port"])
    finally:
        process.kill()
        process.communicate()
