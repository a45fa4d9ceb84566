"""The stand-in's assertions about request logs, and their failure messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from plsync.testing import PromptLayerServer

ID, OTHER = "0193aaaa-bbbb-7ccc-8ddd-eeeeffff0001", "0193aaaa-bbbb-7ccc-8ddd-eeeeffff0002"


@pytest.fixture(params=["all", "ids"])
def any_server(request: pytest.FixtureRequest) -> Iterator[PromptLayerServer]:
    with PromptLayerServer(keep=request.param) as server:
        yield server


def log(server: PromptLayerServer, record_id: str = ID, **change: Any) -> int:
    """Send a record's span with its log; returns the request id."""
    trace_id = record_id.replace("-", "")
    question = {"role": "user", "content": [{"type": "text", "text": "The capital of France?"}]}
    call = {"id": "c", "type": "function", "function": {"name": "look_up", "arguments": '{"of":"France"}'}}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "Paris"}], "tool_calls": [call]}
    request = {
        "provider": "openai",
        "model": "gpt-4o",
        "input": {"type": "chat", "messages": [question]},
        "output": {"type": "chat", "messages": [answer]},
        "tags": ["geo"],
        "metadata": {"plsync_id": record_id, "user": "u1"},
        **change,
    }
    span = {
        "name": "call",
        "context": {"trace_id": trace_id, "span_id": trace_id[16:], "trace_state": ""},
        "kind": "SpanKind.CLIENT",
        "start_time": 1,
        "end_time": 2,
        "status": {"status_code": "StatusCode.OK"},
        "attributes": {},
        "resource": {"attributes": {}, "schema_url": ""},
        "log_request": request,
    }
    headers = {"X-API-KEY": server.api_key}
    response = httpx.post(f"{server.url}/spans-bulk", json={"spans": [span]}, headers=headers, trust_env=False)
    request_id: int = response.json()["request_logs"][0]["id"]
    return request_id


@pytest.mark.parametrize(
    "criteria",
    [
        {},
        {"prompt": "capital"},
        {"answer": "Paris"},
        {"answer": "look_up"},
        {"tag": "geo"},
        {"metadata": {"user": "u1"}},
        {"record_id": ID},
        {"model": "gpt-4o", "provider": "openai"},
        {"prompt": "capital", "answer": "Paris", "tag": "geo", "times": 1},
    ],
)
def test_a_log_is_found_by_its_content(server: PromptLayerServer, criteria: dict[str, Any]) -> None:
    request_id = log(server)
    assert server.assert_logged(**criteria)["id"] == request_id


@pytest.mark.parametrize(
    "criteria",
    [
        {"prompt": "Spain"},
        {"answer": "Madrid"},
        {"tag": "history"},
        {"metadata": {"user": "u2"}},
        {"record_id": OTHER},
        {"model": "gpt-4"},
        {"prompt": "capital", "tag": "history"},
    ],
)
def test_a_log_with_other_content_is_not_found(server: PromptLayerServer, criteria: dict[str, Any]) -> None:
    log(server)
    server.assert_not_logged(**criteria)
    with pytest.raises(AssertionError) as raised:
        server.assert_logged(**criteria)
    message = str(raised.value)
    assert f"no request log has {next(iter(criteria))}=" in message
    assert "1001 openai/gpt-4o SUCCESS tags=['geo']: 'The capital of France?' -> 'Paris look_up" in message


def test_the_message_states_that_nothing_was_logged(server: PromptLayerServer) -> None:
    server.assert_not_logged()
    with pytest.raises(AssertionError, match="nothing was logged"):
        server.assert_logged()


def test_the_number_of_matching_logs_is_asserted(server: PromptLayerServer) -> None:
    log(server)
    log(server, OTHER)
    server.assert_logged(tag="geo", times=2)
    with pytest.raises(AssertionError, match=r"2 request logs, not 1, have tag='geo'"):
        server.assert_logged(tag="geo", times=1)
    with pytest.raises(AssertionError, match=r"2 logged:(?s:.*)the test expects no log with tag='geo'"):
        server.assert_not_logged(tag="geo")


def test_the_newest_match_is_returned(server: PromptLayerServer) -> None:
    log(server)
    assert server.assert_logged(tag="geo")["id"] < log(server, OTHER) == server.assert_logged(tag="geo")["id"]


def test_exactly_one_log_for_each_record_passes(any_server: PromptLayerServer) -> None:
    log(any_server)
    log(any_server, OTHER)
    any_server.assert_exactly_once([ID, OTHER])
    any_server.assert_exactly_once([ID], others=True)
    assert [len(any_server.logs_of(record_id)) for record_id in (ID, OTHER)] == [1, 1]


def test_a_missing_record_is_named(any_server: PromptLayerServer) -> None:
    log(any_server)
    with pytest.raises(AssertionError, match=rf"of 2 records: 1 missing \({OTHER}\)"):
        any_server.assert_exactly_once([ID, OTHER])


def test_a_record_logged_twice_is_named(any_server: PromptLayerServer) -> None:
    log(any_server)
    log(any_server)
    with pytest.raises(AssertionError, match=rf"1 logged more than once \({ID}\)"):
        any_server.assert_exactly_once([ID])


def test_an_unexpected_record_is_named(any_server: PromptLayerServer) -> None:
    log(any_server)
    with pytest.raises(AssertionError, match=rf"1 logged but not expected \({ID}\)"):
        any_server.assert_exactly_once([])


def test_a_record_sent_with_another_trace_id_is_found_by_its_metadata(server: PromptLayerServer) -> None:
    log(server, OTHER, metadata={"plsync_id": ID})
    server.assert_exactly_once([ID])


def test_scores_are_asserted(server: PromptLayerServer) -> None:
    request_id = log(server)
    headers = {"X-API-KEY": server.api_key}
    body = {"request_id": request_id, "score": 80}
    httpx.post(f"{server.url}/rest/track-score", json=body, headers=headers, trust_env=False)
    server.assert_scored(request_id, 80)
    with pytest.raises(AssertionError, match=r"no score 81 named 'default'; its scores: \{'default': 80\}"):
        server.assert_scored(request_id, 81)
    with pytest.raises(AssertionError, match="its scores: no scores"):
        server.assert_scored(request_id + 1, 80)
