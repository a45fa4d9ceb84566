"""The state of follow-ups after each outcome of a request to PromptLayer."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from plsync import track
from plsync._common.clock import WallClock, now_ms
from plsync.delivery.followups import FollowUpSender
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import FollowUpReport
from plsync.journal import Journal
from plsync.journal.followups import FollowUp
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Ambiguous, Misdirected, Throttled, Unauthorized, Unreachable
from plsync.testing import PromptLayerServer
from plsync.testing.endpoints.http import Request, Response, error_response
from tests.support.calls import write_calls
from tests.support.sending import send_once

SCORE, METADATA = "/rest/track-score", "/rest/track-metadata"


@pytest.fixture
def server() -> Iterator[PromptLayerServer]:
    with PromptLayerServer() as server:
        server.add_prompt("example", {"type": "completion", "content": [{"type": "text", "text": "Name {product}."}]})
        yield server


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "journal"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("PLSYNC_JOURNAL", str(path))
    return path


@pytest.fixture
def acked(path: Path, server: PromptLayerServer) -> list[int]:
    """The request ids of three records that PromptLayer has."""
    write_calls(path, 3)
    send_once(path, server)
    return [log["id"] for log in server.request_logs]


def send(path: Path, server: PromptLayerServer, *, settle: float = 60.0, **more: Any) -> FollowUpReport:
    stopped = more.pop("stopped", lambda: False)
    policy = SendPolicy(settle=settle, timeout=more.pop("timeout", 10.0))
    with (
        Journal.open(path) as journal,
        PromptLayerClient(more.pop("key", server.api_key), server.url, timeout=policy.timeout) as client,
    ):
        return FollowUpSender(journal, client, policy, **more).send_due(stopped)


def waiting(path: Path, about: int | str) -> list[FollowUp]:
    with Journal.open(path) as journal:
        return journal.followups.of(about)


def bodies(server: PromptLayerServer, path: str = "/rest/") -> list[dict[str, Any]]:
    return [request.body for request in server.requests if request.path.startswith(path)]


def skip_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the sender read a clock that stands at ``seconds`` from now."""
    later = now_ms() + int(seconds * 1000)
    monkeypatch.setattr(WallClock, "now_ms", lambda _clock: later)


def test_follow_ups_that_were_queued_offline_are_sent_with_the_record(path: Path, server: PromptLayerServer) -> None:
    first, second = write_calls(path, 2)
    track.score(first, 100)
    track.metadata(first, {"foo": "bar"})
    track.prompt(first, "example", {"product": "toasters"}, version=1)
    track.score(second, 20, "style")
    assert not send(path, server).changed_state
    _, report = send_once(path, server)
    assert (report.sent, report.dead, report.halt) == (4, 0, None)
    (one,), (other,) = server.logs_of(first), server.logs_of(second)
    assert server.scores == {one["id"]: {"default": 100}, other["id"]: {"style": 20}}
    assert server.metadata[one["id"]]["foo"] == "bar"
    link = {"prompt_name": "example", "version": 1, "input_variables": {"product": "toasters"}}
    assert server.prompt_links == {one["id"]: link}


def test_requests_are_added_to_a_group_of_the_sdk(path: Path, server: PromptLayerServer, acked: list[int]) -> None:
    from promptlayer import PromptLayer  # noqa: PLC0415 - slow to import, and needed here alone

    group_id = PromptLayer(api_key=server.api_key, base_url=server.url).group.create()
    for request_id in acked:
        track.group(request_id, group_id)
    send(path, server)
    assert sorted(server.groups[group_id]) == acked


def test_a_sent_follow_up_is_removed_and_not_sent_again(
    path: Path, server: PromptLayerServer, acked: list[int]
) -> None:
    track.score(acked[0], 1)
    assert send(path, server).sent == 1
    assert not send(path, server).changed_state
    assert (len(bodies(server)), waiting(path, acked[0])) == (1, [])


def test_the_key_is_in_the_header_and_nowhere_else(path: Path, server: PromptLayerServer, acked: list[int]) -> None:
    track.score(acked[0], 1)
    send(path, server)
    assert bodies(server) == [{"request_id": acked[0], "score": 1}]


def test_follow_ups_of_a_request_are_sent_in_order(path: Path, server: PromptLayerServer, acked: list[int]) -> None:
    for number in range(50):
        for request_id in acked:
            track.metadata(request_id, {"last": str(number)})
    assert send(path, server).sent == 150
    for request_id in acked:
        sent = [body["metadata"]["last"] for body in bodies(server) if body["request_id"] == request_id]
        assert sent == [str(number) for number in range(50)]


