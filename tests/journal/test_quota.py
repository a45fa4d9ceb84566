"""Quota and compaction, by command and from Python."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from plsync.journal import Journal, Quota
from tests.support.commands import json_lines, printed, run
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of three calls about planets. PromptLayer has acked the first with the request id 70."""
    writer = SpoolWriter(tmp_path / "journal")
    for number, planet in enumerate(("Mercury", "Venus", "Earth")):
        writer.call(f"How far is {planet}?", f"{planet} is far", at=T + number, tags=["planets"])
    writer.close()
    with Journal.open(tmp_path / "journal") as journal:
        journal.ingest(wait=True)
        journal.outbox.ack([(1, 70)])
    return tmp_path / "journal"


def test_without_a_quota_a_journal_has_no_limit(path: Path) -> None:
    assert json_lines(path, "quota") == [
        {"journal": str(path), "max_bytes": None, "max_age": None, "policy": "keep-unsent"}
    ]
    assert "no limit" in printed(path, "quota")


def test_each_part_of_a_quota_is_set_alone(path: Path) -> None:
    printed(path, "quota", "--max-bytes", "2GB")
    printed(path, "quota", "--max-age", "30d", "--policy", "drop-oldest")
    with Journal.open(path) as journal:
        assert journal.quota() == Quota(2_000_000_000, timedelta(days=30), "drop-oldest")
    text = printed(path, "quota", "--max-bytes", "none")
    assert "no limit" in text and "30 d" in text
    assert json_lines(path, "quota")[0]["max_age"] == 30 * 24 * 3600


@pytest.mark.parametrize(
    "wrong",
    [("--max-bytes", "much"), ("--max-bytes", "99999999TB"), ("--max-age", "-1d"), ("--policy", "drop-all")],
)
def test_an_invalid_limit_is_refused(path: Path, wrong: tuple[str, str]) -> None:
    done = run(path, "quota", *wrong)
    assert done.returncode == 2
    assert wrong[1] in done.stderr


def test_a_pruned_record_shows_its_mark_and_keeps_its_request_id(path: Path) -> None:
    printed(path, "quota", "--max-bytes", "0")
    with Journal.open(path) as journal:
        record = journal.get(70)
        assert (record.pruned, record.state, record.request_id, record.input) == (True, "acked", 70, [])
        assert [found.id for found in journal.records(tag="planets")][-1] == record.id
        assert journal.check().problems == []
    assert "pruned" in printed(path, "list").splitlines()[-1]
    assert "(pruned: the quota removed the content)" in printed(path, "show", "70")
    assert json_lines(path, "show", "70")[0]["pruned"] is True


def test_status_counts_pruned_records_and_reports_a_quota_that_is_exceeded(path: Path) -> None:
    printed(path, "quota", "--max-bytes", "0")
    text = printed(path, "status")
    assert re.search(r"pruned +1 ", text)
    assert "over its quota" in text
    stats = json_lines(path, "status")[0]
    assert (stats["pruned"], stats["dropped"], stats["quota"]["over"]) == (1, 0, True)


def test_unsent_records_lose_their_content_only_by_policy_and_are_counted(path: Path) -> None:
    printed(path, "quota", "--max-bytes", "0", "--policy", "drop-oldest")
    assert re.search(r"dropped +2 ", printed(path, "status"))
    dropped = [record for record in json_lines(path, "list") if record["state"] == "dead"]
    assert len(dropped) == 2
    assert all(record["pruned"] and "quota" in record["last_error"] for record in dropped)


def test_compact_returns_space_and_reports_its_size(path: Path) -> None:
    printed(path, "quota", "--max-bytes", "0")
    assert "before" in printed(path, "compact")
    (report,) = json_lines(path, "compact")
    assert report["after"] <= report["before"]
    with Journal.open(path) as journal:
        assert journal.get(70).pruned
        assert len(list(journal.records())) == 3
        assert journal.check().problems == []


def test_an_open_journal_reads_on_after_a_compaction(path: Path) -> None:
    with Journal.open(path) as journal:
        assert journal.stats().records == 3
        printed(path, "compact")
        assert journal.outbox.ack([(2, 71)]) == 1
    assert json_lines(path, "status")[0]["states"]["acked"] == 2


def test_a_quota_beyond_the_largest_limit_is_refused(path: Path) -> None:
    with Journal.open(path) as journal, pytest.raises(ValueError, match=f"at most {(1 << 63) - 1} bytes"):
        journal.set_quota(Quota(max_bytes=1 << 70))


def test_a_negative_quota_is_refused(path: Path) -> None:
    with Journal.open(path) as journal, pytest.raises(ValueError, match="negative"):
        journal.set_quota(Quota(max_bytes=-1))
