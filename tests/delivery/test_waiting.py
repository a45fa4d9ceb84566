"""Independence of delays: a long request, a poison record or a failure does not delay other work."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from plsync.delivery import sender as sender_module
from plsync.delivery.batching import Quarantine
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import FollowUpReport, PassReport, Step
from plsync.delivery.runner import Runner
from plsync.delivery.sender import Sender
from plsync.delivery.wake import Wake
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Ambiguous, Delivered, Outcome
from plsync.testing import PromptLayerServer
from tests.support.calls import request_ids, states, wait_until, write_calls

IMPATIENT = SendPolicy(settle=0.0, shortest_pause=0.01, longest_pause=0.02)


@pytest.fixture
def client(server: PromptLayerServer) -> Iterator[PromptLayerClient]:
    with PromptLayerClient(server.api_key, server.url) as client:
        yield client


def test_a_new_call_does_not_wait_for_a_request_that_takes_long(
    path: Path, server: PromptLayerServer, client: PromptLayerClient
) -> None:
    write_calls(path, 1)
    server.hang(path="/spans-bulk")
    with Journal.open(path) as journal:
        sending = threading.Thread(target=Sender(journal, client, SendPolicy()).run_pass)
        sending.start()
        wait_until(lambda: len(server.request_logs) == 1)
        write_calls(path, 1)
        wait_until(lambda: len(server.request_logs) == 2, seconds=20)
        server.stop()
        sending.join(30)


class Unsteady(PromptLayerClient):
    """A client that loses every second batch."""

    sends = 0

    def send(self, spans: Sequence[Any], *, close: bool = True) -> Outcome:
        self.sends += 1
        return super().send(spans, close=close) if self.sends % 2 else Ambiguous("lost")


def test_a_run_continues_while_batches_are_delivered_between_failures(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 12)
    with Journal.open(path) as journal, Unsteady(server.api_key, server.url) as client, Wake(path) as wake:
        list(Runner(journal, client, IMPATIENT, wake, batch=1, in_flight=1).once())
    assert set(states(path).values()) == {"acked"}


def test_follow_ups_do_not_wait_for_a_long_backlog(
    path: Path, client: PromptLayerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_INGEST_EVERY", 0.0)
    monkeypatch.setattr(sender_module, "_LONGEST_PASS", 0.0)
    write_calls(path, 1)
    with Journal.open(path) as journal, Wake(path) as wake:
        runner = Runner(journal, client, SendPolicy(), wake, batch=1, in_flight=1)
        assert delivered_beside_a_score(runner, journal) == ["call", "score", "call", "call"]


def test_follow_ups_do_not_wait_until_a_link_is_stable(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    with Journal.open(path) as journal, Unsteady(server.api_key, server.url) as client, Wake(path) as wake:
        runner = Runner(journal, client, IMPATIENT, wake, batch=1, in_flight=1)
        assert delivered_beside_a_score(runner, journal) == ["call", "score", "call", "call"]


def delivered_beside_a_score(runner: Runner, journal: Journal) -> list[str]:
    """The order of delivery of three new calls and of a score for a delivered call."""
    list(runner.once())
    [known] = request_ids(journal.path).values()
    assert known is not None
    write_calls(journal.path, 3)
    journal.track.score(known, 50)
    return [name for step in runner.once() for name in delivered(step)]


def delivered(step: Step) -> list[str]:
    if isinstance(step, PassReport):
        return ["call"] * step.acked
    return ["score"] * step.sent if isinstance(step, FollowUpReport) else []


def test_new_records_do_not_wait_for_look_ups_that_fail(
    path: Path, server: PromptLayerServer, client: PromptLayerClient
) -> None:
    write_calls(path, 5)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.outbox.park([1, 2, 3, 4], "in_doubt", "no response")
        server.fail(503, times=100, path="/api/public/v2/traces")
        sent = Sender(journal, client, SendPolicy(), in_flight=1).run_pass()
    assert (sent.acked, type(sent.halt)) == (1, Ambiguous)


def test_a_poison_record_is_isolated_from_its_batch(
    path: Path, server: PromptLayerServer, client: PromptLayerClient
) -> None:
    # The last of them, so that the rest does not overtake it by its position.
    write_calls(path, 6)
    server.refuse("question 5", 500)
    with Journal.open(path) as journal:
        sender = Sender(journal, client, SendPolicy(settle=0.0))
        for _ in range(3):
            sender.run_pass()
    assert sorted(states(path).values()) == ["acked"] * 5 + ["in_doubt"]


def test_a_record_that_fails_alone_is_sent_last(
    path: Path, server: PromptLayerServer, client: PromptLayerClient
) -> None:
    # Each pass begins with a single record. The three failing ones could use up the first three passes.
    write_calls(path, 6)
    for number in range(3):
        server.refuse(f"question {number}", 500)
    with Journal.open(path) as journal:
        sender = Sender(journal, client, SendPolicy(settle=0.0), batch=1, in_flight=1)
        for _ in range(4):
            sender.run_pass(probe_first=True)
    assert list(states(path).values()).count("acked") == 3


def test_a_suspect_shares_a_request_with_a_quarter_as_many_records_each_time(path: Path) -> None:
    write_calls(path, 8)
    with Journal.open(path) as journal:
        records = list(journal.records(oldest_first=True))
    quarantine = Quarantine()
    assert sizes(quarantine, records) == [8]
    quarantine.observe(records, Ambiguous("500"))
    assert sizes(quarantine, records) == [2, 2, 2, 2]
    quarantine.observe(records[:2], Ambiguous("500"))
    quarantine.observe(records[4:], Delivered({}))
    assert sizes(quarantine, records) == [1, 1, 2, 4]


def sizes(quarantine: Quarantine, records: Sequence[Any]) -> list[int]:
    parts = quarantine.split([(record, None) for record in records])
    assert [record for part in parts for record, _ in part] == records
    return [len(part) for part in parts]


def test_the_wait_of_a_record_that_fails_alone_doubles_up_to_eight_times(path: Path) -> None:
    write_calls(path, 1)
    with Journal.open(path) as journal:
        one = list(journal.records())
    quarantine = Quarantine()
    factors = []
    for _ in range(6):
        quarantine.observe(one, Ambiguous("500"))
        factors.append(quarantine.backoff_factor(one))
    assert factors == [1, 2, 4, 8, 8, 8]
