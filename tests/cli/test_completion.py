"""Completion in a real bash and fish, and in the protocol of zsh."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.commands import PLSYNC, environment, run
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000

BASH = shutil.which("bash")
FISH = shutil.which("fish")


def environment_with_commands(path: Path) -> dict[str, str]:
    """An environment whose PATH has ``plsync``."""
    variables = environment(path)
    variables["PATH"] = f"{PLSYNC.parent}:{variables['PATH']}"
    commands = path.with_name("commands")
    commands.mkdir()
    return variables | {"PATH": programs.add_commands(commands, variables)}


def completed(path: Path, *lines: str) -> list[list[str]]:
    """The words that bash offers after each of these lines."""
    script = ['eval "$(plsync --show-completion)"']
    for line in lines:
        words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
        script += [f"COMP_WORDS=({shlex.join(words)})", f"COMP_CWORD={len(words) - 1}"]
        script += ["COMPREPLY=()", "_plsync_completion plsync", 'printf "%s\\t" "${COMPREPLY[@]}"; echo']
    variables = environment_with_commands(path)
    command = [BASH or "bash", "--norc", "-c", "\n".join(script)]
    done = subprocess.run(command, env=variables, capture_output=True, encoding="utf-8", check=False)
    assert done.stderr == ""
    return [[word for word in line.split("\t") if word] for line in done.stdout.splitlines()]


@pytest.mark.skipif(BASH is None, reason="this machine has no bash")
def test_bash_offers_commands_options_and_values(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.call("a", "b", at=T, tags=["geo", "even"], params={"model": "gpt-4o"})
    expected = {
        "plsync sho": ["show"],
        "plsync prompts ": ["pull", "list"],
        "plsync list --resu": ["--result"],
        "plsync list --result c": ["cancelled", "cut-short"],
        "plsync tail --tag ": ["geo", "even"],
        "plsync list --model g": ["gpt-4o"],
        "plsync list --follow-ups ": ["waiting", "refused", "sent"],
        "plsync usage --by ": ["model", "day", "hour", "tag", "thread"],
        "plsync status --format p": ["prometheus"],
        "plsync list --state in": ["in_doubt"],
        "plsync retry --delivery ": ["refused", "held"],
        "plsync quota --policy d": ["drop-oldest"],
        "plsync keys trust x --role h": ["hub"],
        f"plsync show {record_id[:3]}": [record_id[:8]],
    }
    assert dict(zip(expected, completed(path, *expected), strict=True)) == expected


@pytest.mark.skipif(BASH is None, reason="this machine has no bash")
def test_bash_offers_workspaces_and_the_ids_of_their_journals(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "plsync").mkdir(mode=0o700)
    (tmp_path / "plsync" / "config.toml").write_text(f'[workspaces.staging]\njournal = "{path}"\n')
    (tmp_path / "plsync" / "config.toml").chmod(0o600)
    writer = SpoolWriter(path)
    record_id = writer.call("a", "b", at=T)
    writer.close()
    expected = {
        "plsync list --workspace s": ["staging"],
        "plsync --workspace ": ["staging"],
        f"plsync show --workspace staging {record_id[:3]}": [record_id[:8]],
    }
    assert dict(zip(expected, completed(tmp_path / "none", *expected), strict=True)) == expected


def test_zsh_and_fish_get_values_with_their_descriptions(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.call('It\'s "one": 50 % & $more', "b", at=T)
    short = record_id[:8]
    words = {"_TYPER_COMPLETE_ARGS": "plsync show ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    zsh = run(path, **words, _PLSYNC_COMPLETE="complete_zsh").stdout
    assert zsh.startswith(f'_arguments \'*: :(("{short}":"Its one\\\\: ')
    assert zsh.rstrip().endswith("\"))'")
    fish = run(path, **words, _PLSYNC_COMPLETE="complete_fish").stdout
    assert fish == f"{short}\tIts one: 50 % & more\n"


HOSTILE = [
    "$(touch ran)",
    "\\$(touch ran)",
    "\\`touch ran`",
    "'; touch ran; '",
    '"; touch ran; "',
    "a\ntouch ran",
    "-x",
    "*",
]


def test_no_content_of_a_record_can_run_in_a_shell(writer: SpoolWriter, path: Path) -> None:
    for text in HOSTILE:
        writer.call(text, "b", at=T, tags=[text, "geo"], params={"model": text})
    for words, offered in (("show", None), ("list --tag", '"geo"'), ("list --model", "")):
        words_of_zsh = {"_TYPER_COMPLETE_ARGS": f"plsync {words} ", "_PLSYNC_COMPLETE": "complete_zsh"}
        printed = run(path, **words_of_zsh).stdout.rstrip("\n")
        found = printed.removeprefix("_arguments '*: :((").removesuffix("))'")
        assert not set(found) & set("\\`$'")
        assert offered is None or found == (offered or "_files")


@pytest.mark.skipif(FISH is None, reason="this machine has no fish")
def test_fish_offers_commands_and_values(writer: SpoolWriter, path: Path) -> None:
    writer.call("a", "b", at=T, tags=["geo"], params={"model": "gpt-4o"})
    variables = environment_with_commands(path)
    lines = ("plsync sho", "plsync list --model g", "plsync list --result c")
    script = "plsync --show-completion | source\n" + "".join(f"complete -C '{line}'\n" for line in lines)
    command = [FISH or "fish", "--no-config", "-c", script]
    done = subprocess.run(command, env=variables, capture_output=True, encoding="utf-8", check=False)
    offered = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert (offered, done.stderr) == (["show", "gpt-4o", "cancelled", "cut-short"], "")


@pytest.mark.skipif(BASH is None, reason="this machine has no bash")
def test_bash_offers_nothing_without_a_journal(path: Path) -> None:
    assert completed(path, "plsync show ", "plsync list --tag ") == [[], []]
    assert not path.exists()
