"""Delivery by real programs: killed in a callback, forked, ended during a call, or without a journal."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from plsync.journal import Journal
from tests.support import programs
from tests.support.callback_worker import deliver
from tests.support.calls import acknowledge, wait_until, write_calls

# Records calls, prints "recorded", and runs callbacks until its input ends.
PROGRAM = """
import os, sys, threading, time
from langchain_core.language_models import FakeListLLM
from plsync import PromptLayerCallbackHandler
import plsync.journal.callbacks
plsync.journal.callbacks.LEASE = 0.2

journal, calls = sys.argv[1], int(sys.argv[2])

def write(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def on_id(request_id):
    write("begin", request_id)
    {body}
    write("end", request_id)

handler = PromptLayerCallbackHandler(on_id, journal=journal)
for number in range(calls):
    FakeListLLM(responses=["yes"]).invoke("hi", {{"callbacks": [handler]}})
write("recorded")
{then}
"""
WAIT = "sys.stdin.read()"


def program(tmp_path: Path, body: str, then: str = WAIT) -> Path:
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(PROGRAM).format(body=body, then=then))
    return script


def start(script: Path, journal: Path, calls: int) -> subprocess.Popen[str]:
    """Start the program, and wait until it has recorded its calls."""
    command = [sys.executable, str(script), str(journal), str(calls)]
    process = programs.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "recorded\n"
    return process


def lines(process: subprocess.Popen[str], number: int) -> list[list[str]]:
    assert process.stdout is not None
    return [process.stdout.readline().split() for _ in range(number)]


def words(output: str, first: str) -> list[int]:
    return [int(line.split()[1]) for line in output.splitlines() if line.startswith(first)]


def test_ids_of_a_killed_process_are_delivered_by_the_next_process_of_the_script(tmp_path: Path) -> None:
    hanging = program(tmp_path, "if request_id == 1002: time.sleep(600)")
    journal = tmp_path / "journal"
    with start(hanging, journal, 4) as first:
        assert acknowledge(journal) == 4
        received = lines(first, 3)
        assert received == [["begin", "1001"], ["end", "1001"], ["begin", "1002"]]
        first.send_signal(signal.SIGKILL)
        first.communicate()
    program(tmp_path, "if request_id == 1005: write('last')")
    with start(hanging, journal, 1) as second:
        # Its own id comes last: the dead process's ids have been due for longer.
        assert acknowledge(journal) == 1
        ended: set[str] = set()
        while not {"1002", "1003", "1004", "1005"} <= ended:
            ((kind, *rest),) = lines(second, 1)
            if kind == "end":
                ended.add(rest[0])
        second.communicate("", timeout=60)
    assert second.returncode == 0
    with Journal.open(journal) as opened:
        assert opened.callbacks.waiting() == []


def test_a_program_ends_while_its_callback_hangs_and_the_id_is_kept(tmp_path: Path) -> None:
    script = program(tmp_path, "time.sleep(600)")
    journal = tmp_path / "journal"
    with start(script, journal, 2) as process:
        assert acknowledge(journal) == 2
        assert lines(process, 1) == [["begin", "1001"]]
        process.communicate("", timeout=60)
    assert process.returncode == 0
    with Journal.open(journal) as opened:
        (waiting,) = opened.callbacks.waiting()
        assert (waiting.sink, waiting.waiting, waiting.owned) == (f"{script}:on_id", 2, 0)


def test_a_call_that_runs_at_the_end_of_the_program_may_return(tmp_path: Path) -> None:
    script = program(tmp_path, "time.sleep(0.3)")
    journal = tmp_path / "journal"
    with start(script, journal, 3) as process:
        assert acknowledge(journal) == 3
        assert lines(process, 1) == [["begin", "1001"]]
        output, _ = process.communicate("", timeout=60)
    assert process.returncode == 0
    began = [1001, *words(output, "begin")]
    assert words(output, "end") == began
    with Journal.open(journal) as opened:
        # Returned calls are settled, and ids that were not delivered are due at once.
        received: list[int] = []
        deliver(opened, {f"{script}:on_id": received.append})
        assert sorted(began + received) == [1001, 1002, 1003]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_children_that_are_forked_during_deliveries_deliver_their_own_ids(tmp_path: Path) -> None:
    then = """
import warnings
warnings.simplefilter("ignore")
children = []
for _ in range(6):
    pid = os.fork()
    if pid == 0:
        FakeListLLM(responses=["yes"]).invoke("hi", {"callbacks": [handler]})
        write("forked", os.getpid())
        time.sleep(600)
        os._exit(1)
    children.append(pid)
    FakeListLLM(responses=["yes"]).invoke("hi", {"callbacks": [handler]})
write("forks", *children)
sys.stdin.read()
for pid in children:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""
    script = program(tmp_path, "write('in', os.getpid())", then)
    journal = tmp_path / "journal"
    with start(script, journal, 200) as process:
        deliveries: list[list[str]] = []
        forked: set[str] = set()
        children: Sequence[str] = ()
        # The program forks while ids come.
        while not children or len(forked) < len(children):
            acknowledge(journal)
            ((kind, *rest),) = lines(process, 1)
            if kind == "forked":
                forked.add(rest[0])
            elif kind == "forks":
                children = rest
            else:
                deliveries.append([kind, *rest])
        while acknowledge(journal):
            pass
        while sum(kind == "in" for kind, *_ in deliveries) < 212:
            deliveries += lines(process, 1)
        process.communicate("", timeout=60)
    by: dict[str, int] = {}
    for kind, *rest in deliveries:
        if kind == "in":
            by[rest[0]] = by.get(rest[0], 0) + 1
    assert by == {str(process.pid): 206, **dict.fromkeys(children, 1)}


def test_a_handler_whose_process_has_no_journal_yet_costs_nothing(tmp_path: Path) -> None:
    look: Any = (
        "import sys, threading\n"
        "from plsync import PromptLayerCallbackHandler\n"
        "handler = PromptLayerCallbackHandler(print, journal=sys.argv[1])\n"
        "print([thread.name for thread in threading.enumerate()], 'plsync.journal.journal' in sys.modules)\n"
    )
    command = [sys.executable, "-c", look, str(tmp_path / "journal")]
    done = programs.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "['MainThread'] False\n"
    assert not (tmp_path / "journal").exists()


RUN_COMMAND = """
import sys
import plsync.journal.callbacks
from plsync.journal import Journal
from plsync.callbacks.dispatcher import CallbackDispatcher
from plsync.callbacks.command import Command
plsync.journal.callbacks.LEASE = 0.2
with Journal.open(sys.argv[1]) as journal:
    dispatcher = CallbackDispatcher(journal, command=Command(sys.argv[2]))
    dispatcher.start()
    print("started", flush=True)
    sys.stdin.read()
    dispatcher.stop(30)
"""


def test_a_command_whose_plsync_was_killed_is_run_again(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    write_calls(journal, 2)
    received, hold = tmp_path / "received", tmp_path / "hold"
    hold.touch()
    command = (
        f"import os, sys, time; print(sys.argv[1], os.getpid(), file=open({str(received)!r}, 'a'))\n"
        f"while os.path.exists({str(hold)!r}): time.sleep(0.05)"
    )
    line = shlex.join([sys.executable, "-S", "-c", command, "{request_id}"])

    def runs() -> list[str]:
        lines = received.read_text().splitlines() if received.exists() else []
        return [line.split()[0] for line in lines]

    def deliver() -> subprocess.Popen[str]:
        program = [sys.executable, "-c", RUN_COMMAND, str(journal), line]
        process = programs.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        return process

    with deliver() as first:
        assert acknowledge(journal) == 2
        wait_until(lambda: runs() == ["1001"])
        first.send_signal(signal.SIGKILL)
    # The command of the killed process runs on, and no process reads its exit code.
    hold.unlink()
    with deliver() as second, Journal.open(journal) as opened:
        wait_until(lambda: opened.callbacks.waiting() == [])
        second.communicate("", timeout=60)
    assert sorted(runs()) == ["1001", "1001", "1002"]
