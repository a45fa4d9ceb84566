"""A secret in any place of a call is in no file and in no output: journal, recordings, exports, commands, logs."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI

from plsync import PromptLayerCallbackHandler
from plsync.replay import with_recording
from plsync.testing import PromptLayerServer
from tests.support import commands
from tests.support.hostile_secrets import PLANTED, Plant
from tests.support.loopback_server import Connection, LoopbackServer


class EchoServer(LoopbackServer):
    """A provider that refuses each call, and repeats the headers and the address of the request in its error."""

    def __init__(self) -> None:
        self.error: str | None = None
        self.headers: dict[str, str] = {}
        app = self

        class Handler(Connection):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                key = self.headers.get("Authorization", "").removeprefix("Bearer ")
                words = f"Incorrect key {key} for {self.path}; you sent {dict(self.headers)}"
                body = json.dumps({"error": {"message": app.error or words, "code": key, "param": words}}).encode()
                self.send_response(401)
                for name, value in {"Content-Length": str(len(body)), **app.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    with EchoServer() as echo:
        yield echo


SECRETS = {place: f"Zq{number:02}-planted-{number * 7919 + 104729:06}" for number, place in enumerate(PLANTED)}


def call(echo: EchoServer, plant: Plant, handler: PromptLayerCallbackHandler, recording: Path) -> None:
    echo.error, echo.headers = plant.error, plant.headers
    arguments: dict[str, Any] = {"api_key": "none", "base_url": echo.url, "max_retries": 0, **plant.model}
    model = with_recording(ChatOpenAI(**arguments), recording, mode="new_episodes")
    config: Any = {"callbacks": [handler], "metadata": plant.metadata, "tags": plant.tags, "run_name": plant.name}
    with pytest.raises(openai.AuthenticationError):
        model.invoke("The capital of France?", config, **plant.options)


def spellings(secret: str) -> set[str]:
    """A secret as it may stand in a file; of base64 the part that only the secret decides."""
    inner = base64.b64encode(secret.encode())[:-4].decode()
    after_user = base64.b64encode(f"ann:{secret}".encode())[8:-4].decode()
    return {secret, secret.replace("-", ""), inner, after_user}


def found_in(text: str | bytes) -> list[str]:
    """The places whose secrets are in a text."""
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    return [place for place, secret in SECRETS.items() if any(one in text for one in spellings(secret))]


def test_planted_secrets_are_kept_nowhere(
    echo: EchoServer, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "plsync")
    assert len(PLANTED) >= 65
    handler = PromptLayerCallbackHandler(journal=path, pl_tags=[f"https://ann:{SECRETS['tag']}@example.invalid"])
    recording = tmp_path / "live.jsonl"
    for place, plant in PLANTED.items():
        call(echo, plant(SECRETS[place]), handler, recording)
    assert handler.failures == 0

    raw = b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())
    assert b"The capital of France?" in raw
    assert found_in(raw) == []
    assert found_in(recording.read_bytes()) == []
    assert found_in(caplog.text) == []

    exported = tmp_path / "exported.jsonl"
    commands.printed(path, "export", "--recording", str(exported))
    assert found_in(exported.read_bytes()) == []
    listed = commands.json_lines(path, "list", "--limit", "500")
    assert len(listed) == len(PLANTED)
    outputs = [json.dumps(listed), commands.printed(path, "list", "--limit", "500")]
    outputs += [commands.printed(path, "show", record["id"], "--json") for record in listed[:5]]
    outputs += [commands.printed(path, "show", record["id"]) for record in listed[:5]]
    outputs += [commands.printed(path, "status", "--json"), commands.printed(path, "status")]
    assert found_in("\n".join(outputs)) == []

    with PromptLayerServer() as server:
        done = commands.run(
            path, "run", "--once", "--json", PROMPTLAYER_BASE_URL=server.url, PROMPTLAYER_API_KEY=server.api_key
        )
        assert found_in(done.stdout + done.stderr) == []
        assert len(server.request_logs) == len(PLANTED)
        assert found_in(json.dumps(server.request_logs, default=str)) == []


def test_the_error_keeps_its_words(echo: EchoServer, path: Path, tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    call(echo, PLANTED["key of the model"]("my-own-key-0001"), handler, tmp_path / "live.jsonl")
    (record,) = commands.json_lines(path, "list", "--status", "error")
    shown = json.loads(commands.printed(path, "show", record["id"], "--json"))
    message = shown["error"]["message"]
    assert message.startswith("Error code: 401 - Incorrect key [redacted] for /chat/completions; you sent {'Host': ")
    assert shown["error"]["type"].endswith("AuthenticationError")


def test_a_process_list_shows_no_key(path: Path, server: PromptLayerServer) -> None:
    """``plsync run`` has the key in its environment. No argument of it or of its commands contains the key."""
    PromptLayerCallbackHandler(journal=path)
    script = "import os; print(open(f'/proc/{os.getppid()}/cmdline').read(), open('/proc/self/cmdline').read())"
    from tests.support.calls import write_calls  # noqa: PLC0415

    write_calls(path, 1, sink="app:sink")
    done = commands.run(
        path,
        *("run", "--once", "--exec", f'python3 -c "{script}" {{request_id}}'),
        PROMPTLAYER_BASE_URL=server.url,
        PROMPTLAYER_API_KEY=server.api_key,
    )
    assert "cmdline" in done.stdout + done.stderr
    assert server.api_key not in done.stdout + done.stderr
