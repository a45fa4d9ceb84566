"""``plsync export --parquet``: the lake that DuckDB and Polars read."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import orjson
import polars
import pytest
from pyarrow import parquet

from plsync.cli import main
from plsync.errors import ExportError
from plsync.genai.columns import COLUMNS
from plsync.journal import Journal, Quota
from plsync.lake.export import LakeReport, export
from tests.support.commands import environment, json_lines, printed
from tests.support.full_disk import small_disk
from tests.support.spooling import SpoolWriter

DAY = 86_400_000
# 2025-10-09T08:53:20Z
T = 1_760_000_000_000
MONDAY, TUESDAY, WEDNESDAY = (T + number * DAY for number in range(3))
DATES = ["2025-10-09", "2025-10-10", "2025-10-11"]
OPENAI = {"model": "gpt-4o", "temperature": 0.5}


def record(path: Path, *days: int, **start: Any) -> None:
    """Record a call on each of these days."""
    writer = SpoolWriter(path)
    for number, day in enumerate(days):
        metadata = {"ls_provider": "openai", "thread_id": f"thread {number}", "user_id": "ada", "depth": 2}
        writer.call(f"How far is planet {number}?", f"{number} km", at=day, metadata=metadata, params=OPENAI, **start)
    writer.close()


@pytest.fixture
def journal(path: Path) -> Path:
    """A journal with two calls on the first day, and one on each of the next two."""
    record(path, MONDAY, MONDAY + 1, TUESDAY, WEDNESDAY, tags=["planets", "far"])
    return path


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def write(journal: Path, lake: Path, **options: Any) -> LakeReport:
    with Journal.open(journal) as opened:
        return export(opened, lake, **options)


def rows(lake: Path, columns: str = "*", where: str = "true") -> list[tuple[Any, ...]]:
    """Rows that DuckDB reads."""
    found = duckdb.connect().sql(f"select {columns} from '{lake}/**/*.parquet' where {where} order by record_id")
    return found.fetchall()


def files(lake: Path) -> dict[str, int]:
    """The Parquet files of a lake, with the inode of each: a file that is written again has a new one."""
    return {path.relative_to(lake).as_posix(): path.stat().st_ino for path in sorted(lake.rglob("*.parquet"))}


def rewritten(lake: Path, before: dict[str, int]) -> list[str]:
    """The days of which files were written again."""
    return [name.split("/")[0].removeprefix("date=") for name, inode in files(lake).items() if before[name] != inode]


def test_duckdb_and_polars_read_the_values_of_records(journal: Path, lake: Path) -> None:
    assert write(journal, lake).records == 4
    names = "record_id, trace_id, span_id, model, status, state, duration_ns, tags, conversation_id, started_at"
    with Journal.open(journal) as opened:
        expected = [
            (r.id, r.trace_id, r.span_id, r.model, r.status, r.state, r.duration_ns, r.tags,
             r.metadata["thread_id"], r.started_at)
            for r in opened.records(oldest_first=True)
        ]  # fmt: skip
        journal_id = opened.id
    connection = duckdb.connect()
    connection.sql("set timezone = 'UTC'")
    found = connection.sql(f"select {names} from '{lake}/**/*.parquet' order by record_id").fetchall()
    assert [(*row[:-1], row[-1].astimezone(timezone.utc)) for row in found] == expected
    frame = polars.scan_parquet(f"{lake}/**/*.parquet", hive_partitioning=True).sort("record_id").collect()
    assert frame.select(names.split(", ")).rows() == expected
    assert frame["date"].cast(str).to_list() == [DATES[0], *DATES]
    assert set(frame["journal_id"]) == {journal_id}


def test_messages_are_json_of_the_gen_ai_conventions(journal: Path, lake: Path) -> None:
    write(journal, lake)
    query = (
        "input_messages->>'$[0].role', input_messages->>'$[0].parts[0].content', "
        "output_messages->>'$[0].parts[0].content', output_messages->>'$[0].finish_reason', "
        "params->>'$.temperature', metadata['user_id'], metadata['depth'], user_id"
    )
    assert rows(lake, query)[0] == ("user", "How far is planet 0?", "0 km", "stop", "0.5", "ada", "2", "ada")


def test_the_schema_has_these_columns_and_only_grows(journal: Path, lake: Path) -> None:
    write(journal, lake)
    schema = parquet.read_schema(next(lake.rglob("*.parquet")))
    kinds = {
        "text": "string",
        "int": "int64",
        "time": "timestamp[us, tz=UTC]",
        "texts": "list<element: string>",
        "map": "map<string, string ('metadata')>",
    }
    assert {field.name: str(field.type) for field in schema} == {name: kinds[kind] for name, kind in COLUMNS.items()}
    golden = Path(__file__).with_name("columns.txt").read_text(encoding="utf-8").splitlines()
    assert [f"{name} {kind}" for name, kind in COLUMNS.items()][: len(golden)] == golden
    assert (schema.metadata[b"plsync.schema"], schema.metadata[b"plsync.gen_ai"]) == (b"2", b"1.37.0")


def test_two_journals_make_one_lake_and_copies_of_lakes_merge(journal: Path, lake: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    record(other, MONDAY, TUESDAY)
    write(journal, lake)
    write(other, tmp_path / "second")
    for _ in range(2):  # a second copy changes nothing
        subprocess.run(["/bin/cp", "-r", f"{tmp_path}/second/.", str(lake)], check=True)
        query = f"select count(*), count(distinct journal_id) from '{lake}/**/*.parquet'"
        assert duckdb.connect().sql(query).fetchall() == [(6, 2)]
    # Both cursors are there, and each export goes on from its own.
    assert write(journal, lake, since_last=True).files == 0
    assert write(other, lake, since_last=True).files == 0


def test_since_last_writes_only_the_days_whose_records_changed(journal: Path, lake: Path) -> None:
    write(journal, lake, since_last=True)
    before = files(lake)
    assert write(journal, lake, since_last=True).as_dict() == {
        "lake": str(lake), "files": 0, "records": 0, "bytes": 0, "unchanged": 3, "removed": 0, "left_out": 0,
    }  # fmt: skip
    with Journal.open(journal) as opened:
        opened.outbox.ack([(3, 77)])
    assert write(journal, lake, since_last=True).files == 1
    assert rewritten(lake, before) == [DATES[1]]
    assert [row[:2] for row in rows(lake, "state, request_id")] == [
        ("pending", None), ("pending", None), ("acked", 77), ("pending", None),
    ]  # fmt: skip


def test_since_last_adds_records_that_arrive_late_to_their_day(journal: Path, lake: Path) -> None:
    write(journal, lake)
    before = files(lake)
    record(journal, MONDAY + 5, tags=["late"])
    assert write(journal, lake, since_last=True).records == 3
    assert rewritten(lake, before) == [DATES[0]]
    assert len(rows(lake)) == 5


def test_a_record_stays_in_one_file_however_often_it_is_exported(journal: Path, lake: Path) -> None:
    write(journal, lake)
    names = list(files(lake))
    record(journal, MONDAY + 5)
    write(journal, lake)
    assert list(files(lake)) == names
    assert len(rows(lake)) == 5


def test_the_lake_keeps_content_that_the_quota_removed_and_loses_content_that_was_forgotten(
    journal: Path, lake: Path
) -> None:
    write(journal, lake)
    with Journal.open(journal) as opened:
        opened.outbox.ack([(1, 71), (2, 72), (4, 74)])
        write(journal, lake, since_last=True)
        opened.set_quota(Quota(max_bytes=0))
        opened.compact()
        pruned = [record.seq for record in opened.records(oldest_first=True) if record.pruned]
        assert pruned == [1, 2, 4]
        opened.forget(72)
    write(journal, lake, since_last=True)
    found = rows(lake, "request_id, input_messages->>'$[0].parts[0].content', model, marks")
    assert found == [
        (71, "How far is planet 0?", "gpt-4o", ["pruned"]),
        (72, None, None, ["forgotten"]),
        (None, "How far is planet 2?", "gpt-4o", []),
        (74, "How far is planet 3?", "gpt-4o", ["pruned"]),
    ]


def test_a_lake_with_filters_on_content_keeps_content_that_the_quota_removed(journal: Path, lake: Path) -> None:
    options: dict[str, Any] = {"filters": {"metadata": {"user_id": "ada"}, "tag": "far"}, "since_last": True}
    write(journal, lake, **options)
    with Journal.open(journal) as opened:
        opened.outbox.ack([(1, 71), (2, 72), (4, 74)])
        write(journal, lake, **options)
        opened.set_quota(Quota(max_bytes=0))
        opened.compact()
        opened.forget(72)
    # Another record of the first day, so that its file is written again.
    record(journal, MONDAY + 5, tags=["far"])
    assert write(journal, lake, **options).removed == 0
    query = "request_id, input_messages->>'$[0].parts[0].content', marks"
    expected = [
        (71, "How far is planet 0?", ["pruned"]),
        (None, "How far is planet 0?", []),
        (None, "How far is planet 2?", []),
        (74, "How far is planet 3?", ["pruned"]),
    ]
    assert rows(lake, query) == expected
    assert write(journal, lake, **options).files == 0
    # A lake that never had these records has no row without content.
    write(journal, lake.with_name("other"), **options)
    assert len(rows(lake.with_name("other"))) == 2


def test_a_record_of_other_bytes_has_no_operation(journal: Path, lake: Path) -> None:
    with Journal.open(journal) as opened:
        opened.append(b"\xff")
    write(journal, lake)
    assert [row[0] for row in rows(lake, "operation")] == ["chat"] * 4 + [None]


def test_since_and_until_choose_whole_days(journal: Path, lake: Path) -> None:
    at = datetime.fromtimestamp(TUESDAY / 1000, timezone.utc)
    write(journal, lake, filters={"since": at, "until": at + timedelta(minutes=1)})
    assert [name.split("/")[0] for name in files(lake)] == [f"date={DATES[1]}"]
    # Another range adds the files of its days.
    write(journal, lake, filters={"until": at})
    assert len(rows(lake)) == 3
    write(journal, lake, filters={"since": at - timedelta(days=1), "until": at}, since_last=True)
    assert len(rows(lake)) == 3


def test_a_file_without_records_any_more_is_removed(journal: Path, lake: Path) -> None:
    write(journal, lake, filters={"state": "pending"})
    with Journal.open(journal) as opened:
        opened.outbox.ack([(3, 77)])
    assert write(journal, lake, filters={"state": "pending"}, since_last=True).removed == 1
    assert [name.split("/")[0][5:] for name in files(lake)] == [DATES[0], DATES[2]]


def test_since_last_writes_a_file_again_that_was_removed_from_the_lake(journal: Path, lake: Path) -> None:
    write(journal, lake)
    next((lake / f"date={DATES[1]}").iterdir()).unlink()
    assert write(journal, lake, since_last=True).files == 1
    assert len(rows(lake)) == 4
    assert write(journal, lake, since_last=True).files == 0


def test_a_day_without_rows_is_read_once(journal: Path, lake: Path) -> None:
    def hook(row: dict[str, Any]) -> dict[str, Any] | None:
        return None if row["conversation_id"] == "thread 2" else row

    assert write(journal, lake, redact=hook).files == 2
    report = write(journal, lake, redact=hook, since_last=True)
    assert (report.files, report.unchanged, report.left_out) == (0, 3, 0)


def test_other_options_need_another_lake(journal: Path, lake: Path) -> None:
    write(journal, lake, filters={"tag": "planets"})
    before = files(lake)
    with pytest.raises(ExportError, match=r'records with filters=\{"tag":"planets"\}, content=true'):
        write(journal, lake)
    with pytest.raises(ExportError, match="choose another directory"):
        write(journal, lake, filters={"tag": "planets"}, content=False, since_last=True)
    assert files(lake) == before


def test_no_content_leaves_out_messages_tools_and_error_messages(journal: Path, lake: Path) -> None:
    write(journal, lake, content=False)
    text = b"".join(path.read_bytes() for path in lake.rglob("*.parquet"))
    assert b"planet 0" not in text
    assert rows(lake, "input_messages, output_messages, tools, error_message, model")[0] == (*[None] * 4, "gpt-4o")


def test_a_redact_hook_changes_rows_and_leaves_out_records(journal: Path, lake: Path) -> None:
    def hook(row: dict[str, Any]) -> dict[str, Any] | None:
        if row["conversation_id"] == "thread 1":
            return None
        row["metadata"] = {}
        row["input_messages"][0]["parts"][0]["content"] = "[hidden]"
        return row

    report = write(journal, lake, redact=hook)
    assert (report.records, report.left_out) == (3, 1)
    assert rows(lake, "input_messages->>'$[0].parts[0].content', metadata")[0] == ("[hidden]", {})


@pytest.mark.parametrize(
    "result", [7, {"model": 7}, {"metadata": {"a": 1}}, {"seq": 1 << 70}, {"tags": [1]}, {"name": "\udc00"}], ids=ascii
)
def test_a_wrong_result_of_a_redact_hook_is_an_error_and_leaves_no_file(journal: Path, lake: Path, result: Any) -> None:
    with pytest.raises(ExportError, match="redact hook returned"):
        write(journal, lake, redact=lambda row: {**row, **result} if isinstance(result, dict) else result)
    assert list(lake.glob("date=*/.*")) == [] == list(files(lake))


def test_a_redact_hook_that_raises_stops_the_export(journal: Path, lake: Path) -> None:
    def hook(row: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("secret")

    with pytest.raises(ExportError, match="the redact hook raised KeyError for record") as caught:
        write(journal, lake, redact=hook)
    assert "secret" not in str(caught.value)
    assert not files(lake)


def test_files_take_the_permissions_of_the_lake(journal: Path, lake: Path, tmp_path: Path) -> None:
    write(journal, lake)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    write(journal, shared)
    modes = [stat.S_IMODE(next(where.rglob("*.parquet")).stat().st_mode) for where in (lake, shared)]
    assert modes == [0o600, 0o644]
    assert stat.S_IMODE(next(shared.glob("date=*")).stat().st_mode) == 0o755


CRASH = """
import os, signal, sys
from plsync.journal import Journal
from plsync.lake.export import export
replace, left = os.replace, [2]
def replace_or_die(*paths):
    if str(paths[1]).endswith("parquet"):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
