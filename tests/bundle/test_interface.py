"""The lines that a person reads at the gap: each names the machine, the number and the next step."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plsync.bundle.keys import Keys
from plsync.journal.journal import Journal
from tests.support.gap import Gap
from tests.support.terminal import on_terminal


def test_an_export_names_the_exports_that_carried_its_calls_before(gap: Gap) -> None:
    gap.record(2)
    gap.out()
    gap.empty_stick()
    gap.record(1)
    shown = gap.shown(gap.lab, "bundle", "export", str(gap.stick))
    with Journal.open(gap.journal) as journal:
        [first, second] = journal.bundles.all()
    day = f"{first.written_at.astimezone():%Y-%m-%d}"
    assert "new           1 call\n" in shown
    assert f"again         2 calls (carried on {day} in 000001, no receipt yet)\n" in shown
    gap.empty_stick()
    gap.record(1)
    gap.out("--new")
    gap.empty_stick()
    [report] = gap.out()
    assert (report["again"], report["again_serials"]) == (4, [2, 3])
    assert report["again_since"] == second.written_at.isoformat()
    # A confirmed record is written again only on demand, and has its receipt.
    gap.into_hub()
    gap.back()
    gap.into_lab()
    gap.empty_stick()
    assert "(carried on" in (shown := gap.shown(gap.lab, "bundle", "export", str(gap.stick), "--again"))
    assert "no receipt" not in shown


def test_status_names_the_hub_and_the_next_step(gap: Gap) -> None:
    gap.record(2)
    gap.out()
    gap.record(1)
    status = gap.shown(gap.lab, "status")
    assert "waiting     1  (for `plsync bundle export`, " in status
    assert "carried     2  (in bundles for hub-nord, no receipt; the last export " in status
    assert "Next: `plsync bundle export DIR` writes the waiting records and follow-ups for hub-nord." in status
    assert "Nothing left" not in status and "`plsync run`" not in status
    gap.trip_without_callbacks()
    assert "Nothing left" in gap.shown(gap.lab, "status")


def test_status_after_an_export_names_the_way_back(gap: Gap) -> None:
    [record_id] = gap.record(1)
    with Journal.open(gap.journal) as journal:
        journal.track.score(record_id, 90)
    gap.out()
    assert "Next: `plsync bundle export DIR`" in gap.shown(gap.lab, "status")
    gap.into_hub()
    gap.back()
    gap.into_lab()
    status = gap.shown(gap.lab, "status")
    assert "received    1  (at hub-nord, which delivers them)" in status
    assert "Request ids come back in a file of hub-nord: `plsync bundle import DIR`." in status


def test_a_run_of_a_hub_names_the_journal_in_its_commands(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    gap.out()
    gap.into_hub()
    with Journal.open(gap.journals / "berlin-lab") as journal:
        [record] = journal.outbox.lease(1, 60_000, 1)
        journal.outbox.park([record.seq], "dead", "422")
    monkeypatch.setenv("PROMPTLAYER_BASE_URL", gap.server.url)
    monkeypatch.setenv("PROMPTLAYER_API_KEY", gap.server.api_key)
    shown = gap.shown(gap.hub, "run", "--hub", str(gap.journals), "--once")
    assert f"`plsync list --journal {gap.journals / 'berlin-lab'} --delivery refused` lists them" in shown
    assert "1 refused" in gap.shown(gap.hub, "status", "--hub", str(gap.journals))


def test_an_import_with_json_prints_nothing_else(
    gap: Gap, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (gap.lab / "printing_app.py").write_text("def on_id(request_id):\n    print('on_id', request_id)\n")
    monkeypatch.syspath_prepend(str(gap.lab))
    gap.writer.call("question", "answer", at=1, sink="printing_app:on_id")
    gap.writer.call("question", "answer", at=2, sink="missing_app:on_id")
    gap.trip_without_callbacks()
    gap.into_lab(code=3)
    assert "1 callback left for missing_app:on_id, whose running program calls it" in gap.errors
    gap.writer.close()
    [imported] = gap.into_lab(code=3)
    assert imported["entries"] == 3
    assert "on_id 1" in gap.errors and "1 callback delivered" in gap.errors
    assert "1 callback left for missing_app:on_id\n" in gap.errors
    sys.modules.pop("printing_app", None)


def test_a_bundle_of_this_machine_is_named_as_its_own(gap: Gap) -> None:
    gap.record(1)
    gap.out()
    [path] = gap.stick.glob("*.age")
    gap.at(gap.lab, "bundle", "show", str(path), code=1)
    assert f"{path.name}: it is signed by key" in gap.errors
    assert "This machine wrote it for another one; nothing was changed" in gap.errors


def test_a_card_with_another_fingerprint_is_not_trusted(gap: Gap, tmp_path: Path) -> None:
    card = tmp_path / "hub-nord.card"
    card.write_text(gap.hub_card.text)
    arguments = ("keys", "trust", str(card), "--role", "hub")
    shown = on_terminal(gap.journal, *arguments, typed="n\n", PLSYNC_KEYS=str(tmp_path / "fresh"))
    assert gap.hub_card.fingerprint in shown
    assert "hub-nord is not trusted; nothing was changed" in " ".join(shown.split())
    gap.at(gap.lab, "keys", "trust", str(tmp_path / "none.card"), "--role", "hub", code=1)
    assert "none.card: No such file or directory; nothing was changed; name the file of the other" in gap.errors


def test_a_hub_without_an_origin_names_the_first_step(gap: Gap) -> None:
    gap.journals.mkdir()
    assert "has no origin yet; `plsync bundle import PATH --hub" in gap.shown(
        gap.hub, "status", "--hub", str(gap.journals)
    )


def test_an_import_at_a_hub_without_its_option_names_the_option(gap: Gap) -> None:
    gap.record(1)
    gap.out()
    gap.at(gap.hub, "bundle", "import", str(gap.stick), code=1)
    assert "carry records to this machine as a hub; nothing was changed; name its directory with --hub" in gap.errors
    occupied = gap.hub / "file"
    occupied.write_text("")
    gap.at(gap.hub, "bundle", "import", str(gap.stick), "--hub", str(occupied / "hub"), code=1)
    assert f"{occupied / 'hub'} cannot be used: Not a directory; nothing was changed" in gap.errors


def test_a_hub_that_got_no_bundle_gets_none_without_a_call(gap: Gap, tmp_path: Path) -> None:
    gap.record(1)
    gap.out()
    gap.lab_keys.trust(Keys(tmp_path / "other").create("hub-sued"), "hub")
    [report] = gap.out("--to", "hub-sued")
    assert report["files"] == []
    assert len(gap.out("--to", "hub-nord")[0]["files"]) == 1
