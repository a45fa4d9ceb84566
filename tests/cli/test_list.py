"""The table of ``list`` and ``tail``: its width, its columns, its notes, and the options that filter it."""

from __future__ import annotations

import re
import time
import tracemalloc
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from typer import BadParameter

from plsync.cli import options
from plsync.cli.output import one_line
from plsync.cli.record_table import Table, tail_table
from plsync.journal import Journal
from plsync.journal.record import Record
from tests.support.commands import json_lines, printed, run
from tests.support.examples import examples
from tests.support.spooling import SpoolWriter
from tests.support.terminal import on_terminal

NOW = time.time_ns() // 1_000_000
INPUT = "a long question in many words, " * 10
OPTIONAL = ("TAGS", "TOKENS", "TOOK", "STARTED", "MODEL", "DELIVERY", "RESULT")


def usage(count: int) -> dict[str, Any]:
    counts = {"input_tokens": count, "output_tokens": count, "total_tokens": 2 * count}
    message = {"$": "AIMessage", "v": {"type": "ai", "content": "", "usage_metadata": counts}}
    return {"generations": [{"$": "ChatGeneration", "v": {"message": message}}]}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Record]]:
    """Records of every shape, of today and of other days."""
    path = tmp_path_factory.mktemp("table") / "journal"
    writer = SpoolWriter(path)
    for number in range(48):
        prompt = (INPUT, "short", "日本語 " * 30, "")[number % 4]
        start: dict[str, Any] = {"kind": "llm", "prompts": [prompt], "params": {"model": "m" * (1 + number)}}
        at = NOW - (number % 3) * 86_400_000
        record_id = writer.start(start, at=at, tags=["tag"] * (number % 2) * (number // 8))
        if number % 5:
            error = {"type": "E", "message": "no", "status_code": 429}
            more = usage(10**number) if number % 3 and number < 15 else {"error": error}
            writer.end(
                record_id, {**more, "elapsed": 10 ** (number % 13)}, ended=("ok", "error", "partial")[number % 3]
            )
    writer.close()
    with Journal.open(path) as journal:
        yield list(journal.records())


@given(width=st.integers(40, 250), chosen=st.sets(st.integers(0, 47), min_size=1))
@settings(deadline=None, max_examples=examples(150))
def test_the_width_of_a_list_goes_to_the_input(records: list[Record], width: int, chosen: set[int]) -> None:
    shown = [records[number] for number in chosen]
    heading, *lines = [line.plain for line in Table.lines_of(iter(shown), width, 48, is_full=False)]
    assert len(lines) == len(shown)
    assert max(map(cell_len, [heading, *lines])) <= width
    names = heading.split()
    assert names[0] == "ID"
    inputs = [" ".join(str(record.input[0]).split()) for record in shown]
    if any(inputs):
        # The input has 30 columns, or as many as it needs.
        assert names[-1] == "INPUT"
        room = width - heading.index("INPUT")
        assert room >= min(30, max(cell_len(text) for text in inputs))
    # No column is empty.
    starts = [heading.index(name) for name in names]
    for name, start, end in zip(names, starts, [*starts[1:], None], strict=True):
        assert any(cells(line)[start:end].strip() for line in lines), name
    # Columns are dropped in their order, unless they are empty.
    kept = [name for name in OPTIONAL if name in names]
    dropped = OPTIONAL[: OPTIONAL.index(kept[0])] if kept else OPTIONAL
    assert set(OPTIONAL) - set(dropped) - set(names) <= empty_columns(shown)


def cells(line: str) -> str:
    """The line with a second character for each wide one, so that an index is a column."""
    return "".join(character * max(1, cell_len(character)) for character in line)


def empty_columns(shown: list[Record]) -> set[str]:
    has = {"TAGS": any(record.tags for record in shown), "TOKENS": any(record.usage for record in shown)}
    has["TOOK"] = any(record.duration_ns is not None for record in shown)
    return {name for name, value in has.items() if not value}


@given(width=st.integers(40, 250), order=st.permutations(range(48)))
@settings(deadline=None, max_examples=examples(40))
def test_the_columns_of_tail_depend_on_the_width_alone(records: list[Record], width: int, order: list[int]) -> None:
    table = tail_table(width, 48, is_full=False)
    heading = table.heading().plain
    assert "DELIVERY" not in heading
    assert width - heading.index("INPUT") >= 25
    for number in order[:8]:
        line = table.line(records[number]).plain
        assert cell_len(line) <= width
        # Two spaces stand in front of every column of every line.
        for name in heading.split()[1:]:
            assert cells(line).ljust(width)[heading.index(name) - 2 : heading.index(name)] == "  "


@pytest.mark.parametrize("columns", ["0", "00", "-1", "wide", "9" * 30, ""])
def test_records_are_shown_without_a_usable_width(writer: SpoolWriter, path: Path, columns: str) -> None:
    writer.call("question", "b", at=NOW)
    assert printed(path, "list", COLUMNS=columns).splitlines()[1].endswith("question")
    assert "--limit" in printed(path, "list", "--help", COLUMNS=columns)


def test_the_table_of_a_usual_terminal_has_the_time(writer: SpoolWriter, path: Path) -> None:
    start = {"params": {"model": "claude-3-5-sonnet-20241022"}}
    record_id = writer.start({"kind": "llm", "prompts": [INPUT], **start}, at=NOW)
    writer.end(record_id, {"error": {"type": "E", "message": "no", "status_code": 429}}, ended="error")
    with Journal.open(path) as journal:
        (record,) = journal.records()
        # The ids of a large journal are longer.
        for total in (1, 1000, 100_000):
            heading, line = (line.plain for line in Table.lines_of([record], 80, total, is_full=False))
            assert f"{record.started_at.astimezone():%H:%M}" in line
            assert "INPUT" in heading
    assert "STARTED" in tail_table(80, 1_000_000, is_full=False).heading().plain


def test_a_time_of_today_has_no_date_and_a_pipe_has_every_column(writer: SpoolWriter, path: Path) -> None:
    writer.call("today", "b", at=NOW)
    writer.call("before", "b", at=NOW - 400 * 86_400_000)
    utc = datetime.fromtimestamp(NOW / 1000, timezone.utc)
    if utc.date() == datetime.now(timezone.utc).date():
        first, second = on_terminal(path, "list", columns=120).splitlines()[1:]
        assert f"  {utc:%H:%M:%S}  " in first
        assert "-" not in first.split("today")[0]
        assert re.search(r"  20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  ", second)
        assert f"  {utc:%Y-%m-%d %H:%M:%S}  " in printed(path, "list").splitlines()[1]
    names = "ID STARTED MODEL RESULT DELIVERY TOOK TOKENS TAGS INPUT"
    assert printed(path, "list").splitlines()[0].split() == names.split()


def test_tail_has_a_heading_on_a_terminal_and_no_delivery(writer: SpoolWriter, path: Path) -> None:
    writer.call("hi", "b", at=NOW)
    heading, line = on_terminal(path, "tail", columns=100).splitlines()
    assert heading.split() == ["ID", "STARTED", "MODEL", "RESULT", "TOOK", "INPUT"]
    assert line.index("hi") == heading.index("INPUT")
    assert "waiting" not in line
    assert len(printed(path, "tail").splitlines()) == 1


def test_tail_shows_none_or_all(writer: SpoolWriter, path: Path) -> None:
    written = [writer.call("a", "b", at=NOW + number) for number in range(12)]
    assert [record["id"] for record in json_lines(path, "tail", "-n", "all")] == written
    assert json_lines(path, "tail", "-n", "0") == []


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--model", "gpt-4*"], "ab"),
        (["--thread", "t1", "--metadata", "user=1"], "a"),
        (["--metadata", "user=1", "--metadata", "x=a=b"], "c"),
        (["--run", "11111111222243338444555555555555"], "b"),
        (["--slower", "500ms"], "bc"),
        (["--slower", "1.5s", "--result", "ok"], "c"),
        (["--since", "yesterday"], "bc"),
        (["--until", "today", "-n", "all"], "a"),
    ],
)
def test_more_filters_choose_records(writer: SpoolWriter, path: Path, arguments: list[str], found: str) -> None:
    facts: list[tuple[str, dict[str, Any], int, int]] = [
        ("gpt-4", {"thread_id": "t1", "user": 1}, 100, 3),
        ("gpt-4o", {"thread_id": "t1", "user": 2}, 1000, 0),
        ("other", {"user": "1", "x": "a=b"}, 2000, 0),
    ]
    written = {}
    for name, (model, metadata, ms, days) in zip("abc", facts, strict=True):
        run_id = {"parent_run_id": "11111111-2222-4333-8444-555555555555"} if name == "b" else {}
        start = {"kind": "llm", "prompts": [name], "params": {"model": model}, "metadata": metadata, **run_id}
        record_id = writer.start(start, at=NOW - days * 86_400_000)
        writer.end(record_id, {"elapsed": ms * 1_000_000})
        written[record_id] = name
    listed = [written[record["id"]] for record in json_lines(path, "list", *arguments)]
    assert "".join(sorted(listed)) == found


