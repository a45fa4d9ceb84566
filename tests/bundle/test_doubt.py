"""A record that another machine may have sent is looked up first, also after any loss."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plsync.bundle.hub import Hub
from plsync.bundle.keys import Keys
from plsync.bundle.receive import opened
from plsync.errors import JournalError
from plsync.journal.bundles import Bundles
from plsync.journal.journal import Journal
from tests.support.gap import Gap


def park(path: Path, state: str, reason: str = "no response") -> None:
    with Journal.open(path) as journal:
        for record in journal.records(state="pending"):
            journal.outbox.park([record.seq], state, reason)  # type: ignore[arg-type]


def hub_states(gap: Gap) -> dict[str, str]:
    with Journal.open(gap.journals / "berlin-lab") as journal:
        return {record.id: record.state for record in journal.records(limit=None)}


def test_a_record_that_the_origin_may_have_sent_stays_in_doubt_after_a_lost_stick(gap: Gap) -> None:
    gap.record(1)
    park(gap.journal, "in_doubt")
    assert gap.out()[0]["doubtful"] == 1
    gap.empty_stick()
    gap.record(1)
    assert gap.out()[0]["doubtful"] == 1
    gap.into_hub()
    assert sorted(hub_states(gap).values()) == ["in_doubt", "pending"]


def test_a_record_that_comes_again_in_doubt_is_looked_up(gap: Gap) -> None:
    [record_id] = gap.record(1)
    gap.out()
    gap.into_hub()
    assert hub_states(gap) == {record_id: "pending"}
    with Journal.open(gap.journal) as journal:
        # A run here took it back, sent it, and got no response.
        journal.bundles.take_back()
    gap.out()
    gap.into_hub()
    assert hub_states(gap) == {record_id: "in_doubt"}


def test_a_hub_that_lost_its_journal_looks_up_the_records_that_come_again(gap: Gap) -> None:
    received, carried = gap.record(1)[0], ""
    gap.out()
    gap.into_hub()
    gap.back()
    gap.into_lab()
    [carried] = gap.record(1)
    gap.out()
    gap.into_hub()
    # The hub may send both, and loses its directory.
    gap.journals = gap.hub / "new"
    gap.empty_stick()
    gap.out()
    [imported] = gap.into_hub()
    assert (imported["put_back"], hub_states(gap)) == (True, {carried: "in_doubt"})
    gap.back()
    gap.into_lab()
    # The log of the new journal voids the receipt of the lost one.
    assert gap.states() == {received: "carried", carried: "received"}
    assert gap.out()[0]["doubtful"] == 1
    [imported] = gap.into_hub()[-1:]
    assert (imported["put_back"], hub_states(gap)[received]) == (False, "in_doubt")


def test_the_marks_of_a_killed_import_survive_the_next_import(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    park(gap.journal, "in_doubt")
    gap.out()
    hub, [path] = Hub(gap.journals), list(gap.stick.glob("*.age"))
    with opened(path, gap.hub_keys, hub.inbox) as bundle, monkeypatch.context() as patched:
        # Killed after the records, and before they were in doubt.
        patched.setattr(Hub, "settle", lambda *_: (_ for _ in ()).throw(JournalError("killed")))
        with pytest.raises(JournalError):
            hub.import_records(bundle)
    assert set(hub_states(gap).values()) == {"pending"}
    second = gap.record(1)
    gap.empty_stick()
    gap.out("--new")
    gap.into_hub()
    found = hub_states(gap)
    assert (found.pop(second[0]), set(found.values())) == ("pending", {"in_doubt"})
    assert not list(gap.journals.glob("*.doubt"))


def test_a_move_to_another_hub_that_was_killed_keeps_the_record_on_its_way(
    gap: Gap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gap.lab_keys.trust(Keys(tmp_path / "second").create("hub-sued"), "hub")
    [record_id] = gap.record(1)
    gap.out("--to", "hub-nord")
    gap.into_hub()
    gap.back()
    gap.into_lab()
    assert gap.states() == {record_id: "received"}
    with monkeypatch.context() as patched:
        patched.setattr(Bundles, "written", lambda *_: None)
        gap.out("--to", "hub-sued", "--again")
    # The record belongs to the second hub, which has not confirmed it.
    [report] = gap.out("--to", "hub-sued")
    assert (report["records"], report["doubtful"]) == (1, 1)
    assert gap.states() == {record_id: "carried"}


def test_a_refusal_is_reported_again_when_the_record_comes_again(gap: Gap) -> None:
    [record_id] = gap.record(1)
    gap.out()
    gap.into_hub()
    park(gap.journals / "berlin-lab", "dead", "422: messages must not be empty")
    with Journal.open(gap.journal) as journal:
        journal.bundles.take_back()
    gap.back()
    # The origin has taken the record back, so the report counts no longer.
    gap.into_lab()
    assert gap.states() == {record_id: "in_doubt"}
    gap.empty_stick()
    gap.out()
    gap.into_hub()
    assert hub_states(gap) == {record_id: "dead"}
    gap.back()
    gap.into_lab()
    assert gap.states() == {record_id: "dead"}


def test_a_copy_of_an_earlier_round_takes_the_refusal_of_a_later_one(gap: Gap, tmp_path: Path) -> None:
    [record_id] = gap.record(1)

    def refuse() -> None:
        gap.out()
        gap.into_hub()
        park(gap.journals / "berlin-lab", "held", "no log")
        gap.back()
        gap.into_lab()
        assert gap.states() == {record_id: "held"}
        gap.empty_stick()

    def retry() -> None:
        with Journal.open(gap.journal) as journal:
            assert journal.outbox.requeue([record.seq for record in journal.records(state="held")]) == 1

    refuse()
    with Journal.open(gap.journal) as journal:
        journal.backup(tmp_path / "backup")
    for _ in range(2):
        retry()
        refuse()
    gap.writer.close()
    shutil.rmtree(gap.journal)
    shutil.copytree(tmp_path / "backup", gap.journal)
    # The first round of the copy, and the third of the hub.
    retry()
    refuse()
    retry()
    gap.out()
    assert gap.into_hub()[0]["requeued"] == 1


def test_a_report_on_a_forgotten_record_holds_no_receipt_back(gap: Gap, tmp_path: Path) -> None:
    [forgotten] = gap.record(1)
    with Journal.open(gap.journal) as journal:
        journal.ingest(wait=True)
        journal.backup(tmp_path / "backup")
    gap.out()
    gap.into_hub()
    gap.deliver()
    gap.writer.close()
    shutil.rmtree(gap.journal)
    shutil.copytree(tmp_path / "backup", gap.journal)
    with Journal.open(gap.journal) as journal:
        journal.forget(forgotten)
    gap.writer = type(gap.writer)(gap.journal)
    gap.empty_stick()
    [received] = gap.record(1)
    gap.out()
    gap.into_hub()
    gap.back()
    [read] = gap.into_lab()
    # The record never goes to the hub again, so its request id is one without a call.
    assert (read["early"], read["unknown"], read["received"]) == (0, 1, 1)
    assert gap.states()[received] == "received"
    [orphan] = gap.at(gap.lab, "bundle", "list", "--orphans")
    assert orphan["record_id"] == forgotten.replace("-", "")


def test_a_receipt_of_an_epoch_that_is_over_does_not_count(gap: Gap, tmp_path: Path) -> None:
    [first] = gap.record(1)
    gap.out()
    gap.into_hub()
    gap.back()
    gap.into_lab()
    [lost] = gap.record(1)
    gap.empty_stick()
    gap.out()
    gap.into_hub()
    gap.back()
    late = tmp_path / "late"
    late.mkdir()
    for path in gap.stick.glob("plsync-hub-nord-*"):
        shutil.move(path, late)
    gap.journals = gap.hub / "new"
    gap.empty_stick()
    [new] = gap.record(1)
    gap.out("--new")
    gap.into_hub()
    gap.back()
    gap.into_lab()
    expected = {first: "carried", lost: "carried", new: "received"}
    assert gap.states() == expected
    [read] = gap.at(gap.lab, "bundle", "import", str(late))
    assert (read["joins"], read["received"]) == (False, 0)
    assert gap.states() == expected


def test_a_hub_confirms_no_bundle_of_another(gap: Gap, tmp_path: Path) -> None:
    second = Keys(tmp_path / "second").create("hub-sued")
    [record_id] = gap.record(1)
    gap.out()
    gap.into_hub()
    gap.back()
    [path] = gap.stick.glob("plsync-hub-nord-*.tar")
    with Journal.open(gap.journal) as journal, opened(path, gap.lab_keys, gap.lab / "inbox") as bundle:
        # The same log, as if the other hub had signed it.
        read = bundle.apply_log(journal.bundles.store, journal.bundles.hub(second.key_id))
        assert (read["received"], read["unknown_bundles"]) == (0, 1)
    assert gap.states() == {record_id: "carried"}
    gap.into_lab()
    assert gap.states() == {record_id: "received"}


def test_a_request_id_for_a_call_that_is_still_in_the_spool_is_not_lost(gap: Gap, tmp_path: Path) -> None:
    [record_id] = gap.record(1)
    gap.writer.close()
    shutil.copytree(gap.journal, tmp_path / "copy")
    gap.out()
    gap.into_hub()
    gap.deliver()
    gap.back()
    shutil.rmtree(gap.journal)
    shutil.copytree(tmp_path / "copy", gap.journal)
    [read] = gap.into_lab()
    assert (read["unknown"], read["early"]) == (0, 1)
    gap.trip()
    assert gap.states() == {record_id: "acked"}
    assert len(gap.server.request_logs) == 1
