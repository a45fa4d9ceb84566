"""A stick or a disk that is full, and a stick that is pulled out: an error, and whole with the next round trip."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plsync.bundle import medium, receive
from plsync.journal.journal import Journal
from plsync.testing import PromptLayerServer
from tests.support.full_disk import fill, small_disk, small_ext4
from tests.support.gap import Gap
from tests.support.preloading import compiled, run_preloaded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts small file systems")

IS_LONG = bool(os.environ.get("PLSYNC_FULL_DISKS"))
LONG = pytest.mark.skipif(not IS_LONG, reason="`make crash` runs it")
PAGE = 4096
# `make crash` tries each page.
STEP = PAGE if IS_LONG else 10 * PAGE


def record(gap: Gap, number: int) -> None:
    """Calls whose content does not compress well, so that a bundle has many pages."""
    noise = random.Random(1)  # noqa: S311 - no secret
    for call in range(number):
        gap.writer.call(noise.randbytes(2000).hex(), "answer", at=call + 1)


def leave(disk: Path, size: int) -> None:
    """Fill a disk but for this many bytes."""
    (disk / "ballast").unlink(missing_ok=True)
    os.truncate(ballast := fill(disk), max(0, (disk / "ballast").stat().st_size - size))
    assert ballast.exists()


def assert_whole(gap: Gap, records: int) -> None:
    """After a round trip with room, each call has its request id, and PromptLayer has it once."""
    gap.trip()
    assert list(gap.states().values()) == ["acked"] * records
    assert len(gap.server.request_logs) == records
    assert {log["id"] for log in gap.server.request_logs} == set(gap.request_ids())
    for path in (gap.journal, gap.journals / "berlin-lab"):
        with Journal.open(path) as journal:
            assert journal.check().problems == []


@pytest.fixture(params=["tmpfs", pytest.param("ext4", marks=LONG)])
def stick(request: pytest.FixtureRequest, gap: Gap) -> Iterator[Path]:
    """A small stick. The stick of the machines themselves has room."""
    path = gap.stick.with_name("small")
    with small_disk(path, "1m") if request.param == "tmpfs" else small_ext4(path, 2) as disk:
        yield disk


def test_an_export_to_a_full_stick_leaves_nothing_there_and_loses_nothing(gap: Gap, stick: Path) -> None:
    record(gap, 30)
    roomy, gap.stick, free, code = gap.stick, stick, 0, 1
    before = sorted(path.name for path in stick.iterdir())
    while code:
        leave(stick, free)
        with contextlib.suppress(AssertionError):
            gap.out()
            code = 0
        if code:
            assert "No space left" in gap.errors and "no record is lost" in gap.errors
            assert sorted(path.name for path in stick.iterdir()) == sorted([*before, "ballast"])
            assert set(gap.states().values()) == {"pending"}
            assert gap.at(gap.lab, "bundle", "list") == []
        free += STEP
    # It needs the bundle, its signature and a directory, and no second copy.
    size = sum(path.stat().st_size for path in stick.glob("plsync-*"))
    assert free - STEP <= size + 16 * PAGE + STEP
    assert set(gap.states().values()) == {"carried"}
    gap.stick = roomy
    assert_whole(gap, 30)


def pulled(stick: Path) -> None:
    subprocess.run(["/bin/umount", "-l", str(stick)], check=True)


def read_only(stick: Path) -> None:
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(stick)], check=True)


@pytest.mark.parametrize("fail", [pulled, read_only])
@pytest.mark.parametrize("name", ["create_new", "_sync_directory", "_sha256"])
def test_a_stick_that_is_pulled_out_or_fails_during_an_export_loses_nothing(
    gap: Gap, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Path], None], name: str
) -> None:
    record(gap, 3)
    roomy, real = gap.stick, getattr(medium, name)
    with small_disk(gap.stick.with_name("small"), "1m") as stick, monkeypatch.context() as patched:
        gap.stick = stick
        done: list[None] = []

        def failing(*arguments: object) -> object:
            if not done:
                done.append(None)
                fail(stick)
            return real(*arguments)

        patched.setattr(medium, name, failing)
        try:
            # The sync of a directory may fail, and a file is read back from a file system that is read-only.
            gap.out(code=0 if fail is read_only and name != "create_new" else 1)
        finally:
            if fail is pulled:
                subprocess.run(["/bin/mount", "-t", "tmpfs", "plsync-test", str(stick)], check=True)
    assert done
    gap.stick = roomy
    assert_whole(gap, 3)


@pytest.mark.parametrize("side", ["hub", "lab"])
@pytest.mark.parametrize("name", ["open_bundle", pytest.param("read_signature", marks=LONG)])
def test_a_stick_that_is_pulled_out_during_an_import_changes_nothing(
    gap: Gap, monkeypatch: pytest.MonkeyPatch, name: str, side: str
) -> None:
    record(gap, 3)
    roomy, real = gap.stick, getattr(receive, name)
    if side == "lab":
        gap.out()
        gap.into_hub()
        gap.deliver()
    before = gap.states()
    with small_disk(gap.stick.with_name("small"), "1m") as stick, monkeypatch.context() as patched:
        gap.stick = stick
        gap.out() if side == "hub" else gap.back()

        def pulling(*arguments: object) -> object:
            pulled(stick)
            return real(*arguments)

        patched.setattr(receive, name, pulling)
        try:
            gap.into_hub(code=1) if side == "hub" else gap.into_lab(code=1)
        finally:
            subprocess.run(["/bin/mount", "-t", "tmpfs", "plsync-test", str(stick)], check=True)
    assert "no record is lost" in gap.errors or "nothing was changed" in gap.errors
    assert set(gap.states().values()) == ({"carried"} if side == "hub" else set(before.values()))
    gap.stick = roomy
    assert_whole(gap, 3)


@pytest.mark.parametrize("side", ["hub", "lab"])
def test_an_import_on_a_full_disk_is_an_error_and_the_next_one_is_whole(
    tmp_path: Path,
    server: PromptLayerServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    side: str,
) -> None:
    with small_disk(tmp_path / "disk", "40m") as disk:
        gap = Gap(disk if side == "lab" else tmp_path, server, monkeypatch, capsys)
        gap.stick = tmp_path / "roomy"
        gap.stick.mkdir()
        if side == "hub":
            gap.journals = disk / "journals"
        else:
            gap.journals = tmp_path / "journals"
        recorded, failed = 0, 0
        for free in range(0, 1 << 20, 16 * PAGE if IS_LONG else 128 * PAGE):
            record(gap, 40)
            recorded += 40
            gap.empty_stick()
            gap.out()
            if side == "lab":
                gap.into_hub()
                gap.deliver()
                gap.back()
            leave(disk, free)
            try:
                gap.into_hub() if side == "hub" else gap.into_lab()
            except AssertionError:
                failed += 1
                assert "No space left" in gap.errors
            (disk / "ballast").unlink()
            assert_whole(gap, recorded)
        assert failed
        gap.writer.close()


@LONG
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_stick_that_fails_from_any_call_on_loses_nothing(gap: Gap, tmp_path: Path, number: int) -> None:
    library = compiled(Path(__file__).with_name("failing.c"), tmp_path)
    steps = [
        (gap.lab, ["bundle", "export", str(gap.stick)]),
        (gap.hub, ["bundle", "import", str(gap.stick), "--hub", str(gap.journals)]),
        (gap.hub, ["bundle", "export", str(gap.stick), "--hub", str(gap.journals)]),
        (gap.lab, ["bundle", "import", str(gap.stick)]),
    ]
    recorded, failed = 0, 0
    for chosen in range(len(steps)):
        at = ended = 0
        while not ended:
            at += 1
            record(gap, 1)
            recorded += 1
            for step, (side, arguments) in enumerate(steps):
                last = at if step == chosen else 1 << 30
                variables = {"PLSYNC_TEST_FAIL_AT": str(last), "PLSYNC_TEST_ERRNO": str(number)}
                done, calls = run_preloaded(library, side, arguments, PLSYNC_TEST_BELOW=str(gap.stick), **variables)
                assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
                if step == chosen:
                    ended = calls < at
                    failed += done.returncode
                    assert ended or done.returncode or step != 0, "an export to a stick that fails must not succeed"
                if step == 1 and gap.journals.exists():
                    gap.deliver()
            gap.empty_stick()
    assert failed > 8
    gap.trip()
    assert_whole(gap, recorded)


@LONG
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", ["import", "run", "export"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_disk_of_a_hub_that_fails_from_any_call_on_loses_nothing(
    gap: Gap, tmp_path: Path, number: int, step: str
) -> None:
    library = compiled(Path(__file__).with_name("failing.c"), tmp_path)
    arguments = {
        "import": ["bundle", "import", str(gap.stick), "--hub", str(gap.journals)],
        "run": ["run", "--hub", str(gap.journals), "--once", "--settle", "0"],
        "export": ["bundle", "export", str(gap.stick), "--hub", str(gap.journals)],
    }[step]
    recorded, failed, at, is_whole = 0, 0, 0, False
    while not is_whole:
        at += 1 + at // 5
        record(gap, 1)
        recorded += 1
        gap.empty_stick()
        gap.out()
        if step != "import":
            gap.into_hub()
        if step == "export":
            gap.deliver()
        variables = {"PLSYNC_TEST_FAIL_AT": str(at), "PLSYNC_TEST_ERRNO": str(number)}
        variables |= {"PROMPTLAYER_BASE_URL": gap.server.url, "PROMPTLAYER_API_KEY": gap.server.api_key}
        done, calls = run_preloaded(library, gap.hub, arguments, PLSYNC_TEST_BELOW=str(gap.journals), **variables)
        assert done.returncode in (0, 1, 3) and "Traceback" not in done.stderr, done.stderr
        is_whole = calls < at
        failed += done.returncode
    assert failed and done.returncode == 0
    assert_whole(gap, recorded)
