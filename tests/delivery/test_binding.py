"""The binding of a journal to one workspace: no record and no look-up reaches another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plsync import track
from plsync.callbacks.dispatcher import CallbackDispatcher
from plsync.callbacks.resolve import ImportableFunctions
from plsync.delivery.followups import FollowUpSender
from plsync.delivery.in_process import DeliveryThread
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import PassReport
from plsync.delivery.sender import Sender
from plsync.errors import AmbiguousId, PlsyncWarning, WrongWorkspace
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Unauthorized, Unreachable
from plsync.testing import PromptLayerServer
from plsync.testing.connection import Connection
from tests.support.calls import states, write_calls
from tests.support.commands import json_lines, printed, run

POLICY = SendPolicy(settle=0.0, timeout=5.0)


@pytest.fixture
def _as_promptlayer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the servers of this process respond without the name of the stand-in."""
    monkeypatch.setattr(Connection, "server_version", "gunicorn")


pytestmark = pytest.mark.usefixtures("_as_promptlayer")


@pytest.fixture
def other() -> Iterator[PromptLayerServer]:
    """The server of another workspace."""
    with PromptLayerServer(api_key="pl_other") as server:
        yield server


@contextmanager
def sender(journal: Journal, server: PromptLayerServer, key: str | None = None) -> Iterator[Sender]:
    with PromptLayerClient(key or server.api_key, server.url, timeout=5.0) as client:
        yield Sender(journal, client, POLICY)


def deliver(path: Path, server: PromptLayerServer, key: str | None = None, *, rebind: bool = False) -> PassReport:
    """Run one pass; ``rebind`` as the option of `plsync run`."""
    with Journal.open(path) as journal, sender(journal, server, key) as opened:
        if rebind:
            assert opened.binding.check(rebind=True) is None
        return opened.run_pass()


def in_doubt(path: Path, server: PromptLayerServer, *, stored: bool) -> str:
    """Bring one record in doubt at a server, which has it or not."""
    (record_id,) = write_calls(path, 1)
    server.drop_reply(path="/spans-bulk", processed=stored)
    assert deliver(path, server).in_doubt == 1
    return record_id


def test_another_server_gets_no_request_and_the_message_has_the_next_step(
    path: Path, server: PromptLayerServer, other: PromptLayerServer
) -> None:
    write_calls(path, 1)
    assert deliver(path, server).acked == 1
    write_calls(path, 1)
    with pytest.raises(WrongWorkspace, match=rf"sends to {server.url}, not.*--rebind.*retry --sent-to {server.url}"):
        deliver(path, other)
    assert other.requests == []
    assert sorted(states(path).values()) == ["acked", "pending"]


def test_a_record_in_doubt_is_neither_looked_up_nor_sent_at_another_server(
    path: Path, server: PromptLayerServer, other: PromptLayerServer
) -> None:
    record_id = in_doubt(path, server, stored=True)
    with pytest.raises(WrongWorkspace):
        deliver(path, other)
    assert deliver(path, other, rebind=True).acked == 0
    assert other.requests == []
    with Journal.open(path) as journal:
        assert journal.get(record_id).server == server.url
        assert journal.stats().left == {"in_doubt": 1}
        # A wait for the delivery ends, because no sender can bring the record out of doubt.
        assert journal.flush(wait="acked", timeout=30).in_doubt == 1
    # Back at its server, a look-up finds it.
    assert deliver(path, server, rebind=True).found == 1
    server.assert_exactly_once([record_id])


def test_a_record_in_doubt_can_be_sent_to_the_new_server_on_request(
    path: Path, server: PromptLayerServer, other: PromptLayerServer
) -> None:
    record_id = in_doubt(path, server, stored=False)
    deliver(path, other, rebind=True)
    assert "1 record to retry" in printed(path, "retry", "--sent-to", server.url)
    assert deliver(path, other).acked == 1
    other.assert_exactly_once([record_id])


