"""Responses of any status, headers and body: each has one outcome, and each outcome has a rule."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plsync.delivery.policy import RULES, SendPolicy
from plsync.promptlayer import responses
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import (
    OUTCOMES,
    Delivered,
    Failure,
    Fetched,
    Found,
    Missing,
    Outcome,
    Throttled,
    label,
    outcome_of_error,
)
from tests.support.hostile_responses import BODIES, HEADS
from tests.support.raw_server import RawServer, responding

PARSERS = {
    "delivery": responses.parse_delivery,
    "trace": responses.parse_trace,
    "search": responses.parse_search,
    "tracking": responses.parse_tracking,
    "template": responses.parse_template,
    "labels": responses.list_parser("release_labels"),
    "templates": responses.list_parser("items"),
}
NAMES = [
    "success", "message", "error", "detail", "loc", "msg", "request_logs", "id", "span_id", "rejected_span_ids",
    "spans", "request_log_id", "items", "metadata", "plsync_id", "prompt_template", "release_labels",
]  # fmt: skip

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner),
    max_leaves=25,
)
bodies = st.dictionaries(st.sampled_from(NAMES), values)
contents = (
    st.binary(max_size=200)
    | bodies.map(orjson.dumps)
    | st.builds(lambda body, cut: orjson.dumps(body)[:cut], bodies, st.integers(0, 60))
    | st.text(max_size=50).map(lambda text: text.encode("utf-16", "surrogatepass"))
)
waits = st.none() | st.text(max_size=30) | st.floats().map(str) | st.integers().map(str) | st.datetimes().map(str)


def outcome_of(parser: str, status: int, retry_after: str | None, content: bytes) -> Outcome:
    body = responses.parse_json(content)
    outcome = None if body is None else PARSERS[parser](status, body)
    return responses.failure(status, retry_after, body) if outcome is None else outcome


@given(st.sampled_from(list(PARSERS)), st.integers(0, 1200), waits, contents)
def test_every_response_has_an_outcome(parser: str, status: int, retry_after: str | None, content: bytes) -> None:
    outcome = outcome_of(parser, status, retry_after, content)
    assert label(outcome)
    assert isinstance(outcome.reason, str)
    if isinstance(outcome, Failure):
        rule = RULES[type(outcome)]
        assert rule.state in {"pending", "in_doubt", "dead"}
    else:
        assert isinstance(outcome, (Delivered, Found, Fetched, Missing))
        assert 200 <= status < 300 or (status == 404 and isinstance(outcome, Missing))


@pytest.mark.parametrize("content", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("parser", PARSERS)
def test_every_body_of_the_hostile_corpus_has_an_outcome(parser: str, content: bytes) -> None:
    for status in (200, 201, 400, 404, 429, 500):
        assert label(outcome_of(parser, status, None, content))


@given(st.integers(0, 1200), bodies)
def test_request_ids_are_positive_integers(status: int, body: dict[str, Any]) -> None:
    for parser in ("delivery", "trace", "search"):
        outcome = outcome_of(parser, status, None, orjson.dumps(body))
        if isinstance(outcome, (Delivered, Found)):
            ids = [request_id for request_id in outcome.request_ids.values() if request_id is not None]
            assert all(type(request_id) is int and 0 < request_id < 1 << 63 for request_id in ids)


@given(waits)
def test_a_pause_is_finite_with_any_header(retry_after: str | None) -> None:
    outcome = responses.failure(429, retry_after, None)
    assert isinstance(outcome, Throttled)
    assert 0 <= SendPolicy().pause(1, outcome) <= 3600


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, UnicodeError, OSError, KeyError])
def test_every_error_has_an_outcome(error: type[Exception]) -> None:
    assert outcome_of_error(error("x")) in {row.outcome for row in OUTCOMES}


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_every_beginning_of_a_response_has_an_outcome(head: bytes) -> None:
    def behave(line: Any) -> None:
        line.read_request()
        line.socket.sendall(head)
        line.hang_up()

    with RawServer(behave) as server, PromptLayerClient("pl_key", server.url, timeout=5) as client:
        outcome = client.send([])
    assert isinstance(outcome, Failure)
    assert RULES[type(outcome)]
    assert outcome.reason.isprintable()


@given(st.binary(max_size=80))
def test_bytes_of_any_kind_have_an_outcome(body: bytes) -> None:
    with RawServer(responding("201 Created", body)) as server, PromptLayerClient("pl_key", server.url) as client:
        assert isinstance(client.send([]), (Failure, Delivered))
