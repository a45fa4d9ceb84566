"""Completion in a real bash."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import PLSYNC, environment
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000

BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="this machine has no bash")


def completed(path: Path, *lines: str) -> list[list[str]]:
    """The words that bash offers after each of these lines."""
    script = ['eval "$(plsync --show-completion)"']
    for line in lines:
        words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
        script += [f"COMP_WORDS=({shlex.join(words)})", f"COMP_CWORD={len(words) - 1}"]
        script += ["COMPREPLY=()", "_plsync_completion plsync", 'printf "%s\\t" "${COMPREPLY[@]}"; echo']
    variables = environment(path)
    variables["PATH"] = f"{PLSYNC.parent}:{variables['PATH']}"
    command = [BASH or "bash", "--norc", "-c", "\n".join(script)]
    done = subprocess.run(command, env=variables, capture_output=True, encoding="utf-8", check=False)
    assert done.stderr == ""
    return [[word for word in line.split("\t") if word] for line in done.stdout.splitlines()]


def test_bash_offers_commands_options_and_values(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.call("a", "b", at=T, tags=["geo", "even"], params={"model": "gpt-4o"})
    expected = {
        "plsync sho": ["show"],
        "plsync prompts ": ["pull", "list"],
        "plsync list --resu": ["--result"],
        "plsync list --result c": ["cancelled", "cut-short"],
        "plsync tail --tag ": ["geo", "even"],
        "plsync list --model g": ["gpt-4o"],
        f"plsync show {record_id[:3]}": [record_id[:8]],
    }
    assert dict(zip(expected, completed(path, *expected), strict=True)) == expected


def test_bash_offers_nothing_without_a_journal(path: Path) -> None:
    assert completed(path, "plsync show ", "plsync list --tag ") == [[], []]
    assert not path.exists()
