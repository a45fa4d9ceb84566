"""``plsync gap oneway``: records through a diode, from which no file comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from plsync.errors import JournalError
from plsync.journal.journal import Journal
from plsync.journal.quota import Quota
from plsync.journal.salvage import salvage
from tests.support.gap import Gap


def test_each_record_goes_out_in_some_exports_and_rests_then(gap: Gap) -> None:
    assert gap.at(gap.lab, "gap", "oneway") == [{"journal": str(gap.journal), "repeat": None}]
    [setting] = gap.at(gap.lab, "gap", "oneway", "--repeat", "2")
    assert setting["repeat"] == 2
    [first] = gap.record(1)
    assert gap.out()[0]["records"] == 1
    [second] = gap.record(1)
    assert [gap.out()[0]["records"] for _ in range(3)] == [2, 1, 0]
    assert gap.states() == {first: "carried", second: "carried"}
    assert gap.out("--again")[0]["records"] == 2
    gap.into_hub(code=0)
    gap.at(gap.lab, "gap", "oneway", "--off")
    assert gap.out()[0]["records"] == 2


def test_a_failed_export_does_not_count(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.at(gap.lab, "gap", "oneway", "--repeat", "1")
    gap.record(1)
    with monkeypatch.context() as patched:
        patched.setattr("plsync.bundle.medium._sha256", lambda _: "0" * 64)
        gap.out(code=1)
    assert [gap.out()[0]["records"] for _ in range(2)] == [1, 0]


def test_scores_rest_as_their_calls_do(gap: Gap) -> None:
    gap.at(gap.lab, "gap", "oneway", "--repeat", "2")
    [record_id] = gap.record(1)
    gap.out()
    with Journal.open(gap.journal) as journal:
        journal.track.score(record_id, 90)
    found = [gap.out()[0] for _ in range(3)]
    assert [(report["records"], report["followups"]) for report in found] == [(1, 1), (0, 1), (0, 0)]
    gap.into_hub()
    gap.deliver()
    assert [list(scores.values()) for scores in gap.server.scores.values()] == [[90]]


def test_a_hole_is_named_and_filled_by_an_export_of_its_records(gap: Gap) -> None:
    gap.at(gap.lab, "gap", "oneway", "--repeat", "1")
    gap.record(2)
    [lost] = gap.out()
    gap.empty_stick()
    gap.record(1)
    gap.out()
    [imported] = gap.into_hub()
    assert (imported["new"], imported["missing"], imported["repeated"]) == (1, ["000001"], [])
    [status] = gap.at(gap.hub, "status", "--hub", str(gap.journals))
    assert status["missing"] == ["000001"]
    gap.at(gap.lab, "bundle", "export", str(gap.stick), "--bundle", "99", code=1)
    assert "has not written the export 99 for hub-nord; nothing was written" in gap.errors
    [again] = gap.out("--bundle", str(lost["serial"]))
    assert (again["records"], again["again"]) == (2, 2)
    imported = gap.into_hub()[-1]
    assert (imported["new"], imported["missing"], imported["repeated"]) == (2, [], ["000001"])
    [status] = gap.at(gap.hub, "status", "--hub", str(gap.journals))
    assert status["missing"] == []
    # A later manifest lists the lost export once more.
    gap.record(1)
    gap.out()
    assert gap.into_hub()[-1]["missing"] == []


def test_where_files_come_back_the_next_export_repeats_the_lost_one(gap: Gap) -> None:
    gap.record(2)
    gap.out()
    gap.empty_stick()
    gap.record(1)
    gap.out()
    [imported] = gap.into_hub()
    assert (imported["new"], imported["missing"], imported["repeated"]) == (3, [], ["000001"])
    gap.empty_stick()
    gap.out("--new")
    gap.record(1)
    gap.out("--new")
    assert {tuple(imported["missing"]) for imported in gap.into_hub()} == {()}


def test_a_person_notes_a_receipt_and_the_record_rests(gap: Gap) -> None:
    gap.at(gap.lab, "gap", "oneway", "--repeat", "3")
    gap.record(1)
    [exported] = gap.out()
    gap.at(gap.lab, "bundle", "received", str(exported["serial"]))
    assert gap.out()[0]["records"] == 0
    assert set(gap.states().values()) == {"received"}


def test_the_quota_takes_the_content_of_records_that_rest(gap: Gap, tmp_path: Path) -> None:
    gap.at(gap.lab, "gap", "oneway", "--repeat", "2")
    gap.record(2)
    gap.out()
    with Journal.open(gap.journal) as journal:
        journal.set_quota(Quota(max_bytes=1))
        journal.ingest(wait=True)
        assert [record.pruned for record in journal.records()] == [False, False]
    gap.out()
    gap.record(1)
    with Journal.open(gap.journal) as journal:
        journal.ingest(wait=True)
        assert [record.pruned for record in journal.records()] == [False, True, True]
        assert (journal.stats().dropped, journal.check().problems) == (0, [])
        journal.set_quota(Quota())
    assert gap.out()[0]["records"] == 1
    assert gap.out("--again")[0]["records"] == 1
    salvage(gap.journal, tmp_path / "salvaged")
    with Journal.open(tmp_path / "salvaged") as journal:
        assert (journal.stats().dropped, journal.check().problems, journal.bundles.repeat()) == (0, [], 2)
        assert {record.state for record in journal.records()} == {"carried"}
        assert journal.bundles.take_back() == 1


def test_a_retried_record_goes_out_as_often_again(gap: Gap) -> None:
    gap.at(gap.lab, "gap", "oneway", "--repeat", "1")
    [record_id] = gap.record(1)
    gap.out()
    assert gap.out()[0]["records"] == 0
    with Journal.open(gap.journal) as journal:
        assert journal.bundles.take_back() == 1
    assert gap.out()[0]["records"] == 1
    assert gap.states() == {record_id: "carried"}


@pytest.mark.parametrize("arguments", [["--repeat", "0"], ["--repeat", "128"], ["--off", "--repeat", "1"]])
def test_another_number_is_an_error_of_usage(gap: Gap, arguments: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        gap.at(gap.lab, "gap", "oneway", *arguments)
    with Journal.open(gap.journal) as journal, pytest.raises((JournalError, OverflowError)):
        journal.bundles.set_repeat(200)


@pytest.mark.parametrize("arguments", [["--bundle", "1", "--new"], ["--bundle", "1", "--hub", "hub"], ["--encrypt"]])
def test_options_of_an_export_that_exclude_each_other(gap: Gap, arguments: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        gap.out(*arguments)
