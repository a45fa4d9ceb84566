"""Sending by the program that records (`sync="thread"`), and waiting for its delivery."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel

from plsync import Journal, PromptLayerCallbackHandler
from plsync.delivery.in_process import DeliveryThread
from plsync.delivery.lock import sole_sender
from plsync.delivery.reports import PassReport
from plsync.delivery.sender import Sender
from plsync.errors import JournalError
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.calls import states, wait_until, write_calls


def environment(path: Path, server: PromptLayerServer) -> dict[str, str]:
    return {
        **os.environ,
        "PLSYNC_JOURNAL": str(path),
        "PROMPTLAYER_API_KEY": server.api_key,
        "PROMPTLAYER_BASE_URL": server.url,
    }


def program(path: Path, server: PromptLayerServer, code: str, **more: str) -> subprocess.CompletedProcess[str]:
    start = (
        "from langchain_core.language_models import FakeListChatModel\n"
        "from plsync import Journal, PromptLayerCallbackHandler\n"
        "model = FakeListChatModel(responses=['yes'])\n"
        "handler = PromptLayerCallbackHandler(sync='thread')\n"
    )
    env = environment(path, server) | more
    command = [sys.executable, "-c", start + code]
    return programs.run(command, env=env, capture_output=True, text=True, timeout=100, check=True)


INVOKE = "model.invoke('?', {'callbacks': [handler]})\n"


def test_records_are_sent_while_the_program_runs(path: Path, server: PromptLayerServer) -> None:
    wait = "print(Journal.open().flush(wait='acked', timeout=60))\n"
    done = program(path, server, INVOKE + INVOKE + wait)
    assert "acked=2" in done.stdout
    assert "waiting=0" in done.stdout
    assert done.stderr == ""


def test_unsent_records_are_sent_before_the_program_ends(path: Path, server: PromptLayerServer) -> None:
    program(path, server, INVOKE)
    assert set(states(path).values()) == {"acked"}


NO_MORE_THREADS = """
import threading
start = threading.Thread.start
def refuse(thread):
    if thread.name == {name!r}:
        raise RuntimeError("can't create new thread at interpreter shutdown")
    start(thread)
