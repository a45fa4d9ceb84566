"""Every way a request can turn out, each met at a real server: what becomes of the record, how often it is sent."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
import trustme

from plsync.delivery.policy import RULES, Action, SendPolicy
from plsync.delivery.reports import PassReport
from plsync.delivery.sender import Sender
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import (
    OUTCOMES,
    Ambiguous,
    Delivered,
    Misdirected,
    Outcome,
    Refused,
    Throttled,
    Unauthorized,
    Unreachable,
)
from plsync.testing import PromptLayerServer
from plsync.testing.endpoints.http import Request, Response
from tests.support.calls import states, write_calls
from tests.support.raw_server import (
    Behaviour,
    RawServer,
    answering,
    closed_after_the_request,
    dripping,
    garbage,
    reset_after_the_request,
    reset_at_once,
    reset_within_the_request,
    silent,
)
from tests.support.root import ROOT

HTML = "Content-Type: text/html\r\n"
REFUSED = b'{"success": false, "message": "no"}'


class Met(NamedTuple):
    """What is met, which outcome it is, and what becomes of the record."""

    what: str
    behaviour: Behaviour
    outcome: type[Outcome]
    becomes: str
    requests: int = 1


IN_DOUBT = [
    Met("408", answering("408 Request Timeout", REFUSED), Ambiguous, "in_doubt"),
    Met("409", answering("409 Conflict", REFUSED), Ambiguous, "in_doubt"),
    Met("500", answering("500 Internal Server Error", REFUSED), Ambiguous, "in_doubt"),
    Met("502 of a proxy", answering("502 Bad Gateway", b"<html>", headers=HTML), Ambiguous, "in_doubt"),
    Met("503", answering("503 Service Unavailable", headers="Retry-After: 1\r\n"), Ambiguous, "in_doubt"),
    Met("504", answering("504 Gateway Timeout"), Ambiguous, "in_doubt"),
    Met("a status nobody knows", answering("799 Odd"), Ambiguous, "in_doubt"),
    Met("captive portal, redirect", answering("302 Found", headers="Location: http://x/\r\n"), Ambiguous, "in_doubt"),
    Met("captive portal, page", answering("200 OK", b"<html>sign in</html>", headers=HTML), Ambiguous, "in_doubt"),
    Met("empty", answering("201 Created"), Ambiguous, "in_doubt"),
    Met("not an object", answering("201 Created", b"[1]"), Ambiguous, "in_doubt"),
    Met("no success", answering("201 Created", b'{"success": false}'), Ambiguous, "in_doubt"),
    Met(
        "JSON by another name", answering("201 Created", b"{}", headers="Content-Type: x/y\r\n"), Ambiguous, "in_doubt"
    ),
    Met("truncated", answering("201 Created", b'{"success": tr', length=400), Ambiguous, "in_doubt"),
    Met("no HTTP", garbage, Ambiguous, "in_doubt"),
    Met("redirect to nowhere", answering("302 Found", headers="Location: javascript:1\r\n"), Ambiguous, "in_doubt"),
    Met("reset within the request", reset_within_the_request, Ambiguous, "in_doubt", requests=0),
    Met("reset after the request", reset_after_the_request, Ambiguous, "in_doubt"),
    Met("closed after the request", closed_after_the_request, Ambiguous, "in_doubt"),
    Met("silence", silent, Ambiguous, "in_doubt"),
    Met("an answer that never ends", dripping, Ambiguous, "in_doubt"),
]
CLEAR = [
    Met("400", answering("400 Bad Request", REFUSED), Refused, "dead"),
    Met("413", answering("413 Content Too Large", REFUSED), Refused, "dead"),
    Met("422", answering("422 Unprocessable Content", REFUSED), Refused, "dead"),
    Met("401", answering("401 Unauthorized", REFUSED), Unauthorized, "pending"),
    Met("403", answering("403 Forbidden", REFUSED), Unauthorized, "pending"),
    Met("404", answering("404 Not Found", REFUSED), Misdirected, "pending"),
    Met("425", answering("425 Too Early", REFUSED), Throttled, "pending"),
    Met("429", answering("429 Too Many Requests", REFUSED), Throttled, "pending"),
    Met("429, and when", answering("429 Slow", headers="Retry-After: 9\r\n"), Throttled, "pending"),
]


def send(path: Path, url: str, timeout: float = 0.5) -> PassReport:
    """One record, offered once; what is in doubt settles for a minute."""
    write_calls(path, 1)
    policy = SendPolicy(settle=60, timeout=timeout)
    with Journal.open(path) as journal, PromptLayerClient("pl_key", url, timeout=timeout) as client:
        return Sender(journal, client, policy).run_pass()


@pytest.mark.parametrize("met", IN_DOUBT + CLEAR, ids=lambda met: met.what)
def test_each_answer_is_met_once_and_means_what_the_table_says(path: Path, met: Met) -> None:
    with RawServer(met.behaviour) as server:
        result = send(path, server.url)
        assert (server.connections, server.requests) == (1, met.requests)
    assert set(states(path).values()) == {met.becomes}
    assert RULES[met.outcome].state == met.becomes
    halting = RULES[met.outcome].action is not Action.CONTINUE
    assert type(result.halt) is (met.outcome if halting else type(None))


def test_a_reset_before_the_request_is_met_once(path: Path) -> None:
    """The kernel tells of it while it connects, or later: nothing was sent, or nobody knows."""
    with RawServer(reset_at_once) as server:
        result = send(path, server.url)
        assert (server.connections, server.requests) == (1, 0)
    assert isinstance(result.halt, Unreachable | Ambiguous)
    assert set(states(path).values()) == {RULES[type(result.halt)].state}


def test_a_whole_answer_is_an_ack(path: Path) -> None:
    with PromptLayerServer() as server:
        write_calls(path, 1)
        with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
            assert Sender(journal, client, SendPolicy()).run_pass().halt is None
    assert set(states(path).values()) == {RULES[Delivered].state}


def test_an_answer_for_a_part_leaves_the_rest_in_doubt(path: Path) -> None:
    write_calls(path, 2)
    with _ForgetfulServer() as server:
        with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
            result = Sender(journal, client, SendPolicy()).run_pass()
        assert (result.acked, result.in_doubt, result.halt) == (1, 1, None)
    assert sorted(states(path).values()) == ["acked", "in_doubt"]


def _refused() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _full_backlog() -> Iterator[str]:
    """A port whose queue is full: the kernel drops who comes, who then hears nothing."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("url", [_refused(), "http://promptlayer.invalid"], ids=["refused", "no such name"])
