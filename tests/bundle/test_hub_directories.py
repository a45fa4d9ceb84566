"""The directories of a hub: one for each journal of an origin, and none that another origin could take."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from plsync.bundle.export import export_records
from plsync.bundle.hub import Hub
from plsync.bundle.keys import Keys
from plsync.bundle.receive import BundleFields, opened
from plsync.errors import JournalError
from plsync.journal.journal import Journal
from tests.support.gap import Gap
from tests.support.spooling import SpoolWriter


def names(hub: Hub, *origins: tuple[str, str]) -> list[str]:
    """The directories of origins, by their names and journals."""
    fields = BundleFields("", "out", "", "0" * 16, "", "", 1, 1, 1, 1, False, 0, 1, 0, 0)
    return [hub.origin_of(replace(fields, signer=name, journal_id=journal)).directory for name, journal in origins]


def test_no_origin_gets_the_directory_of_another(tmp_path: Path) -> None:
    first, second, third = "deadbeef" + "0" * 24, "deadbeef" + "1" * 24, "deadbeef" + "2" * 24
    found = names(Hub(tmp_path / "hub"), ("lab-deadbeef", first), ("lab", "a" * 32), ("lab", second), ("lab", third))
    assert found == ["lab-deadbeef", "lab", f"lab-{second}", f"lab-{third}"]
    assert [origin.journal_id for origin in Hub(tmp_path / "hub").origins()] == ["a" * 32, first, second, third]


def test_the_inbox_is_no_origins_directory(tmp_path: Path) -> None:
    assert names(Hub(tmp_path / "hub"), ("inbox", "a" * 32)) == ["inbox-aaaaaaaa"]


def test_an_import_into_a_journal_that_was_replaced_writes_into_the_new_one(gap: Gap, tmp_path: Path) -> None:
    gap.record(1)
    gap.out()
    gap.into_hub()
    shutil.copytree(gap.journals, tmp_path / "copy")
    shutil.rmtree(gap.journals)
    shutil.copytree(tmp_path / "copy", gap.journals)
    gap.record(1)
    gap.empty_stick()
    gap.out()
    # The same process has written to the removed journal.
    assert gap.into_hub()[0]["new"] == 1
    with Journal.open(gap.journals / "berlin-lab") as journal:
        assert journal.stats().records == 2


@pytest.mark.parametrize("is_after", [False, True])
def test_a_journal_that_is_replaced_during_an_import_confirms_nothing(
    gap: Gap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_after: bool
) -> None:
    gap.record(1)
    gap.out()
    gap.into_hub()
    shutil.copytree(gap.journals, tmp_path / "copy")
    gap.record(40)
    gap.empty_stick()
    gap.out()
    [path] = gap.stick.glob("*.age")

    def put_back() -> None:
        shutil.rmtree(gap.journals / "berlin-lab")
        shutil.copytree(tmp_path / "copy/berlin-lab", gap.journals / "berlin-lab")

    hub = Hub(gap.journals)
    with opened(path, gap.hub_keys, hub.inbox) as bundle, monkeypatch.context() as patched:
        if is_after:
            patched.setattr(Hub, "settle", lambda *_: put_back())
            on_progress = None
        else:
            # It is called once, after the events are in the spool.
            on_progress = lambda *_: put_back()  # noqa: E731
        with pytest.raises(JournalError, match=r"moved away|was replaced"):
            hub.import_records(bundle, on_progress)
    with Journal.open(gap.journals / "berlin-lab") as journal:
        assert len(journal.bundles.arrived()) == 1
    assert gap.into_hub()[0]["new"] == 40


def test_an_origin_that_is_not_trusted_any_more_stops_no_other(gap: Gap, tmp_path: Path) -> None:
    other = Keys(tmp_path / "oslo")
    gap.hub_keys.trust(other.create("oslo-lab"), "origin")
    other.trust(gap.hub_card, "hub")
    writer = SpoolWriter(tmp_path / "journal")
    writer.call("question", "answer", at=1)
    writer.close()
    with Journal.open(tmp_path / "journal") as journal:
        export_records(journal, other, gap.hub_card, gap.stick)
    gap.record(1)
    gap.out()
    assert len(gap.into_hub()) == 2
    gap.hub_keys.distrust("berlin-lab")
    written = gap.at(gap.hub, "bundle", "export", str(gap.stick), "--hub", str(gap.journals), code=1)
    assert [report["to"] for report in written] == ["oslo-lab"]
    assert "berlin-lab is not trusted here; nothing was written for it" in gap.errors
