"""The commands that read, run as processes on a real journal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from plsync.cli.check import with_dashes
from plsync.journal import Journal
from plsync.journal.record import FIELDS, Record, State
from tests.support.commands import PLSYNC, environment, json_lines, printed, run
from tests.support.spooling import CACHED, LOSSY, REDACTED, SpoolWriter

T = 1_760_000_000_000  # 2025-10-09 08:53:20 UTC
LOCAL = "2025-10-09 08:53:20"


def message(kind: str, content: object, **fields: object) -> dict[str, Any]:
    name = {"system": "SystemMessage", "human": "HumanMessage", "ai": "AIMessage", "tool": "ToolMessage"}[kind]
    return {"$": name, "v": {"type": kind, "content": content, **fields}}


def lease(path: Path, limit: int) -> list[Record]:
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        return journal.outbox.lease(limit, 60_000, time.time_ns() // 1_000_000)


def ack(path: Path, request_id: int) -> None:
    """Ack the oldest record that is due."""
    (leased,) = lease(path, 1)
    with Journal.open(path) as journal:
        journal.outbox.ack([(leased.seq, request_id)])


def park(path: Path, state: State, reason: str) -> None:
    (leased,) = lease(path, 1)
    with Journal.open(path) as journal:
        journal.outbox.park([leased.seq], state, reason)


# --- list ---


def test_list_shows_a_line_for_each_record_newest_first(writer: SpoolWriter, path: Path) -> None:
    writer.call("What is\nthe capital?", "Paris", at=T, tags=["geo"], params={"model": "tiny.gguf"})
    failed = writer.start({"kind": "llm", "prompts": ["2+2?"], "class": ["x", "GPT4All"]}, at=T + 60_000)
    writer.end(failed, {"error": {"type": "Broken", "message": "no"}, "elapsed": 1_230_000_000}, ended="error")
    ack(path, 4711)
    heading, second, first = printed(path, "list").splitlines()
    assert heading.split() == ["ID", "STARTED", "MODEL", "RESULT", "DELIVERY", "TOOK", "TOKENS", "TAGS", "INPUT"]
    assert re.sub(" {2,}", "|", first).split("|")[1:] == [
        LOCAL, "tiny.gguf", "ok", "sent #4711", "1.0 ms", "geo", "What is the capital?",
    ]  # fmt: skip
    assert re.sub(" {2,}", "|", second).split("|")[1:] == [
        "2025-10-09 08:54:20", "GPT4All", "error", "waiting", "1.23 s", "2+2?",
    ]  # fmt: skip


def test_the_ids_of_a_list_name_their_records(writer: SpoolWriter, path: Path) -> None:
    written = [writer.call("a", "b", at=T + number) for number in range(5)]
    shown = [line.split()[0] for line in printed(path, "list", "--oldest-first").splitlines()[1:]]
    assert [json_lines(path, "show", short)[0]["id"] for short in shown] == written


def test_list_shows_tokens_and_cache_hits(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.start({"kind": "chat", "messages": [message("human", "hi")]}, at=T)
    usage = {"input_tokens": 1200, "output_tokens": 34, "total_tokens": 1234}
    answer = message("ai", "hello", usage_metadata=usage)
    writer.end(record_id, {"generations": [{"$": "ChatGeneration", "v": {"message": answer}}]}, flags=CACHED)
    line = printed(path, "list").splitlines()[1]
    assert "ok (cached)" in line
    assert "1,200→34" in line


def test_no_line_is_wider_than_the_terminal(writer: SpoolWriter, path: Path) -> None:
    writer.call("a very long question " * 50, "b", at=T, tags=["long" * 20] * 3, params={"model": "m" * 80})
    for columns in (40, 80, 132):
        lines = printed(path, "list", COLUMNS=str(columns)).splitlines()
        assert max(map(len, lines)) == columns


def test_list_prints_a_note_when_there_are_more_records(writer: SpoolWriter, path: Path) -> None:
    for number in range(3):
        writer.call("a", "b", at=T + number)
    note = "2 of 3 records shown: -n all shows all, --until shows older records\n"
    assert run(path, "list", "-n", "2").stderr == run(path, "list", "-n", "2", "--json").stderr == note
    assert "2 records shown; there are more" in run(path, "list", "-n", "2", "--text", "a").stderr
    for every in ("3", "4", "0", "all"):
        done = run(path, "list", "-n", every)
        assert (done.stderr, len(done.stdout.splitlines())) == ("", 4)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--tag", "even"], [0, 2]),
        (["--tag", "even", "--tag", "third"], [2]),
        (["--model", "m1"], [1]),
        (["--state", "dead"], [0]),
        (["--state", "dead", "--state", "in-doubt"], [0]),
        (["--status", "error"], [1]),
        (["--text", "QUESTION 2"], [2]),
        (["--since", "2025-10-09T08:53:21"], [1, 2]),
        (["--since", "2025-10-09T08:53:21Z", "--until", "2025-10-09T10:53:22+02:00"], [1]),
        (["--since", "1h"], []),
        (["--until", "1h", "-n", "1"], [0]),
        (["--status", "ok", "--text", "question"], [0, 2]),
        (["--result", "error"], [1]),
        (["--result", "ok"], [0, 2]),
        (["--result", "OK", "--status", "error"], []),
        (["--result", "cut-short", "--result", "running"], []),
        (["--delivery", "refused"], [0]),
        (["--delivery", "waiting"], [1, 2]),
        (["--delivery", "in_doubt", "--delivery", "dead"], [0]),
        (["--delivery", "refused", "--delivery", "waiting", "--state", "pending"], [1, 2]),
        (["--delivery", "dropped"], []),
    ],
)
def test_filters_choose_records(writer: SpoolWriter, path: Path, options: list[str], found: list[int]) -> None:
    tags = [["even", "first"], ["odd"], ["even", "third"]]
    written = []
    for number in range(3):
        start = {"kind": "llm", "prompts": [f"question {number}"], "params": {"model": f"m{number}"}}
        written.append(writer.start(start, at=T + 1000 * number, tags=tags[number]))
        writer.end(written[-1], {}, ended="error" if number == 1 else "ok")
    park(path, "dead", "refused")
    listed = [record["id"] for record in json_lines(path, "list", "--oldest-first", *options)]
    assert listed == [written[number] for number in found]


def test_list_and_show_print_records_as_python_has_them(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.call("hi", "hello", at=T)
    with Journal.open(path) as journal:
        expected = json.loads(json.dumps(journal.get(record_id).as_dict()))
    assert list(expected) == list(FIELDS)
    assert json_lines(path, "list") == json_lines(path, "tail") == [expected]
    assert json_lines(path, "show", record_id) == [{**expected, "followups": []}]


def test_an_age_that_reaches_back_before_1970_leaves_nothing_out(writer: SpoolWriter, path: Path) -> None:
    writer.call("a", "b", at=T)
    for age in ("9999w", "999999w"):
        assert len(json_lines(path, "list", "--since", age)) == 1
    assert json_lines(path, "list", "--until", "1969-12-31") == []


def test_an_empty_list_prints_the_next_step(path: Path, writer: SpoolWriter) -> None:
    assert " is empty; attach PromptLayerCallbackHandler" in run(path, "list").stderr
    writer.call("a", "b", at=T)
    assert "no record matches" in run(path, "list", "--tag", "none").stderr


# --- show ---


def test_show_prints_a_call_as_a_conversation(writer: SpoolWriter, path: Path) -> None:
    call = {"name": "add", "args": {"a": 1, "b": [2, 3]}, "id": "call_1", "type": "tool_call"}
    picture = [{"type": "text", "text": "Add these"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    messages = [
        message("system", "Be brief."),
        message("human", picture),
        message("ai", "", tool_calls=[call]),
        message("tool", "6", tool_call_id="call_1", name="add"),
    ]
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    start = {
        "kind": "chat", "messages": messages, "params": {"model": "m", "temperature": 0.5, "tools": tools},
        "metadata": {"ls_provider": "openai", "team": {"a": 1}}, "run_id": "11111111-2222-4333-8444-555555555555",
    }  # fmt: skip
    record_id = writer.start(start, at=T, tags=["agent"])
    usage = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
    answer = message("ai", [{"type": "reasoning", "reasoning": "easy"}, {"type": "text", "text": "It is 6."}])
    answer["v"]["usage_metadata"] = usage
    generation = {"$": "ChatGeneration", "v": {"text": "It is 6.", "message": answer}}
    writer.end(record_id, {"generations": [generation], "first_token": 500_000, "chunks": [500, 900]})
    assert (
        printed(path, "show", record_id[:10])
        == f"""\
