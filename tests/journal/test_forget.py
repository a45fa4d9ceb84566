"""Forgetting: the content of records leaves every file of the journal, and nothing else does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListLLM

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import RecordNotFound
from plsync.journal.search_cache import SearchCache
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.calls import AT, acknowledge, write_calls
from tests.support.commands import run
from tests.support.sending import send_once
from tests.support.spooling import SpoolWriter
from tests.support.traces_of import files_with, unused_bytes

# Neither a word of a dictionary, nor a credential that plsync redacts.
SECRET = "Zebulon-Quixotry-8361"  # noqa: S105


def exported(path: Path) -> dict[str, dict[str, object]]:
    with Journal.open(path) as journal:
        return {record.id: record.as_dict() for record in journal.records()}


def kept_call(writer: SpoolWriter, number: int) -> str:
    return writer.call(f"question {number}", f"answer {number}", at=AT + number, tags=["kept"])


def secret_call(writer: SpoolWriter, at: int = AT + 500) -> str:
    """A call with the secret in each part of it."""
    message = {"$": "HumanMessage", "v": {"type": "human", "content": f"I am {SECRET}"}}
    start = {"kind": "chat", "messages": [message], "metadata": {"user": SECRET}, "params": {"model": SECRET}}
    record_id = writer.start(start, at=at, tags=[f"of {SECRET}"])
    calls = [{"name": "look_up", "args": {"name": SECRET}, "id": SECRET, "type": "tool_call"}]
    reply = {"$": "AIMessage", "v": {"type": "ai", "content": SECRET, "tool_calls": calls}}
    generation = {"$": "ChatGeneration", "v": {"text": SECRET, "message": reply}}
    writer.end(record_id, {"generations": [generation], "llm_output": {"note": SECRET}})
    return record_id


def test_no_file_of_the_journal_has_the_content_of_a_forgotten_record(path: Path, writer: SpoolWriter) -> None:
    kept = [kept_call(writer, number) for number in range(40)]
    secret = secret_call(writer)
    long = writer.call(f"{SECRET} " + "word " * 20_000, "a long value", at=AT + 700)
    failed = writer.start({"kind": "llm", "prompts": ["hello"]}, at=AT + 601)
    writer.end(failed, {"error": {"type": "ValueError", "message": f"no {SECRET}"}}, ended="error")
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.track.metadata(secret, {"who": SECRET})
        leased = journal.outbox.lease(100, 60_000, AT * 2)
        seqs = {record.id: record.seq for record in leased}
        journal.outbox.ack([(seqs[secret], 77), (seqs[kept[0]], 78)])
        journal.outbox.park([seqs[failed]], "dead", f"refused: {SECRET} is no name")
        journal.outbox.release([seq for id, seq in seqs.items() if id in kept[1:]], 0, "")
    assert files_with(path, SECRET)
    before = exported(path)
    with Journal.open(path) as journal:
        receipt = journal.forget(secret, failed, long)
    assert files_with(path, SECRET) == []
    assert len(unused_bytes(path)) < 4096, "only the page that the end of the removal has written may have old bytes"
    after = exported(path)
    assert {id: after[id] for id in kept} == {id: before[id] for id in kept}
    found = {record.record_id: record for record in receipt.records}
    assert [(found[id].request_id, found[id].at_promptlayer, found[id].events) for id in (secret, failed, long)] == [
        (77, "yes", 2),
        (None, "no", 2),
        (None, "unknown", 2),
    ]
    assert found[secret].followups == 1
    assert receipt.frames == 6, "the segment of a running program has been ingested, and still has the events"
    assert receipt.waiting == []
    with Journal.open(path, verify=True) as journal:
        assert journal.check().problems == []
        assert journal.get(secret).forgotten
        assert journal.get(77).id == secret
        assert [record.id for record in journal.records(tag=f"of {SECRET}")] == []
        assert journal.stats().states["dead"] == 0
        assert journal.stats().forgotten == 3
        assert not journal.stats().forgetting


def test_recording_goes_on_in_a_segment_whose_frames_were_erased(path: Path) -> None:
    model = FakeListLLM(responses=["Paris"], callbacks=[PromptLayerCallbackHandler(journal=path)])
    model.invoke(SECRET)
    with Journal.open(path) as journal:
        (first,) = journal.records()
        journal.forget(first.id)
        model.invoke("after")
        assert files_with(path, SECRET) == []
        assert [record.input for record in journal.records()] == [["after"], []]
        assert journal.check().problems == []


def test_an_end_that_comes_after_its_record_was_forgotten_is_overwritten(path: Path, writer: SpoolWriter) -> None:
    running = writer.start({"kind": "llm", "prompts": [SECRET]}, at=AT)
    with Journal.open(path) as journal:
        receipt = journal.forget(running)
        assert receipt.records[0].running
        assert len(receipt.waiting) == 1
        writer.end(running, {"generations": [], "llm_output": {"note": SECRET}})
        assert files_with(path, SECRET) != []
        assert journal.ingest(wait=True).forgotten == 1
        assert files_with(path, SECRET) == []
        assert journal.get(running).output == []
        assert journal.check().problems == []


def test_a_frame_of_a_restored_spool_stays_forgotten(path: Path, writer: SpoolWriter) -> None:
    secret = secret_call(writer)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        old = writer.path.read_bytes()
        journal.forget(secret)
        writer.close()
        journal.ingest(wait=True)
        # Another writer's name: a copy from a backup is read from its beginning.
        restored = writer.path.with_name(f"{'0' * 31}1-00000000.seg")
        restored.write_bytes(old)
        restored.chmod(0o600)
        assert journal.ingest(wait=True).forgotten == 2
        assert journal.get(secret).input == []
        assert files_with(path, SECRET) == []


def test_an_unsent_record_is_never_sent_or_requeued(path: Path, writer: SpoolWriter, server: PromptLayerServer) -> None:
    secret, kept = secret_call(writer), kept_call(writer, 1)
    with Journal.open(path) as journal:
        journal.forget(secret)
        assert journal.outbox.requeue([journal.get(secret).seq]) == 0
        with pytest.raises(RecordNotFound):
            journal.track.score(secret, 10)
    send_once(path, server)
    assert server.logs_of(secret) == []
    assert len(server.logs_of(kept)) == 1


def test_a_record_that_is_being_sent_gets_its_request_id_and_no_second_request(
    path: Path, writer: SpoolWriter, server: PromptLayerServer
) -> None:
    sent, unsent = secret_call(writer), secret_call(writer)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        leased = {record.id: record.seq for record in journal.outbox.lease(2, 60_000, AT * 2)}
        receipt = journal.forget(sent, unsent)
        assert {record.at_promptlayer for record in receipt.records} == {"unknown"}
        journal.outbox.ack([(leased[sent], 4711)])
        journal.outbox.park([leased[unsent]], "in_doubt", f"no response: {SECRET}")
        assert journal.get(4711).id == sent
    # PromptLayer does not have the other one, which is not sent again.
    send_once(path, server)
    with Journal.open(path) as journal:
        assert journal.get(unsent).state == "dead"
        assert journal.stats().left == {}
    assert server.request_logs == []
    assert files_with(path, SECRET) == []


def test_waiting_callbacks_are_not_delivered(path: Path, writer: SpoolWriter) -> None:
    secret = writer.call(SECRET, "answer", at=AT, sink="app:function")
    writer.close()
    acknowledge(path)
    with Journal.open(path) as journal:
        assert journal.stats().callbacks == 1
        assert journal.forget(secret).records[0].callbacks == 1
        assert journal.stats().callbacks == 0
        assert journal.check().problems == []


def test_the_records_of_one_user_are_forgotten_with_a_receipt(path: Path, writer: SpoolWriter, tmp_path: Path) -> None:
    message = {"$": "HumanMessage", "v": {"type": "human", "content": SECRET}}
    start = {"kind": "chat", "messages": [message], "metadata": {"user_id": 17}}
    of_user = {writer.start(start, at=AT + number) for number in range(3)}
    for record_id in of_user:
        writer.end(record_id, {"generations": []})
    kept = writer.start({**start, "messages": [], "metadata": {"user_id": 171}}, at=AT + 9)
    chosen = ("--metadata", "user_id=17")
    unconfirmed = run(path, "forget", *chosen)
    assert (unconfirmed.returncode, "3 records would lose their content" in unconfirmed.stderr) == (2, True)
    assert files_with(path, SECRET) != []
    receipt = tmp_path / "receipt.json"
    done = run(path, "forget", *chosen, "--yes", "--receipt", str(receipt))
    assert (done.returncode, done.stderr) == (0, "")
    assert {record["record_id"] for record in json.loads(receipt.read_bytes())["records"]} == of_user
    assert receipt.stat().st_mode & 0o077 == 0
    assert files_with(path, SECRET) == []
    with Journal.open(path) as journal:
        assert {record.id for record in journal.records() if not record.forgotten} == {kept}
    again = run(path, "forget", *of_user, "--receipt", str(receipt))
    assert (again.returncode, "exists; nothing was removed" in again.stderr) == (1, True)


def test_a_dry_run_shows_the_time_the_model_and_the_input(path: Path, writer: SpoolWriter) -> None:
    message = {"$": "HumanMessage", "v": {"type": "human", "content": "The capital\nof France? \x1b[2J"}}
    start = {"kind": "chat", "messages": [message], "metadata": {"user_id": 17}, "params": {"model": "gpt-4o"}}
    record_id = writer.start(start, at=AT)
    writer.end(record_id, {"generations": []})
    with Journal.open(path) as journal:
        journal.outbox.ack([(journal.get(record_id).seq, 70)])
    shown = run(path, "forget", "--metadata", "user_id=17", "--dry-run").stdout.splitlines()[0]
    assert shown.startswith(f"{record_id}  PromptLayer has it as request 70  ")
    assert shown.endswith("  gpt-4o  The capital of France? \\x1b[2J")
    nothing = run(path, "forget", "--metadata", "user_id=71", "--yes")
    assert (nothing.returncode, nothing.stdout, nothing.stderr.partition(";")[0]) == (0, "", "no record matches")


@pytest.mark.parametrize(
    "empty", [{"text": ""}, {"model": ""}, {"tag": []}, {"metadata": {}}, {"delivery": ()}], ids=str
)
def test_an_empty_filter_forgets_nothing(path: Path, writer: SpoolWriter, empty: dict[str, Any]) -> None:
    kept_call(writer, 1)
    with Journal.open(path) as journal:
        with pytest.raises(ValueError, match="nothing was removed"):
            journal.forget(tag="kept", **empty) if "tag" not in empty else journal.forget(status="ok", **empty)
        assert [record.forgotten for record in journal.records()] == [False]


def test_the_receipt_names_the_server_that_has_a_record(
    path: Path, writer: SpoolWriter, server: PromptLayerServer
) -> None:
    secret = secret_call(writer)
    kept_call(writer, 1)
    writer.close()
    send_once(path, server)
    forgotten = run(path, "forget", secret)
    assert f"{secret}  {server.url} has it as request " in forgotten.stdout
    with Journal.open(path) as journal:
        (record,) = journal.forget(secret, dry_run=True).records
        assert (record.server, record.was_forgotten) == (server.url, True)


def test_follow_ups_of_a_request_without_a_record_are_forgotten(path: Path, writer: SpoolWriter) -> None:
    kept_call(writer, 1)
    with Journal.open(path) as journal:
        journal.track.metadata(4711, {"who": SECRET})
        journal.track.metadata(4712, {"who": "another"})
        assert journal.forget(4711).followups == 1
        assert files_with(path, SECRET) == []
        assert journal.stats().followups == 1


def test_follow_ups_that_were_sent_are_forgotten(path: Path, writer: SpoolWriter, server: PromptLayerServer) -> None:
    secret = secret_call(writer)
    writer.close()
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.track.metadata(secret, {"who": SECRET})
        send_once(path, server)
        assert journal.stats().followups_sent == 1
        assert journal.forget(secret).records[0].followups == 1
        assert journal.check().problems == []
    assert files_with(path, SECRET) == []


def test_damaged_parts_that_may_have_the_content_are_reported(path: Path, writer: SpoolWriter) -> None:
    secret = secret_call(writer)
    at = writer.path.stat().st_size
    unknown = secret_call(writer)
    kept_call(writer, 1)
    with writer.path.open("r+b") as file:
        file.seek(at)
        file.write(b"XXXX")
    writer.close()
    with Journal.open(path) as journal:
        receipt = journal.forget(secret)
        assert len(receipt.waiting) == 1
        (damaged,) = (path / "spool").glob("*.damaged")
        assert damaged.name in receipt.waiting[0]
        # Whole frames in the damaged segment are erased.
        assert journal.forget(unknown).frames == 1
        damaged.unlink()
        assert journal.forget(secret).waiting == []
        assert files_with(path, SECRET) == []


def test_the_search_cache_of_recordings_loses_the_records(path: Path, writer: SpoolWriter) -> None:
    secret, kept = secret_call(writer), kept_call(writer, 1)
    with Journal.open(path) as journal:
        cache = SearchCache(journal.id)
        cache.add("digest one", 0, secret)
        cache.add("digest two", 0, kept)
        assert journal.forget(secret).cache_entries == 1
        cache = SearchCache(journal.id)
        assert (cache.get("digest one", 0), cache.get("digest two", 0)) == (None, kept)


def test_a_salvage_brings_nothing_back(path: Path, writer: SpoolWriter, tmp_path: Path) -> None:
    secret, kept = secret_call(writer), kept_call(writer, 1)
    with Journal.open(path) as journal:
        journal.forget(secret)
    before = exported(path)
    target = tmp_path / "salvaged"
    assert run(path, "salvage", str(path), str(target)).returncode == 0
    after = exported(target)
    assert files_with(target, SECRET) == []
    assert after[secret]["forgotten"]
    assert after[kept] == before[kept]
    with Journal.open(target) as journal:
        assert journal.check().problems == []
        assert journal.stats().forgotten == 1


def interrupt_erasure(segment: Path, before: bytes) -> int:
    """Restore the headers that an erasure has changed: it clears the content first. Returns how many there were."""
    data = bytearray(segment.read_bytes())
    at, headers = 0, 0
    while before[at : at + 4] == b"PLSF":
        headers += data[at : at + 48] != before[at : at + 48]
        data[at : at + 48] = before[at : at + 48]
        at += -(-(48 + int.from_bytes(before[at + 8 : at + 12], "little")) // 8) * 8
    segment.write_bytes(data)
    return headers


@pytest.mark.parametrize("calls_after", [0, 1])
def test_an_interrupted_erasure_is_no_damage(path: Path, writer: SpoolWriter, tmp_path: Path, calls_after: int) -> None:
    kept_call(writer, 1)
    secrets = [secret_call(writer, AT + 500 + number) for number in range(2)]
    for number in range(calls_after):
        kept_call(writer, 2 + number)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        before = writer.path.read_bytes()
        journal.forget(*secrets)
        assert interrupt_erasure(writer.path, before) == 4
        assert journal.check().problems == []
    done = run(path, "salvage", str(path), str(tmp_path / "salvaged"))
    assert (done.returncode, "lost" in done.stdout) == (0, False), done.stdout


KILLED = """
import os, sys
from plsync import Journal
with Journal.open(sys.argv[1]) as journal:
    print("ready", flush=True)
    sys.stdin.readline()
    journal.forget(*sys.argv[2].split())
    print("done", flush=True)
