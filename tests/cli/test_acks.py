"""Request ids on their way back to the program: ``plsync status``, and ``plsync acks``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from plsync.journal import Journal
from plsync.journal.callbacks import FailedCallback
from tests.support import programs
from tests.support.calls import AT
from tests.support.commands import PLSYNC, environment, json_lines, printed, run
from tests.support.spooling import SpoolWriter
from tests.support.terminal import on_terminal

SINKS = ["app:on_id", "/srv/app.py:on_id", "/srv/app.py:main.<locals>.<lambda>@12"]


def call(writer: SpoolWriter, path: Path, *sinks: str) -> None:
    """Acked calls whose ids wait for these sinks."""
    for number, sink in enumerate(sinks):
        writer.call(f"question {number}", "answer", at=AT + number, sink=sink)
    ack(path, *range(1, len(sinks) + 1))


def ack(path: Path, *seqs: int) -> None:
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.outbox.ack([(seq, 1000 + seq) for seq in seqs])


def test_status_lists_each_sink_and_the_next_step(writer: SpoolWriter, path: Path) -> None:
    call(writer, path, *SINKS, SINKS[0])
    writer.close()
    text = printed(path, "status").splitlines()
    assert "  2 for app:on_id: `plsync run` calls it" in text
    assert ("  1 for /srv/app.py:on_id: run the script again, or `plsync run --callbacks module:on_id`") in text
    assert (
        "  1 for /srv/app.py:main.<locals>.<lambda>@12: run its program again, "
        "or `plsync run --callbacks '/srv/app.py:main.<locals>.<lambda>@12=module:function'`"
    ) in text


def test_status_reports_that_a_running_program_delivers_its_ids(writer: SpoolWriter, path: Path) -> None:
    call(writer, path, SINKS[2])
    text = printed(path, "status")
    (live,) = json_lines(path, "status")[0]["writers"]
    assert f"its running program calls it (process {live['pid']})" in text


def test_status_counts_ids_that_wait_for_a_command(writer: SpoolWriter, path: Path) -> None:
    writer.call("question", "answer", at=AT)
    with Journal.open(path) as journal:
        journal.callbacks.subscribe("exec")
    ack(path, 1)
    assert "  1 for exec: `plsync run --exec COMMAND` runs it" in printed(path, "status").splitlines()


def test_status_shows_failed_callbacks_and_the_reason(writer: SpoolWriter, path: Path) -> None:
    call(writer, path, "app:on_id", "app:on_id")
    writer.close()
    with Journal.open(path) as journal:
        given_up = FailedCallback(1, "raised ValueError: no \x1b[2Jroom", 0, dead=True)
        journal.callbacks.settle("app:on_id", failed=[given_up])
    text = printed(path, "status")
    assert "given up      1 callback" in text
    assert "  1 for app:on_id: it raised ValueError: no \\x1b[2Jroom" in text
    assert "retries the failed callbacks" in text
    (status,) = json_lines(path, "status")
    assert status["sinks"] == [
        {
            "sink": "app:on_id",
            "waiting": 1,
            "owned": 0,
            "pids": [],
            "dead": 1,
            "last_error": "raised ValueError: no \x1b[2Jroom",
        }
    ]


def test_status_shortens_a_long_list_of_functions(writer: SpoolWriter, path: Path) -> None:
    call(writer, path, *[f"app:made@3#{number}" for number in range(2, 40)])
    writer.close()
    text = printed(path, "status")
    assert text.count(" for app:made@3") == 10
    assert "and 28 functions more" in text


def test_acks_are_listed_in_the_order_of_arrival(writer: SpoolWriter, path: Path) -> None:
    ids = [writer.call(f"question {number}", "answer", at=AT + number) for number in range(3)]
    ack(path, 3, 1)
    lines = [line.split() for line in printed(path, "acks").splitlines()]
    assert [(request_id, record_id) for _, _, request_id, record_id, _ in lines] == [
        ("#1003", ids[2]),
        ("#1001", ids[0]),
    ]
    (first, second) = json_lines(path, "acks")
    assert (first["request_id"], first["record_id"], first["run_id"]) == (1003, ids[2], None)
    ack(path, 2)
    assert [found["request_id"] for found in json_lines(path, "acks", "--since", second["cursor"])] == [1002]
    assert [found["request_id"] for found in json_lines(path, "acks", "--since", first["cursor"], "-n", "1")] == [1001]
    assert [line.split()[-1] for line in printed(path, "acks", "-n", "1").splitlines()] == [first["cursor"]]


def test_a_terminal_shows_the_newest_acks_below_a_heading(writer: SpoolWriter, path: Path) -> None:
    for number in range(23):
        writer.call("question", "answer", at=AT + number)
    ack(path, *range(1, 24))
    heading, *lines, note = on_terminal(path, "acks", columns=120).splitlines()
    assert heading.split() == ["ARRIVED", "REQUEST", "ID", "RECORD", "CURSOR"]
    assert [line.split()[2] for line in lines] == [f"#{1000 + number}" for number in range(4, 24)]
    assert heading.index("CURSOR") == lines[0].index(lines[0].split()[-1])
    assert note == "the newest 20 request ids are shown; -n all shows all"
    assert len(on_terminal(path, "acks", "-n", "all", columns=120).splitlines()) == 24
    assert len(printed(path, "acks").splitlines()) == len(json_lines(path, "acks")) == 23


def test_callbacks_that_no_program_waits_for_can_be_dropped(writer: SpoolWriter, path: Path) -> None:
    call(writer, path, *SINKS, SINKS[2])
    writer.close()
    assert "`plsync callbacks drop FUNCTION`" in printed(path, "status")
    listed = json_lines(path, "callbacks", "list")
    assert {found["sink"]: found["waiting"] for found in listed} == {SINKS[0]: 1, SINKS[1]: 1, SINKS[2]: 2}
    assert f"  1 for {SINKS[0]}: `plsync run` calls it".strip() in printed(path, "callbacks", "list").splitlines()
    assert json_lines(path, "callbacks", "drop", SINKS[2]) == [{"sink": SINKS[2], "dropped": 2}]
    for sink in SINKS[:2]:
        assert f"1 request id for {sink} removed" in printed(path, "callbacks", "drop", sink)
    assert json_lines(path, "status")[0]["left"] == {}
    assert len(json_lines(path, "acks")) == 4
    again = run(path, "callbacks", "drop", SINKS[0])
    assert (again.returncode, again.stdout) == (1, "")
    assert "no request id waits for app:on_id; `plsync callbacks list` lists the functions" in again.stderr
    assert run(path, "callbacks", "list").stderr == "no function waits for a request id\n"


def test_a_cursor_of_another_journal_is_wrong_usage(writer: SpoolWriter, path: Path) -> None:
    writer.call("question", "answer", at=AT)
    done = run(path, "acks", "--since", "00000000-1")
    assert done.returncode == 2
    assert "leave it out" in done.stderr


def test_acks_with_follow_prints_each_new_ack(writer: SpoolWriter, path: Path) -> None:
    for number in range(3):
        writer.call(f"question {number}", "answer", at=AT + number)
    ack(path, 2)
    command = [str(PLSYNC), "acks", "-f", "--json", "-n", "3"]
    with programs.Popen(command, env=environment(path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["request_id"] == 1002
        ack(path, 3)
        ack(path, 1)
        assert [json.loads(line)["request_id"] for line in process.stdout] == [1003, 1001]
    assert process.returncode == 0