def test_a_repeated_filter_may_repeat_its_value(writer: SpoolWriter, path: Path) -> None:
    writer.call("?", "!", at=NOW, metadata={"user_id": 42, "plan": "free"})
    writer.call("?", "!", at=NOW, metadata={"user_id": 42, "plan": "paid"})
    twice = ("--metadata", "user_id=42", "--metadata", "user_id=42")
    assert len(json_lines(path, "list", *twice, "--text", "?", "--text", "?")) == 2
    assert len(json_lines(path, "list", *twice, "--metadata", "plan=paid")) == 1


@pytest.mark.parametrize("prompt", [" " * 5000 + "the question", "\n" * 5000 + "the question" + "\t" * 5000])
def test_blanks_around_a_prompt_hide_no_preview(writer: SpoolWriter, path: Path, prompt: str) -> None:
    writer.call(prompt, "!", at=NOW)
    writer.call("a" + " " * 5000 + "b", "!", at=NOW + 1)
    for command in ("list", "tail"):
        assert {line.split("  ")[-1].strip() for line in printed(path, command).splitlines()} >= {"the question", "a b"}


def test_a_list_keeps_no_content_of_the_records_before(writer: SpoolWriter, path: Path) -> None:
    for number in range(60):
        writer.call(f"{number} " + "word " * 200_000, "answer", at=NOW + number)
    with Journal.open(path) as journal:
        tracemalloc.start()
        try:
            lines = Table.lines_of(journal.records(), 120, 60, is_full=False)
            heading = next(lines)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert heading.plain.endswith("INPUT")
        assert len(list(lines)) == 60
    # The contents have 60 MB.
    assert kept < 30 * 1_000_000


