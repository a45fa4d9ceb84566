"""The stand-in as a program: ``python -m plsync.testing``."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx

from tests.support.root import ROOT
from tests.support.stand_in import TRACE, send, span


@contextlib.contextmanager
def program(*options: str) -> Iterator[httpx.Client]:
    """A client of ``python -m plsync.testing`` with these options."""
    command = [sys.executable, "-m", "plsync.testing", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            settings = dict(process.stdout.readline().strip().split("=", 1) for _ in range(2))
            headers = {"X-API-KEY": settings["PROMPTLAYER_API_KEY"]}
            url = settings["PROMPTLAYER_BASE_URL"]
            with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as client:
                yield client
        finally:
            process.terminate()


def test_it_runs_as_a_program() -> None:
    with program() as client:
        assert send(client, span()).status_code == 201
        assert client.post("/log-request", json={}).status_code == 422
        assert client.get("/nothing", headers={"X-API-KEY": "pl_other"}).status_code == 401


def test_the_program_takes_the_servers_options() -> None:
    options = ["--api-key", "pl_mine", "--no-validate", "--keep", "ids", "--lag", "3600", "--max-body", "5000"]
    with program(*options) as client:
        assert client.headers["X-API-KEY"] == "pl_mine"
        assert send(client, span(score=101)).status_code == 201
        assert client.get(f"/api/public/v2/traces/{TRACE}").json()["spans"][0]["request_log_id"] is None
        assert send(client, span(function_name="x" * 5000)).status_code == 413
        assert client.get("/stand-in/counts").json()["request_logs"] == 1


def test_two_runs_of_the_program_share_neither_a_key_nor_a_request_id() -> None:
    keys, ids = set(), set()
    for _ in range(2):
        with program() as client:
            keys.add(client.headers["X-API-KEY"])
            ids.add(send(client, span()).json()["request_logs"][0]["id"])
    assert len(keys) == len(ids) == 2
    assert all(re.fullmatch("pl_[0-9a-f]{32}", key) for key in keys)
    assert all(0 < request_id < 1 << 53 for request_id in ids)


def test_the_first_request_id_can_be_set() -> None:
    with program("--first-request-id", "501") as client:
        assert send(client, span()).json()["request_logs"][0]["id"] == 501


def test_the_program_serves_templates() -> None:
    with program("--prompt", "example=A name for {product}?", "--prompt", "other=") as client:
        template = client.get("/prompt-templates/example").json()["prompt_template"]
        assert template["content"][0]["text"] == "A name for {product}?"
        assert client.get("/prompt-templates/other").status_code == 200


def test_a_template_without_a_name_is_refused() -> None:
    command = [sys.executable, "-m", "plsync.testing", "--prompt", "A name for {product}?"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not NAME=TEXT" in done.stderr


def test_the_program_can_fail_at_random() -> None:
    with program("--fault-fraction", "1", "--seed", "7") as client:
        statuses = set()
        for _ in range(30):
            with contextlib.suppress(httpx.TransportError):
                statuses.add(client.get("/nothing").status_code)
    assert statuses - {404}


def test_every_option_of_the_program_is_documented() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "plsync.testing", "--help"], capture_output=True, check=True
    ).stdout
    page = ROOT / "docs" / "guide" / "testing-with-promptlayer.md"
    documented = set(re.findall(r"--[a-z][a-z-]+", page.read_text(encoding="utf-8")))
    offered = set(re.findall(r"--[a-z][a-z-]+", help_text.decode()))
    assert offered - {"--help"} == documented - {"--once"}
