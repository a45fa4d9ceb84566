"""The proxies of the environment, which the client uses as httpx does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Misdirected, Throttled, Unreachable
from tests.support.raw_server import RawServer, responding

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


@pytest.fixture
def proxy() -> Iterator[RawServer]:
    """A proxy that responds itself, and keeps the first line of each request."""
    with RawServer(responding("429 Too Many Requests", b"{}")) as proxy:
        yield proxy


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_an_http_request_reaches_the_proxy_with_the_whole_url(
    proxy: RawServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    with PromptLayerClient("pl_key", "http://promptlayer.invalid/base") as client:
        assert isinstance(client.send([]), Throttled)
    assert proxy.first_lines == ["POST http://promptlayer.invalid/base/spans-bulk HTTP/1.1"]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_refuses_a_tunnel_for_https_makes_promptlayer_unreachable(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with RawServer(responding("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv(variable, proxy.url.replace("//", "//user:hunter2@"))
        with PromptLayerClient("pl_key", "https://promptlayer.invalid") as client:
            outcome = client.send([])
        assert proxy.first_lines == ["CONNECT promptlayer.invalid:443 HTTP/1.1"]
    assert isinstance(outcome, Unreachable)
    assert "407" in outcome.reason
    assert "hunter2" not in outcome.reason


def test_a_proxy_that_requires_authentication_for_http_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(responding("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with PromptLayerClient("pl_key", "http://promptlayer.invalid") as client:
            assert isinstance(client.send([]), Misdirected)


def test_a_server_in_no_proxy_is_reached_directly(proxy: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "promptlayer.invalid")
    with PromptLayerClient("pl_key", "http://promptlayer.invalid") as client:
        assert isinstance(client.send([]), Unreachable)
    assert proxy.first_lines == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_of_this_machine_is_reached_directly(
    proxy: RawServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    with RawServer(responding("429 Too Many Requests", b"{}")) as server:
        with PromptLayerClient("pl_key", server.url.replace("127.0.0.1", host)) as client:
            assert isinstance(client.send([]), Throttled)
        assert server.first_lines == ["POST /spans-bulk HTTP/1.1"]
    assert proxy.connections == 0
