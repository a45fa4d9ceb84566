"""The client: each call is one HTTP request, and each response has exactly one outcome."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from plsync.delivery.policy import SendPolicy
from plsync.errors import AuthenticationError, SyncError
from plsync.promptlayer import connection, responses
from plsync.promptlayer.client import PromptLayerClient, halt_error
from plsync.promptlayer.outcomes import Ambiguous, Delivered, Missing, Refused, Throttled, Unauthorized, Unreachable
from plsync.testing import PromptLayerServer

FAR = "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"


@pytest.fixture
def client(server: PromptLayerServer) -> Iterator[PromptLayerClient]:
    with PromptLayerClient(server.api_key, server.url, timeout=10) as client:
        yield client


def test_an_empty_batch_is_delivered(client: PromptLayerClient) -> None:
    assert client.send([]) == Delivered({})


def test_an_unknown_trace_is_missing(client: PromptLayerClient) -> None:
    assert isinstance(client.look_up("f" * 32), Missing)


def test_a_trace_id_cannot_reach_another_path(client: PromptLayerClient, server: PromptLayerServer) -> None:
    client.look_up("../requests/1")
    assert server.requests[-1].path == "/api/public/v2/traces/..%2Frequests%2F1"


def test_a_closed_port_is_unreachable() -> None:
    with PromptLayerServer() as server:
        url = server.url
    with PromptLayerClient("pl_key", url) as client:
        assert isinstance(client.send([]), Unreachable)


def test_a_password_in_the_url_is_in_no_reason() -> None:
    with PromptLayerClient("pl_test", "http://user:hunter2@127.0.0.1:9") as client:
        assert "hunter2" not in client.send([{}]).reason


def test_a_password_in_the_url_is_in_no_error() -> None:
    with PromptLayerClient("pl_test", "http://user:hunter2@127.0.0.1:9") as client:
        assert "hunter2" not in str(halt_error(Unauthorized("401"), client.address))
    with pytest.raises(SyncError) as caught:
        PromptLayerClient("pl_test", "http://user:hunter2@a..b")
    assert "hunter2" not in str(caught.value)


def test_an_unknown_host_is_unreachable() -> None:
    with PromptLayerClient("pl_key", "https://promptlayer.invalid") as client:
        assert isinstance(client.send([]), Unreachable)


def test_a_redirect_is_not_followed(client: PromptLayerClient, server: PromptLayerServer) -> None:
    server.fail(307, headers={"Location": f"{server.url}/log-request"})
    assert isinstance(client.send([]), Ambiguous)
    assert len(server.requests) == 1


# Each of them has made httpx or the parser raise another error than HTTPError.
@pytest.mark.parametrize("location", ["javascript:1", "http://xn--a/", "http://[", "//", "http://x:99999/"])
def test_a_redirect_to_an_invalid_url_is_ambiguous(
    client: PromptLayerClient, server: PromptLayerServer, location: str
) -> None:
    server.fail(302, headers={"Location": location})
    assert isinstance(client.send([]), Ambiguous)


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"loc": 5, "msg": "no"}]},
        {"detail": [{"loc": None}]},
        {"detail": {"message": {}}},
        {"success": True, "request_logs": 5, "rejected_span_ids": [[]]},
        {"success": True, "spans": [{"span_id": {}}], "items": [{"id": 1, "metadata": 5}, {"id": 2, "metadata": {}}]},
    ],
)
@pytest.mark.parametrize("status", [200, 201, 404, 422, 500])
def test_a_response_of_any_shape_has_an_outcome(
    client: PromptLayerClient, server: PromptLayerServer, body: dict[str, Any], status: int
) -> None:
    server.fail(status, body=orjson.dumps(body), times=4)
    for outcome in (client.send([]), client.look_up("f" * 32), client.search(["r"]), client.track("score", {})):
        assert "Error" not in outcome.reason


def test_a_response_at_which_the_parser_raises_is_ambiguous(
    client: PromptLayerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "parse_delivery", lambda status, body: body["not there"])
    outcome = client.send([])
    assert isinstance(outcome, Ambiguous)
    assert "not there" in outcome.reason


@pytest.mark.parametrize("drops", [1, 2])
def test_a_request_without_a_response_is_not_repeated(
    client: PromptLayerClient, server: PromptLayerServer, drops: int
) -> None:
    server.drop_reply(times=drops)
    assert isinstance(client.send([]), Ambiguous)
    assert len(server.requests) == 1


def test_a_response_that_is_too_long_is_ambiguous(
    client: PromptLayerClient, server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MAX_CONTENT", 100)
    server.fail(201, body=b" " * 1000)
    assert isinstance(client.send([]), Ambiguous)


def test_the_reason_of_a_validation_error_names_the_field(client: PromptLayerClient) -> None:
    outcome = client.send([{"name": "x"}])
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("422 spans.0.context:")


def test_the_key_is_in_no_reason(server: PromptLayerServer) -> None:
    with PromptLayerClient("pl_secret", server.url) as client:
        outcome = client.send([])
    assert isinstance(outcome, Unauthorized)
    assert "pl_secret" not in repr(outcome)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("0.5", 0.5),
        ("1e9", 3600.0),
        ("nan", None),
        ("soon", None),
        (None, None),
        (FAR, None),
    ],
)
def test_retry_after_is_limited_to_an_hour(
    client: PromptLayerClient, server: PromptLayerServer, header: str | None, seconds: float | None
) -> None:
    server.fail(429, headers={} if header is None else {"Retry-After": header})
    outcome = client.send([])
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == seconds


def test_retry_after_may_be_a_date(client: PromptLayerClient, server: PromptLayerServer) -> None:
    at = datetime.now(timezone.utc) + timedelta(seconds=90)
    server.fail(429, headers={"Retry-After": format_datetime(at, usegmt=True)})
    outcome = client.send([])
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == pytest.approx(90, abs=30)


@pytest.mark.parametrize(
    "url",
    ["", "api.promptlayer.com", "ftp://api.promptlayer.com", "http://", "file:///", "http://a..b", "http://xn--.x"],
)
def test_an_invalid_url_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(SyncError, match="PROMPTLAYER_BASE_URL"):
        PromptLayerClient("pl_key", url)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "gopher://127.0.0.1:1"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
    ],
)
def test_the_error_of_a_broken_proxy_or_certificate_file_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SyncError, match=variable):
        PromptLayerClient("pl_key", "https://api.promptlayer.invalid")


@pytest.mark.parametrize("key", ["", "  ", "pl_\nkey", "pl_ké"])
def test_an_invalid_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        PromptLayerClient(key, "http://127.0.0.1:1")
    assert not key.strip() or key not in str(caught.value)


def test_pauses_grow_up_to_a_limit_with_jitter() -> None:
    policy = SendPolicy(longest_pause=60)
    pauses = [[policy.pause(failures, Unreachable("")) for _ in range(50)] for failures in (1, 5, 50, 5000)]
    assert max(pauses[0]) <= 2
    assert max(pauses[1]) <= 32
    assert max(pauses[2] + pauses[3]) <= 60
    assert len(set(pauses[1])) > 1


def test_retry_after_wins_over_the_growing_pause() -> None:
    assert SendPolicy().pause(9, Throttled("429", retry_after=3)) == 3


@pytest.mark.parametrize("retry_after", [0.0, 0.5])
def test_pauses_grow_in_spite_of_a_tiny_retry_after(retry_after: float) -> None:
    throttled = Throttled("429", retry_after=retry_after)
    pauses = [SendPolicy().pause(failures, throttled) for failures in range(1, 60)]
    assert min(pauses) >= retry_after
    assert sum(pauses) > 60
    assert max(pauses) <= SendPolicy().longest_pause


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Rate limit reached"},
        {"error": "Rate limit reached"},
        {"error": {"message": "Rate limit reached", "type": "requests", "code": None}},
        {"message": {"error": "Rate limit reached"}},
        {"detail": "Rate limit reached"},
    ],
)
def test_a_reason_quotes_the_message_of_the_server_alone(body: dict[str, object]) -> None:
    outcome = responses.failure(429, None, body)
    assert isinstance(outcome, Throttled)
    assert outcome.reason == "429 Rate limit reached"
