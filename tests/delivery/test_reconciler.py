"""Spans that PromptLayer has without a request log: looked up again, searched for, sent again, held."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import PassReport
from plsync.delivery.sender import Sender
from plsync.journal import Journal
from plsync.journal.record import Record
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Throttled
from plsync.testing import PromptLayerServer
from plsync.testing.endpoints.http import Request, Response
from tests.support.calls import request_ids, states, write_calls

SEARCH = "/api/public/v2/requests/search"


class LoglessServer(PromptLayerServer):
    """Stores spans, and leaves their request ids out of its responses.

    Args:
        shows_at: the number of the first look-up whose response has the ids.
        makes_logs: takes the number of a batch; False stores its spans without logs, so that a search finds none.
    """

    def __init__(self, *, shows_at: int = 1000, makes_logs: Callable[[int], bool] = lambda _: True) -> None:
        super().__init__()
        self.batches = 0
        self.lookups = 0
        self._shows_at = shows_at
        self._makes_logs = makes_logs

    def handle(self, request: Request) -> Response:
        if request.path == "/spans-bulk":
            self.batches += 1
            if not self._makes_logs(self.batches):
                batch = orjson.loads(request.body)
                without = [{**span, "log_request": None} for span in batch["spans"]]
                request = request._replace(body=orjson.dumps({**batch, "spans": without}))
        response = super().handle(request)
        content = orjson.loads(response.body)
        if request.path == "/spans-bulk" and self._shows_at > 0:
            content["request_logs"] = []
        elif "/traces/" in request.path:
            self.lookups += 1
            for span in content.get("spans", []) if self.lookups < self._shows_at else []:
                span["request_log_id"] = None
        return response._replace(body=orjson.dumps(content))


@pytest.fixture
def passes(path: Path) -> Iterator[Callable[[PromptLayerServer], Callable[[], PassReport]]]:
    """Makes passes over the journal. With ``lookups=0`` the search follows the first look-up."""
    with contextlib.ExitStack() as stack, Journal.open(path, create=True) as journal:

        def of(server: PromptLayerServer, lookups: int = 0) -> Callable[[], PassReport]:
            client = stack.enter_context(PromptLayerClient(server.api_key, server.url))
            return Sender(journal, client, SendPolicy(settle=0, lookups=lookups)).run_pass

        yield of


def only(path: Path) -> Record:
    with Journal.open(path) as journal:
        (record,) = journal.records()
        return record


def test_an_id_that_a_later_look_up_finds_is_stored(path: Path, passes: Any) -> None:
    (record_id,) = write_calls(path, 1)
    with LoglessServer(shows_at=2) as server:
        run_pass = passes(server, lookups=5)
        assert run_pass().in_doubt == 1
        deadline = time.monotonic() + 30
        while not run_pass().found:
            assert time.monotonic() < deadline
        assert request_ids(path) == {record_id: server.logs_of(record_id)[0]["id"]}
        assert server.batches == 1


def test_each_look_up_waits_twice_as_long_as_the_one_before() -> None:
    policy = SendPolicy(settle=60, lookups=5)
    waits = [0]
    while (wait := policy.next_lookup(waits[-1])) is not None:
        waits.append(wait)
    assert waits[1:] == [60_000, 120_000, 240_000, 480_000, 960_000]


def test_a_log_that_the_trace_does_not_show_is_searched_for(path: Path, passes: Any) -> None:
    (record_id,) = write_calls(path, 1)
    with LoglessServer() as server:
        run_pass = passes(server)
        run_pass()
        assert run_pass().found == 1
        assert request_ids(path) == {record_id: server.logs_of(record_id)[0]["id"]}
        assert (server.batches, len(server.request_logs)) == (1, 1)


def test_of_two_logs_the_first_counts(path: Path, passes: Any) -> None:
    (record_id,) = write_calls(path, 1)
    with LoglessServer() as server:
        run_pass = passes(server)
        run_pass()
        first = server.logs_of(record_id)[0]
        body = orjson.dumps(_log(first))
        server.handle(Request("POST", "/log-request", {"x-api-key": server.api_key}, body, {}))
        assert len(server.logs_of(record_id)) == 2
        run_pass()
        assert request_ids(path) == {record_id: first["id"]}


def test_a_record_without_a_log_is_sent_again_under_new_ids(path: Path, passes: Any) -> None:
    (record_id,) = write_calls(path, 1)
    own = record_id.replace("-", "")
    with LoglessServer(shows_at=0, makes_logs=lambda batch: batch > 1) as server:
        run_pass = passes(server)
        assert run_pass().in_doubt == 1
        result = run_pass()
        assert (result.resent, result.acked) == (1, 1)
        (log,) = server.logs_of(record_id)
        assert only(path).request_id == log["id"]
        assert {span["trace_id"] for span in server.spans} == {own, only(path).trace_id}
        assert log["trace_id"] == only(path).trace_id != own


def test_a_second_span_without_a_log_is_held(path: Path, passes: Any) -> None:
    write_calls(path, 1)
    with LoglessServer(makes_logs=lambda _: False) as server:
        run_pass = passes(server)
        results = [run_pass() for _ in range(3)]
        assert [result.resent for result in results] == [0, 1, 0]
        assert results[2].held == 1
        assert server.batches == 2
    assert only(path).state == "held"
    assert "plsync retry" in (only(path).last_error or "")


def test_a_throttled_search_changes_nothing(path: Path, passes: Any) -> None:
    write_calls(path, 1)
    with LoglessServer() as server:
        run_pass = passes(server)
        run_pass()
        server.fail(429, path=SEARCH)
        result = run_pass()
        assert (result.found, result.resent, result.halt) == (0, 0, None)
        assert states(path).popitem()[1] == "in_doubt"
        assert only(path).due_at is not None


def test_a_throttled_look_up_leaves_the_remaining_records_for_later(path: Path, passes: Any) -> None:
    write_calls(path, 3)
    with PromptLayerServer() as server:
        run_pass = passes(server)
        server.drop_reply(path="/spans-bulk")
        run_pass()
        server.fail(429, path="/api/public/v2/traces/", times=3)
        assert isinstance(run_pass().halt, Throttled)
        assert run_pass().found == 3
        assert len(server.request_logs) == 3


def _log(log: dict[str, Any]) -> dict[str, Any]:
    times = {"request_start_time": "2026-01-01T00:00:00Z", "request_end_time": "2026-01-01T00:00:01Z"}
    return {key: value for key, value in log.items() if key not in {"id", "span_id", "trace_id"}} | times