def test_a_replaced_key_of_the_same_workspace_goes_on(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    deliver(path, server)
    record_id = in_doubt(path, server, stored=True)
    server.api_key = "pl_replaced"
    assert deliver(path, server).found == 1
    write_calls(path, 1)
    assert deliver(path, server).acked == 1
    server.assert_exactly_once(states(path))
    assert record_id in states(path)
    with Journal.open(path) as journal:
        assert [server.acked for server in journal.stats().servers] == [3]


def test_a_key_of_another_workspace_of_the_same_server_is_refused(path: Path) -> None:
    with PromptLayerServer() as server:
        write_calls(path, 1)
        deliver(path, server)
        in_doubt(path, server, stored=True)
        port = int(server.url.rpartition(":")[2])
    with PromptLayerServer(port=port, api_key="pl_other") as other:
        with pytest.raises(WrongWorkspace, match=r"another API key.*--rebind"):
            deliver(path, other)
        assert [request.method for request in other.requests] == ["GET"], "a look-up of a delivered record"
        write_calls(path, 1)
        assert deliver(path, other, rebind=True).acked == 1
        other.assert_logged(times=1)
    assert sorted(states(path).values()) == ["acked", "acked", "in_doubt"]


def test_a_retry_distinguishes_the_workspaces_of_one_url_by_their_keys(path: Path) -> None:
    with PromptLayerServer() as server:
        (first,) = write_calls(path, 1)
        deliver(path, server)
        in_doubt(path, server, stored=True)
        port = int(server.url.rpartition(":")[2])
    with PromptLayerServer(port=port, api_key="pl_other") as other:
        (second,) = write_calls(path, 1)
        deliver(path, other, rebind=True)
        with Journal.open(path) as journal:
            old, new = (known.key for known in journal.stats().servers)
        refused = run(path, "retry", "--sent-to", other.url)
        assert refused.returncode == 2
        assert f"2 API keys sent there: choose one of {old}, {new} (the present one)" in refused.stderr
        assert states(path)[first] == "acked"
        assert "2 records to retry" in printed(path, "retry", "--sent-to", old)
        deliver(path, other)
        other.assert_exactly_once(states(path))
    assert second in states(path)


def test_a_new_key_is_accepted_although_the_newest_record_was_deleted(path: Path, server: PromptLayerServer) -> None:
    for _ in range(2):
        write_calls(path, 1)
        deliver(path, server)
    server.api_key = "pl_replaced"
    server.fail(404, path="/api/public/v2/traces")
    write_calls(path, 1)
    assert deliver(path, server).acked == 1


def test_a_request_id_of_a_stand_in_reaches_no_other_server(
    path: Path, other: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, PromptLayerServer() as stand_in:
        patch.setattr(Connection, "server_version", "plsync-stand-in")
        write_calls(path, 1)
        deliver(path, stand_in)
        with Journal.open(path) as journal:
            journal.track.score(4711, 80)
    printed(path, "retry", "--sent-to", "stand-in")
    with Journal.open(path) as journal, sender(journal, other) as opened:
        assert opened.run_pass().acked == 1
        FollowUpSender(journal, opened._client, POLICY).send_due()
        reasons = [followup.last_error for followup in journal.followups.dead()]
    assert reasons == [f"it was queued for {stand_in.url}"]
    assert not [request for request in other.requests if "score" in request.path]


def test_a_wrong_key_binds_nothing(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    assert isinstance(deliver(path, server, "pl_mistyped").halt, Unauthorized)
    assert deliver(path, server).acked == 1
    assert isinstance(deliver(path, server, "pl_mistyped").halt, Unauthorized)
    with server.offline():
        assert isinstance(deliver(path, server, "pl_mistyped").halt, Unreachable)
    with Journal.open(path) as journal:
        assert len(journal.stats().servers) == 1


def test_no_key_and_no_password_is_stored(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    url = server.url.replace("://", "://user:pass-word@") + "/0123456789abcdef0123"
    with Journal.open(path) as journal, PromptLayerClient("pl_secret_key", url) as client:
        Sender(journal, client, POLICY).run_pass()
        (known,) = journal.stats().servers
    assert known.url == f"{server.url}/[redacted]"
    stored = (path / "lmdb" / "data.mdb").read_bytes()
    for secret in (b"pl_secret_key", b"pass-word", b"0123456789abcdef0123"):
        assert secret not in stored


def test_follow_ups_of_one_server_never_reach_another(
    path: Path, server: PromptLayerServer, other: PromptLayerServer
) -> None:
    (record_id,) = write_calls(path, 1)
    deliver(path, server)
    with Journal.open(path) as journal:
        journal.track.score(record_id, 90)
        journal.track.score(4711, 80)
        with sender(journal, other) as opened:
            opened.binding.check(rebind=True)
            FollowUpSender(journal, opened._client, POLICY).send_due()
        reasons = [followup.last_error for followup in journal.followups.dead()]
    assert other.requests == []
    assert reasons == [
        f"its request is at {server.url}, and this journal sends to {other.url}",
        f"it was queued for {server.url}",
    ]


@pytest.mark.parametrize("retried_first", [True, False])
def test_calls_that_went_to_a_stand_in_are_sent_once_there_is_a_key(
    path: Path, other: PromptLayerServer, monkeypatch: pytest.MonkeyPatch, *, retried_first: bool
) -> None:
    with monkeypatch.context() as patch, PromptLayerServer() as stand_in:
        patch.setattr(Connection, "server_version", "plsync-stand-in")
        (record_id,) = write_calls(path, 1)
        assert deliver(path, stand_in).acked == 1
        with Journal.open(path) as journal:
            journal.track.score(record_id, 90)
            with sender(journal, stand_in) as opened:
                FollowUpSender(journal, opened._client, POLICY).send_due()
    with pytest.raises(WrongWorkspace, match="`plsync retry --sent-to stand-in`"):
        deliver(path, other)
    if not retried_first:
        deliver(path, other, rebind=True)
    assert "1 record to retry" in printed(path, "retry", "--sent-to", "stand-in")
    assert deliver(path, other).acked == 1
    other.assert_exactly_once([record_id])
    with Journal.open(path) as journal:
        (followup,) = journal.followups.of(record_id)
        assert (followup.op, followup.state) == ("score", "pending"), "the score follows its record"
        assert journal.check().problems == []


def test_stand_ins_of_any_port_and_key_share_a_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "server_version", "plsync-stand-in")
    for number in range(3):
        with PromptLayerServer(api_key=f"pl_{number}") as stand_in:
            write_calls(path, 1)
            # Each next stand-in also gets the record that was in doubt at the one before.
            assert deliver(path, stand_in).acked == (2 if number else 1)
            assert not [request for request in stand_in.requests if request.path.startswith("/stand-in")]
            in_doubt(path, stand_in, stored=False)
    with Journal.open(path) as journal:
        shown = [(server.stand_in, server.acked, server.bound) for server in journal.stats().servers]
    assert shown == [(True, 1, False), (True, 2, False), (True, 2, True)]


def test_a_journal_of_a_local_gateway_is_no_journal_of_a_stand_in(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    deliver(path, server)
    write_calls(path, 1)
    with PromptLayerServer(api_key="pl_other") as gateway, pytest.raises(WrongWorkspace):
        deliver(path, gateway)


def test_two_records_with_one_request_id(path: Path, server: PromptLayerServer, other: PromptLayerServer) -> None:
    ids = []
    for each in (server, other):
        ids += write_calls(path, 1, sink="tests.delivery.test_binding:score_it")
        deliver(path, each, rebind=True)
    with Journal.open(path) as journal:
        assert [ack.server for ack in journal.acks()] == [server.url, other.url]
        assert {record.request_id for record in journal.records()} == {1001}
        with pytest.raises(AmbiguousId, match=ids[1]):
            journal.get(1001)
        with pytest.raises(AmbiguousId, match=rf"1001.*{ids[0]}.*use a record id"):
            journal.track.score(1001, 5)
        assert (journal.check().problems, journal.check().notes) == ([], [])
    assert run(path, "check").returncode == 0
    shown = run(path, "show", "1001")
    assert shown.returncode == 1
    assert shown.stderr.count(ids[0][:8]) >= 2
    assert (server.url in shown.stderr, other.url in shown.stderr) == (True, True)
    assert {line["server"] for line in json_lines(path, "list")} == {server.url, other.url}
    # Inside a callback the request id belongs to the record of the callback.
    with Journal.open(path) as journal:
        dispatcher = CallbackDispatcher(journal, functions=ImportableFunctions([]))
        dispatcher.start()
        assert dispatcher.finish(30)
        dispatcher.stop(5)
        scores = [[followup.payload["score"] for followup in journal.followups.of(record_id)] for record_id in ids]
    assert scores == [[77], [77]]


def score_it(request_id: int) -> None:
    track.score(request_id, 77)


def test_a_killed_change_of_the_server_doubles_and_loses_nothing(
    path: Path, server: PromptLayerServer, other: PromptLayerServer
) -> None:
    sent = write_calls(path, 300)
    while deliver(path, server).changed_state:
        pass
    unclear = in_doubt(path, server, stored=True)
    steps = {
        "leave": f"journal.outbox.bind({other.url!r}, b'2' * 16, how='leave')",
        "withdraw": "journal.outbox.withdraw([1], 'withdrawn')",
    }
    for step in ("leave", "leave", "withdraw", "withdraw"):
        code = f"with Journal.open(sys.argv[1]) as journal:\n    print('go', flush=True)\n    {steps[step]}\n"
        command = [sys.executable, "-c", f"import sys\nfrom plsync import Journal\n{code}", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
        with Journal.open(path) as journal:
            assert journal.check().problems == []
    run(path, "retry", "--sent-to", server.url)
    deliver(path, other, rebind=True)
    while deliver(path, other).changed_state:
        pass
    other.assert_exactly_once([*sent, unclear])


def test_a_program_that_sends_by_itself_is_refused_with_a_warning(
    path: Path, server: PromptLayerServer, other: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_calls(path, 1)
    deliver(path, server)
    monkeypatch.setenv("PROMPTLAYER_BASE_URL", other.url)
    monkeypatch.setenv("PROMPTLAYER_API_KEY", other.api_key)
    write_calls(path, 1)
    with pytest.warns(PlsyncWarning, match=r"not sent by this program: .*--rebind"):
        DeliveryThread(str(path))._run()
    assert other.requests == []
    with Journal.open(path) as journal:
        last_run = journal.stats().last_run
    assert last_run is not None
    assert last_run.outcome == "WrongWorkspace"


def test_run_refuses_and_rebinds(path: Path, server: PromptLayerServer, other: PromptLayerServer) -> None:
    write_calls(path, 1)
    deliver(path, server)
    write_calls(path, 1)
    settings = {"PROMPTLAYER_BASE_URL": other.url, "PROMPTLAYER_API_KEY": other.api_key}
    refused = run(path, "run", "--once", **settings)
    assert refused.returncode == 1
    assert "nothing was sent" in refused.stderr
    assert "plsync run --rebind" in refused.stderr
    (status,) = json_lines(path, "status", "--json")
    assert (status["last_run"]["outcome"], status["last_run"]["url"]) == ("WrongWorkspace", other.url)
    rebound = run(path, "run", "--once", "--rebind", **settings)
    assert rebound.returncode == 0, rebound.stderr
    assert f"sends to {other.url} from now on; 1 record went to {server.url} before" in rebound.stdout
    (status,) = json_lines(path, "status", "--json")
    assert (status["last_run"]["outcome"], status["last_run"]["reason"]) == ("ok", "")
    assert [(each["url"], each["acked"], each["bound"]) for each in status["servers"]] == [
        (server.url, 1, False),
        (other.url, 1, True),
    ]
    assert run(path, "run", "--once", **settings).returncode == 0
