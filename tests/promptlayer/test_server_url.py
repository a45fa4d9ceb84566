"""The server's URL: which servers the API key may reach, and which part of the URL is shown."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from plsync import prompts
from plsync.errors import PlsyncError, SyncError
from plsync.promptlayer.client import PromptLayerClient
from tests.support import programs
from tests.support.calls import states, write_calls
from tests.support.raw_server import RawServer, responding

OTHERS = [
    "http://promptlayer.example",
    "HTTP://PROMPTLAYER.EXAMPLE:8080/base",
    "http://10.0.0.1",
    "http://192.168.1.5:8000",
    "http://host.docker.internal",
    "http://0.0.0.0",
    "http://[::]",
    "http://[fe80::1]",
    "http://[::ffff:10.0.0.1]",
    "http://127.0.0.1.example",
    "http://localhost.example",
    "http://127.1",
    "http://2130706433",
    "http://localhost@promptlayer.example",
    "http://127.0.0.1\\@promptlayer.example",
]


@pytest.mark.parametrize("url", OTHERS)
def test_http_to_another_machine_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SyncError, match="PLSYNC_ALLOW_HTTP=1"):
        PromptLayerClient("pl_key", url)
    for value in ("0", "no", "", "false"):
        monkeypatch.setenv("PLSYNC_ALLOW_HTTP", value)
        with pytest.raises(SyncError, match="PLSYNC_ALLOW_HTTP=1"):
            PromptLayerClient("pl_key", url)
    monkeypatch.setenv("PLSYNC_ALLOW_HTTP", "1")
    PromptLayerClient("pl_key", url).__exit__(None, None, None)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://LOCALHOST.:80",
        "http://127.0.0.1:9",
        "http://127.9.8.7",
        "http://[::1]:8000",
        "http://[::ffff:127.0.0.1]",
        "https://promptlayer.example",
    ],
)
def test_http_to_this_machine_and_https_need_no_permission(url: str) -> None:
    with warnings.catch_warnings(), PromptLayerClient("pl_key", url) as client:
        assert client.address.lower().startswith(url.lower()[:8])


def test_a_refused_url_sends_nothing_by_any_way(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_calls(path, 1)
    with RawServer(responding("429 Later", b"{}")) as proxy:
        settings = {
            "PROMPTLAYER_API_KEY": "pl_0123456789abcdef",
            "PROMPTLAYER_BASE_URL": "http://promptlayer.example",
            "HTTP_PROXY": proxy.url,
            "PLSYNC_JOURNAL": str(path),
            "PLSYNC_PROMPTS": str(tmp_path / "prompts"),
        }
        for command in (["run", "--once"], ["prompts", "pull"]):
            done = programs.run(
                [*programs.PLSYNC_IN_PYTHON, *command],
                env={**os.environ, **settings},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 1
            assert "PLSYNC_ALLOW_HTTP" in done.stderr
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(PlsyncError, match="PLSYNC_ALLOW_HTTP"):
            prompts.get("example")
        assert proxy.connections == 0
    assert set(states(path).values()) == {"pending"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/?a=b", "https://promptlayer.example/#x", "http://127.0.0.1?x"])
def test_a_url_with_a_query_or_a_fragment_is_refused(url: str) -> None:
    with pytest.raises(SyncError, match=r"PROMPTLAYER_BASE_URL.*query or a fragment"):
        PromptLayerClient("pl_key", url)


def test_a_path_of_the_url_stays_in_front() -> None:
    with RawServer(responding("404 No", b"{}")) as server:
        with PromptLayerClient("pl_key", f"{server.url}/a%2Fb/c d/") as client:
            client.look_up("f" * 32)
            assert client.address == server.url
        assert server.first_lines == [f"GET /a%2Fb/c%20d/api/public/v2/traces/{'f' * 32} HTTP/1.1"]


def test_a_user_of_the_url_becomes_basic_authentication() -> None:
    received: list[bytes] = []

    def behave(line: object) -> None:
        received.append(line.socket.recv(65536))  # type: ignore[attr-defined]
        line.hang_up()  # type: ignore[attr-defined]

    with (
        RawServer(behave) as server,
        PromptLayerClient("pl_key", server.url.replace("//", "//ann:a%40b@")) as client,
    ):
        client.look_up("f" * 32)
    assert b"Authorization: Basic YW5uOmFAYg==" in received[0]
