"""A file of a medium that was changed anywhere is refused, and the journals stay byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plsync.bundle.receive import opened
from plsync.errors import BundleError
from tests.support.gap import Gap


@pytest.fixture(autouse=True)
def _calls(gap: Gap) -> None:
    gap.record(3)


def contents(*roots: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for root in roots for path in sorted(root.rglob("*")) if path.is_file()}


def is_refused(gap: Gap, path: Path) -> bool:
    try:
        with opened(path, gap.hub_keys, gap.journals / "inbox"):
            return False
    except BundleError:
        return True


def test_a_changed_byte_and_a_cut_of_a_bundle_are_refused_and_change_nothing(gap: Gap) -> None:
    gap.out()
    gap.into_hub()
    [path] = gap.stick.glob("*.age")
    signature = path.with_name(f"{path.name}.minisig")
    before = contents(gap.hub)
    for file in (path, signature):
        whole = file.read_bytes()
        # The untrusted comment of minisign has no meaning.
        first = 0 if file == path else whole.index(b"\n") + 1
        # Rust's tests flip every bit. The files that a refused import leaves are the subject here.
        for at in range(first, len(whole), 41):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
            assert is_refused(gap, path), f"byte {at} of {file.name}"
        # The last line of a signature may lack its line feed.
        for length in range(0, len(whole) - (file == signature), 97):
            file.write_bytes(whole[:length])
            assert is_refused(gap, path), f"{file.name} cut to {length}"
        file.write_bytes(whole)
    assert contents(gap.hub) == before
    assert not (gap.journals / "inbox").exists()
    assert not is_refused(gap, path)


@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform == "win32", reason="no FIFO")
@pytest.mark.parametrize("which", ["bundle", "signature"])
@pytest.mark.parametrize("kind", ["fifo", "endless", "device", "directory"])
def test_a_pipe_a_device_and_an_endless_file_are_refused_at_once(gap: Gap, which: str, kind: str) -> None:
    gap.out()
    [bundle] = gap.stick.glob("*.age")
    signature = bundle.with_name(f"{bundle.name}.minisig")
    path = bundle if which == "bundle" else signature
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "endless":
        path.touch()
        os.truncate(path, 1 << 40)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    before = contents(gap.hub)
    gap.into_hub(code=1)
    assert "nothing was changed" in gap.errors or "no record is lost" in gap.errors
    assert contents(gap.hub) == before


def test_a_swapped_signature_is_refused(gap: Gap) -> None:
    gap.out()
    gap.record(1)
    gap.out()
    one, two = sorted(gap.stick.glob("*.age"))
    for suffix in ("", ".minisig"):
        assert (gap.stick / f"{one.name}{suffix}").exists()
    signature = two.with_name(f"{two.name}.minisig").read_bytes()
    two.with_name(f"{two.name}.minisig").write_bytes(one.with_name(f"{one.name}.minisig").read_bytes())
    one.with_name(f"{one.name}.minisig").write_bytes(signature)
    assert is_refused(gap, one)
    assert is_refused(gap, two)


@pytest.mark.skipif(not shutil.which("strace"), reason="not installed: strace")
def test_neither_side_opens_a_socket(gap: Gap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def traced(side: Path, *arguments: str) -> None:
        monkeypatch.setenv("PLSYNC_KEYS", str(side / "keys"))
        monkeypatch.setenv("PLSYNC_JOURNAL", str(side / "journal"))
        trace = ["strace", "-f", "-qq", "-A", "-e", "trace=socket,connect,bind", "-o", str(calls)]
        command = "from plsync.cli import app; app(prog_name='plsync')"
        subprocess.run([*trace, sys.executable, "-c", command, *arguments], check=True, capture_output=True)

    traced(gap.lab, "bundle", "export", str(gap.stick))
    traced(gap.hub, "bundle", "import", str(gap.stick), "--hub", str(gap.journals))
    traced(gap.hub, "bundle", "export", str(gap.stick), "--hub", str(gap.journals))
    traced(gap.lab, "bundle", "import", str(gap.stick))
    found = [line for line in calls.read_text().splitlines() if "AF_INET" in line]
    assert found == []
