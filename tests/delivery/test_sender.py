"""The state of records after each outcome of a request to PromptLayer."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from plsync.delivery.lock import sole_sender
from plsync.delivery.policy import RULES, SendPolicy
from plsync.delivery.reports import PassReport
from plsync.delivery.sender import Sender
from plsync.errors import JournalLocked
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Ambiguous, Misdirected, Throttled, Unauthorized, Unreachable
from plsync.testing import PromptLayerServer
from tests.support.calls import AT, request_ids, states, wait_until, write_calls
from tests.support.spooling import SpoolWriter

BULK = "/spans-bulk"
TRACES = "/api/public/v2/traces/"


def run_pass(
    path: Path, server: PromptLayerServer, *, key: str | None = None, settle: float = 0.0, **more: Any
) -> PassReport:
    policy = SendPolicy(settle=settle, timeout=more.pop("timeout", 10.0))
    more.setdefault("in_flight", 1)
    with (
        Journal.open(path) as journal,
        PromptLayerClient(key or server.api_key, server.url, timeout=policy.timeout) as client,
    ):
        return Sender(journal, client, policy, **more).run_pass()


def posts(server: PromptLayerServer, path: str = BULK) -> int:
    return sum(request.path.startswith(path) for request in server.requests)


def test_delivered_records_have_the_request_ids_of_their_logs(path: Path, server: PromptLayerServer) -> None:
    ids = write_calls(path, 3)
    assert run_pass(path, server).acked == 3
    assert request_ids(path) == {record_id: server.logs_of(record_id)[0]["id"] for record_id in ids}


def test_records_are_sent_in_batches_and_in_order(path: Path, server: PromptLayerServer) -> None:
    ids = write_calls(path, 5)
    run_pass(path, server, batch=2)
    assert posts(server) == 3
    assert [log["metadata"]["plsync_id"] for log in server.request_logs] == ids


def test_every_trace_is_closed_with_its_record(path: Path, server: PromptLayerServer) -> None:
    (record_id,) = write_calls(path, 1)
    run_pass(path, server)
    assert server.closed_traces == {record_id.replace("-", "")}


def test_nothing_is_sent_twice(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    run_pass(path, server)
    assert not run_pass(path, server).changed_state
    assert len(server.request_logs) == 2


def test_a_call_that_still_runs_is_not_sent(path: Path, server: PromptLayerServer) -> None:
    writer = SpoolWriter(path)
    writer.start({"kind": "chat", "messages": [], "run_id": None}, at=AT)
    assert not run_pass(path, server).changed_state
    writer.close()


def test_a_call_whose_process_died_is_sent_as_an_error(path: Path, server: PromptLayerServer) -> None:
    writer = SpoolWriter(path)
    writer.start({"kind": "chat", "messages": [], "run_id": None}, at=AT)
    writer.close()
    assert run_pass(path, server).acked == 1
    assert server.request_logs[0]["status"] == "ERROR"


def test_offline_keeps_everything_pending(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 3)
    with server.offline():
        result = run_pass(path, server, batch=1)
    assert isinstance(result.halt, Unreachable)
    assert set(states(path).values()) == {"pending"}
    assert run_pass(path, server).acked == 3


def test_a_refused_key_stops_and_keeps_everything_pending(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 3)
    result = run_pass(path, server, key="pl_wrong", batch=1)
    assert isinstance(result.halt, Unauthorized)
    assert posts(server) == 1
    assert set(states(path).values()) == {"pending"}


@pytest.mark.parametrize("status", [404, 405, 410])
def test_a_server_that_is_not_promptlayer_stops_and_keeps_everything(
    path: Path, server: PromptLayerServer, status: int
) -> None:
    write_calls(path, 2)
    server.fail(status, path=BULK)
    assert isinstance(run_pass(path, server).halt, Misdirected)
    assert set(states(path).values()) == {"pending"}


@pytest.mark.parametrize("poisoned", [0, 3, 6])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_poison_record_is_isolated_from_its_batch(path: Path, status: int, poisoned: int) -> None:
    ids = write_calls(path, 7)
    with _PoisonedServer(ids[poisoned], status) as server:
        result = run_pass(path, server)
        assert (result.acked, result.dead) == (6, 1)
        assert {record_id for record_id, state in states(path).items() if state == "dead"} == {ids[poisoned]}
        assert len(server.request_logs) == 6


def test_a_refusal_that_is_not_promptlayers_counts_if_promptlayer_is_reachable(
    path: Path, server: PromptLayerServer
) -> None:
    write_calls(path, 3)
    server.fail(413, body=b"<html>nginx</html>", path=BULK, times=3)
    result = run_pass(path, server)
    assert (result.acked, result.dead, result.halt) == (2, 1, None)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_server_that_refuses_everything_makes_no_dead_letters(
    path: Path, server: PromptLayerServer, status: int
) -> None:
    """nginx does so for plain HTTP at its port for TLS."""
    write_calls(path, 20)
    server.fail(status, body=b"<html>400 The plain HTTP request was sent to HTTPS port</html>", times=1000)
    assert isinstance(run_pass(path, server).halt, Misdirected)
    assert set(states(path).values()) == {"pending"}
    assert len(server.requests) < 10


def test_a_dead_record_keeps_promptlayers_reason(path: Path) -> None:
    (record_id,) = write_calls(path, 1)
    with _PoisonedServer(record_id, 422) as server:
        run_pass(path, server)
    with Journal.open(path) as journal:
        assert "refuses" in (journal.get(record_id).last_error or "")


def test_throttling_keeps_the_batch_for_the_time_of_retry_after(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    server.fail(429, headers={"Retry-After": "60"}, path=BULK)
    result = run_pass(path, server)
    assert isinstance(result.halt, Throttled)
    assert result.halt.retry_after == 60
    assert run_pass(path, server).acked == 0
    with Journal.open(path) as journal:
        due = {record.due_at.timestamp() for record in journal.records() if record.due_at is not None}
    assert len(due) == 1
    assert 30 < due.pop() - time.time() <= 60


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 302])
def test_an_unclear_status_leaves_the_batch_in_doubt(path: Path, server: PromptLayerServer, status: int) -> None:
    write_calls(path, 2)
    server.fail(status, path=BULK)
    assert isinstance(run_pass(path, server, settle=60).halt, Ambiguous)
    assert set(states(path).values()) == {"in_doubt"}


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"[]", b'{"success": false}', b""])
def test_a_response_that_is_not_promptlayers_leaves_the_batch_in_doubt(
    path: Path, server: PromptLayerServer, body: bytes
) -> None:
    write_calls(path, 1)
    server.fail(200, body=body, path=BULK)
    assert isinstance(run_pass(path, server, settle=60).halt, Ambiguous)
    assert set(states(path).values()) == {"in_doubt"}


def test_a_record_whose_response_was_lost_is_found_without_a_second_log(path: Path, server: PromptLayerServer) -> None:
    ids = write_calls(path, 2)
    server.drop_reply(path=BULK)
    assert run_pass(path, server).in_doubt == 2
    assert run_pass(path, server).found == 2
    assert request_ids(path) == {record_id: server.logs_of(record_id)[0]["id"] for record_id in ids}
    assert (len(server.request_logs), posts(server)) == (2, 1)


def test_a_record_whose_request_timed_out_is_found_without_a_second_log(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.hang(60, path=BULK)
    assert isinstance(run_pass(path, server, timeout=0.2).halt, Ambiguous)
    assert run_pass(path, server).found == 1
    assert len(server.request_logs) == 1


@pytest.mark.parametrize("processed", [True, False])
def test_after_a_server_error_every_record_has_one_log(path: Path, server: PromptLayerServer, processed: bool) -> None:
    ids = write_calls(path, 3)
    server.fail(500, path=BULK, processed=processed)
    run_pass(path, server)
    result = run_pass(path, server)
    assert (result.found, result.resent) == ((3, 0) if processed else (0, 3))
    assert [len(server.logs_of(record_id)) for record_id in ids] == [1, 1, 1]
    assert set(states(path).values()) == {"acked"}


def test_a_resend_carries_the_same_ids(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.fail(500, path=BULK)
    run_pass(path, server)
    run_pass(path, server)
    first, second = (request.body["spans"][0]["context"] for request in server.requests if request.path == BULK)
    assert first == second


def test_nothing_in_doubt_is_looked_up_or_sent_before_it_has_settled(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.drop_reply(path=BULK)
    run_pass(path, server, settle=60)
    before = len(server.requests)
    assert not run_pass(path, server, settle=60).changed_state
    assert len(server.requests) == before


def test_a_failing_look_up_leaves_the_record_in_doubt(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.drop_reply(path=BULK)
    run_pass(path, server)
    server.fail(500, path=TRACES)
    run_pass(path, server)
    assert set(states(path).values()) == {"in_doubt"}
    assert posts(server) == 1


def test_a_failing_look_up_does_not_delay_other_records(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.drop_reply(path=BULK)
    run_pass(path, server)
    write_calls(path, 3)
    server.fail(500, path=TRACES, times=10)
    result = run_pass(path, server)
    assert (result.acked, result.halt) == (3, None)
    assert sorted(states(path).values()) == ["acked"] * 3 + ["in_doubt"]


def test_look_ups_halt_after_three_failures_in_a_row(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 9)
    server.drop_reply(path=BULK)
    run_pass(path, server)
    server.fail(500, path=TRACES, times=100)
    assert isinstance(run_pass(path, server).halt, Ambiguous)
    assert sum(request.path.startswith(TRACES) for request in server.requests) == 3


def test_a_404_that_is_not_promptlayers_does_not_resend_the_record(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.drop_reply(path=BULK)
    run_pass(path, server)
    server.fail(404, body=b"<html>no such page</html>", path=TRACES)
    run_pass(path, server)
    assert set(states(path).values()) == {"in_doubt"}
    assert posts(server) == 1


def test_a_closed_trace_is_looked_up_instead_of_logged_again(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    restored = path.parent / "restored"
    shutil.copytree(path, restored)
    run_pass(path, server)
    assert run_pass(restored, server).in_doubt == 1
    assert run_pass(restored, server).found == 1
    assert request_ids(restored) == request_ids(path)
    assert len(server.request_logs) == 1


def test_a_span_without_a_request_id_stays_in_doubt(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    server.fail(201, body=b'{"success": true, "spans": [], "request_logs": []}', path=BULK)
    assert run_pass(path, server, settle=60).in_doubt == 1
    assert set(states(path).values()) == {"in_doubt"}


@pytest.mark.parametrize("request_id", ['"7"', "true", "-1", "null", "99999999999999999999"])
def test_an_invalid_request_id_is_not_stored(path: Path, server: PromptLayerServer, request_id: str) -> None:
    (record_id,) = write_calls(path, 1)
    span_id = record_id.replace("-", "")[16:]
    body = f'{{"success": true, "spans": [], "request_logs": [{{"id": {request_id}, "span_id": "{span_id}"}}]}}'
    server.fail(201, body=body.encode(), path=BULK)
    run_pass(path, server, settle=60)
    assert request_ids(path) == {record_id: None}


def test_records_that_a_dead_sender_leased_are_looked_up(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        assert len(journal.outbox.lease(10, 1, time.time_ns() // 1_000_000)) == 2
    result = run_pass(path, server)
    assert (result.resent, result.acked) == (2, 2)


def test_a_pass_leaves_no_threads_behind(path: Path, server: PromptLayerServer) -> None:
    before = set(threading.enumerate())
    write_calls(path, 3)
    server.fail(500, path=BULK)
    # The first pass sends records, the second looks them up.
    for _ in range(2):
        run_pass(path, server, in_flight=3)

    def left_behind() -> set[str]:
        return {thread.name for thread in set(threading.enumerate()) - before}

    wait_until(lambda: not {"plsync-send", "plsync-look-up"} & left_behind())


def test_a_journal_has_one_sender_at_a_time(path: Path) -> None:
    path.mkdir(mode=0o700)
    with sole_sender(path), pytest.raises(JournalLocked, match="plsync run"), sole_sender(path):
        pass
    with sole_sender(path):
        pass


def test_a_stopped_sender_sends_no_further_batch(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 4)
    run_pass(path, server, batch=1, stopped=lambda: posts(server) >= 2)
    assert sorted(states(path).values()) == ["acked", "acked", "pending", "pending"]


def test_acks_ring_the_doorbell(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    run_pass(path, server)
    assert (path / "doorbell").exists()


def test_only_a_refused_payload_makes_a_record_dead() -> None:
    dead = {outcome.__name__ for outcome, rule in RULES.items() if rule.state == "dead"}
    assert dead == {"Refused"}


class _PoisonedServer(PromptLayerServer):
    """Refuses every batch with one record in it."""

    def __init__(self, record_id: str, status: int) -> None:
        super().__init__()
        self.refuse(record_id, status)