def test_a_follow_up_may_name_a_request_of_another_journal(
    path: Path, server: PromptLayerServer, acked: list[int]
) -> None:
    other = path.parent / "other"
    track.score(acked[0], 33, journal=other)
    assert send(other, server).sent == 1
    assert server.scores == {acked[0]: {"default": 33}}


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_refused_follow_up_is_kept_with_its_reason_and_delays_nothing(
    path: Path, server: PromptLayerServer, acked: list[int], status: int
) -> None:
    body = b'{"success": false, "message": "no such thing"}'
    server.fail(status, path=METADATA, body=body)
    track.metadata(acked[0], {"a": "b"})
    track.score(acked[0], 5)
    report = send(path, server)
    assert (report.sent, report.dead, report.halt) == (1, 1, None)
    assert report.errors == [f"PromptLayer refused a metadata of request {acked[0]}: {status} no such thing"]
    (dead,) = waiting(path, acked[0])
    assert (dead.op, dead.state, dead.last_error) == ("metadata", "dead", f"{status} no such thing")
    assert not send(path, server).changed_state


def test_a_link_to_a_missing_prompt_is_dead_and_can_be_retried(
    path: Path, server: PromptLayerServer, acked: list[int]
) -> None:
    track.prompt(acked[0], "unknown", {})
    assert send(path, server).dead == 1
    server.add_prompt("unknown", {"type": "completion", "content": []})
    with Journal.open(path) as journal:
        assert journal.followups.requeue(acked[0]) == 1
    assert send(path, server).sent == 1
    assert server.prompt_links[acked[0]]["prompt_name"] == "unknown"


def test_offline_keeps_everything(path: Path, server: PromptLayerServer, acked: list[int]) -> None:
    for request_id in acked:
        track.score(request_id, 1)
        track.score(request_id, 2)
    with server.offline():
        report = send(path, server)
    assert isinstance(report.halt, Unreachable)
    assert (report.changed_state, [len(waiting(path, request_id)) for request_id in acked]) == (False, [2, 2, 2])
    assert send(path, server).sent == 6
    assert server.scores == {request_id: {"default": 2} for request_id in acked}


def test_a_refused_key_stops_and_keeps_everything(path: Path, server: PromptLayerServer, acked: list[int]) -> None:
    track.score(acked[0], 1)
    report = send(path, server, key="pl_wrong", in_flight=1)
    assert isinstance(report.halt, Unauthorized)
    (kept,) = waiting(path, acked[0])
    assert kept.state == "pending"
    assert send(path, server).sent == 1


def test_a_404_that_is_not_promptlayers_stops_and_keeps_everything(
    path: Path, server: PromptLayerServer, acked: list[int]
) -> None:
    track.score(acked[0], 1)
    server.fail(404, body=b'{"detail": "Not Found"}', path=SCORE)
    assert isinstance(send(path, server).halt, Misdirected)
    assert send(path, server).sent == 1


