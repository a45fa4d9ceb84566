"""Errors of usage have one form: one line with the command, the option, its value and the reason, and exit code 2."""

from __future__ import annotations

import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from plsync.cli import main
from tests.support.commands import all_commands, command_of_plsync, run
from tests.support.spooling import SpoolWriter
from tests.support.terminal import on_terminal

BAD = "no such value"
# These take any text, or any path.
FREE = {
    "--journal",
    "--tag",
    "--model",
    "--text",
    "--recording",
    "--parquet",
    "--otlp",
    "--html",
    "--prices",
    "--into",
    "--recorded-model",
    "--label",
    "--receipt",
    "--thread",
    "--sent-to",
    "--output",
    "--name",
    "--out",
    "--fingerprint",
    "--to",
    "--hub",
    "--takes-over",
}


COMMANDS = all_commands()
PARAMS = [(name, param) for name, command in COMMANDS.items() for param in command.params]
OPTIONS = [(name, param) for name, param in PARAMS if param.param_type_name == "option"]
VALUES = [(name, max(param.opts, key=len)) for name, param in OPTIONS if not param.is_flag]
FLAGS = [(name, max(param.opts, key=len)) for name, param in OPTIONS if param.is_flag]
# The commands that do not take any number of arguments.
FIXED = [name for name, command in COMMANDS.items() if all(param.nargs != -1 for param in command.params)]


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in this process; returns its exit code and its output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLSYNC_JOURNAL", str(tmp_path / "none"))
    monkeypatch.setenv("PLSYNC_PROMPTS", str(tmp_path / "prompts"))
    monkeypatch.setenv("PLSYNC_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("PROMPTLAYER_API_KEY", raising=False)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    # typer makes the objects of all commands in each call.
    monkeypatch.setattr("typer.main.get_command", lambda _: command_of_plsync())

    def call(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["plsync", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert ended.value.code != 2 or captured.out == ""
        return ended.value.code, captured.err

    return call


def filled(name: str, option: str = "") -> list[str]:
    """The command with the arguments and options that it requires, unless ``option`` replaces them."""
    if option in ("--parquet", "--otlp", "--html") or (name, option) == ("status", "--hub"):
        return [name]
    required = {
        "export": ["--recording", "calls.jsonl"],
        "rerun": ["--into", "copy", "--model", "openai:x"],
        "salvage": ["old", "new"],
        "backup": ["copy"],
        "status": ["--format", "prometheus"],
        "callbacks drop": ["app:on_id"],
        "show": ["0199"],
        "retry": ["0199"],
        "forget": ["--tag", "none", "--yes"],
        "bundle export": ["."],
        "bundle import": ["."],
        "bundle received": ["1"],
        "bundle show": ["plsync-lab-000001-1of1.tar"],
        "keys init": ["--name", "lab"],
        "keys trust": ["lab.card", "--role", "hub"],
        "keys show": ["lab"],
        "keys distrust": ["lab"],
    }
    return [*name.split(), *required.get(name, ())]


@pytest.mark.parametrize(("name", "option"), VALUES, ids=str)
def test_an_option_is_not_the_value_of_another(called: Any, name: str, option: str) -> None:
    code, error = called(*filled(name, option), option, "--json")
    assert code == 2
    assert error.startswith(f"plsync {name}: {option}: needs a value")


@pytest.mark.parametrize(("name", "option"), VALUES, ids=str)
def test_a_bad_value_is_reported_with_its_option(called: Any, name: str, option: str) -> None:
    code, error = called(*filled(name, option), option, BAD)
    if option in FREE:
        assert code in {0, 1}
    else:
        assert code == 2
        assert error.startswith(f"plsync {name}: {option} {BAD}: ")
    assert error.count("\n") <= 1


@pytest.mark.parametrize(("name", "option"), VALUES, ids=str)
def test_an_option_without_its_value_is_reported(called: Any, name: str, option: str) -> None:
    code, error = called(*filled(name), option)
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith(f"plsync {name}: {option}: needs a value, ")


@pytest.mark.parametrize("option", ["--recording", "--parquet", "--html", "--journal"])
def test_an_empty_path_is_not_the_working_directory(called: Any, option: str) -> None:
    for arguments in ([option, ""], [f"{option}="]):
        code, error = called("export", *arguments)
        assert (code, error.count("\n")) == (2, 1)
        assert error.startswith(f"plsync export: {option}: needs a value, ")


@pytest.mark.parametrize(("name", "flag"), FLAGS, ids=str)
def test_a_flag_with_a_value_is_reported(called: Any, name: str, flag: str) -> None:
    assert called(*filled(name), f"{flag}=true") == (2, f"plsync {name}: {flag}: takes no value\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_reported_with_similar_ones(called: Any, name: str) -> None:
    assert called(*filled(name), "--jso") == (2, f"plsync {name}: --jso: no such option; did you mean --json?\n")
    assert called(*filled(name), "-Z") == (
        2, f"plsync {name}: -Z: no such option; `plsync {name} --help` lists the options\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", [name for name, command in COMMANDS.items() if all(p.nargs == 1 for p in command.params)]
)
def test_a_surplus_argument_is_reported(called: Any, name: str) -> None:
    assert called(*filled(name), "one", "two") == (2, f"plsync {name}: one two: unexpected argument\n")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["salvage"], "plsync salvage: SRC: this argument is required"),
        (["salvage", "a"], "plsync salvage: DST: this argument is required"),
        (["export"], "plsync export: --recording: needs a value, FILE"),
        (["lst"], "plsync: lst: no such command; did you mean list?"),
        (["frobnicate"], "plsync: frobnicate: no such command; `plsync --help` lists the commands"),
        (["prompts", "pul"], "plsync prompts: pul: no such command; did you mean pull?"),
        (["--frobnicate"], "plsync: --frobnicate: no such option; `plsync --help` lists the options"),
        (["--journal"], "plsync: --journal: needs a value, PATH"),
        (["list", "-n", "-1"], "plsync list: --limit -1: choose a number of records, or all"),
        (["list", "--since", ""], "plsync list: --since '': choose a time"),
        (["show", "--last", "-1"], "plsync show: --last -1: choose a whole number, 0 or more"),
        (["list", "--metadata", "a=1", "--metadata", "a=2"], "plsync list: --metadata a: given as 1 and as 2, and a c"),
        (["list", "--model", "a", "--model", "b"], "plsync list: --model: given more than once, and it takes one val"),
        (["forget", "--text", "a", "--text", "b", "--yes"], "plsync forget: --text: given more than once"),
        (["run", "--batch", "1001"], "plsync run: --batch 1001: choose a whole number, from 1 to 1000"),
        (["run", "--settle", "nan"], "plsync run: --settle nan: choose a number, from 0 to 86400"),
        (["run", "--exec", "echo {request_id"], "plsync run: --exec echo {request_id: {request_id is no placeholder"),
        (["retry"], "plsync retry: nothing to retry: "),
        (["list", "--text", ""], "plsync list: --text '': choose a value that is not empty"),
        (["forget", "--model", "", "--since", "1d", "--yes"], "plsync forget: --model '': choose a value"),
        (["list", "--text", "in Latin-1: \udce9"], r"plsync list: --text 'in Latin-1: \udce9': choose a text"),
        (["export", "0199", "--tag", "a", "--recording", "x"], "plsync export: ids and filters exclude each other"),
    ],
)  # fmt: skip
def test_other_errors_have_the_same_form(called: Any, arguments: list[str], error: str) -> None:
    code, text = called(*arguments)
    assert (code, text.count("\n")) == (2, 1)
    assert text.startswith(error)


@pytest.mark.parametrize(("name", "option"), [value for value in VALUES if value[1] not in FREE], ids=str)
def test_a_huge_number_is_a_value_or_an_error_of_usage(
    called: Any, path: Path, monkeypatch: pytest.MonkeyPatch, name: str, option: str
) -> None:
    SpoolWriter(path).close()
    monkeypatch.setenv("PLSYNC_JOURNAL", str(path))
    for value in ("9" * 18, "9" * 30, "9" * 5000, "9" * 9 + "h"):
        code, error = called(*filled(name), option, value)
        assert code in {0, 1, 2, 4}
        assert "unexpected error" not in error
        assert "Value error" not in error


def test_an_unknown_server_is_reported_with_its_option(
    called: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SpoolWriter(path).close()
    monkeypatch.setenv("PLSYNC_JOURNAL", str(path))
    for url in ("ftp://x", "https://x"):
        code, error = called("retry", "--sent-to", url)
        assert code == 2
        assert error.startswith(f"plsync retry: --sent-to {url}: no record went there")


def test_a_terminal_gets_the_same_line(path: Path) -> None:
    done = run(path, "list", "--state", "gone")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert on_terminal(path, "list", "--state", "gone", columns=200) == done.stderr
