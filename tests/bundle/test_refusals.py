"""A bundle that is not whole, not of a trusted machine, or for another machine is refused, and changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plsync.bundle.keys import Keys
from plsync.journal.journal import Journal
from tests.support.gap import Gap


@pytest.fixture
def gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Gap]:
    made = Gap(tmp_path, None, monkeypatch, capsys)
    made.record(2)
    yield made
    made.writer.close()


def exported(gap: Gap) -> tuple[Path, Path]:
    gap.out()
    [path] = gap.stick.glob("*.age")
    return path, path.with_name(f"{path.name}.minisig")


def refused(gap: Gap, path: Path) -> str:
    """The message of a refused import of one file, which left no file in the hub."""
    gap.at(gap.hub, "bundle", "import", str(path), "--hub", str(gap.journals), code=1)
    assert not gap.journals.exists() or not list(gap.journals.iterdir())
    return gap.errors


def test_a_changed_or_cut_file_is_refused(gap: Gap) -> None:
    path, _ = exported(gap)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    size = f"{len(whole)} bytes were signed"
    assert f"it differs from the signed file: {size}, {len(whole)} are here; nothing was changed" in refused(gap, path)
    path.write_bytes(whole[:100])
    assert f"{size}, 100 are here; nothing was changed; copy it again, or export again" in refused(gap, path)
    path.write_bytes(whole)
    gap.at(gap.hub, "bundle", "import", str(path), "--hub", str(gap.journals))


def test_a_missing_a_foreign_and_a_long_signature_are_refused(gap: Gap) -> None:
    path, signature = exported(gap)
    text = signature.read_text()
    signature.write_text(text.replace("serial=1", "serial=2"))
    assert "the signature does not match the trusted key" in refused(gap, path)
    signature.write_text("x" * 10_000)
    assert "longer than 8 KiB" in refused(gap, path)
    signature.unlink()
    assert "has no signature beside it; nothing was changed; copy both files" in refused(gap, path)


def test_an_unknown_signer_and_another_recipient_are_refused(gap: Gap) -> None:
    path, _ = exported(gap)
    gap.hub_keys.distrust("berlin-lab")
    assert "which is not trusted here; nothing was changed; if its machine is known, get the card" in refused(gap, path)
    gap.hub_keys.trust(gap.lab_keys.own_or_raise(), "hub")
    assert "its signer is trusted as a hub" in refused(gap, path)
    third = Keys(gap.stick.parent / "third")
    third.create("third")
    third.trust(gap.lab_keys.own_or_raise(), "origin")
    shutil.rmtree(gap.hub / "keys")
    shutil.move(third.path, gap.hub / "keys")
    assert f"it is for the key {gap.hub_card.key_id}; nothing was changed; import it at that machine" in refused(
        gap, path
    )


def test_a_bundle_with_replaced_keys_on_its_way_is_read(gap: Gap) -> None:
    path, _ = exported(gap)
    gap.hub_keys.rotate()
    [imported] = gap.into_hub()
    assert (imported["file"], imported["new"]) == (str(path), 2)


def test_one_refused_bundle_stops_no_other(gap: Gap) -> None:
    path, _ = exported(gap)
    (gap.stick / "plsync-aaa-000001-1of1.tar").write_bytes(b"x")
    assert [found["file"] for found in gap.into_hub(code=1)] == [str(path)]
    assert "plsync-aaa-000001-1of1.tar has no signature beside it" in gap.errors


def test_a_bundle_goes_to_its_own_side_alone(gap: Gap) -> None:
    path, _ = exported(gap)
    [shown] = gap.at(gap.hub, "bundle", "show", str(path))
    assert (shown["kind"], shown["records"], shown["encrypted"], shown["signer"]) == ("out", 2, True, "berlin-lab")
    gap.at(gap.hub, "bundle", "import", str(path), "--journal", str(gap.lab / "journal"), code=1)
    assert "import it at the hub, with --hub DIR" in gap.errors
    # The origin cannot read its own bundle.
    gap.at(gap.lab, "bundle", "show", str(path), code=1)
    assert "not trusted here" in gap.errors


def test_a_journal_of_another_origin_is_not_mixed(gap: Gap) -> None:
    gap.out()
    gap.into_hub()
    imposter = Keys(gap.stick.parent / "imposter")
    gap.hub_keys.trust(imposter.create("other-lab"), "origin")
    imposter.trust(gap.hub_card, "hub")
    shutil.rmtree(gap.lab / "keys")
    shutil.move(imposter.path, gap.lab / "keys")
    gap.empty_stick()
    gap.out()
    [path] = gap.stick.glob("*.age")
    gap.at(gap.hub, "bundle", "import", str(path), "--hub", str(gap.journals), code=1)
    assert "belongs to berlin-lab, and other-lab has signed the bundle; nothing was changed" in gap.errors


@pytest.mark.parametrize("call", ["rename", "fsync"])
def test_a_medium_that_fails_gets_no_bundle_and_the_next_one_gets_all(
    gap: Gap, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (gap.stick / "mine").write_text("kept")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    real = os.fsync
    with monkeypatch.context() as patched:
        if call == "rename":
            patched.setattr(os, "rename", fail)
        else:

            def fail_on_the_stick(descriptor: int) -> None:
                if str(gap.stick) in os.readlink(f"/proc/self/fd/{descriptor}"):
                    fail()
                real(descriptor)

            patched.setattr(os, "fsync", fail_on_the_stick)
        gap.out(code=1)
    assert "No space left on device; no record is lost: export again to a medium with room" in gap.errors
    assert [path.name for path in gap.stick.iterdir()] == ["mine"]
    [report] = gap.out()
    assert report["records"] == 2


def test_bytes_that_read_back_differently_are_noticed(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("plsync.bundle.medium._sha256", lambda _: "0" * 64)
        gap.out(code=1)
    assert "was read back with other bytes; its records will be exported again" in gap.errors
    assert list(gap.stick.iterdir()) == []


def test_no_socket_is_opened_at_the_origin(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket")

    with monkeypatch.context() as patched:
        patched.setattr("socket.socket.__init__", fail)
        gap.out()
        gap.into_hub()
        gap.back()
        gap.into_lab()


def test_a_record_that_does_not_fit_stays_and_spoils_no_bundle(gap: Gap) -> None:
    odd = gap.writer.start(b'{"v":1,\n"kind":"chat","messages":[]}', at=50)
    gap.writer.end(odd, {})
    [report] = gap.out(code=3)
    assert (report["records"], report["left_out"]) == (2, [f"{odd}: a body has more than one line"])
    assert [found["new"] for found in gap.into_hub()] == [2]
    with Journal.open(gap.journal) as journal:
        assert {record.state for record in journal.records()} == {"pending", "carried"}


def test_without_keys_or_a_trusted_hub_nothing_is_written(gap: Gap) -> None:
    gap.lab_keys.distrust("hub-nord")
    gap.out(code=1)
    assert "no hub is trusted; nothing was written; run `plsync keys trust CARD --role hub` first" in gap.errors
    gap.lab_keys.trust(gap.hub_card, "hub")
    for path in gap.lab_keys.path.glob("self.card"):
        path.unlink()
    gap.out(code=1)
    assert "has no keys; nothing was changed; run `plsync keys init --name NAME` first" in gap.errors
