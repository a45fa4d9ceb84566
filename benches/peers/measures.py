"""The measurements: the cost of a call, the calls that survive, and the memory, imports and packages of a recorder."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from collector import Collector
from environments import python_of
from recorders import RECORDERS

__all__ = ["Cost", "Kept", "arrivals", "costs", "imports", "kept", "memory"]

CLOSED = "http://127.0.0.1:9"
"""Every connection to it is refused at once."""

_WORKER = str(Path(__file__).with_name("worker.py"))
_MARK = re.compile(rb"mark(\d{5})mark")
_READ = """
import sys
from plsync import Journal
with Journal.open(sys.argv[1]) as journal:
    print(sum(1 for record in journal.records() if record.status == "ok"))
"""
_LONGEST_END = 180


class Cost(NamedTuple):
    """Microseconds that a recorder adds to a work: the median over the rounds, and their quartiles."""

    median: float
    low: float
    high: float
    bare: float
    """Microseconds of the work with a handler that does nothing."""


class Kept(NamedTuple):
    """The calls that the disk has after the program ended."""

    calls: int
    seconds: float
    """How long the program took to end, from its last call."""


class _Program:
    """A worker. Its directory is its home, its working directory, and the place of its temporary files."""

    def __init__(self, name: str, task: str, *arguments: str, url: str = CLOSED, home: Path) -> None:
        self.name, self.home = name, home
        recorder = RECORDERS[name]
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        settings = {key: value.replace("{url}", url) for key, value in recorder.settings.items()}
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            "PLSYNC_JOURNAL": str(home / "journal"),
            "PYTHONWARNINGS": "ignore",
            **settings,
        }
        command = [python_of(recorder.environment), _WORKER, task, name, *arguments]
        self.log = (home / "stderr").open("wb")
        self.process = subprocess.Popen(
            command,
            cwd=home,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        line = self.output.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.name} ended: {self.errors()}")
        return line

    def errors(self) -> str:
        return (self.home / "stderr").read_text(errors="replace")[-2000:]

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def close(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


@contextlib.contextmanager
def _programs(names: list[str], task: str, *arguments: str) -> Iterator[dict[str, _Program]]:
    with tempfile.TemporaryDirectory() as directory:
        programs = {name: _Program(name, task, *arguments, home=Path(directory) / name) for name in names}
        try:
            yield programs
        finally:
            for program in programs.values():
                program.close()


def costs(names: list[str], rounds: int, counts: dict[str, int], parts: dict[str, int]) -> dict[str, dict[str, Cost]]:
    """The cost that each recorder adds to each work, its exporter nulled.

    Each recorder has a process. In each round it makes every call twice: with a handler that does nothing, and with the
    recorder. The processes of the other recorders are stopped meanwhile.

    Args:
        names: the recorders.
        rounds: turns of each recorder.
        counts: calls of each work in a turn.
        parts: the parts that the time of each work is divided by.

    Returns:
        The costs by recorder and work.
    """
    table: dict[str, dict[str, Cost]] = {}
    with _programs(names, "costs") as programs:
        for program in programs.values():
            assert program.line() == "ready\n"
            program.signal(signal.SIGSTOP)
        order = random.Random(0)  # noqa: S311 - no secret
        samples: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for number in range(rounds + 1):
            for work, count in counts.items():
                for program in order.sample(list(programs.values()), len(programs)):
                    program.signal(signal.SIGCONT)
                    program.send(json.dumps([work, count]))
                    times = json.loads(program.line())
                    program.signal(signal.SIGSTOP)
                    if number:  # the first round warms up
                        spent = (times["recorder"] - times["no-op"]) / parts[work], times["no-op"] / parts[work]
                        samples.setdefault((program.name, work), []).append(spent)
    for (name, work), measured in samples.items():
        low, median, high = statistics.quantiles([added for added, _ in measured], n=4)
        table.setdefault(name, {})[work] = Cost(median, low, high, statistics.median(bare for _, bare in measured))
    return table


def kept(names: list[str], count: int, ending: str) -> dict[str, Kept]:
    """The calls without a server that the disk has after the program ended.

    Args:
        names: the recorders.
        count: calls of each.
        ending: ``"end"`` for a clean end, or the seconds after the last call until SIGKILL.
    """
    with _programs(names, "calls", str(count), ending) as programs:
        done = {name: float(program.line()) for name, program in programs.items()}
        ended: dict[str, float] = {}
        while len(ended) < len(names) and time.monotonic() < max(done.values()) + _LONGEST_END:
            for name in set(names) - set(ended):
                if programs[name].process.poll() is not None:
                    ended[name] = time.monotonic()
            time.sleep(0.01)
        found = {}
        for name, program in programs.items():
            program.close()
            seconds = ended.get(name, time.monotonic()) - done[name]
            found[name] = Kept(_readable(name, program.home), seconds)
    return found


def arrivals(names: list[str], count: int, rate: int, outage: float) -> dict[str, int]:
    """The number of calls that reach a server that is away for a while.

    The server goes 2 seconds after the first call. The programs end by themselves 20 seconds after it is back.

    Args:
        names: the recorders.
        count: calls of each.
        rate: calls per second.
        outage: seconds without a server.
    """
    collectors = {name: Collector() for name in names}
    after = max(0.0, 2 + outage + 20 - count / rate)
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        programs = []
        for name, collector in collectors.items():
            collector.start()
            stack.callback(collector.stop)
            arguments = (str(count), str(rate), str(after))
            program = _Program(name, "paced", *arguments, url=collector.url, home=Path(directory) / name)
            stack.callback(program.close)
            programs.append(program)
        for program in programs:
            assert program.line() == "ready\n"
        sender = stack.enter_context(_sender(programs))
        for program in programs:
            program.send("go")
        time.sleep(2)
        for collector in collectors.values():
            collector.stop()
        time.sleep(outage)
        for collector in collectors.values():
            collector.start()
        for program in programs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(_LONGEST_END)
        sender()
    return {name: len(collector.arrived) for name, collector in collectors.items()}


@contextlib.contextmanager
def _sender(programs: list[_Program]) -> Iterator[Any]:
    """Run ``plsync run`` beside plsync's program; the result of ``with`` ends it."""
    running = []
    for program in programs:
        if RECORDERS[program.name].environment == "plsync":
            command = [str(Path(python_of("plsync")).with_name("plsync")), "run"]
            running.append(subprocess.Popen(command, env=program.environment, stdout=program.log, stderr=program.log))

    def end() -> None:
        for process in running:
            process.send_signal(signal.SIGINT)
            process.wait(_LONGEST_END)

    try:
        yield end
    finally:
        for process in running:
            process.kill()
            process.wait()