record        {record_id}
run           11111111-2222-4333-8444-555555555555
call          m · openai · chat
result        ok
started       {LOCAL}.000+00:00, took 1.0 ms, first token after 0.5 ms, 2 chunks
tokens        9 in, 1 out, 10 in all
tags          agent
delivery      waiting: `plsync run` sends it

Input
  system:
    Be brief.
  human:
    Add these
    [image]
  ai:
    → add(a=1, b=[2,3])  call_1
  tool add answers call_1:
    6

Output
  ai:
    (reasoning) easy
    It is 6.

Parameters
  temperature: 0.5
  tools: add

Metadata
  team: {{"a":1}}

  2 facts of LangChain and the provider not shown: --all
"""
    )


def test_show_prints_an_error_and_the_next_step(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.start({"kind": "llm", "prompts": ["one\ntwo"]}, at=T, flags=LOSSY | REDACTED)
    error = {"type": "RateLimitError", "module": "openai", "message": "slow down", "status_code": 429}
    writer.end(record_id, {"error": error}, ended="error")
    park(path, "dead", "422: no model")
    page = printed(path, "show", record_id)
    assert "\nInput\n  one\n  two\n" in page
    assert "\nError\n  RateLimitError (429): slow down\n" in page
    assert "delivery      refused after 1 attempt: 422: no model; kept here, not sent until `plsync retry`" in page
    assert "some values were stored in an approximate form" in page
    assert "redacted or removed content" in page


@pytest.mark.parametrize(
    ("ended", "shown"),
    [
        (None, "running: or its end is not written yet"),
        ("cancelled", "cancelled: the program cancelled the call"),
        ("partial", "cut short: the program stopped reading the stream"),
    ],
)
def test_show_prints_the_result_of_a_call(writer: SpoolWriter, path: Path, ended: str | None, shown: str) -> None:
    record_id = writer.start({"kind": "llm", "prompts": ["?"]}, at=T)
    if ended:
        writer.end(record_id, {}, ended=ended)
    assert f"result        {shown}" in printed(path, "show", record_id)


def test_show_finds_a_record_by_its_request_id(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.call("hi", "hello", at=T)
    ack(path, 4711)
    assert json_lines(path, "show", "4711")[0]["id"] == record_id
    assert "delivery      sent #4711, 20" in printed(path, "show", record_id)


def test_control_characters_and_markup_are_escaped(writer: SpoolWriter, path: Path) -> None:
    evil = "\x0b\x0c\x1c\x85\u2028\x1b[2J\x1b]0;title\x07 [bold red]loud[/] \x9b1m \u202egnp \r:smile:"
    writer.call(evil, evil, at=T, tags=[evil], params={"model": "m\x1bodel"}, metadata={evil: evil})
    (record,) = json_lines(path, "list")
    assert record["input"][0]["content"] == evil
    assert not re.search(r"[\x7f-\x9f\u2028\u202e]", printed(path, "list", "--json"))
    record_id = record["id"]
    for arguments in (["list"], ["show", record_id], ["tail"]):
        page = printed(path, *arguments, COLUMNS="300")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", page)
        assert r"\x1b[2J\x1b]0;title\x07 [bold red]loud[/] \x9b1m \u202egnp" in page
        assert ":smile:" in page


def test_a_terminal_without_a_character_gets_its_escape(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.call("naïve \U0001f600", "b", at=T)
    assert r"na\xefve \U0001f600" in printed(path, "show", record_id, PYTHONIOENCODING="ascii")


@pytest.mark.parametrize("arguments", [["list"], ["tail"], ["usage", "--by", "tag"]])
def test_the_escapes_of_a_terminal_fit_its_width(writer: SpoolWriter, path: Path, arguments: list[str]) -> None:
    writer.call("naïve \U0001f600 " * 20, "b", at=T, tags=["größer" * 9])
    lines = printed(path, *arguments, PYTHONIOENCODING="ascii", COLUMNS="60").splitlines()
    assert r"\xf6" in "".join(lines) or r"\U0001f600" in "".join(lines)
    assert "~" in "".join(lines)
    assert max(map(len, lines)) <= 60


def test_colours_cover_only_their_values(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.call("hi", "hello", at=T, tags=["one"])
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "160"}
    page = printed(path, "show", record_id, **terminal)
    assert re.search(r"^\x1b\[1mtags +\x1b\[0mone$", page, re.MULTILINE)
    assert re.search(r"^\x1b\[1mdelivery +\x1b\[0mwaiting: `plsync run` sends it$", page, re.MULTILINE)
    assert "\x1b[32mok" in printed(path, "list", **terminal)
    assert "\x1b" not in printed(path, "list", NO_COLOR="1") + printed(path, "list")


# --- status and check ---


def test_status_shows_waiting_records_failures_and_the_next_step(writer: SpoolWriter, path: Path) -> None:
    for number in range(4):
        writer.call("a", "b", at=T + number)
    writer.start({"kind": "llm", "prompts": ["?"]}, at=T + 9)
    ack(path, 1)
    park(path, "dead", "refused")
    writer.fail("disk full \x1b[2J")
    text = printed(path, "status")
    assert re.search(r"records +5, of which 1 still running\n", text)
    assert re.search(r"waiting +3 +\(for `plsync run`, the oldest \d+ d old\)", text)
    assert re.search(r"refused +1 +\(kept here; `plsync show ID` has the reason\)", text)
    assert re.search(r"sent +1 ", text)
    assert re.search(r"writers +process \d+ ", text)
    assert re.search(r"not recorded +1 event; the last reason: disk full \\x1b\[2J", text)
    assert "Next: `plsync run` sends the waiting records" in text
    assert "`plsync list --delivery refused` lists the refused records" in text


def test_status_reports_that_nothing_is_left(writer: SpoolWriter, path: Path) -> None:
    assert "The journal is empty" in printed(path, "status")
    writer.call("a", "b", at=T)
    ack(path, 1)
    assert "Nothing left: every record, follow-up and callback is delivered." in printed(path, "status")


def test_status_counts_callbacks_as_work(writer: SpoolWriter, path: Path) -> None:
    writer.call("a", "b", at=T, sink="app:on_id")
    ack(path, 1)
    text = printed(path, "status")
    assert re.search(r"callbacks +1 to deliver", text)
    assert "Nothing left" not in text


def test_status_in_json_has_the_numbers(writer: SpoolWriter, path: Path) -> None:
    writer.call("a", "b", at=T)
    (status,) = json_lines(path, "status")
    assert status["journal"] == str(path)
    assert (status["records"], status["states"]["pending"], status["left"]) == (1, 1, {"pending": 1})
    assert status["writers"][0]["alive"] is True
    assert status["oldest_unsent"] == "2025-10-09T08:53:20+00:00"


def test_check_finds_no_damage_in_an_intact_journal(writer: SpoolWriter, path: Path) -> None:
    writer.call("a", "b", at=T)
    printed(path, "list")
    assert printed(path, "check") == f"1 record, 2 events, 2 frames read in {path}: no damage\n"
    assert json_lines(path, "check")[0]["ok"] is True


def test_check_prints_ids_of_records_with_dashes() -> None:
    record = "01a228710f1d7c8b8dc915183a111bce"
    text = with_dashes(f"record {record}: cut; spool/{record}-00000000.seg and {record}.lock stay")
    assert text == f"record {UUID(record)}: cut; spool/{record}-00000000.seg and {record}.lock stay"


def test_check_lists_the_damaged_parts_and_exits_with_1(writer: SpoolWriter, path: Path) -> None:
    writer.call("a" * 200, "b", at=T)
    content = bytearray(writer.path.read_bytes())
    content[content.index(b"aaaa")] ^= 1
    writer.path.write_bytes(content)
    done = run(path, "check")
    assert done.returncode == 1
    assert writer.path.name in done.stdout
    assert "checksum" in done.stdout
    assert "1 problem\n" in done.stdout
    checked = run(path, "check", "--json")
    assert checked.returncode == 1
    (status,) = map(json.loads, checked.stdout.splitlines())
    assert (status["ok"], len(status["problems"])) == (False, 1)
    assert sorted(status["problems"][0]) == ["kept", "what", "where"]


# --- all of them ---


def test_a_failed_ingest_is_a_note(writer: SpoolWriter, path: Path) -> None:
    writer.call("a", "b", at=T)
    assert run(path, "status").returncode == 0
    (path / "ingest.lock").unlink()
    (path / "ingest.lock").mkdir()
    done = run(path, "list", PYTHONWARNINGS="default")
    assert done.returncode == 0
    assert re.search(r"^plsync: the newest events could not be ingested, and stay in the spool: ", done.stderr)


def test_a_journal_can_be_named_before_and_after_the_command(writer: SpoolWriter, path: Path, tmp_path: Path) -> None:
    writer.call("a", "b", at=T)
    elsewhere = tmp_path / "none"
    assert json_lines(elsewhere, "list", "--journal", str(path)) == json_lines(path, "list")
    assert json_lines(elsewhere, "--journal", str(path), "list") == json_lines(path, "list")


@pytest.mark.parametrize("json_or_not", [[], ["--json"]])
def test_a_closed_pipe_ends_the_command_quietly(writer: SpoolWriter, path: Path, json_or_not: list[str]) -> None:
    for number in range(60):
        writer.call("a" * 2000, "b", at=T + number)
    command = [str(PLSYNC), "list", "-n", "60", *json_or_not]
    with subprocess.Popen(
        command, env=environment(path, COLUMNS="2000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == b""
    assert listing.returncode == 0


def test_json_can_hold_a_path_that_is_not_utf_8(path: Path, tmp_path: Path) -> None:
    odd = tmp_path / "j\udcff"
    try:
        SpoolWriter(odd).close()
    except OSError:
        pytest.skip("this file system takes no such name")
    [status] = json_lines(path, "status", "--journal", str(odd))
    assert Path(status["journal"]) == odd


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["status"], ["show", "zz"]])
def test_a_command_works_without_standard_output_or_error(
    writer: SpoolWriter, path: Path, arguments: list[str]
) -> None:
    writer.call("a", "b", at=T)
    shell = ["sh", "-c", 'exec "$0" "$@" >&-', str(PLSYNC), *arguments]
    done = subprocess.run(shell, env=environment(path), stderr=subprocess.PIPE, encoding="utf-8", check=False)
    error = "is not a record id" if "zz" in arguments else ""
    assert (error in done.stderr, done.stderr.count("\n"), done.returncode) == (True, bool(error), bool(error))
    shell[2] += " 2>&-"
    assert subprocess.run(shell, env=environment(path), check=False).returncode == bool(error)


def test_commands_that_read_import_neither_langchain_nor_a_client(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.call("a", "b", at=T)
    program = (
        "import sys; from plsync.cli import app\n"
        f"for command in (['list'], ['show', '{record_id}'], ['status'], ['check'], ['tail']):\n"
        "    app(command, standalone_mode=False)\n"
        "heavy = {'langchain_core', 'promptlayer', 'httpx', 'requests'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment(path), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