def test_throttling_waits_for_the_time_of_retry_after(
    path: Path, server: PromptLayerServer, acked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    track.score(acked[0], 1)
    server.fail(429, headers={"Retry-After": "60"}, path=SCORE)
    report = send(path, server)
    assert isinstance(report.halt, Throttled)
    (kept,) = waiting(path, acked[0])
    assert kept.due_at is not None
    assert 30 < kept.due_at.timestamp() - time.time() <= 60
    assert not send(path, server).changed_state
    skip_time(monkeypatch, 61)
    assert send(path, server).sent == 1


def test_a_follow_up_without_a_clear_response_is_sent_again_before_later_ones_of_its_request(
    path: Path, server: PromptLayerServer, acked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    track.metadata(acked[0], {"a": "1"})
    track.metadata(acked[0], {"a": "2"})
    track.metadata(acked[1], {"a": "3"})
    server.drop_reply(path=METADATA)
    report = send(path, server, in_flight=1)
    assert (report.sent, report.unclear) == (1, 1)
    assert len(waiting(path, acked[0])) == 2
    skip_time(monkeypatch, 59)
    assert not send(path, server).changed_state
    skip_time(monkeypatch, 60 + SendPolicy().longest_pause)
    assert send(path, server).sent == 2
    assert [body["metadata"]["a"] for body in bodies(server)] == ["1", "3", "1", "2"]
    assert server.metadata[acked[0]]["a"] == "2"


@pytest.mark.parametrize("status", [500, 503, 302, 408])
def test_an_unclear_status_counts_as_no_response(
    path: Path, server: PromptLayerServer, acked: list[int], status: int
) -> None:
    track.score(acked[0], 1)
    server.fail(status, path=SCORE)
    report = send(path, server)
    assert (report.sent, report.unclear, report.dead) == (0, 1, 0)
    assert waiting(path, acked[0])[0].attempts == 1


def test_a_follow_up_that_always_fails_does_not_delay_other_requests(
    path: Path, server: PromptLayerServer, acked: list[int]
) -> None:
    for request_id in acked:
        track.score(request_id, 1)
    with _FailingAtOne(acked[0], server) as failing:
        report = send(path, failing)
    assert (report.sent, report.unclear, report.halt) == (2, 1, None)


def test_sending_halts_after_three_unclear_responses_in_a_row(
    path: Path, server: PromptLayerServer, acked: list[int]
) -> None:
    for request_id in range(acked[-1] + 1, acked[-1] + 20):
        track.score(request_id, 1)
    server.fail(500, times=1000, path=SCORE)
    report = send(path, server, in_flight=2)
    assert isinstance(report.halt, Ambiguous)
    assert 3 <= len(bodies(server)) <= 4


def test_a_follow_up_that_a_dead_sender_claimed_is_sent_after_its_lease(
    path: Path, server: PromptLayerServer, acked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    track.metadata(acked[0], {"a": "b"})
    with Journal.open(path) as journal:
        assert len(journal.followups.claim(10, 60_000, now_ms())) == 1
    assert not send(path, server).changed_state
    skip_time(monkeypatch, 61)
    assert send(path, server).sent == 1


def test_a_stop_ends_sending_between_requests_and_loses_nothing(
    path: Path, server: PromptLayerServer, acked: list[int]
) -> None:
    for request_id in acked:
        for number in range(40):
            track.score(request_id, number)
    report = send(path, server, stopped=lambda: len(bodies(server)) > 10, in_flight=1)
    left = sum(len(waiting(path, request_id)) for request_id in acked)
    assert (report.sent + left, left > 0, len(bodies(server))) == (120, True, report.sent)
    assert send(path, server).sent == left


def test_a_stop_does_not_wait_for_a_server_that_hangs(path: Path, server: PromptLayerServer, acked: list[int]) -> None:
    track.score(acked[0], 1)
    with _Hanging(server) as hanging:
        began = time.monotonic()
        assert not send(path, hanging, stopped=hanging.requested.is_set, timeout=60).changed_state
        assert time.monotonic() - began < 30
    assert len(waiting(path, acked[0])) == 1


def test_requests_are_sent_side_by_side(path: Path, server: PromptLayerServer, acked: list[int]) -> None:
    for request_id in acked:
        track.score(request_id, 1)
    with _Meeting(3, server) as meeting:
        assert send(path, meeting, in_flight=3).sent == 3


KILLED = """
import sys, time
from plsync.journal import Journal
from plsync._common.clock import WallClock
from plsync.delivery import followups
from plsync.delivery.policy import SendPolicy
from plsync.promptlayer.client import PromptLayerClient

path, url, key, later = sys.argv[1:]
WallClock.now_ms = lambda clock: time.time_ns() // 1_000_000 + int(later)
with Journal.open(path) as journal, PromptLayerClient(key, url) as client:
    followups.FollowUpSender(journal, client, SendPolicy()).send_due()
"""


def test_a_sender_killed_at_any_moment_loses_nothing_and_the_last_value_wins(
    path: Path, server: PromptLayerServer, acked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        for request_id in acked:
            track.metadata(request_id, {f"key {number % 7}": str(number)})
    # Each sender starts after the leases of the one before have ended.
    one_lease = int(SendPolicy().lease * 1000) + 1
    for kill in range(6):
        with _Counting(1 + 3 * kill, server) as counting:
            command = [sys.executable, "-c", KILLED, str(path), counting.url, server.api_key]
            with subprocess.Popen([*command, str(kill * one_lease)]) as sender:
                assert counting.reached.wait(60)
                sender.kill()
    skip_time(monkeypatch, SendPolicy().lease * 6 + 1)
    assert send(path, server).sent > 0
    last = {f"key {number % 7}": str(number) for number in range(60)}
    with Journal.open(path) as journal:
        kept = {request_id: journal.followups.history(request_id) for request_id in acked}
    for request_id in acked:
        # Each is kept once, with its delivery.
        assert [one.payload["metadata"][f"key {at % 7}"] for at, one in enumerate(kept[request_id])] == [
            *map(str, range(60))
        ]
        assert {one.state for one in kept[request_id]} == {"sent"}
        assert waiting(path, request_id) == []
        assert server.metadata[request_id].items() >= last.items()


class _Front(PromptLayerServer):
    """A server with the workspace of another server."""

    def __init__(self, inner: PromptLayerServer) -> None:
        super().__init__(api_key=inner.api_key)
        self._inner = inner

    def handle(self, request: Request) -> Response:
        return self._inner.handle(request)


class _FailingAtOne(_Front):
    """Responds to the follow-ups of one request with status 500."""

    def __init__(self, request_id: int, inner: PromptLayerServer) -> None:
        super().__init__(inner)
        self._failing_id = request_id

    def handle(self, request: Request) -> Response:
        if orjson.loads(request.body or b"{}").get("request_id") == self._failing_id:
            return error_response(500, "an error of ours")
        return super().handle(request)


class _Hanging(_Front):
    """Reads a request and never responds."""

    def __init__(self, inner: PromptLayerServer) -> None:
        super().__init__(inner)
        self.requested = threading.Event()
        self.hang(300)

    def take_fault(self, path: str) -> Any:
        self.requested.set()
        return super().take_fault(path)


class _Counting(_Front):
    """Sets an event after ``number`` requests."""

    def __init__(self, number: int, inner: PromptLayerServer) -> None:
        super().__init__(inner)
        self._number = number
        self.reached = threading.Event()

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        if len(self.requests) + 1 >= self._number:
            self.reached.set()
        return response


class _Meeting(_Front):
    """Responds only once ``number`` requests are in flight."""

    def __init__(self, number: int, inner: PromptLayerServer) -> None:
        super().__init__(inner)
        self._barrier = threading.Barrier(number, timeout=30)

    def handle(self, request: Request) -> Response:
        self._barrier.wait()
        return super().handle(request)
