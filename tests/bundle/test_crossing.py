"""Records cross an air gap to a hub, and request ids come back, in any order of media and after any loss."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from plsync.bundle.export import export_records
from plsync.bundle.hub import Hub
from plsync.bundle.keys import Keys
from plsync.bundle.receive import opened
from plsync.errors import JournalError
from plsync.journal.journal import Journal
from tests.support.gap import Gap
from tests.support.spooling import START, SpoolWriter

APP = """
def on_id(request_id, record):
    with open({path!r}, "a") as file:
        print(record.id, request_id, file=file)
"""


def test_records_go_out_and_request_ids_come_back(gap: Gap) -> None:
    ids = gap.record(5)
    running = gap.writer.start({"kind": "chat", "messages": []}, at=99)
    [exported] = gap.out()
    assert (exported["records"], exported["to"], exported["running"]) == (5, "hub-nord", 1)
    assert {stat.S_IMODE(path.stat().st_mode) for path in gap.stick.iterdir()} == {0o600}
    [imported] = gap.into_hub()
    assert (imported["records"], imported["new"], imported["signer"]) == (5, 5, "berlin-lab")
    gap.deliver()
    assert len(gap.server.request_logs) == 5
    [back] = gap.back()
    assert back["records"] == 5
    [received] = gap.into_lab()
    assert (received["new"], received["unknown"]) == (5, 0)
    with Journal.open(gap.journal) as journal:
        acked = {record.id: record.request_id for record in journal.records()}
    assert set(acked) == {*ids, running}
    assert acked.pop(running) is None
    for record_id, request_id in acked.items():
        [log] = gap.server.logs_of(record_id)
        assert log["id"] == request_id


def test_a_lost_stick_a_repeated_one_and_a_late_one_change_nothing(gap: Gap, tmp_path: Path) -> None:
    gap.record(3)
    gap.out()
    lost = tmp_path / "lost"
    shutil.move(gap.stick, lost)
    gap.stick.mkdir()
    gap.record(2)
    [second] = gap.out()
    assert second["records"] == 5
    gap.into_hub()
    gap.deliver()
    # The lost stick appears, and both are read again.
    shutil.copytree(lost, gap.stick, dirs_exist_ok=True)
    assert {fields["new"] for fields in gap.into_hub()} == {0}
    gap.deliver()
    assert len(gap.server.request_logs) == 5
    gap.back()
    assert [fields["new"] for fields in gap.into_lab()] == [5]
    assert [fields["new"] for fields in gap.into_lab()] == [0]
    [nothing] = gap.out()
    assert nothing["files"] == []


def test_the_callbacks_run_at_the_origin_alone(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(gap.lab)
    received = gap.lab / "received"
    for side in (gap.lab, gap.hub):
        (side / "app_on_id.py").write_text(APP.format(path=str(side / "received")))
    [record_id] = gap.record(1, sink="app_on_id:on_id")
    gap.writer.close()
    gap.out()
    gap.into_hub()
    with Journal.open(gap.journals / "berlin-lab") as journal:
        assert [record.sink for record in journal.records()] == [None]
    gap.deliver()
    gap.back()
    gap.into_lab("--no-callbacks")
    assert not received.exists()
    gap.into_lab()
    [log] = gap.server.request_logs
    assert received.read_text() == f"{record_id} {log['id']}\n"
    assert not (gap.hub / "received").exists()


def test_a_refusal_comes_back_with_its_reason(gap: Gap) -> None:
    [record_id] = gap.record(1)
    gap.out()
    gap.into_hub()
    with Journal.open(gap.journals / "berlin-lab") as journal:
        [record] = journal.records()
        journal.outbox.park([record.seq], "dead", "422: messages must not be empty")
    gap.back()
    [received] = gap.into_lab()
    assert received["refused"] == [{"record_id": record_id, "reason": "422: messages must not be empty"}]
    with Journal.open(gap.journal) as journal:
        [record] = journal.records()
        assert (record.state, record.last_error) == ("dead", "422: messages must not be empty")
    # A later request id holds in place of the refusal.
    with Journal.open(gap.journals / "berlin-lab") as journal:
        journal.outbox.requeue([record.seq])
    gap.deliver()
    gap.back()
    gap.into_lab()
    with Journal.open(gap.journal) as journal:
        assert [record.state for record in journal.records()] == ["acked"]


def test_a_record_that_may_have_been_sent_is_looked_up_before_it_is_sent(gap: Gap) -> None:
    gap.record(2)
    with Journal.open(gap.journal) as journal:
        first = next(iter(journal.records(oldest_first=True)))
        journal.outbox.park([first.seq], "in_doubt", "no response")
    [exported] = gap.out()
    assert (exported["records"], exported["doubtful"]) == (2, 1)
    gap.into_hub()
    with Journal.open(gap.journals / "berlin-lab") as journal:
        states = {record.id: record.state for record in journal.records()}
        assert sorted(states.values()) == ["in_doubt", "pending"]
        assert states[first.id] == "in_doubt"
    gap.deliver()
    assert len(gap.server.request_logs) == 2


def test_records_for_a_second_hub_are_looked_up_there(gap: Gap, tmp_path: Path) -> None:
    second = Keys(tmp_path / "second").create("hub-sued")
    gap.lab_keys.trust(second, "hub")
    gap.record(1)
    gap.out(code=1)
    assert "several hubs are trusted: hub-nord, hub-sued; nothing was written; choose one with --to" in gap.errors
    assert gap.out("--to", "hub-nord")[0]["doubtful"] == 0
    # The record belongs to the first hub.
    assert gap.out("--to", "hub-sued")[0]["records"] == 0
    assert gap.out("--to", "hub-sued", "--again")[0]["doubtful"] == 1
    assert gap.out("--to", "hub-nord")[0]["records"] == 0
    assert gap.out("--to", "hub-nord", "--again")[0]["doubtful"] == 1


def test_an_import_that_was_killed_is_finished_by_the_next_run(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(3)
    with Journal.open(gap.journal) as journal:
        first = next(iter(journal.records(oldest_first=True)))
        journal.outbox.park([first.seq], "in_doubt", "no response")
    gap.out()
    hub, [path] = Hub(gap.journals), list(gap.stick.glob("*.age"))
    # The state after a kill at the end of the copy: the copy, its signature, and the marks.
    with opened(path, gap.hub_keys, hub.inbox, is_kept=True) as bundle, monkeypatch.context() as patched:
        patched.setattr(Hub, "settle", lambda *_: (_ for _ in ()).throw(JournalError("killed")))
        with pytest.raises(JournalError):
            hub.import_records(bundle)
        shutil.copytree(hub.inbox, gap.hub / "kept")
    shutil.move(gap.hub / "kept", hub.inbox)
    gap.deliver()
    assert len(gap.server.request_logs) == 3
    assert not [left for left in gap.journals.rglob("*") if left.name.endswith((".tar", ".minisig", ".doubt"))]
    # The record in doubt was looked up, and so it was not sent first.
    with Journal.open(gap.journals / "berlin-lab") as journal:
        assert {record.state for record in journal.records()} == {"acked"}


def test_a_start_without_its_end_gets_the_end_from_the_next_import(gap: Gap) -> None:
    [record_id] = gap.record(1)
    gap.out()
    gap.into_hub()
    with Journal.open(gap.journals / "berlin-lab") as journal:
        [record] = journal.records()
        output, start = record.output, orjson.dumps(record.events()[0])
    # Another hub, whose import was killed between the two events.
    gap.journals = gap.hub / "killed"
    whole = gap.journals / "berlin-lab"
    half = SpoolWriter(whole)
    half._append(START, UUID(record_id).bytes, b"", start)
    half.close()
    with Journal.open(whole) as journal:
        assert [record.status for record in journal.records()] == ["error"]
    gap.into_hub()
    with Journal.open(whole) as journal:
        assert [(record.status, record.output) for record in journal.records()] == [("ok", output)]


def test_request_ids_for_calls_that_the_journal_lacks_are_counted(gap: Gap, tmp_path: Path) -> None:
    gap.record(1)
    with Journal.open(gap.journal) as journal:
        journal.backup(tmp_path / "backup")
    gap.record(1)
    gap.out()
    gap.into_hub()
    gap.deliver()
    gap.back()
    gap.writer.close()
    shutil.rmtree(gap.journal)
    shutil.copytree(tmp_path / "backup", gap.journal)
    # The journal of the copy has given the hub nothing, so the request id waits until it has.
    [received] = gap.into_lab()
    assert (received["new"], received["unknown"], received["early"]) == (0, 1, 1)
    assert "this journal was put back from a copy" not in gap.errors
    [orphan] = gap.at(gap.lab, "bundle", "list", "--orphans")
    assert (orphan["hub"], orphan["conflict"]) == ("hub-nord", False)
    gap.out()
    gap.into_hub()
    gap.back()
    assert sum(fields["new"] for fields in gap.into_lab()) == 1
    assert len(gap.server.request_logs) == 2


def test_each_journal_of_an_origin_has_its_journal_at_the_hub(gap: Gap) -> None:
    gap.record(1)
    gap.out()
    gap.writer.close()
    shutil.rmtree(gap.journal)
    gap.writer = type(gap.writer)(gap.journal)
    gap.record(1)
    with Journal.open(gap.journal) as journal:
        second = journal.id
    gap.out()
    gap.into_hub()
    assert [origin.directory for origin in Hub(gap.journals).origins()] == ["berlin-lab", f"berlin-lab-{second[:8]}"]
    gap.deliver()
    assert len(gap.server.request_logs) == 2
    gap.back()
    # The log of the first journal is refused, and the log of the second holds.
    [received] = gap.into_lab(code=1)
    assert received["new"] == 1
    assert "it is for the journal" in gap.errors


def test_parts_are_whole_bundles(gap: Gap) -> None:
    gap.record(4)
    with Journal.open(gap.journal) as journal:
        # Each record is above this size, and begins the next part.
        report = export_records(journal, gap.lab_keys, gap.hub_card, gap.stick, split_size=1)
    parts = [file.path for file in report.files]
    assert [path.name[-13:] for path in parts] == [f"-{number}of4.tar.age" for number in (1, 2, 3, 4)]
    parts[0].unlink()
    # 3: a part waits.
    imported = gap.into_hub(code=3)
    assert [fields["new"] for fields in imported] == [1, 1, 1]
    assert imported[-1]["missing_parts"] == [f"{report.serial:06d} part 1"]


def test_a_bundle_holds_no_secret_and_no_name_of_the_machine(gap: Gap) -> None:
    gap.record(1, sink="secret_module:secret_function")
    gap.out("--plain")
    [path] = gap.stick.glob("*.tar")
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True).stdout  # noqa: S607
    assert listed == "manifest.json\nrecords/000001.jsonl.zst\n"
    command = 'tar -xOf "$0" manifest.json; tar -xOf "$0" records/000001.jsonl.zst | zstd -dc'
    if not shutil.which("zstd"):
        pytest.skip("not installed: zstd")
    content = subprocess.run(["sh", "-c", command, path], capture_output=True, text=True, check=True).stdout  # noqa: S607
    assert "question 0" in content
    for word in ("secret_module", os.uname().nodename, str(gap.lab), f'"{os.getpid()}"', "AGE-SECRET"):
        assert word not in content