def test_a_cut_prompt_keeps_its_begin_and_its_end() -> None:
    text = f"begin {'x' * 10**6} {'word ' * 1000}{' ' * 5000}{'y' * 50} end {' ' * 5000}"
    line = one_line(text, 60, keep_end=True).plain
    assert line.startswith("begin x")
    assert line.endswith("y end")
    assert cell_len(line) <= 60
    assert one_line(f"{'word ' * 1000}", 20).plain == "word word word word…"


def test_a_command_that_finds_nothing_prints_a_line_for_people(writer: SpoolWriter, path: Path) -> None:
    writer.close()
    for command in ("list", "tail", "usage", "acks"):
        done = run(path, command)
        assert (done.returncode, done.stdout) == (0, "")
        assert re.match(rf"the journal {re.escape(str(path))} (is empty|has no request id yet); ", done.stderr)
    assert all(run(path, command, "--json").stderr == "" for command in ("tail", "acks"))
    second = SpoolWriter(path)
    second.call("?", "!", at=NOW)
    second.close()
    for command in ("list", "tail", "usage"):
        assert run(path, command, "--tag", "none").stderr.startswith("no record matches; ")


@pytest.mark.parametrize("command", [["list"], ["status"], ["run", "--once"], ["status", "--check"]], ids=" ".join)
def test_the_error_for_a_missing_journal_names_the_workspaces_that_have_one(tmp_path: Path, command: list[str]) -> None:
    for name in ("staging", "prod-2"):
        SpoolWriter(tmp_path / f"journal-{name}").close()
    done = run(tmp_path / "journal", *command, PLSYNC_CONFIG="/dev/null", PROMPTLAYER_API_KEY="pl_x")
    assert done.returncode == 1
    assert done.stderr.endswith("first. Workspaces with a journal: prod-2, staging: use --workspace NAME\n")


