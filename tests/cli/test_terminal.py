"""Foreign texts in the output of commands: no control character, no invisible one, and no forged line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from plsync import PlsyncWarning
from plsync._terminal import json_escaped, visible, visible_line
from plsync.cli import app
from plsync.errors import JournalError, NoRecording, PlsyncError
from plsync.journal import Journal
from plsync.journal.callbacks import FailedCallback
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.calls import acknowledge
from tests.support.commands import environment, json_lines, run
from tests.support.hostile import TEXTS
from tests.support.spooling import SpoolWriter
from tests.support.terminal import hidden_characters, on_terminal

T = 1_760_000_000_000

# Controls of one and two bytes, bidirectional marks, line ends, zero widths, tags, fillers, and selectors.
HOSTILE = (
    "a\x00\x07\x08\x0b\x0c\x1b[2J\x1b]0;owned\x07\x1b]8;;https://evil.example\x1b\\x\r\x7f\x85\x9b31m"
    "\u00ad\u034f\u061c\u115f\u17b4\u180e\u200b\u200d\u200f\u2028\u2029\u202e\u2060\u2066\u206a\u2800\u3164\ufe00\ufeff"
    "\ufff9\U000e0041\U000e007f\U000e0100z"
)
FORGED = "harmless\nrecord        forged\n\nOutput\n  forged\ndelivery      sent #1"


def record(writer: SpoolWriter, text: str) -> str:
    """A record with a foreign text in each of its fields, and an error."""
    names = [text[start : start + 60] for start in range(0, min(len(text), 600), 60)]
    content = [{"type": "text", "text": text}, {"type": text}, text]
    human = {"$": "HumanMessage", "v": {"type": "human", "name": text, "content": content}}
    call = {"name": text, "args": {text: text}, "id": text}
    tool = {"$": "ToolMessage", "v": {"type": "tool", "content": text, "tool_call_id": text}}
    answer = {"$": "AIMessage", "v": {"type": "ai", "content": text, "tool_calls": [call]}}
    record_id = writer.start(
        {
            "kind": "chat",
            "messages": [human, answer, tool],
            "params": {"model": text[:60], "tools": [{"name": text}], text: text},
            "options": {"stop": [text], text: text},
            "metadata": {text: text, "nested": {text: [text]}},
            "class": [text, text],
            "name": text,
            "sink": text[:60],
        },
        at=T,
        tags=names,
    )
    writer.end(record_id, {"error": {"type": text, "message": text, "status_code": None}}, ended="error")
    return record_id


OWN_LINE = re.compile(
    r"(record|call|result|started|tags|delivery|callback) {4,}|(Input|Error|Parameters|Options|Metadata)$"
)
READING = (
    ["list"],
    ["list", "--json"],
    ["show"],
    ["show", "--json"],
    ["tail"],
    ["tail", "--json"],
    ["status"],
    ["status", "--json"],
    ["acks"],
    ["acks", "--json"],
    ["check"],
    ["check", "--json"],
    ["quota"],
)


@pytest.fixture
def hostile(writer: SpoolWriter, path: Path) -> str:
    """A journal with hostile records in two states, and a callback that failed with a hostile text."""
    for _ in range(2):
        record_id = record(writer, HOSTILE)
    writer.fail(HOSTILE)
    acknowledge(path)
    with Journal.open(path) as journal:
        sink = HOSTILE[:60]
        for entry in journal.callbacks.claim(sink, None):
            journal.callbacks.settle(sink, failed=[FailedCallback(entry.seq, HOSTILE, 0, dead=True)])
    record(writer, HOSTILE)
    return record_id


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_no_command_prints_a_hidden_character(hostile: str, path: Path, command: list[str]) -> None:
    arguments = [*command, hostile] if command[0] == "show" else command
    done = run(path, *arguments)
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, done.stderr, on_terminal(path, *arguments)):
        assert not hidden_characters(text)


def test_json_has_the_same_value(hostile: str, path: Path) -> None:
    (shown,) = json_lines(path, "show", hostile)
    assert shown["metadata"][HOSTILE] == HOSTILE


def test_no_option_is_repeated_with_a_hidden_character(writer: SpoolWriter, path: Path, tmp_path: Path) -> None:
    writer.call("a", "b", at=T)
    evil = HOSTILE.replace("\0", "")
    for arguments in (
        ["show", evil],
        ["list", "--state", evil],
        ["list", "--since", evil],
        ["list", "--no-such-" + evil],
        ["no-such-" + evil],
        ["acks", "--since", evil],
        ["run", "--once", "--callbacks", evil],
        ["run", "--once", "--exec", evil],
        ["status", "--journal", str(tmp_path / evil.replace("/", ""))],
        ["salvage", str(tmp_path / evil.replace("/", "")), str(tmp_path / "new")],
        ["export", str(tmp_path / evil.replace("/", "")), "--tag", evil],
    ):
        done = run(path, *arguments)
        assert not hidden_characters(done.stdout + done.stderr), arguments


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_text_begins_a_line_of_a_page(writer: SpoolWriter, path: Path, columns: int) -> None:
    # The terminal would continue a long line at its left margin.
    padded = "x" + " " * (columns - 5) + "record        forged"
    for text in (FORGED, padded, "y" * 5 * columns):
        record_id = record(writer, text)
        for page in (run(path, "show", record_id).stdout, on_terminal(path, "show", record_id, columns=columns)):
            own = [line for line in page.splitlines() if line and not line.startswith("  ")]
            assert not [line for line in own if not OWN_LINE.match(line)]
            assert sum(line.startswith("record ") for line in own) == 1
        wide = on_terminal(path, "show", record_id, columns=columns).splitlines()
        assert max(map(len, wide)) <= columns


def test_a_suggested_command_quotes_the_name_of_a_sink(writer: SpoolWriter, path: Path) -> None:
    sink = "app:main.<locals>.on_id@3'; touch forged; '"
    writer.call("a", "b", at=T, sink=sink)
    writer.close()
    acknowledge(path)
    (line,) = [line for line in run(path, "status").stdout.splitlines() if "--callbacks" in line]
    assert f"--callbacks '{sink}=" not in line
    assert "'\"'\"'" in line


def test_a_response_reaches_no_terminal_raw(
    writer: SpoolWriter, path: Path, server: PromptLayerServer, tmp_path: Path
) -> None:
    writer.call("a", "b", at=T)
    (tmp_path / "hostile_app.py").write_text(f"def on_id(request_id):\n    raise ValueError({FORGED + HOSTILE!r})\n")
    writer.call("a", "b", at=T, sink="hostile_app:on_id")
    writer.close()
    body = json.dumps({"success": False, "message": HOSTILE, "error": HOSTILE}).encode()
    server.fail(400, body=body, headers={"Content-Type": "application/json"}, times=2)
    variables = {"PROMPTLAYER_API_KEY": server.api_key, "PROMPTLAYER_BASE_URL": server.url, "PYTHONPATH": str(tmp_path)}
    for arguments in (["run", "--once"], ["run", "--once", "--json"]):
        done = run(path, *arguments, **variables)
        assert not hidden_characters(done.stdout + done.stderr)
        assert not re.search("^record +forged", done.stdout + done.stderr, re.MULTILINE)


def test_an_unexpected_error_of_a_command_is_visible(path: Path) -> None:
    program = f"""
