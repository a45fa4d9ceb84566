"""The messages for a bundle that is not accepted: the cause, that nothing was changed, and the next step."""

from __future__ import annotations

import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from plsync.bundle.keys import Keys
from plsync.journal.journal import Journal
from tests.support.gap import Gap

Usage = namedtuple("Usage", "total used free")


def exported(gap: Gap) -> Path:
    gap.record(1)
    gap.out()
    [path] = gap.stick.glob("*.age")
    return path


def refused(gap: Gap, path: Path) -> str:
    """The message of an import at the hub, which leaves no file there."""
    before = {found.name: found.stat().st_size for found in gap.hub.rglob("*")}
    gap.at(gap.hub, "bundle", "import", str(path), "--hub", str(gap.journals), code=1)
    after = {found.name: found.stat().st_size for found in gap.hub.rglob("*")}
    after.pop("journals", None)
    assert after == before
    return gap.errors


def signed_as(gap: Gap, path: Path, comment: str) -> None:
    """Sign a file of the origin with another trusted comment, by minisign."""
    if not shutil.which("minisign"):
        pytest.skip("not installed: minisign")
    key = gap.lab / "keys" / f"{gap.lab_keys.own_or_raise().key_id}.minisign"
    command = ["minisign", "-S", "-W", "-H", "-s", str(key), "-t", comment, "-m", str(path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def test_an_unknown_key(gap: Gap) -> None:
    path = exported(gap)
    gap.hub_keys.distrust("berlin-lab")
    key_id = gap.lab_keys.own_or_raise().key_id
    message = refused(gap, path)
    assert f"{path.name}: it is signed by key {key_id}, which is not trusted here; nothing was changed" in message
    assert "get the card and run `plsync keys trust CARD`" in message


def test_a_flipped_bit_and_a_file_cut_short(gap: Gap) -> None:
    path = exported(gap)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    message = refused(gap, path)
    signed = f"it differs from the signed file: {len(whole)} bytes were signed, {len(whole) - 9} are here"
    assert f"{path.name}: {signed}; nothing was changed" in message
    assert "copy it again, or export again: no record is lost" in message


def test_a_missing_signature(gap: Gap) -> None:
    path = exported(gap)
    path.with_name(f"{path.name}.minisig").unlink()
    assert f"{path} has no signature beside it; nothing was changed; copy both files" in refused(gap, path)


def test_a_bundle_for_another_hub(gap: Gap, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other").create("hub-sued")
    gap.lab_keys.trust(other, "hub")
    gap.record(1)
    gap.out("--to", "hub-sued")
    [path] = gap.stick.glob("*.age")
    message = refused(gap, path)
    assert f"{path.name}: it is for the key {other.key_id}; nothing was changed; import it at that machine" in message
    assert f"this is hub-nord, with the key {gap.hub_card.key_id}" in message
    # In a directory it lies beside bundles for this hub, and is skipped.
    gap.into_hub()
    assert "is for another machine, and was skipped" in gap.errors


def test_a_journal_that_is_bound_to_another_key(gap: Gap) -> None:
    exported(gap)
    gap.into_hub()
    gap.empty_stick()
    shutil.rmtree(gap.lab / "keys")
    keys = Keys(gap.lab / "keys")
    gap.hub_keys.trust(keys.create("lab2"), "origin")
    keys.trust(gap.hub_card, "hub")
    path = exported(gap)
    gap.at(gap.hub, "bundle", "import", str(path), "--hub", str(gap.journals), code=1)
    with Journal.open(gap.journal) as journal:
        bound = f"the journal {journal.id[:8]} belongs to berlin-lab, and lab2 has signed the bundle"
    assert f"{path.name}: {bound}; nothing was changed" in gap.errors
    assert "`plsync keys trust CARD --role origin --takes-over berlin-lab`" in gap.errors


def test_a_newer_format(gap: Gap) -> None:
    path = exported(gap)
    signed_as(gap, path, "plsync bundle 2 kind=out of=more")
    assert f"{path.name}: it has format 2, and this version of plsync reads format 1; nothing was changed; upgrade" in (
        refused(gap, path)
    )


def test_a_comment_that_describes_no_bundle(gap: Gap) -> None:
    path = exported(gap)
    signed_as(gap, path, "timestamp:1700000000")
    assert "its trusted comment does not describe a bundle; nothing was changed" in refused(gap, path)


def test_no_room_for_the_copy(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    path = exported(gap)
    with monkeypatch.context() as patched:
        patched.setattr("plsync.bundle.receive.shutil.disk_usage", lambda _: Usage(100, 90, 10))
        message = refused(gap, path)
    size = path.stat().st_size
    needs = f"No space left: its private copy needs {size} bytes in the inbox, and 10 are free"
    assert f"{path.name}: {needs}; nothing was changed" in message
    assert "make room on that disk, and import it again" in message
    assert gap.into_hub()[0]["new"] == 1


def test_a_journal_that_was_put_back_from_a_copy(gap: Gap, tmp_path: Path) -> None:
    with Journal.open(gap.journal, create=True) as journal:
        journal.backup(tmp_path / "backup")
    exported(gap)
    gap.into_hub()
    gap.deliver()
    gap.back()
    gap.writer.close()
    shutil.rmtree(gap.journal)
    shutil.copytree(tmp_path / "backup", gap.journal)
    shown = gap.shown(gap.lab, "bundle", "import", str(gap.stick))
    assert "this journal was put back from a copy: 1 request id for calls that it no longer has" in shown
    assert "`plsync bundle list --orphans`" in shown