def test_a_workspace_without_a_journal_is_named_in_the_error(path: Path) -> None:
    for arguments in (["list"], ["show"], ["status"], ["run", "--once"]):
        done = run(path, *arguments, "--workspace", "foo", PROMPTLAYER_API_KEY="pl_key")
        assert done.returncode == 1
        assert done.stderr.startswith(f"plsync: the workspace foo has no journal yet ({path}-foo); check the name")


def test_a_model_that_no_record_has_is_answered_with_the_models(writer: SpoolWriter, path: Path) -> None:
    for name in ("gpt-4o", "gpt-4o-mini"):
        writer.call("a", "b", at=NOW, params={"model": name})
    for wanted in ("gpt-5", "x*"):
        assert (
            run(path, "list", "--model", wanted).stderr == "no record matches; models there are: gpt-4o, gpt-4o-mini\n"
        )
    assert "models there are" not in run(path, "list", "--model", "gpt-4o", "--tag", "none").stderr


def test_the_name_of_a_day_is_its_midnight() -> None:
    today = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    assert options.parse_time("today") == today
    assert options.parse_time("Yesterday").date() == (today - timedelta(days=1)).date()
    for name in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"):
        at = options.parse_time(name)
        assert at.strftime("%A").lower() == name
        assert timedelta() <= today.replace(tzinfo=None) - at.replace(tzinfo=None) < timedelta(days=7)


def test_wrong_values_of_options_are_refused() -> None:
    for parse, values in (
        (options.parse_limit, ("-1", "x", "", "1.5")),
        (options.parse_duration, ("2", "s", "-2s", "2 s", "2d")),
        (options.parse_metadata, ("user", "=1", "")),
        (options.parse_run, ("abc", "")),
        (options.parse_time, ("someday", "2h3")),
    ):
        for value in values:
            with pytest.raises(BadParameter):
                parse(value)
    assert options.parse_duration("1.5s") == timedelta(seconds=1.5)
    assert options.parse_duration("250ms") == timedelta(milliseconds=250)


def test_export_exits_with_1_if_it_wrote_nothing(writer: SpoolWriter, path: Path, tmp_path: Path) -> None:
    writer.call("a", "b", at=NOW)
    file = str(tmp_path / "calls.jsonl")
    done = run(path, "export", "--recording", file, "--tag", "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was written" in done.stderr
    assert run(path, "export", "--recording", file, "--tag", "none", "--json").returncode == 1
    assert run(path, "export", "--recording", file, "--all", "--tag", "none").returncode == 2
    assert "1 call written" in printed(path, "export", "--recording", file, "--all")


def test_retry_of_a_record_that_needs_none_prints_its_delivery(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.call("a", "b", at=NOW)
    assert printed(path, "retry", record_id) == f"Nothing to retry: {record_id} is waiting; `plsync run` sends it.\n"
    with Journal.open(path) as journal:
        leased = journal.outbox.lease(1, 60_000, time.time_ns() // 1_000_000)
        journal.outbox.park([leased[0].seq], "dead", "no")
    assert printed(path, "retry", "--delivery", "refused") == "1 record to retry in the next `plsync run`.\n"


def test_salvage_of_a_path_without_a_directory_names_the_path(tmp_path: Path) -> None:
    for source in (tmp_path / "missing", tmp_path / "file" / "x"):
        (tmp_path / "file").touch()
        done = run(tmp_path, "salvage", str(source), str(tmp_path / "new"))
        assert done.returncode == 1
        assert done.stderr.startswith(f"plsync: there is no directory {source}; nothing was written")
        assert "--journal" not in done.stderr