"""


@pytest.mark.parametrize("delay", [0, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016])
def test_a_killed_forget_is_finished_by_the_next(path: Path, writer: SpoolWriter, delay: float) -> None:
    kept = [kept_call(writer, number) for number in range(20)]
    secrets = [secret_call(writer, AT + 500 + number) for number in range(20)]
    before = exported(path)
    command = [sys.executable, "-c", KILLED, str(path), " ".join(secrets)]
    with programs.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin and child.stdout
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        time.sleep(delay)
        child.kill()
    with Journal.open(path) as journal:
        assert journal.check().problems == []
        forgetting = journal.stats().forgetting
        receipt = journal.forget(*secrets)
        assert receipt.waiting == []
        assert not journal.stats().forgetting
        assert journal.check().problems == []
    assert files_with(path, SECRET) == []
    after = exported(path)
    assert {id: after[id] for id in kept} == {id: before[id] for id in kept}
    assert isinstance(forgetting, bool)


RECORDING = """
import sys
from langchain_core.language_models import FakeListLLM
from plsync import PromptLayerCallbackHandler
model = FakeListLLM(responses=["Paris"], callbacks=[PromptLayerCallbackHandler(journal=sys.argv[1])])
for line in sys.stdin:
    for number in range(20):
        model.invoke(f"question {line.strip()}.{number}")
    print(line, end="", flush=True)
"""


def test_programs_that_record_and_send_meanwhile_lose_nothing(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    forgotten = set()
    command = [sys.executable, "-c", RECORDING, str(path)]
    with programs.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin and child.stdout
        for turn in range(4):
            child.stdin.write(f"{turn}\n")
            child.stdin.flush()
            with Journal.open(path) as journal:
                chosen = next(record for record in journal.records() if not record.forgotten)
                forgotten.add(chosen.id)
                journal.forget(chosen.id)
            send_once(path, server)
            assert child.stdout.readline() == f"{turn}\n"
    send_once(path, server)
    with Journal.open(path) as journal:
        records = list(journal.records())
        assert {record.id for record in records if record.forgotten} == forgotten
        assert len(records) == 81
        assert all(record.request_id for record in records if not record.forgotten)
        assert all(len(server.logs_of(record.id)) == (1 if record.request_id else 0) for record in records)
        assert journal.check().problems == []
