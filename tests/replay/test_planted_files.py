"""Links, FIFOs and devices in the place of recordings and their binaries, as a pull request or an archive may bring."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from functools import partial
from pathlib import Path

import pytest

from plsync.errors import PlsyncError, RecordingFormatError, ReplayError
from plsync.replay import Recording, with_recording
from plsync.replay.storage.file import RecordingFile
from tests.replay.test_blobs import PICTURE, picture
from tests.support.models import Chat
from tests.support.planted import KINDS, state_of
from tests.support.pytest_runs import popen
from tests.support.replaying import recorded, replayed
from tests.support.users import in_child

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and FIFOs of Unix")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "project" / "recordings" / "test_app"
    directory.mkdir(parents=True)
    return directory / "calls.jsonl"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Another program's files under the names of plsync's binaries, as Ollama has them."""
    directory = tmp_path / "models" / "blobs"
    directory.mkdir(parents=True)
    for data in (PICTURE, b"layer 1", b"layer 2"):
        (directory / f"sha256-{hashlib.sha256(data).hexdigest()}").write_bytes(data)
    (directory / "calls.jsonl").write_text("not a recording\n")
    return directory


def prune(path: Path) -> None:
    with Recording(path, mode="all") as recording:
        with_recording(Chat(), recording).invoke("Draw.")
        recording.prune()


def test_pruning_empties_no_store_that_a_link_leads_to(path: Path, store: Path) -> None:
    recorded(picture(PICTURE), path).invoke("Draw.")
    [blob] = (path.parent / "blobs").iterdir()
    blob.unlink()
    (path.parent / "blobs").rmdir()
    (path.parent / "blobs").symlink_to(store)
    before = state_of(store)
    with pytest.raises(ReplayError, match="is a link or a file: replace it by a directory"):
        prune(path)
    with pytest.raises(ReplayError, match="is a link or a file"):
        RecordingFile(path).load_blob(blob.name)
    assert state_of(store) == before


def test_pruning_removes_only_binaries_that_the_pruned_lines_named(path: Path, store: Path) -> None:
    recorded(picture(PICTURE), path).invoke("Draw.")
    foreign = [path.parent / "blobs" / file.name for file in store.iterdir()]
    for file in foreign:
        if not file.exists():
            file.write_bytes((store / file.name).read_bytes())
    left = {file.name for file in foreign if file.read_bytes() != PICTURE}
    prune(path)
    assert {file.name for file in (path.parent / "blobs").iterdir()} == left


def test_pruning_removes_no_file_through_the_link_of_a_binary(path: Path, tmp_path: Path) -> None:
    recorded(picture(PICTURE), path).invoke("Draw.")
    [blob] = (path.parent / "blobs").iterdir()
    blob.rename(tmp_path / "kept")
    blob.symlink_to(tmp_path / "kept")
    with pytest.raises(ReplayError, match="symbolic link"):
        RecordingFile(path).load_blob(blob.name)
    prune(path)
    assert (tmp_path / "kept").read_bytes() == PICTURE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["none", "once", "new_episodes", "all"])
def test_nothing_is_read_or_written_through_a_planted_recording(mode: str, kind: str, path: Path, store: Path) -> None:
    KINDS[kind](path, store / "calls.jsonl")
    before = state_of(store)

    def call() -> None:
        with Recording(path, mode=mode) as recording:  # type: ignore[arg-type]
            with_recording(Chat(), recording).invoke("hi")

    error = in_child(call)
    assert isinstance(error, (PlsyncError, ValueError)), "a directory is taken for a journal, which is only served"
    assert state_of(store) == before
    assert not (store / "created").exists()


def test_a_link_between_recordings_of_a_project_is_followed(path: Path) -> None:
    other = path.parent.with_name("test_other") / "calls.jsonl"
    recorded(Chat(), other).invoke("hi")
    path.symlink_to(os.path.join("..", "test_other", "calls.jsonl"))
    assert replayed(Chat(), path).invoke("hi").content == "yes"
    with Recording(path, mode="new_episodes") as recording:
        with_recording(Chat(), recording).invoke("more")
    assert path.is_symlink()
    assert replayed(Chat(), other).invoke("more").content == "yes"


def test_a_link_out_of_the_recordings_names_its_target(path: Path, tmp_path: Path) -> None:
    recorded(Chat(), tmp_path / "elsewhere.jsonl").invoke("hi")
    path.symlink_to(tmp_path / "elsewhere.jsonl")
    with pytest.raises(ReplayError, match=rf"is a link out of \S+recordings, to {tmp_path}/elsewhere.jsonl"):
        replayed(Chat(), path).invoke("hi")


def test_a_long_first_line_is_no_recording_and_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RecordingFormatError, match="is not a recording"):
        RecordingFile(path).read()


def test_files_are_private_while_they_are_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    replace = os.replace

    def note(source: Path, target: Path) -> None:
        seen.append((Path(source).name, stat.S_IMODE(os.stat(source).st_mode)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", note)
    before = os.umask(0)
    try:
        recorded(picture(PICTURE), path).invoke("Draw.")
        again = path.with_name("again.jsonl")
        recorded(picture(PICTURE[::-1]), again).invoke("Draw.")
    finally:
        os.umask(before)
    names, modes = zip(*seen, strict=True)
    assert set(modes) == {0o600}
    assert len(set(names)) == len(names)
    assert not any(str(os.getpid()) in name for name in names)


APP = """
import base64
from langchain_core.messages import AIMessage
from tests.support.models import Chat

def test_it(plsync_recording):
    block = {"type": "image", "base64": base64.b64encode(bytes(range(256)) * 40).decode()}
    Chat(reply=lambda _: AIMessage([block])).invoke("Draw.")
"""


@pytest.mark.parametrize("options", [("--plsync-record=all",), ("--plsync-prune",)])
def test_a_run_that_prunes_removes_nothing_of_another_program(
    options: tuple[str, ...], pytester: pytest.Pytester, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytester, "popen", partial(popen, pytester))
    pytester.makepyfile(test_app=APP)
    directory = pytester.path / "recordings" / "test_app"
    directory.mkdir(parents=True)
    (directory / "blobs").symlink_to(store)
    names = [file.name for file in store.iterdir() if file.name.startswith("sha256")]
    line = {"key": "0" * 16, "request": {}, "answer": {"large": names}}
    header = '{"plsync":"recording","format":1}\n'
    (directory / "test_it.jsonl").write_text(header + json.dumps(line, separators=(",", ":")) + "\n")
    # A directory of removed tests that leads to another program's files, and a file of that program among recordings.
    (pytester.path / "recordings" / "test_gone").symlink_to(store)
    (directory / "letters.jsonl").write_text("dear\n")
    before = state_of(store)
    pytester.runpytest_subprocess(*options, "-p", "no:cacheprovider")
    assert state_of(store) == before
    assert (directory / "letters.jsonl").read_text() == "dear\n"