def memory(names: list[str], count: int) -> dict[str, list[float]]:
    """Resident megabytes before ``count`` calls of 8 KB without a server, after them, and 5 seconds later."""
    with _programs(names, "memory", str(count), "5") as programs:
        return {name: json.loads(program.line()) for name, program in programs.items()}


def imports(names: list[str], rounds: int) -> dict[str, float]:
    """Median milliseconds of importing and making the handler, in fresh processes in turn."""
    samples: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        for name in names:
            with _programs([name], "imports") as programs:
                samples[name].append(float(programs[name].line()))
    return {name: statistics.median(times[1:]) for name, times in samples.items()}


def _readable(name: str, home: Path) -> int:
    """The marked calls in the files of a recorder; of plsync's journal, its complete records."""
    if RECORDERS[name].environment == "plsync":
        command = [python_of("plsync"), "-c", _READ, str(home / "journal")]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    marks: set[bytes] = set()
    for path in home.rglob("*"):
        if path.is_file() and path.name != "stderr":
            marks.update(_MARK.findall(path.read_bytes()), _MARK.findall(_tables(path)))
    return len(marks)


def _tables(path: Path) -> bytes:
    """The values of an SQLite database; nothing for another file."""
    with path.open("rb") as file:
        if file.read(15) != b"SQLite format 3":
            return b""
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        rows = [row for table in tables for row in database.execute(f'select * from "{table}"')]  # noqa: S608
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)
