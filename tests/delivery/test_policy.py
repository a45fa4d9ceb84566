"""The table of outcomes against a real server: state of the record, number of requests."""

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
    closed_after_the_request,
    dripping,
    garbage,
    reset_after_the_request,
    reset_at_once,
    reset_within_the_request,
    responding,
    silent,
)
from tests.support.root import ROOT

HTML = "Content-Type: text/html\r\n"
REFUSED = b'{"success": false, "message": "no"}'


class Case(NamedTuple):
    """A behaviour of the server, its outcome, and the state of the record after it."""

    name: str
    behaviour: Behaviour
    outcome: type[Outcome]
    state: str
    requests: int = 1


IN_DOUBT = [
    Case("408", responding("408 Request Timeout", REFUSED), Ambiguous, "in_doubt"),
    Case("409", responding("409 Conflict", REFUSED), Ambiguous, "in_doubt"),
    Case("500", responding("500 Internal Server Error", REFUSED), Ambiguous, "in_doubt"),
    Case("502 of a proxy", responding("502 Bad Gateway", b"<html>", headers=HTML), Ambiguous, "in_doubt"),
    Case("503", responding("503 Service Unavailable", headers="Retry-After: 1\r\n"), Ambiguous, "in_doubt"),
    Case("504", responding("504 Gateway Timeout"), Ambiguous, "in_doubt"),
    Case("an unknown status", responding("799 Odd"), Ambiguous, "in_doubt"),
    Case("captive portal, redirect", responding("302 Found", headers="Location: http://x/\r\n"), Ambiguous, "in_doubt"),
    Case("captive portal, page", responding("200 OK", b"<html>sign in</html>", headers=HTML), Ambiguous, "in_doubt"),
    Case("empty", responding("201 Created"), Ambiguous, "in_doubt"),
    Case("not an object", responding("201 Created", b"[1]"), Ambiguous, "in_doubt"),
    Case("no success", responding("201 Created", b'{"success": false}'), Ambiguous, "in_doubt"),
    Case(
        "JSON by another name", responding("201 Created", b"{}", headers="Content-Type: x/y\r\n"), Ambiguous, "in_doubt"
    ),
    Case("truncated", responding("201 Created", b'{"success": tr', length=400), Ambiguous, "in_doubt"),
    Case("no HTTP", garbage, Ambiguous, "in_doubt"),
    Case("redirect to nowhere", responding("302 Found", headers="Location: javascript:1\r\n"), Ambiguous, "in_doubt"),
    Case("reset within the request", reset_within_the_request, Ambiguous, "in_doubt", requests=0),
    Case("reset after the request", reset_after_the_request, Ambiguous, "in_doubt"),
    Case("closed after the request", closed_after_the_request, Ambiguous, "in_doubt"),
    Case("silence", silent, Ambiguous, "in_doubt"),
    Case("an endless response", dripping, Ambiguous, "in_doubt"),
]
CLEAR = [
    Case("400", responding("400 Bad Request", REFUSED), Refused, "dead"),
    Case("413", responding("413 Content Too Large", REFUSED), Refused, "dead"),
    Case("422", responding("422 Unprocessable Content", REFUSED), Refused, "dead"),
    Case("401", responding("401 Unauthorized", REFUSED), Unauthorized, "pending"),
    Case("403", responding("403 Forbidden", REFUSED), Unauthorized, "pending"),
    Case("404", responding("404 Not Found", REFUSED), Misdirected, "pending"),
    Case("425", responding("425 Too Early", REFUSED), Throttled, "pending"),
    Case("429", responding("429 Too Many Requests", REFUSED), Throttled, "pending"),
    Case("429, and when", responding("429 Slow", headers="Retry-After: 9\r\n"), Throttled, "pending"),
]


def send(path: Path, url: str, timeout: float = 0.5) -> PassReport:
    """Make one pass over one new record."""
    write_calls(path, 1)
    policy = SendPolicy(settle=60, timeout=timeout)
    with Journal.open(path) as journal, PromptLayerClient("pl_key", url, timeout=timeout) as client:
        return Sender(journal, client, policy).run_pass()


@pytest.mark.parametrize("case", IN_DOUBT + CLEAR, ids=lambda case: case.name)
def test_each_response_has_the_outcome_of_the_table_after_one_request(path: Path, case: Case) -> None:
    with RawServer(case.behaviour) as server:
        result = send(path, server.url)
        assert (server.connections, server.requests) == (1, case.requests)
    assert set(states(path).values()) == {case.state}
    assert RULES[case.outcome].state == case.state
    halting = RULES[case.outcome].action is not Action.CONTINUE
    assert type(result.halt) is (case.outcome if halting else type(None))


def test_a_reset_before_the_request_is_not_retried(path: Path) -> None:
    """The kernel reports the reset while the client connects, or after that, when the outcome is ambiguous."""
    with RawServer(reset_at_once) as server:
        result = send(path, server.url)
        assert (server.connections, server.requests) == (1, 0)
    assert isinstance(result.halt, Unreachable | Ambiguous)
    assert set(states(path).values()) == {RULES[type(result.halt)].state}


def test_a_whole_response_is_an_ack(path: Path) -> None:
    with PromptLayerServer() as server:
        write_calls(path, 1)
        with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
            assert Sender(journal, client, SendPolicy()).run_pass().halt is None
    assert set(states(path).values()) == {RULES[Delivered].state}


def test_a_response_without_an_id_leaves_its_record_in_doubt(path: Path) -> None:
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
    """A port with a full backlog: the kernel drops the packets of new connections."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("url", [_refused(), "https://promptlayer.invalid"], ids=["refused", "no such name"])
def test_without_a_connection_nothing_was_sent(path: Path, url: str) -> None:
    assert isinstance(send(path, url).halt, Unreachable)
    assert set(states(path).values()) == {RULES[Unreachable].state} == {"pending"}


def test_a_connection_that_takes_too_long_sent_nothing(path: Path) -> None:
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


def test_the_reason_of_an_untrusted_certificate_has_the_remedy(path: Path, authority: trustme.CA) -> None:
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
    with RawServer(responding("201 Created", b"{}"), tls=serving(authority)) as server:
        send(path, server.url)
        assert server.requests == 1


def test_the_cases_cover_every_row_of_the_table() -> None:
    statuses = [case.name[:3] for case in IN_DOUBT + CLEAR if case.name[:3].isdigit()] + ["201", "302", "799"]
    covered = {next(row.response for row in OUTCOMES if int(status) in row.statuses) for status in statuses}
    assert covered == {row.response for row in OUTCOMES if row.statuses}
    assert [row.outcome for row in OUTCOMES if row.errors] == [Unreachable, Ambiguous, Ambiguous]


def test_the_table_of_the_docs_has_the_state_and_the_action_of_each_response() -> None:
    page = (ROOT / "docs" / "internals" / "sending.md").read_text()
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")]
    documented = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}
    actions = {Action.CONTINUE: "the next batch", Action.PAUSE: "pause", Action.STOP: "stop"}
    for row in OUTCOMES:
        state, action = documented[row.response]
        assert RULES[row.outcome].state.replace("_", " ") in state
        assert action == actions[RULES[row.outcome].action]


class _ForgetfulServer(PromptLayerServer):
    """Leaves the id of the last record out of its response."""

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        if request.path != "/spans-bulk":
            return response
        content = orjson.loads(response.body)
        return response._replace(body=orjson.dumps({**content, "request_logs": content["request_logs"][:-1]}))
