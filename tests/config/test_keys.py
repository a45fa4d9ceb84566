"""Keys from files and commands: the text is checked, and no error quotes it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from plsync._common.api_key import redact_api_keys
from plsync.config.keys import CommandKey, FileKey, KeySource, VariableKey, environment_key
from plsync.errors import AuthenticationError

WRONG = [
    (b"", "is empty"),
    (b"\n \n", "is empty"),
    (b"pl_secret-one\npl_secret-two\n", "more than one line"),
    (b"pl_secret-" + b"x" * 5000, "more than 4096 bytes"),
    (b"pl_secret-\xff\xfe", "characters that no key has"),
    ("pl_secret-é".encode(), "characters that no key has"),
    (b"pl_secret- and a word", "characters that no key has"),
    (b"pl_secret-\0", "characters that no key has"),
]


def error_of(source: KeySource) -> str:
    with pytest.raises(AuthenticationError) as error:
        source.read()
    assert "secret-" not in str(error.value)
    assert error.value.__cause__ is None
    return str(error.value)


def command(code: str, timeout: float = 20.0) -> CommandKey:
    return CommandKey((sys.executable, "-c", code, "pl_secret-argument"), timeout)


@pytest.mark.parametrize("content", [b"pl_key", b"pl_key\n", b"\xef\xbb\xbfpl_key\r\n", b"  pl_key \n\n"])
def test_space_around_a_key_is_removed(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert FileKey(file).read() == "pl_key"
    assert command(f"import sys; sys.stdout.buffer.write({content!r})").read() == "pl_key"


@pytest.mark.parametrize(("content", "reason"), WRONG)
def test_no_error_quotes_the_text_of_a_file(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert f"the file {file} " in error_of(FileKey(file))
    assert reason in error_of(FileKey(file))


@pytest.mark.parametrize(("content", "reason"), WRONG)
def test_no_error_quotes_the_output_of_a_command(content: bytes, reason: str) -> None:
    assert reason in error_of(command(f"import sys; sys.stdout.buffer.write({content!r})"))


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    assert "No such file" in error_of(FileKey(tmp_path / "missing"))
    os.mkfifo(tmp_path / "fifo")
    for kind in (tmp_path, tmp_path / "fifo"):
        error = error_of(FileKey(kind))
        assert "not a regular file" in error
        # The advice for a file that plsync makes itself would be dangerous here.
        assert "move" not in error


def test_a_command_that_fails_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert "exited with 3" in error_of(command("import sys; sys.exit(print('pl_secret-', file=sys.stderr) or 3)"))
    assert "cannot be started (No such file" in error_of(CommandKey(("/no/such/program",)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "import time; print('pl_secret-', flush=True); time.sleep(60)",
        "import os, time; print('pl_secret-', flush=True); os.close(1); time.sleep(60)",
        "import subprocess, sys; print('pl_secret-', flush=True); subprocess.Popen(['sleep', '60'])",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
    ],
)
def test_a_command_that_hangs_is_stopped_with_its_children(code: str) -> None:
    began = time.monotonic()
    assert "has not ended after 0.5 seconds" in error_of(command(code, 0.5))
    assert time.monotonic() - began < 10


def test_endless_output_is_cut() -> None:
    assert "more than 4096 bytes" in error_of(command("while True: print('pl_secret-')"))


def test_a_command_has_no_input() -> None:
    assert command("import sys; print('pl_' + repr(sys.stdin.read()))").read() == "pl_''"


def test_a_key_that_was_read_is_redacted(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("of-this-file-alone")
    FileKey(file).read()
    assert "this-file" not in redact_api_keys("refused: of-this-file-alone")


def test_the_environment_has_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLAYER_API_KEY", "")
    monkeypatch.setenv("PROMPTLAYER_API_KEY_FILE", "")
    assert environment_key() is None
    monkeypatch.setenv("PROMPTLAYER_API_KEY_FILE", str(tmp_path / "key"))
    assert environment_key() == FileKey(tmp_path / "key")
    monkeypatch.setenv("PROMPTLAYER_API_KEY", "pl_key")
    with pytest.raises(AuthenticationError, match="are both set"):
        environment_key()
    monkeypatch.delenv("PROMPTLAYER_API_KEY_FILE")
    assert environment_key() == VariableKey()
