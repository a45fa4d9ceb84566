"""``plsync --help``: the commands and options are public API."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest

from plsync.cli.help_page import examples
from tests.support.commands import all_commands, printed, run
from tests.support.root import ROOT
from tests.support.terminal import on_terminal

COMMANDS = all_commands()

FILTERS = {
    "--tag",
    "--model",
    "--state",
    "--status",
    "--result",
    "--delivery",
    "--since",
    "--until",
    "--thread",
    "--run",
    "--metadata",
    "--slower",
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
        "--no-send",
        "--batch",
        "--in-flight",
        "--memory",
        "--settle",
        "--no-trees",
        "--tree-wait",
        "--take-back",
        "--rebind",
        "--hub",
        "-v",
        "--verbose",
    },
    "status": {
        "--check",
        "--max-unsent",
        "--max-silence",
        "--max-failures",
        "--max-refused",
        "--hub",
        "--min-free",
        "--format",
        "--output",
    },
    "list": FILTERS | {"--follow-ups", "--trees", "--runs", "--oldest-first"},
    "show": {"--last", "-r", "--response", "--prompt", "--all", "--tree"},
    "tail": FILTERS | {"-f", "--follow", "--runs"},
    "ui": {"--port", "--no-open", "--read-only", "--hide-content", "--prices", "--new-token"},
    "usage": FILTERS | {"--by"},
    "acks": {"--since", "-f", "--follow", "-n", "--limit"},
    "retry": {"--delivery", "--state", "--sent-to", "--follow-ups", "--callbacks"},
    "export": FILTERS
    | {
        "--recording",
        "--append",
        "--all",
        "--parquet",
        "--otlp",
        "--html",
        "--since-last",
        "--no-content",
        "--hide-content",
    }
    | {"--redact"},
    "rerun": FILTERS
    | {
        "--into",
        "--set",
        "--at-once",
        "--retry",
        "-y",
        "--yes",
        "--compare",
        "--judge",
        "--recording",
        "--recorded-model",
    },
    "check": set(),
    "quota": {"--max-bytes", "--max-age", "--policy"},
    "compact": set(),
    "salvage": set(),
    "backup": set(),
    "share": {"--group", "--private"},
    "forget": (FILTERS - {"-n", "--limit"}) | {"--dry-run", "-y", "--yes", "--receipt"},
    "callbacks": set(),
    "prompts": set(),
    "keys": set(),
    "bundle": set(),
    "gap": set(),
}
PROMPTS = {"pull": {"--version", "--label", "--changed", "--workspace"}, "list": set()}
KEYS = {
    "init": {"--name", "--out", "--passphrase"},
    "rotate": {"--out", "--passphrase"},
    "trust": {"--role", "--fingerprint", "--takes-over"},
    "show": set(),
    "list": set(),
    "distrust": {"--role"},
}
# Salvage has its journals as arguments; prompts and keys use no journal.
BUNDLE = {
    "export": {
        "--to",
        "--hub",
        "--new",
        "--again",
        "--bundle",
        "--encrypt",
        "--no-templates",
        "--plain",
        "--split-size",
        "--no-content",
        "--redact",
        "--journal",
        "--workspace",
    },
    "import": {"--hub", "--no-callbacks", "--journal", "--workspace"},
    "list": {"--orphans", "--journal", "--workspace"},
    "received": {"--journal", "--workspace"},
    "show": set(),
}
GAP = {"oneway": {"--repeat", "--off", "--journal", "--workspace"}}
COMMON = {
    "salvage": {"--json", "-h", "--help"},
    "callbacks": {"-h", "--help"},
    "prompts": {"-h", "--help"},
    "keys": {"-h", "--help"},
    "bundle": {"-h", "--help"},
    "gap": {"-h", "--help"},
}


def options(text: str) -> set[str]:
    """The options at the beginning of the lines of a help text, without the frame around it."""
    starts = [re.match(r"[^\w-]*((?:-{1,2}[a-z][\w-]*[ ,]*)+)", line) for line in text.splitlines()]
    return {option for start in starts if start for option in re.findall(r"-{1,2}[a-z][\w-]*", start[1])}


def test_help_lists_every_command(tmp_path: Path) -> None:
    text = printed(tmp_path, "--help", COLUMNS="100")
    assert "A flight recorder for LLM calls" in text
    commands = text.split("Commands:", 1)[1]
    assert re.findall(r"^\W{1,3}([a-z]+)  ", commands, re.MULTILINE) == list(OPTIONS)
    assert options(text) == {
        "--install-completion",
        "--show-completion",
        "--journal",
        "--workspace",
        "--version",
        "-h",
        "--help",
    }


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


@pytest.mark.parametrize("command", KEYS)
def test_every_command_for_keys_has_the_options_documented(tmp_path: Path, command: str) -> None:
    text = printed(tmp_path, "keys", command, "--help", COLUMNS="100")
    assert options(text) == KEYS[command] | {"--json", "-h", "--help"}
    assert f"`plsync keys {command}" in documented()
    assert all(option in documented() for option in KEYS[command])


@pytest.mark.parametrize("command", BUNDLE)
def test_every_command_for_bundles_has_the_options_documented(tmp_path: Path, command: str) -> None:
    text = printed(tmp_path, "bundle", command, "--help", COLUMNS="100")
    assert options(text) == BUNDLE[command] | {"--json", "-h", "--help"}
    assert f"`plsync bundle {command}" in documented()
    assert all(option in documented() for option in BUNDLE[command])


@pytest.mark.parametrize("command", GAP)
def test_every_command_for_the_gap_has_the_options_documented(tmp_path: Path, command: str) -> None:
    text = printed(tmp_path, "gap", command, "--help", COLUMNS="100")
    assert options(text) == GAP[command] | {"--json", "-h", "--help"}
    assert f"`plsync gap {command}" in documented()
    assert all(option in documented() for option in GAP[command])


def documented() -> str:
    return (ROOT / "docs" / "guide" / "cli.md").read_text(encoding="utf-8")


def help_of(name: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed_help:
        COMMANDS[name].main(["--help"], prog_name=f"plsync {name}", standalone_mode=False)
    return printed_help.getvalue()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_the_same_form_with_every_version_of_typer(name: str) -> None:
    text = help_of(name)
    usage, *lines = text.splitlines()
    assert re.fullmatch(rf"Usage: plsync {name} \[OPTIONS\]( [A-Z]+| \[[A-Z]+\](\.\.\.)?)*", usage)
    assert not re.search(r"<\w+>|[╭│]|\bbool\b|\d<=", text)
    assert all(len(line) <= 100 and line == line.rstrip() for line in lines)
    assert [line for line in lines if line and not line.startswith("  ")] == [
        *(["Arguments:"] if any(param.param_type_name == "argument" for param in COMMANDS[name].params) else []),
        "Options:",
        "Examples:",
    ]
    for param in COMMANDS[name].params:
        if param.param_type_name == "argument":
            assert re.search(rf"^  {param.metavar} +\S.*\.$", text, re.MULTILINE | re.DOTALL)
        else:
            assert param.help.endswith((".", ")"))
            value = "" if param.is_flag else f" {param.metavar}"
            name_and_value = f"{max(param.opts, key=len)}{re.escape(value)}"
            assert re.search(rf"^  (-\w, |    )?{name_and_value}( {{2,}}\S|$)", text, re.MULTILINE)
            assert param.is_flag or re.fullmatch(r"[A-Z\[\]=:]+", param.metavar)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_can_be_run(name: str) -> None:
    found = examples(COMMANDS[name].help)
    assert 1 <= len(found) <= 5
    for example in found:
        arguments = shlex.split(example.partition(" | ")[0].partition(" > ")[0])
        assert arguments[: len(name.split()) + 1] == ["plsync", *name.split()]
        COMMANDS[name].make_context(name, arguments[len(name.split()) + 1 :])


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_help_fits_the_terminal(path: Path, columns: int) -> None:
    lines = on_terminal(path, "run", "--help", columns=columns).splitlines()
    assert max(map(len, lines)) <= max(columns, 40)


def test_without_a_command_help_is_shown(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert "Usage: plsync [OPTIONS] COMMAND" in done.stdout + done.stderr
    assert done.returncode == 2


def test_version_prints_the_version_of_the_package(tmp_path: Path) -> None:
    assert printed(tmp_path, "--version") == f"plsync {version('plsync')}\n"
