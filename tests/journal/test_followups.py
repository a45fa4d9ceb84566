"""Follow-ups in the journal: the ids that name their request, and the places that show them."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import lmdb
import orjson
import pytest

from plsync.errors import AmbiguousId, InvalidFollowUp, JournalCorrupt, RecordNotFound
from plsync.journal import Journal
from plsync.journal.followups import FailedFollowUp
from tests.support.calls import AT
from tests.support.commands import json_lines, printed
from tests.support.spooling import SpoolWriter, crc32c

RUN = "0f5d3a52-6f0b-4d8e-9a59-0d6f4f6f4a11"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SpoolWriter]:
    opened = SpoolWriter(tmp_path / "journal")
    yield opened
    opened.close()


@pytest.fixture
def path(writer: SpoolWriter) -> Path:
    """A journal with one call of a known run."""
    writer.call("question", "answer", at=AT, run_id=RUN)
    return writer.spool.parent


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(path) as opened:
        yield opened


def only(journal: Journal) -> str:
    (record,) = journal.records()
    return record.id


@pytest.mark.parametrize("form", [str, UUID, lambda run: UUID(run).hex.upper()])
def test_a_run_id_names_its_record_in_any_form(journal: Journal, form: type) -> None:
    # Nothing was ingested before: the call may have ended just now.
    journal.followups.add("score", {"score": 1}, form(RUN))
    assert [one.record_id for one in journal.followups.of(RUN)] == [only(journal)]


def test_a_record_id_names_its_record(journal: Journal) -> None:
    record_id = only(journal)
    for form in (record_id, UUID(record_id), record_id.replace("-", "")):
        journal.followups.add("score", {"score": 1}, form)
    assert len(journal.followups.of(record_id)) == 3


def test_a_request_id_names_its_record_after_the_ack_and_itself_before(journal: Journal) -> None:
    record_id = only(journal)
    journal.outbox.ack([(1, 70)])
    journal.followups.add("score", {"score": 1}, 70)
    journal.followups.add("score", {"score": 2}, "70")
    journal.followups.add("score", {"score": 3}, 71)
    assert [(one.record_id, one.request_id) for one in journal.followups.of(70)] == [(record_id, 70)] * 2
    assert [(one.record_id, one.request_id) for one in journal.followups.of(71)] == [(None, 71)]


UNKNOWN = UUID("0193aaaa-bbbb-7ccc-8ddd-eeeeffff0009")


@pytest.mark.parametrize("unknown", [str(UNKNOWN), UNKNOWN, UNKNOWN.hex])
def test_for_an_unknown_record_nothing_is_queued(journal: Journal, unknown: str | UUID) -> None:
    with pytest.raises(RecordNotFound, match="nothing was queued"):
        journal.followups.add("score", {"score": 1}, unknown)
    assert journal.stats().followups == 0


@pytest.mark.parametrize("wrong", [None, True, 0, -1, 1 << 63, 1.5, "", "abc", "0199a3b2", "1" * 20, b"7", RUN[:-1]])
def test_a_value_that_is_not_an_id_is_refused(journal: Journal, wrong: object) -> None:
    with pytest.raises(InvalidFollowUp, match="nothing was queued"):
        journal.followups.add("score", {"score": 1}, wrong)  # type: ignore[arg-type]
    assert journal.stats().followups == 0


def test_the_run_id_of_two_records_is_ambiguous(writer: SpoolWriter, journal: Journal) -> None:
    writer.call("again", "answer", at=AT + 1, run_id=RUN)
    with pytest.raises(AmbiguousId, match="nothing was queued: use a record id") as raised:
        journal.followups.add("score", {"score": 1}, RUN)
    assert all(record.id in str(raised.value) for record in journal.records())
    assert set(raised.value.candidates.values()) == set(journal.records())


@pytest.mark.parametrize("payload", [{"a": {1}}, {"a": "\ud800"}, {1: "a"}])
def test_a_payload_that_is_not_json_is_refused(journal: Journal, payload: dict[str, object]) -> None:
    with pytest.raises(InvalidFollowUp, match="not JSON"):
        journal.followups.add("metadata", payload, RUN)


def test_a_payload_beyond_a_mebibyte_is_refused(journal: Journal) -> None:
    with pytest.raises(InvalidFollowUp, match="over the limit of 1048576 bytes; it was not queued"):
        journal.followups.add("prompt", {"prompt_input_variables": {"text": "x" * (1 << 20)}}, RUN)
    assert journal.stats().followups == 0


def test_another_process_finds_a_queued_follow_up(journal: Journal, path: Path) -> None:
    journal.followups.add("metadata", {"metadata": {"user": "ü"}}, RUN)
    (shown,) = json_lines(path, "show", RUN)
    (followup,) = shown["followups"]
    assert (
        followup.items()
        >= {
            "number": 1,
            "op": "metadata",
            "payload": {"metadata": {"user": "ü"}},
            "record_id": only(journal),
            "request_id": None,
            "state": "pending",
            "attempts": 0,
            "due_at": None,
            "last_error": None,
        }.items()
    )


def test_status_and_show_list_waiting_and_refused_follow_ups(journal: Journal, path: Path) -> None:
    journal.followups.add("score", {"score": 40}, RUN)
    assert "waits for the request id" in printed(path, "show", RUN)
    assert "follow-ups    1 to send" in printed(path, "status")
    journal.outbox.ack([(1, 70)])
    assert "waits to be sent" in printed(path, "show", RUN)
    claimed = journal.followups.claim(10, 0, AT)
    journal.followups.failed([FailedFollowUp(claimed[0].key, "no such request", 0, dead=True)])
    assert 'score {"score":40}  refused: no such request' in printed(path, "show", RUN)
    status = printed(path, "status")
    assert "refused       1 follow-up; the last reason: no such request" in status
    (stats,) = json_lines(path, "status")
    assert (stats["followups"], stats["followups_dead"], stats["left"]) == (0, 1, {"followups_dead": 1})


def test_a_dead_record_shows_its_stranded_follow_ups(journal: Journal, path: Path) -> None:
    journal.followups.add("score", {"score": 40}, RUN)
    journal.outbox.park([1], "dead", "bad role")
    status = printed(path, "status")
    assert "1 to send, 1 of them for a refused or held record" in status
    assert "`plsync run` sends the follow-ups" not in status
    assert "Follow-ups that wait for refused or held records: 1. `plsync retry` of these records sends both." in status
    assert 'score {"score":40}  waits' in printed(path, "show", RUN)


def test_a_refused_follow_up_can_be_sent_again(journal: Journal) -> None:
    for request_id in (7, 8):
        journal.followups.add("score", {"score": 1}, request_id)
    claimed = journal.followups.claim(10, 0, AT)
    journal.followups.failed([FailedFollowUp(one.key, "no", 0, dead=True) for one in claimed])
    assert [one.request_id for one in journal.followups.dead()] == [7, 8]
    assert journal.followups.requeue(8) == 1
    assert journal.followups.requeue() == 1
    assert [one.state for request_id in (7, 8) for one in journal.followups.of(request_id)] == ["pending", "pending"]


def send_all(journal: Journal) -> None:
    journal.followups.done(journal.followups.claim(10, 0, AT), 200)


def test_a_sent_follow_up_stays_visible_with_its_time(journal: Journal, path: Path) -> None:
    journal.followups.add("score", {"score": 40}, RUN)
    journal.outbox.ack([(1, 70)])
    send_all(journal)
    journal.followups.add("score", {"score": 50}, RUN)
    assert [one.payload["score"] for one in journal.followups.of(RUN)] == [50]
    sent, waiting = journal.followups.history(RUN)
    assert (sent.state, sent.status, sent.payload, waiting.state) == ("sent", 200, {"score": 40}, "pending")
    assert sent.sent_at is not None and sent.sent_at >= sent.queued_at
    page = printed(path, "show", RUN)
    assert f'score {{"score":40}}  sent {sent.sent_at.astimezone():%Y-%m-%d %H:%M:%S}' in page
    assert 'score {"score":50}  waits to be sent' in page
    (shown,) = json_lines(path, "show", RUN)
    assert [(one["state"], one["status"]) for one in shown["followups"]] == [("sent", 200), ("pending", None)]
    assert shown["followups"][0]["sent_at"] == sent.sent_at.isoformat()
    (stats,) = json_lines(path, "status")
    assert (stats["followups"], stats["followups_sent"], stats["left"]) == (1, 1, {"followups": 1})


def test_refused_follow_ups_are_named_by_status_and_listed(writer: SpoolWriter, journal: Journal, path: Path) -> None:
    for number in range(1, 7):
        writer.call(f"question {number}", "answer", at=AT + number, tags=["last"] if number == 6 else [])
    records = list(journal.records(oldest_first=True))
    journal.outbox.ack([(record.seq, 70 + record.seq) for record in records])
    for record in records[1:]:
        journal.followups.add("prompt", {"prompt_name": "example", "prompt_input_variables": {}}, record.id)
    journal.followups.add("score", {"score": 40, "name": "style"}, 4711)
    refused = journal.followups.claim(10, 0, AT)
    journal.followups.failed([FailedFollowUp(one.key, "404 no such prompt", 0, dead=True) for one in refused])
    status = printed(path, "status")
    assert 'of request 4711: score 40 "style"' in status
    assert f'of {records[-1].id[:13]}: prompt "example"' in status
    assert (status.count(': prompt "example"'), "and 2 follow-ups more" in status) == (4, True)
    listed = printed(path, "list", "--follow-ups", "refused")
    assert listed.count("refused: 404 no such prompt") == 7
    assert "#4711" in listed
    (one,) = json_lines(path, "list", "--follow-ups", "refused", "--tag", "last")
    assert (one["record_id"], one["state"], one["last_error"]) == (records[-1].id, "dead", "404 no such prompt")
    assert len(json_lines(path, "list", "--follow-ups", "refused", "-n", "3")) == 3
    assert json_lines(path, "list", "--follow-ups", "waiting") == []
    assert "7 follow-ups to retry" in printed(path, "retry", "--follow-ups")
    assert len(json_lines(path, "list", "--follow-ups", "waiting")) == 7


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_table_keeps_the_reason_of_a_refusal(
    writer: SpoolWriter, journal: Journal, path: Path, columns: str
) -> None:
    record_id = writer.call("question", "answer", at=AT)
    journal.outbox.ack([(record.seq, 70) for record in journal.records()])
    variables = {"product": "x" * 100}
    journal.followups.add("prompt", {"prompt_name": "example", "prompt_input_variables": variables}, record_id)
    refused = journal.followups.claim(10, 0, AT)
    journal.followups.failed([FailedFollowUp(one.key, "404 no such prompt", 0, dead=True) for one in refused])
    heading, line = printed(path, "list", "--follow-ups", "refused", COLUMNS=columns).splitlines()
    assert "refused: 404" in line
    assert max(len(heading), len(line)) <= int(columns)
    # The id is the one of `plsync list`.
    assert line.split()[heading.split().index("OF")].strip("…") == record_id[-4:]


def test_follow_ups_of_a_state_come_newest_record_first(writer: SpoolWriter, journal: Journal) -> None:
    for number in range(2, 5):
        writer.call(f"question {number}", "answer", at=AT + number)
    records = list(journal.records(oldest_first=True))
    journal.outbox.ack([(record.seq, 70 + record.seq) for record in records])
    for record in records:
        journal.followups.add("score", {"score": record.seq}, record.id)
    send_all(journal)
    journal.followups.add("score", {"score": 9}, records[0].id)
    found = [one.payload["score"] for one in journal.followups.by_state("sent")]
    assert found == [4, 3, 2, 1]
    assert [one.payload["score"] for one in journal.followups.by_state("sent", limit=2)] == [4, 3]
    assert [one.payload["score"] for one in journal.followups.by_state("pending")] == [9]
    assert list(journal.followups.by_state("dead")) == []


def test_sent_follow_ups_can_be_sent_again_to_another_server(journal: Journal) -> None:
    journal.followups.add("score", {"score": 1}, 7)
    send_all(journal)
    assert journal.followups.resend(7) == 1
    assert [one.state for one in journal.followups.history(7)] == ["pending"]


def test_a_reader_made_from_the_documentation_finds_every_follow_up(journal: Journal, path: Path) -> None:
    journal.followups.add("metadata", {"metadata": {"a": "b"}}, RUN)
    journal.followups.add("score", {"score": 5}, 4711)
    (claimed,) = journal.followups.claim(10, 0, AT)
    journal.followups.failed([FailedFollowUp(claimed.key, "refused", 0, dead=True)])
    # A copy, because LMDB has locked the journal itself.
    copy = shutil.copytree(path, path.parent / "copy", ignore=shutil.ignore_patterns("lock.mdb"))
    with (
        lmdb.open(str(copy / "lmdb"), readonly=True, lock=False, max_dbs=32) as environment,
        environment.begin() as transaction,
    ):
        tree = environment.open_db(b"followups", transaction, create=False)
        found = []
        for key, stored in transaction.cursor(db=tree):
            value = stored[:-4]
            assert struct.unpack("<I", stored[-4:]) == (crc32c(key + value),)
            about, target, number = struct.unpack(">BQQ", key)
            dead, op, error_length, attempts = struct.unpack_from("<BBHI", value)
            error, payload = value[24 : 24 + error_length], value[24 + error_length :]
            found.append((about, target, number, dead, op, attempts, error, orjson.loads(payload)))
    assert found == [
        (0, 1, 1, 0, 2, 0, b"", {"metadata": {"a": "b"}}),
        (1, 4711, 2, 1, 1, 1, b"refused", {"score": 5}),
    ]


def test_a_follow_up_whose_content_is_no_json_is_reported_as_damaged(journal: Journal, path: Path) -> None:
    journal.followups.add("score", {"score": 5}, 4711)
    copy = shutil.copytree(path, path.parent / "copy", ignore=shutil.ignore_patterns("lock.mdb"))
    with lmdb.open(str(copy / "lmdb"), max_dbs=32) as environment, environment.begin(write=True) as transaction:
        tree = environment.open_db(b"followups", transaction, create=False)
        for key, stored in list(transaction.cursor(db=tree)):
            value = stored[:24] + b"\xff"
            transaction.put(key, value + struct.pack("<I", crc32c(key + value)), db=tree)
    with Journal.open(copy) as opened, pytest.raises(JournalCorrupt, match="follow-up 1 is no JSON"):
        opened.followups.of(4711)
