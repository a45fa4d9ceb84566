"""``plsync --help``: the commands and options are public API."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.commands import printed, run
from tests.support.root import ROOT

FILTERS = {
    "--tag",
    "--model",
    "--state",
    "--status",
    "--result",
    "--delivery",
    "--since",
    "--until",
    "--text",
    "-n",
    "--limit",
}
EVERYWHERE = {"--journal", "--workspace", "--json", "-h", "--help"}
OPTIONS = {
    "run": {
        "--once",
        "--callbacks",
        "--exec",
        "--no-callbacks",
        "--batch",
        "--in-flight",
        "--settle",
        "-v",
        "--verbose",
    },
    "status": set(),
    "list": FILTERS | {"--oldest-first"},
    "show": set(),
    "tail": FILTERS | {"-f", "--follow"},
    "acks": {"--since", "-f", "--follow", "-n", "--limit"},
    "retry": {"--state", "--follow-ups", "--callbacks"},
    "export": FILTERS | {"--recording", "--append"},
    "check": set(),
    "quota": {"--max-bytes", "--max-age", "--policy"},
    "compact": set(),
    "salvage": set(),
    "prompts": set(),
}
PROMPTS = {"pull": {"--version", "--label", "--changed", "--workspace"}, "list": set()}
# Salvage has its journals as arguments; prompts use no journal.
COMMON = {"salvage": {"--json", "-h", "--help"}, "prompts": {"-h", "--help"}}


def options(text: str) -> set[str]:
    """The options at the beginning of the lines of a help text, without the frame around it."""
    starts = [re.match(r"[^\w-]*((?:-{1,2}[a-z][\w-]*[ ,]*)+)", line) for line in text.splitlines()]
    return {option for start in starts if start for option in re.findall(r"-{1,2}[a-z][\w-]*", start[1])}


def test_help_lists_every_command(tmp_path: Path) -> None:
    text = printed(tmp_path, "--help", COLUMNS="100")
    assert "A flight recorder for LLM calls" in text
    commands = text.split("Commands", 1)[1]
    assert re.findall(r"^\W{1,3}([a-z]+)  ", commands, re.MULTILINE) == list(OPTIONS)
    assert options(text) == {"--journal", "--workspace", "--version", "-h", "--help"}


@pytest.mark.parametrize("command", OPTIONS)
def test_every_command_has_the_options_documented(tmp_path: Path, command: str) -> None:
    text = printed(tmp_path, command, "--help", COLUMNS="100")
    assert options(text) == OPTIONS[command] | COMMON.get(command, EVERYWHERE)
    assert all(option in documented() for option in OPTIONS[command])


@pytest.mark.parametrize("command", PROMPTS)
def test_every_command_for_prompts_has_the_options_documented(tmp_path: Path, command: str) -> None:
    text = printed(tmp_path, "prompts", command, "--help", COLUMNS="100")
    assert options(text) == PROMPTS[command] | {"--json", "-h", "--help"}
    assert f"`plsync prompts {command}" in documented()
    assert all(option in documented() for option in PROMPTS[command])


def documented() -> str:
    return (ROOT / "docs" / "guide" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [*OPTIONS, *(f"prompts {command}" for command in PROMPTS)])
def test_help_has_no_short_lines_within_a_paragraph(tmp_path: Path, command: str) -> None:
    """typer keeps the line breaks of a docstring. Only the last line of a paragraph may exceed a terminal's width."""
    text = printed(tmp_path, *command.split(), "--help", COLUMNS="300").split("╭", 1)[0]
    for paragraph in re.split(r"\n\s*\n", text):
        assert max(map(len, map(str.strip, paragraph.splitlines()[:-1])), default=0) <= 78, paragraph


def test_without_a_command_help_is_shown(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert "Usage: plsync [OPTIONS] COMMAND" in done.stdout + done.stderr
    assert done.returncode == 2


def test_version_prints_the_version_of_the_package(tmp_path: Path) -> None:
    assert printed(tmp_path, "--version") == f"plsync {version('plsync')}\n"
