"""Files that editors and git leave behind: a BOM, CRLF, two headers, and a union merge."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from plsync.errors import RecordingFormatError
from plsync.replay import Recording, record_all, with_recording
from plsync.replay.response import restore
from tests.support.models import Chat
from tests.support.replaying import lines, replayed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def record(path: Path, *questions: str) -> None:
    with record_all(path, "new_episodes"):
        for question in questions:
            Chat().invoke(question)


def answered(path: Path, *questions: str) -> bool:
    return all(replayed(Chat(), path).invoke(question).content == "yes" for question in questions)


def test_a_byte_order_mark_is_ignored(path: Path) -> None:
    record(path, "a")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert answered(path, "a")
    record(path, "b")
    assert answered(path, "a", "b")


def test_a_file_with_crlf_keeps_it(path: Path) -> None:
    record(path, "a", "b")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    record(path, "c")
    assert answered(path, "a", "b", "c")
    with Recording(path) as recording:
        with_recording(Chat(), recording).invoke("c")
        assert recording.prune() == 2
    content = path.read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n") == 2


def test_two_recordings_in_one_file_are_one_recording(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    record(path, "a")
    record(other, "b")
    path.write_bytes(path.read_bytes() + other.read_bytes())
    assert answered(path, "a", "b")
    with Recording(path) as recording:
        with_recording(Chat(), recording).invoke("b")
        assert recording.prune() == 1
    assert path.read_bytes().count(b'"plsync"') == 1
    assert answered(path, "b")


def test_a_second_header_of_a_newer_format_is_refused(path: Path) -> None:
    record(path, "a")
    path.write_bytes(path.read_bytes() + b'{"plsync":"recording","format":9}\n')
    with pytest.raises(RecordingFormatError, match="format 9"):
        replayed(Chat(), path).invoke("unknown")


def test_a_union_merge_keeps_the_calls_of_both_developers(path: Path, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main")
        program = shutil.which("git")
        assert program is not None
        subprocess.run([program, *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / ".gitattributes").write_text("*.jsonl merge=union\n")
    git("init")
    record(path, "shared")
    git("add", ".")
    git("commit", "-m", "first")
    git("checkout", "-b", "theirs")
    record(path, "of one")
    git("commit", "-am", "one")
    git("checkout", "main")
    record(path, "of another")
    git("commit", "-am", "another")
    git("merge", "theirs", "-m", "both")
    assert answered(path, "shared", "of one", "of another")
    assert len(lines(path)) == 3


@pytest.mark.parametrize(
    ("known", "newer"), [('"AIMessage"', '"HologramMessage"'), ('"content":"yes"', '"content":{"$":"hologram","v":1}')]
)
def test_a_value_of_a_newer_version_is_an_error_with_its_line_and_the_installed_versions(
    known: str, newer: str, path: Path
) -> None:
    record(path, "Where?")
    path.write_text(path.read_text(encoding="utf-8").replace(known, newer), encoding="utf-8")
    with pytest.raises(RecordingFormatError) as refused:
        answered(path, "Where?")
    assert f"{path}, line 2 holds a value of the kind" in str(refused.value)
    assert f"plsync {version('plsync')} and langchain-core {version('langchain-core')} do not know" in str(
        refused.value
    )


def test_a_message_class_that_this_langchain_lacks_is_such_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(path, "Where?")

    def lacking(tag: str) -> None:
        raise AttributeError(tag)

    restore._fields.cache_clear()
    monkeypatch.setattr(restore, "model_class", lacking)
    with pytest.raises(RecordingFormatError, match=r"line 2 holds a value of the kind 'ChatGeneration', which plsync"):
        answered(path, "Where?")