def test_without_a_connection_nothing_was_sent(path: Path, url: str) -> None:
    assert isinstance(send(path, url).halt, Unreachable)
    assert set(states(path).values()) == {RULES[Unreachable].state} == {"pending"}


def test_a_connection_that_takes_too_long_was_none(path: Path) -> None:
    with _full_backlog() as url:
        assert isinstance(send(path, url).halt, Unreachable)
    assert set(states(path).values()) == {"pending"}


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_certificate_nobody_vouches_for_is_no_connection_and_says_what_to_do(
    path: Path, authority: trustme.CA
) -> None:
    with RawServer(silent, tls=serving(authority)) as server:
        result = send(path, server.url)
        assert server.requests == 0
    assert isinstance(result.halt, Unreachable)
    assert "SSL_CERT_FILE" in result.halt.reason
    assert set(states(path).values()) == {"pending"}


def test_a_certificate_authority_of_the_environment_is_trusted(
    path: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with RawServer(answering("201 Created", b"{}"), tls=serving(authority)) as server:
        send(path, server.url)
        assert server.requests == 1


def test_every_row_of_the_table_is_met() -> None:
    statuses = [met.what[:3] for met in IN_DOUBT + CLEAR if met.what[:3].isdigit()] + ["201", "302", "799"]
    met = {next(row.response for row in OUTCOMES if int(status) in row.statuses) for status in statuses}
    assert met == {row.response for row in OUTCOMES if row.statuses}
    assert [row.outcome for row in OUTCOMES if row.errors] == [Unreachable, Ambiguous, Ambiguous]


def test_the_table_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "internals" / "sending.md").read_text()
    assert [row.response for row in OUTCOMES if f"| {row.response} |" not in page] == []


class _ForgetfulServer(PromptLayerServer):
    """Leaves the last record's id out of its answer."""

    def handle(self, request: Request) -> Response:
        answer = super().handle(request)
        if request.path != "/spans-bulk":
            return answer
        told = orjson.loads(answer.body)
        return answer._replace(body=orjson.dumps({**told, "request_logs": told["request_logs"][:-1]}))
