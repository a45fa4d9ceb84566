"""Receipts choose the records of an export, and request ids are facts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from plsync.bundle import medium
from plsync.bundle.keys import Keys
from plsync.errors import BundleError
from plsync.journal.journal import Journal
from plsync.journal.salvage import salvage
from tests.support.gap import Gap


def hub_journal(gap: Gap) -> Path:
    return gap.journals / "berlin-lab"


def park_at_hub(gap: Gap, state: Any, reason: str) -> None:
    with Journal.open(hub_journal(gap)) as journal:
        for record in journal.records(state="pending"):
            journal.outbox.park([record.seq], state, reason)


def _scores(gap: Gap) -> list[int]:
    return sorted(score for scores in gap.server.scores.values() for score in scores.values())


def test_carried_and_received_are_states_that_people_see(gap: Gap) -> None:
    ids = gap.record(2)
    gap.out()
    assert set(gap.states().values()) == {"carried"}
    with Journal.open(gap.journal) as journal:
        assert [record.id for record in journal.records(state="carried", oldest_first=True)] == ids
        assert list(journal.records(delivery="received")) == []
        assert list(journal.records(state="in_doubt")) == []
        receipt = journal.flush(wait="acked", timeout=0.5)
        assert (receipt.carried, receipt.in_doubt, receipt.waiting) == (2, 0, 0)
        assert (journal.stats().states["carried"], journal.stats().left) == (2, {})
        assert journal.check().problems == []
    [status] = gap.at(gap.lab, "status")
    assert (status["states"]["carried"], status["states"]["in_doubt"]) == (2, 0)
    assert len(gap.at(gap.lab, "list", "--delivery", "carried")) == 2
    gap.into_hub()
    gap.back()
    [received] = gap.into_lab()
    assert (received["received"], received["new"]) == (2, 0)
    assert set(gap.states().values()) == {"received"}


def test_an_export_without_news_is_small_and_has_no_record(gap: Gap) -> None:
    gap.record(3)
    gap.out()
    gap.empty_stick()
    [again] = gap.out()
    # The stick was lost, so the records go again.
    assert (again["records"], again["again"]) == (3, 3)
    assert gap.out("--new")[0]["records"] == 0
    gap.into_hub()
    gap.back()
    gap.into_lab()
    [nothing] = gap.out()
    assert nothing["records"] == 0
    assert nothing["files"][0]["bytes"] <= 4096
    assert gap.out("--again")[0]["records"] == 3


def test_a_receipt_is_for_the_records_of_its_bundle(gap: Gap) -> None:
    [first] = gap.record(1)
    gap.out()
    gap.into_hub()
    gap.back()
    gap.empty_stick_of("plsync-berlin-lab")
    [second] = gap.record(1)
    gap.out()
    gap.into_lab()
    assert gap.states() == {first: "received", second: "carried"}
    [bundle, _] = gap.at(gap.lab, "bundle", "list")
    assert (bundle["received"], bundle["hub"], bundle["records"]) == (True, "hub-nord", 1)


def test_an_export_whose_stick_was_lost_is_overtaken_by_the_next_receipt(gap: Gap) -> None:
    for _ in range(2):
        gap.record(1)
        gap.empty_stick()
        gap.out()
    assert [line.split()[-1] for line in gap.shown(gap.lab, "bundle", "list").splitlines()] == ["written", "written"]
    gap.into_hub()
    gap.back()
    gap.into_lab()
    assert [line.split()[-1] for line in gap.shown(gap.lab, "bundle", "list").splitlines()] == ["overtaken", "received"]


def test_a_person_notes_a_receipt(gap: Gap) -> None:
    gap.record(2)
    [exported] = gap.out()
    assert gap.at(gap.lab, "bundle", "received", str(exported["serial"])) == [{"bundles": 1, "records": 2}]
    assert set(gap.states().values()) == {"received"}
    gap.at(gap.lab, "bundle", "received", "99", code=1)
    assert "this journal has not written the export 99; nothing was changed" in gap.errors


def test_a_refused_record_that_a_person_sends_again_is_sent_by_the_hub(gap: Gap) -> None:
    [record_id] = gap.record(1)
    gap.out()
    gap.into_hub()
    park_at_hub(gap, "dead", "422: messages must not be empty")
    gap.back()
    gap.into_lab()
    assert gap.states() == {record_id: "dead"}
    gap.at(gap.lab, "retry", record_id)
    assert gap.states() == {record_id: "pending"}
    # The refusal arrives once more, and is of an earlier round.
    gap.into_lab()
    assert gap.states() == {record_id: "pending"}
    gap.empty_stick()
    gap.out()
    [imported] = gap.into_hub()
    assert (imported["new"], imported["requeued"]) == (0, 1)
    gap.deliver()
    gap.back()
    gap.into_lab()
    assert gap.states() == {record_id: "acked"}


def test_a_receipt_of_an_earlier_round_does_not_hold_the_record_back(gap: Gap) -> None:
    [record_id] = gap.record(1)
    gap.out()
    gap.into_hub()
    park_at_hub(gap, "held", "no log")
    gap.back()
    gap.into_lab()
    gap.at(gap.lab, "retry", record_id)
    gap.out()
    assert gap.states() == {record_id: "carried"}
    # Only the first bundle arrives again.
    gap.back()
    gap.into_lab()
    assert gap.states() == {record_id: "carried"}
    gap.into_hub()
    gap.deliver()
    gap.back()
    gap.into_lab()
    assert gap.states() == {record_id: "acked"}


def test_scores_go_out_with_their_calls_and_are_done_once(gap: Gap) -> None:
    [record_id] = gap.record(1)
    with Journal.open(gap.journal) as journal:
        journal.track.score(record_id, 90)
        journal.track.metadata(record_id, {"user": "u17"})
    [exported] = gap.out()
    assert (exported["records"], exported["followups"]) == (1, 2)
    gap.into_hub()
    gap.deliver()
    gap.back()
    [received] = gap.into_lab()
    assert (received["new"], received["done"]) == (1, 2)
    with Journal.open(gap.journal) as journal:
        journal.track.score(record_id, 50, "later")
    gap.trip()
    assert _scores(gap) == [50, 90]
    with Journal.open(gap.journal) as journal:
        assert journal.stats().followups == 0
        assert journal.stats().followups_sent == 3


def test_a_score_whose_hub_lost_the_call_is_done_by_its_request_id(gap: Gap) -> None:
    [record_id] = gap.record(1)
    gap.trip()
    # The hub is set up anew.
    gap.journals = gap.hub / "new"
    with Journal.open(gap.journal) as journal:
        journal.track.score(record_id, 90)
    gap.trip()
    assert _scores(gap) == [90]
    with Journal.open(gap.journal) as journal:
        assert journal.stats().followups == 0


def test_a_hub_that_was_put_back_from_a_copy_looks_up_and_reports_anew(gap: Gap, tmp_path: Path) -> None:
    gap.record(1)
    gap.trip()
    shutil.copytree(gap.journals, tmp_path / "copy")
    gap.record(2)
    gap.trip()
    [late] = gap.record(1)
    gap.out()
    gap.into_hub()
    gap.back()
    gap.into_lab()
    assert gap.states()[late] == "received"
    gap.journals = tmp_path / "copy"
    gap.record(1)
    gap.empty_stick()
    gap.out()
    [imported] = gap.into_hub()
    assert (imported["put_back"], imported["new"]) == (True, 1)
    gap.back()
    gap.into_lab()
    # The receipts of the epoch before are void.
    assert gap.states()[late] == "carried"
    gap.trip()
    gap.trip()
    assert set(gap.states().values()) == {"acked"}
    assert len(gap.server.request_logs) == 5


def test_a_run_takes_records_back_and_looks_them_up(gap: Gap) -> None:
    gap.record(2)
    gap.out()
    gap.into_hub()
    gap.deliver()
    with gap.online():
        gap.at(gap.lab, "run", "--once", "--take-back", "--settle", "0")
    assert set(gap.states().values()) == {"acked"}
    assert len(gap.server.request_logs) == 2
    gap.back()
    [received] = gap.into_lab()
    assert (received["new"], received["conflicts"]) == (0, 0)


def test_a_full_stick_leaves_the_records_pending(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(2)

    def fail(*_: object) -> None:
        raise BundleError("no space; no record is lost")

    with monkeypatch.context() as patched:
        patched.setattr(medium, "write", fail)
        gap.out(code=1)
    assert set(gap.states().values()) == {"pending"}
    assert gap.at(gap.lab, "bundle", "list") == []
    gap.trip()
    assert set(gap.states().values()) == {"acked"}


def test_an_export_that_was_killed_after_the_file_is_confirmed(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    [record_id] = gap.record(1)
    with monkeypatch.context() as patched:
        patched.setattr("plsync.journal.bundles.Bundles.written", lambda *_: None)
        gap.out()
    assert gap.states() == {record_id: "pending"}
    gap.into_hub()
    gap.back()
    gap.into_lab()
    assert gap.states() == {record_id: "received"}


def test_a_second_hub_has_other_records_and_a_new_key_is_the_same_hub(gap: Gap, tmp_path: Path) -> None:
    gap.record(1)
    gap.out()
    successor = gap.hub_keys.rotate()
    gap.lab_keys.trust(successor, "hub")
    gap.into_hub()
    gap.back()
    [received] = gap.into_lab()
    assert received["received"] == 1
    second = Keys(tmp_path / "second").create("hub-sued")
    gap.lab_keys.trust(second, "hub")
    gap.record(1)
    assert gap.out("--to", "hub-sued")[0]["records"] == 1
    assert gap.out("--to", "hub-nord")[0]["records"] == 0


def test_compaction_backup_and_salvage_keep_the_bundles(gap: Gap, tmp_path: Path) -> None:
    received, carried = gap.record(1) + gap.record(1)
    gap.out()
    gap.into_hub()
    gap.back()
    gap.into_lab()
    with Journal.open(gap.journal) as journal:
        journal.track.score(received, 90)
        assert gap.out("--again")[0]["records"] == 2
        journal.bundles.receive([bundle for bundle in journal.bundles.all() if not bundle.received][:0])
        before = [bundle.as_dict() for bundle in journal.bundles.all()]
        journal.compact()
        journal.backup(tmp_path / "backup")
    salvage(gap.journal, tmp_path / "salvaged")
    for path in (gap.journal, tmp_path / "backup", tmp_path / "salvaged"):
        with Journal.open(path) as journal:
            assert journal.check().problems == []
            assert [bundle.as_dict() for bundle in journal.bundles.all()] == before
            assert {record.id: record.state for record in journal.records()} == {
                received: "carried",
                carried: "carried",
            }
            assert journal.bundles.place(1) is not None
            assert journal.bundles.carriable(1, "unreceived")[0][0].doubt is False
    salvage(hub_journal(gap), tmp_path / "salvaged-hub")
    with Journal.open(tmp_path / "salvaged-hub") as journal:
        assert journal.check().problems == []
        assert len(journal.bundles.arrived()) == 1