os.replace = replace_or_die
with Journal.open() as journal:
    export(journal, sys.argv[1], since_last=True)
"""


def test_a_crash_leaves_whole_files_and_the_next_export_writes_the_missing_ones(journal: Path, lake: Path) -> None:
    command = [sys.executable, "-c", CRASH, str(lake)]
    died = subprocess.run(command, env=environment(journal), capture_output=True, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(list(lake.glob("date=*/.*"))) == 1
    assert len(rows(lake)) == 2
    assert write(journal, lake, since_last=True).files == 2
    assert len(rows(lake)) == 4
    assert list(lake.glob("date=*/.*")) == []


def test_a_full_disk_leaves_whole_files(journal: Path, tmp_path: Path) -> None:
    writer = SpoolWriter(journal)
    for number in range(80):
        writer.call(os.urandom(20_000).hex(), "noise", at=WEDNESDAY + number)
    writer.close()
    with small_disk(tmp_path / "disk", "1m") as disk:
        with pytest.raises(ExportError, match=r"No space left on device in .* every file there is whole"):
            write(journal, disk / "lake")
        assert len(rows(disk / "lake")) == 3
        assert list(disk.rglob(".*")) == []


def test_one_export_at_a_time_writes_a_journal_into_a_lake(journal: Path, lake: Path) -> None:
    def again(row: dict[str, Any]) -> dict[str, Any]:
        with pytest.raises(ExportError, match="another export of this journal writes to"):
            write(journal, lake)
        return row

    assert write(journal, lake, redact=again).records == 4


def test_a_damaged_cursor_is_an_error_with_the_remedy(journal: Path, lake: Path) -> None:
    write(journal, lake)
    cursor = next((lake / "_plsync").glob("*.json"))
    cursor.write_bytes(cursor.read_bytes()[:-9])
    with pytest.raises(ExportError, match="remove it, and the next export writes every day again"):
        write(journal, lake, since_last=True)
    cursor.write_bytes(orjson.dumps({"format": 2, "options": {}, "files": {}}))
    with pytest.raises(ExportError, match="newer plsync"):
        write(journal, lake)


def test_the_command_writes_a_lake(journal: Path, lake: Path) -> None:
    text = printed(journal, "export", "--parquet", str(lake), "--tag", "far")
    assert text.startswith("4 records in 3 files (") and text.endswith(f"written to {lake}\n")
    [again] = json_lines(journal, "export", "--parquet", str(lake), "--tag", "far", "--since-last")
    assert (again["files"], again["unchanged"], again["lake"]) == (0, 3, str(lake))


def test_the_command_has_an_error_for_each_mistake(
    journal: Path, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def error(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["plsync", "export", *arguments, "--journal", str(journal)])
        with pytest.raises(SystemExit) as caught:
            main()
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return caught.value.code, text

    (tmp_path / "file").touch()
    assert error("--parquet", str(tmp_path / "file")) == (
        1, f"plsync: {tmp_path / 'file'} is a file, and nothing was written: choose a directory\n",
    )  # fmt: skip
    assert error("--parquet", str(lake), "--redact", "nowhere:hook")[1].startswith(
        "plsync: nowhere:hook cannot be imported here"
    )
    for more in (["--limit", "3"], ["0199aaaa"], ["--append"], ["--recording", "a.jsonl"], ["--redact", "hook"]):
        assert error("--parquet", str(lake), *more)[0] == 2
    assert error("--recording", "a.jsonl", "--since-last")[0] == 2
    assert not lake.exists()


INTERRUPTING = """
import os, signal
def hook(row):
    if row["conversation_id"] == "thread 2":
        os.kill(os.getpid(), signal.SIGINT)
    return row
"""


def test_ctrl_c_leaves_whole_files_and_names_the_way_on(
    journal: Path, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "interrupting.py").write_text(INTERRUPTING)
    monkeypatch.syspath_prepend(tmp_path)
    arguments = ["--parquet", str(lake), "--redact", "interrupting:hook", "--journal", str(journal)]
    monkeypatch.setattr(sys, "argv", ["plsync", "export", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == (
        f"plsync: stopped; every file in {lake} is whole: --since-last writes the other days\n"
    )
    assert len(rows(lake)) == 2
    assert list(lake.glob("date=*/.*")) == []


def test_without_pyarrow_the_error_names_the_extra(journal: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExportError, match=r"pip install 'plsync\[parquet\]'"):
        write(journal, lake)
    assert not lake.exists()
