"""Lanes: the calls that keep their order, and the batches that are sent at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableConfig

from plsync import Journal, PromptLayerCallbackHandler
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import PassReport
from plsync.delivery.runner import Runner
from plsync.delivery.sender import Sender
from plsync.delivery.wake import Wake
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer
from plsync.testing.endpoints.http import Request, Response
from tests.support.calls import states, write_calls


def record(path: Path, *configs: Mapping[str, Any]) -> list[str]:
    """Record a call for each config, with its number as the prompt; return the record ids."""
    handler = PromptLayerCallbackHandler(journal=path)
    model = FakeListChatModel(responses=["yes"])
    for number, config in enumerate(configs):
        model.invoke(str(number), cast("RunnableConfig", {"callbacks": [handler], **config}))
    with Journal.open(path) as journal:
        return [record.id for record in journal.records(oldest_first=True)]


def lanes(path: Path) -> list[int]:
    with Journal.open(path) as journal:
        return [record.lane for record in journal.records(oldest_first=True)]


@pytest.mark.parametrize("key", ["thread_id", "session_id", "conversation_id"])
def test_calls_of_a_conversation_share_a_lane(path: Path, key: str) -> None:
    record(path, *({"metadata": {key: name}} for name in ("a", "b", "a")))
    first, other, again = lanes(path)
    assert first == again != 0
    assert other not in {0, first}


def test_calls_of_one_run_share_a_lane(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    chain = (
        FakeListChatModel(responses=["yes"]) | (lambda message: message.content) | FakeListChatModel(responses=["no"])
    )
    chain.invoke("?", {"callbacks": [handler]})
    first, second = lanes(path)
    assert first == second != 0


def documented(key: bytes) -> int:
    """The lane by docs/reference/format.md. Writers in other languages compute the same."""
    hashed = 0x811C9DC5
    for byte in key:
        hashed = ((hashed ^ byte) * 0x01000193) % 2**32
    return 1 + hashed % 255


def test_a_lane_is_computed_as_the_format_documents(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    run_id = UUID("01a21bc6-4929-77a8-95ab-3bd5a63a9369")
    handler.on_llm_start({}, ["hi"], run_id=uuid4(), metadata={"session_id": "b", "thread_id": "a"})
    handler.on_llm_start({}, ["hi"], run_id=uuid4(), parent_run_id=run_id, metadata={"session_id": "é"})
    handler.on_llm_start({}, ["hi"], run_id=uuid4(), parent_run_id=run_id, metadata={"thread_id": 7, "session_id": "é"})
    handler.on_llm_start({}, ["hi"], run_id=uuid4(), parent_run_id=run_id)
    assert lanes(path) == [71, documented("é".encode()), documented(b"7"), documented(run_id.bytes)]


def test_calls_without_a_conversation_or_run_have_no_lane(path: Path) -> None:
    record(path, {}, {})
    assert lanes(path) == [0, 0]


def test_metadata_that_a_hook_removes_does_not_set_the_lane(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path, redact=lambda event: {**event, "metadata": {}})
    FakeListChatModel(responses=["yes"]).invoke("?", {"callbacks": [handler], "metadata": {"thread_id": "secret"}})
    assert lanes(path) == [0]


class MeetingServer(PromptLayerServer):
    """Responds to a batch once ``expected`` batches are in flight, or after 0.2 s."""

    def __init__(self, expected: int) -> None:
        super().__init__()
        self.most = 0
        self.arrived: list[str] = []
        self._expected = expected
        self._inside = 0
        self._meeting = threading.Condition()

    def handle(self, request: Request) -> Response:
        if request.path != "/spans-bulk":
            return super().handle(request)
        spans = orjson.loads(request.body)["spans"]
        with self._meeting:
            self._inside += 1
            self.most = max(self.most, self._inside)
            self._meeting.notify_all()
            self._meeting.wait_for(lambda: self.most >= self._expected, timeout=0.2)
            self._inside -= 1
            self.arrived += [span["log_request"]["metadata"]["plsync_id"] for span in spans]
        return super().handle(request)


@pytest.fixture
def meeting() -> Iterator[MeetingServer]:
    with MeetingServer(3) as server:
        yield server


def run_pass(path: Path, server: PromptLayerServer, **more: Any) -> PassReport:
    with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
        return Sender(journal, client, SendPolicy(settle=0), **more).run_pass()


def test_batches_are_sent_at_the_same_time(path: Path, meeting: MeetingServer) -> None:
    record(path, *({} for _ in range(6)))
    assert run_pass(path, meeting, batch=2, in_flight=3).acked == 6
    assert meeting.most == 3


def test_requests_in_flight_stay_within_the_limit(path: Path, meeting: MeetingServer) -> None:
    record(path, *({} for _ in range(8)))
    run_pass(path, meeting, batch=1, in_flight=2)
    assert meeting.most == 2


def test_a_changed_limit_holds_from_the_next_pass(path: Path, meeting: MeetingServer) -> None:
    with (
        Journal.open(path, create=True) as journal,
        PromptLayerClient(meeting.api_key, meeting.url) as client,
        Wake(journal.path) as wake,
    ):
        runner = Runner(journal, client, SendPolicy(settle=0), wake, batch=1, in_flight=1)
        for limit in (1, 2, 1, 3):
            runner.set_in_flight(limit)
            record(path, *({} for _ in range(6)))
            meeting.most = 0
            list(runner.once())
            assert meeting.most == limit


def test_a_conversation_is_sent_in_order_one_batch_at_a_time(path: Path, meeting: MeetingServer) -> None:
    ids = record(path, *({"metadata": {"thread_id": "t"}} for _ in range(6)))
    assert run_pass(path, meeting, batch=2, in_flight=3).acked == 6
    assert (meeting.most, meeting.arrived) == (1, ids)


def test_conversations_do_not_wait_for_each_other(path: Path, meeting: MeetingServer) -> None:
    ids = record(path, *({"metadata": {"thread_id": name}} for name in "abcabc"))
    run_pass(path, meeting, batch=1, in_flight=3)
    assert meeting.most == 3
    assert [[record_id for record_id in meeting.arrived if record_id in ids[lane::3]] for lane in range(3)] == [
        ids[lane::3] for lane in range(3)
    ]


def test_a_lost_response_delays_its_conversation_alone(path: Path) -> None:
    one, two, other = record(path, *({"metadata": {"thread_id": name}} for name in "aab"))
    with PromptLayerServer() as server:
        server.drop_reply(path="/spans-bulk")
        run_pass(path, server, batch=1, in_flight=1)
        # The pass has halted. The next one looks up the first record before it sends the second.
        assert states(path) == {one: "in_doubt", two: "pending", other: "pending"}
        run_pass(path, server, batch=1, in_flight=1)
        assert set(states(path).values()) == {"acked"}
        assert [len(server.logs_of(record_id)) for record_id in (one, two, other)] == [1, 1, 1]


def test_after_a_failure_a_single_record_is_sent_before_the_rest(path: Path) -> None:
    path.mkdir(mode=0o700)
    write_calls(path, 9)
    with PromptLayerServer() as server:
        with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
            sender = Sender(journal, client, SendPolicy(settle=60), batch=4)
            server.fail(500, path="/spans-bulk")
            assert sender.run_pass(probe_first=True).in_doubt == 1
            assert sender.run_pass(probe_first=True).acked == 8
        sizes = [len(request.body["spans"]) for request in server.requests if request.path == "/spans-bulk"]
        assert sizes[:2] == [1, 1]
        assert sum(sizes) == 9