import importlib, plsync.cli, threading
status = importlib.import_module("plsync.cli.status")
def fail(*arguments, **more):
    raise RuntimeError({HOSTILE!r} + " https://ann:password-of-ann@db.example/")
threads = [threading.Thread(target=fail)]
def command(*arguments, **more):
    threads[0].start()
    threads[0].join()
    fail()
status.Journal.open = command
plsync.cli.main()
"""
    command = [sys.executable, "-c", program, "status"]
    done = programs.run(command, env=environment(path), capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("RuntimeError") >= 2
    assert "password-of-ann" not in done.stderr
    assert not hidden_characters(done.stderr)


def test_every_text_of_the_hostile_corpus_is_visible(
    writer: SpoolWriter, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [text for text in TEXTS.values() if text.isprintable() or "\ud800" not in text]
    for text in texts:
        record(writer, text)
    writer.fail("".join(texts)[:100])
    writer.close()
    names = [*READING, ["compact"], ["retry", "--all"], ["export", str(tmp_path / "calls\x1b[2J.jsonl")]]
    for command in [one for one in names if one[0] != "show"]:
        done = run(path, *command)
        assert "Traceback" not in done.stderr
        assert not hidden_characters(done.stdout + done.stderr), command
    monkeypatch.setenv("PLSYNC_JOURNAL", str(path))
    for shown in json_lines(path, "list", "-n", "1000"):
        for more in ([], ["--json"]):
            app(["show", shown["id"], *more], prog_name="plsync", standalone_mode=False)
            printed = capsys.readouterr().out
            assert printed
            assert not hidden_characters(printed)


def test_names_of_files_and_templates_are_visible(writer: SpoolWriter, path: Path, tmp_path: Path) -> None:
    writer.call("a", "b", at=T)
    writer.close()
    journal = path.rename(tmp_path / "journal\x1b[31m\u202e\n")
    for command in (
        ["status"],
        ["quota"],
        ["check"],
        ["compact"],
        ["salvage", str(journal), str(tmp_path / "new\x1b")],
    ):
        done = run(journal, *command)
        assert done.returncode == 0, done.stderr
        assert not hidden_characters(done.stdout + done.stderr), command
    with PromptLayerServer() as server:
        server.add_prompt("name\x1b[31m\u202e", {"type": "completion", "content": [{"type": "text", "text": "hi"}]})
        variables = {
            "PROMPTLAYER_API_KEY": server.api_key,
            "PROMPTLAYER_BASE_URL": server.url,
            "PLSYNC_PROMPTS": str(tmp_path / "prompts\x1b[31m"),
        }
        for command in (["prompts", "pull"], ["prompts", "list"], ["prompts", "pull", "no\x1b[31mne"]):
            done = run(journal, *command, **variables)
            assert "Traceback" not in done.stderr
            assert not hidden_characters(done.stdout + done.stderr), command


# --- the one place ---


def test_every_control_format_and_ignorable_character_is_escaped() -> None:
    for text in (HOSTILE, "".join(map(chr, range(0x20))), "\ud800"):
        assert not hidden_characters(visible(text).replace("\t", ""))
    assert visible("\x1b[2J\u202e\U000e0041\t\n") == "\\x1b[2J\\u202e\\U000e0041\t\n"
    assert visible_line(" a\n\t\x1bb ") == "a \\x1bb"


def test_visible_characters_stay() -> None:
    text = "naïve 日本語 हिन्दी עברית \U0001f600 ⚠\ufe0f 1\ufe0f\u20e3 \u00a0\u3000"
    assert visible(text) == text


def test_json_is_escaped_and_keeps_its_value() -> None:
    text = json.dumps({"a": HOSTILE}, ensure_ascii=False)
    assert json.loads(json_escaped(text)) == {"a": HOSTILE}
    assert not hidden_characters(json_escaped(text))


@pytest.mark.parametrize("kind", [PlsyncError, JournalError, NoRecording, PlsyncWarning])
def test_the_text_of_an_error_or_warning_is_visible(kind: type[BaseException]) -> None:
    assert not hidden_characters(str(kind(HOSTILE)))
    assert str(kind("\x1b[31m")) == "\\x1b[31m"
    assert str(kind()) == ""
