"""The proxies of the environment, which the client uses as curl does."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plsync.errors import SyncError
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Misdirected, Throttled, Unreachable
from plsync.promptlayer.proxies import bypasses
from tests.support.raw_server import RawServer, responding

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    monkeypatch.setenv("PLSYNC_ALLOW_HTTP", "1")


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


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("*", "https://promptlayer.example"),
        ("x, *", "https://promptlayer.example"),
        ("promptlayer.example", "https://api.promptlayer.example"),
        (".promptlayer.example", "https://promptlayer.example"),
        ("*.promptlayer.example", "https://api.promptlayer.example"),
        ("PromptLayer.Example.", "https://PROMPTLAYER.example."),
        ("a.example\tb.example  promptlayer.example", "https://promptlayer.example"),
        (" , ,promptlayer.example,", "https://promptlayer.example"),
        ("promptlayer.example:443", "https://promptlayer.example"),
        ("promptlayer.example:8443", "https://promptlayer.example:8443"),
        ("https://promptlayer.example", "https://promptlayer.example"),
        ("all://promptlayer.example/", "https://promptlayer.example"),
        ("bücher.example", "https://xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "https://bücher.example"),
        ("192.0.2.1", "https://192.0.2.1:9"),
        ("192.0.2.0/24", "https://192.0.2.200"),
        ("192.0.2.77/24", "https://192.0.2.200"),
        ("192.0.2.1:9", "https://192.0.2.1:9"),
        ("0.0.0.0/0", "https://192.0.2.1"),
        ("fe80::/10", "https://[fe80::1]"),
        ("2001:db8::1", "https://[2001:DB8::0001]:9"),
        ("[2001:db8::1]", "https://[2001:db8::1]"),
        ("[2001:db8::1]:9", "https://[2001:db8::1]:9"),
        ("[2001:db8::]/32", "https://[2001:db8::1]"),
        ("2001:db8::1%eth0", "https://[2001:db8::1]"),
        ("10.0.0.0/8,fe80::/10,::1,promptlayer.example", "https://promptlayer.example"),
    ],
)
def test_no_proxy_names_a_server(no_proxy: str, url: str) -> None:
    assert bypasses(no_proxy, httpx.URL(url))


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", "https://promptlayer.example"),
        ("layer.example", "https://promptlayer.example"),
        ("api.promptlayer.example", "https://promptlayer.example"),
        ("promptlayer.example:80", "https://promptlayer.example"),
        ("http://promptlayer.example", "https://promptlayer.example"),
        ("192.0.2.1", "https://192.0.2.10"),
        ("192.0.2", "https://192.0.2.1"),
        ("192.0.2.0/99", "https://192.0.2.1"),
        ("192.0.2.1", "https://192.0.2.1.example"),
        ("fe80::/10", "https://api.promptlayer.com"),
        ("::ffff:0:0/96", "https://192.0.2.1"),
        ("example", "https://192.0.2.1"),
    ],
)
def test_no_proxy_does_not_name_another_server(no_proxy: str, url: str) -> None:
    assert not bypasses(no_proxy, httpx.URL(url))


@given(st.text(st.sampled_from("*.,:/[]%@ \t-0123456789abcdefg\x00é"), max_size=30) | st.text(max_size=20))
def test_no_entry_of_no_proxy_raises(no_proxy: str) -> None:
    for url in ("https://promptlayer.example", "https://192.0.2.1:9", "http://[2001:db8::1]"):
        bypasses(no_proxy, httpx.URL(url))


@pytest.mark.parametrize(
    "entry", ["fe80::/10", "fd07:b51a:cc66:f0::/64", "[", "http://[", "a b", "%", "::/0", "x:99999"]
)
def test_no_entry_of_no_proxy_stops_delivery(proxy: RawServer, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("NO_PROXY", f"localhost,{entry}")
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with PromptLayerClient("pl_key", "http://promptlayer.invalid") as client:
        assert isinstance(client.send([]), Throttled)
    assert proxy.requests == 1


@pytest.mark.parametrize("spelling", ["{}", "{}/", " {} ", "HTTP://{host}", "{host}", "http://user:p@ss%23rd@{host}"])
def test_a_proxy_may_be_spelled_as_curl_takes_it(
    proxy: RawServer, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", spelling.format(proxy.url, host=proxy.url.partition("//")[2]))
    with PromptLayerClient("pl_key", "http://promptlayer.invalid") as client:
        assert isinstance(client.send([]), Throttled)
    assert proxy.requests == 1


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("gopher://127.0.0.1:1", "'gopher'"),
        ("socks4://127.0.0.1:1", "'socks4'"),
        ("socks5://127.0.0.1:1", r"httpx\[socks\]"),
        ("socks5h://127.0.0.1:1", r"httpx\[socks\]"),
        ("http://", "not the URL of a proxy"),
        ("http://user:hunter2@", "not the URL of a proxy"),
        ("http://user:hunter2@127.0.0.1:port", "not the URL of a proxy"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_error_of_a_proxy_names_its_variable_and_no_password(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SyncError, match=problem) as caught:
        PromptLayerClient("pl_key", "https://promptlayer.example")
    assert str(caught.value).startswith(variable)
    assert "hunter2" not in str(caught.value)


def test_the_proxy_of_another_scheme_stops_nothing(proxy: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://x")
    monkeypatch.setenv("ALL_PROXY", "http://[")
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with PromptLayerClient("pl_key", "http://promptlayer.invalid") as client:
        assert isinstance(client.send([]), Throttled)
    monkeypatch.setenv("NO_PROXY", "promptlayer.example")
    PromptLayerClient("pl_key", "https://promptlayer.example").__exit__(None, None, None)
