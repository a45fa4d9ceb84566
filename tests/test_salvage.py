"""``plsync salvage``: a damaged journal comes out as a new one, and what is lost is said."""

from __future__ import annotations

from pathlib import Path

import pytest

import plsync
from commands import json_lines, printed, run
from plsync.errors import JournalFormatError, JournalNotFound
from spooling import SpoolWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Thirty calls; PromptLayer has the first as 70."""
    writer = SpoolWriter(tmp_path / "journal")
    for number in range(30):
        writer.call(f"Question {number}?", f"Answer {number}", at=1_760_000_000_000 + number, tags=["asked"])
    writer.close()
    with plsync.Journal.open(tmp_path / "journal") as journal:
        journal.ingest(wait=True)
        journal.outbox.ack([(1, 70)])
    return tmp_path / "journal"


def test_a_damaged_journal_is_saved_with_its_ids_states_and_request_ids(path: Path, tmp_path: Path) -> None:
    with plsync.Journal.open(path) as journal:
        known = {record.id: (record.state, record.request_id, record.input) for record in journal.records()}
    data = path / "lmdb" / "data.mdb"
    data.write_bytes(b"\xff" * 8192 + data.read_bytes()[8192:])
    damaged = data.read_bytes()
    text = run(path, "salvage", str(path), str(tmp_path / "saved")).stdout
    assert "30 records, 1 request id, 0 callbacks, 0 follow-ups saved" in text
    assert data.read_bytes() == damaged
    with plsync.Journal.open(tmp_path / "saved") as saved:
        assert {record.id: (record.state, record.request_id, record.input) for record in saved.records()} == known
        assert saved.check().problems == []


def test_a_sound_journal_comes_out_whole(path: Path, tmp_path: Path) -> None:
    assert "nothing known to be lost" in printed(path, "salvage", str(path), str(tmp_path / "saved"))
    (report,) = json_lines(path, "salvage", str(path), str(tmp_path / "again"))
    assert (report["records"], report["acks"], report["lost"], report["damaged"]) == (30, 1, 0, 0)


def test_what_is_lost_is_said_and_the_exit_code_tells(path: Path, tmp_path: Path) -> None:
    (path / "lmdb" / "data.mdb").unlink()
    done = run(path, "salvage", str(path), str(tmp_path / "saved"))
    assert done.returncode == 1
    assert "lost: the store" in done.stdout


def test_a_salvage_needs_a_journal_and_a_new_place(path: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalNotFound):
        plsync.salvage(tmp_path / "none", tmp_path / "saved")
    with pytest.raises(JournalFormatError, match="exists"):
        plsync.salvage(path, path)