threading.Thread.start = refuse
"""


def test_records_are_sent_at_the_end_even_if_no_request_thread_can_start(path: Path, server: PromptLayerServer) -> None:
    done = program(path, server, NO_MORE_THREADS.format(name="plsync-send") + INVOKE)
    assert set(states(path).values()) == {"acked"}
    assert done.stderr == ""


def test_the_program_runs_on_if_the_sending_thread_cannot_start(path: Path, server: PromptLayerServer) -> None:
    done = program(path, server, NO_MORE_THREADS.format(name="plsync-delivery") + INVOKE + "print('whole')\n")
    assert done.stdout == "whole\n"
    assert "RuntimeError: cannot join" not in done.stderr
    assert set(states(path).values()) == {"pending"}


def test_without_a_network_the_program_ends_and_keeps_everything(path: Path, server: PromptLayerServer) -> None:
    with server.offline():
        done = program(path, server, INVOKE)
    assert done.stderr == ""
    assert set(states(path).values()) == {"pending"}


def test_a_server_that_hangs_does_not_keep_the_program_from_ending(path: Path, server: PromptLayerServer) -> None:
    server.hang(90, path="/spans-bulk")
    program(path, server, INVOKE)
    # If Python starts no thread at its end the record stays leased, and the next sender puts it in doubt.
    assert set(states(path).values()) <= {"in_doubt", "leased"}


@pytest.mark.parametrize(("key", "why"), [("", "PROMPTLAYER_API_KEY is not set"), ("pl_wrong", "refused the API key")])
def test_a_missing_or_wrong_key_is_warned_of_once_and_breaks_nothing(
    path: Path, server: PromptLayerServer, key: str, why: str
) -> None:
    wait = "import threading\n[t.join() for t in threading.enumerate() if t.name == 'plsync-delivery']\n"
    done = program(path, server, (INVOKE + wait) * 3, PROMPTLAYER_API_KEY=key)
    assert done.stderr.count("PlsyncWarning") == 1
    assert why in done.stderr
    assert set(states(path).values()) == {"pending"}


def test_a_full_disk_is_logged_once_and_sending_continues_when_there_is_room(
    path: Path, server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir(mode=0o700)
    write_calls(path, 1)
    monkeypatch.setattr("plsync.delivery.in_process._RETRY", 0.01)
    for name, value in environment(path, server).items():
        monkeypatch.setenv(name, value)
    run_pass, refusals = Sender.run_pass, [JournalError("the disk is full")] * 3

    def full_at_first(sender: Sender, **more: bool) -> PassReport:
        if refusals:
            raise refusals.pop()
        return run_pass(sender, **more)

    monkeypatch.setattr(Sender, "run_pass", full_at_first)
    thread = DeliveryThread(str(path))
    thread.ensure_started()
    wait_until(lambda: set(states(path).values()) == {"acked"})
    thread.stop(30)
    assert [record.exc_text is not None for record in caplog.records if record.name == "plsync.delivery"] == [True]


def test_the_thread_waits_while_another_process_sends(path: Path, server: PromptLayerServer) -> None:
    with Journal.open(path, create=True), sole_sender(path):
        done = program(path, server, INVOKE)
    assert done.stderr == ""
    assert set(states(path).values()) == {"pending"}


def test_a_forked_child_sends_for_itself(path: Path, server: PromptLayerServer) -> None:
    fork = (
        INVOKE + "Journal.open().flush(wait='acked', timeout=60)\n"
        "import os, sys\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    " + INVOKE + "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
        "Journal.open().flush(wait='acked', timeout=60)\n"
    )
    program(path, server, fork)
    assert len(server.request_logs) == 2


def test_by_default_no_thread_is_started(path: Path) -> None:
    before = set(threading.enumerate())
    handler = PromptLayerCallbackHandler(journal=path)
    FakeListChatModel(responses=["yes"]).invoke("?", {"callbacks": [handler]})
    assert "plsync-delivery" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_an_unknown_value_of_sync_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="thread"):
        PromptLayerCallbackHandler(journal=path, sync="process")  # type: ignore[arg-type]


def _settle(journal: Journal, state: str) -> None:
    (leased,) = journal.outbox.lease(1, 1000, time.time_ns() // 1_000_000)
    if state == "acked":
        journal.outbox.ack([(leased.seq, 7)])
    else:
        journal.outbox.park([leased.seq], "dead" if state == "dead" else "held", "no")


@pytest.mark.parametrize("state", ["acked", "dead", "held"])
def test_waiting_for_delivery_ends_when_a_record_reaches_a_final_state(path: Path, state: str) -> None:
    path.mkdir(mode=0o700)
    write_calls(path, 1)
    with Journal.open(path) as journal:
        assert journal.flush(wait="acked", timeout=0.05).waiting == 1
        _settle(journal, state)
        assert journal.flush(wait="acked").waiting == 0


def test_waiting_for_delivery_ignores_later_records(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.mkdir(mode=0o700)
    write_calls(path, 1)
    with Journal.open(path) as journal:

        def meanwhile(_: float, sleep: Callable[[float], None] = time.sleep) -> None:
            write_calls(path, 1)
            journal.ingest()
            _settle(journal, "acked")

        monkeypatch.setattr(time, "sleep", meanwhile)
        receipt = journal.flush(wait="acked")
    assert (receipt.acked, receipt.waiting) == (1, 1)


def test_a_program_waits_for_a_key_file_that_is_not_there_yet(
    path: Path, server: PromptLayerServer, tmp_path: Path
) -> None:
    write = f"import pathlib; pathlib.Path({str(tmp_path / 'key')!r}).write_text({server.api_key!r})\n"
    wait = "journal = Journal.open()\njournal.flush(wait='acked', timeout=0.5)\n"
    faster = "from plsync.delivery import in_process\nin_process._RETRY = 0.2\n"
    more = {"PROMPTLAYER_API_KEY": "", "PROMPTLAYER_API_KEY_FILE": str(tmp_path / "key")}
    done = program(path, server, faster + INVOKE + wait + write + wait.replace("0.5", "60"), **more)
    assert set(states(path).values()) == {"acked"}
    assert done.stderr.count("cannot be read (No such file") == 1
    assert server.api_key not in done.stderr
