"""The log of ``plsync run``: a line for each change, sums of results that repeat, and the time of each line."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from plsync.cli.run_changes import Interruptions, Repetitions, Sum, same_reason
from plsync.cli.run_reporter import RunReporter
from plsync.delivery import policy as policy_module
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import FollowUpReport, PassReport, Pause
from plsync.delivery.runner import Runner
from plsync.delivery.wake import Wake
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Ambiguous, Outcome, Unauthorized, Unreachable
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.calls import AT, states, wait_until, write_calls
from tests.support.full_disk import fill, small_disk
from tests.support.spooling import SpoolWriter

HOUR, DAY = 3600.0, 86_400.0
IMPATIENT = SendPolicy(settle=0.0, timeout=5.0, shortest_pause=0.01, longest_pause=0.02)
TIMED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d (.*)")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


OFFLINE = Unreachable("no connection to https://api.promptlayer.com: [Errno -2] Name or service not known")


def test_an_interruption_is_one_line_at_its_begin_and_one_at_its_end(clock: Clock) -> None:
    found = Interruptions(clock)
    lines = []
    for _ in range(11_520):  # a probe each second
        lines.append(found.observe(OFFLINE))
        clock.now += 1
    lines.append(found.observe(None))
    began, ended = filter(None, lines)
    assert (began.outcome, began.short) == (OFFLINE, 0)
    assert (ended.outcome, ended.before, ended.seconds) == (None, OFFLINE, 11_520)


def test_a_new_reason_adds_a_line_and_a_new_number_does_not(clock: Clock) -> None:
    found = Interruptions(clock)
    reasons = ["503 busy (request 1f)", "503 busy (request 2e)", "500 broken", "500 broken"]
    outcomes: list[Outcome] = [*map(Ambiguous, reasons), Unauthorized("401 no")]
    changes = filter(None, map(found.observe, outcomes))
    assert [change.outcome.reason for change in changes if change.outcome] == [reasons[0], "500 broken", "401 no"]


def test_a_link_that_drops_every_two_seconds_gets_a_line_in_ten_minutes(clock: Clock) -> None:
    found = Interruptions(clock)
    changes = []
    for _ in range(int(DAY / 4)):
        for outcome in (OFFLINE, None):
            changes.append(found.observe(outcome))
            clock.now += 2
    printed = [change for change in changes if change is not None]
    assert 140 < len(printed) <= 8 + DAY / 600
    # Each interruption is in one line: by itself, or among the short ones.
    assert sum(change.short + (change.outcome is not None) for change in printed) > DAY / 4 - 200


def test_after_a_flapping_link_a_long_interruption_is_still_logged(clock: Clock) -> None:
    found = Interruptions(clock)
    for _ in range(100):
        found.observe(OFFLINE)
        found.observe(None)
    assert found.observe(OFFLINE) is None
    clock.now += 700
    late = found.observe(OFFLINE)
    assert late is not None
    assert (late.outcome, late.seconds, late.short) == (OFFLINE, 700, 96)


def test_steady_traffic_is_summed_up_every_hour(clock: Clock) -> None:
    found = Repetitions(clock)
    lines: list[Sum] = []
    for _ in range(int(DAY)):
        lines += found.add("acked", 1, str)
        clock.now += 1
    assert [one.number for one in lines[:4]] == [1, 60, 600, 3600]
    assert len(lines) == 26
    assert sum(one.number for one in (*lines, *found.rest())) == DAY
    assert max(one.seconds for one in lines) == HOUR


def test_after_a_quiet_time_a_result_is_logged_at_once(clock: Clock) -> None:
    found = Repetitions(clock)
    assert [one.number for one in found.add("acked", 5, str)] == [5]
    assert [*found.add("acked", 2, str)] == []
    clock.now += 61
    assert [(one.number, one.seconds) for one in found.due()] == [(2, 61)]
    clock.now += 2 * HOUR
    assert [one.number for one in found.add("acked", 1, str)] == [1]


def test_reasons_are_compared_without_their_numbers() -> None:
    assert same_reason("429 wait 17 s") == same_reason("429 wait 3 s")
    assert same_reason("429 wait 17 s") != same_reason("503 wait 17 s")


# --- with a real client ---


def log_of(
    journal: Path, server: PromptLayerServer, stop: Callable[[int], bool], *, url: str = "", json: bool = False
) -> None:
    """Reports a run that goes on until ``stop`` returns True for the number of pauses."""
    reporter = RunReporter(json, policy=IMPATIENT)
    pauses = 0
    with (
        Journal.open(journal) as opened,
        PromptLayerClient(server.api_key, url or server.url, timeout=5.0) as client,
        Wake(journal) as wake,
    ):
        runner = Runner(opened, client, IMPATIENT, wake)
        for step in runner.forever():
            reporter.report(step)
            pauses += isinstance(step, Pause)
            if stop(pauses):
                runner.stop()
    reporter.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of a missing network without a pause."""
    monkeypatch.setattr(policy_module, "_OFTEN", 0.02)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of the log, each without its time."""
    lines = []
    for line in capsys.readouterr().out.splitlines():
        found = TIMED.fullmatch(line)
        assert found is not None, line
        assert datetime.fromisoformat(line.split()[0]).tzinfo is not None
        lines.append(found[1])
    return lines


UNREACHABLE = {
    "DNS": ("https://plsync.invalid", ""),
    "refused": ("http://127.0.0.1:9", "refused"),
    "TLS": ("https://127.0.0.1:{port}", "SSL"),
}


@pytest.mark.parametrize("kind", UNREACHABLE)
@pytest.mark.usefixtures("quick")
def test_each_kind_of_missing_network_is_one_line(
    path: Path, server: PromptLayerServer, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    write_calls(path, 1)
    url, reason = UNREACHABLE[kind]
    url = url.format(port=server.url.rpartition(":")[2])
    log_of(path, server, lambda pauses: pauses == 10, url=url)
    (line,) = printed(capsys)
    assert line.startswith(f"offline: no connection to {url}: ")
    assert reason in line
    assert line.endswith("; looking again every 0 to 30 s")


class Refusing:
    """Delivers one call, refuses requests for a while, and stops the run after the second call is delivered."""

    def __init__(self, path: Path, server: PromptLayerServer, status: int) -> None:
        write_calls(path, 1)
        self._path, self._server, self._status = path, server, status
        # After a response that is not clear, the record waits for its look-up.
        self._times = 1 if status == 503 else 12
        self._has_begun = False

    def __call__(self, pauses: int) -> bool:
        if not self._has_begun and len(self._server.request_logs) == 1:
            self._has_begun = True
            self._server.fail(self._status, times=self._times)
            write_calls(self._path, 1)
        return pauses >= min(self._times, 10) and set(states(self._path).values()) == {"acked"}


@pytest.mark.parametrize("status", [401, 429, 503])
def test_each_kind_of_refusal_is_one_line_and_its_end_another(
    path: Path, server: PromptLayerServer, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    log_of(path, server, Refusing(path, server, status))
    lines = printed(capsys)
    assert [bool(re.search(rf"\b{status}\b", line)) for line in lines].count(True) == 1
    assert sum(line.startswith("sending again after") for line in lines) == 1


def test_json_has_a_waiting_event_for_each_reason(
    path: Path, server: PromptLayerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    log_of(path, server, Refusing(path, server, 429), json=True)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [event["event"] for event in events]
    assert [names.count(name) for name in ("halt", "waiting", "resumed")] == [1, 1, 1]
    halt, waiting, resumed = (events[names.index(name)] for name in ("halt", "waiting", "resumed"))
    assert (halt["outcome"], halt["short"]) == ("throttled", 0)
    assert (waiting["reason"], resumed["short"]) == (halt["reason"], 0)
    assert resumed["seconds"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system")
def test_a_full_disk_is_one_line(tmp_path: Path, server: PromptLayerServer, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(tmp_path, "8m") as disk:
        path = disk / "journal"
        write_calls(path, 1)
        ballast: Path | None = None

        def stop(pauses: int) -> bool:
            nonlocal ballast
            if ballast is None and len(server.request_logs) == 1:
                # Larger than the space that the store keeps for itself on a full disk.
                writer = SpoolWriter(path)
                writer.call(random.Random(1).randbytes(1_200_000).hex(), "answer", at=AT)  # noqa: S311
                writer.close()
                ballast = fill(disk)
            if pauses == 10 and ballast is not None:
                ballast.unlink(missing_ok=True)
            return pauses >= 10 and set(states(path).values()) == {"acked"}

        log_of(path, server, stop)
    lines = printed(capsys)
    assert sum("this machine is short of a resource" in line for line in lines) == 1
    assert sum(line.startswith("sending again after") for line in lines) == 1


def test_a_terminal_gets_a_line_that_is_redrawn(path: Path, server: PromptLayerServer) -> None:
    write_calls(path, 1)
    controller, terminal = pty.openpty()
    settings = {
        **os.environ,
        "PLSYNC_JOURNAL": str(path),
        "PROMPTLAYER_API_KEY": server.api_key,
        "PROMPTLAYER_BASE_URL": server.url,
        "TERM": "xterm",
        "COLUMNS": "80",
    }
    command = [*programs.PLSYNC_IN_PYTHON, "run"]
    with programs.Popen(command, env=settings, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        wait_until(lambda: set(states(path).values()) == {"acked"})
        shown = b""
        while b"waiting for new calls" not in shown:
            shown += os.read(controller, 4096)
        process.terminate()
        try:
            while part := os.read(controller, 65536):
                shown += part
        except OSError:  # Linux reports the end of the other side as an error
            pass
    os.close(controller)
    text = shown.decode()
    assert re.search(r"\d\d:\d\d:\d\d 1 record at http://127\.0\.0\.1:\d+ \(a stand-in\)\.", text)
    assert re.search(r"delivered 1 record, 0 follow-ups, the last at \d\d:\d\d:\d\d; waiting for new calls", text)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is shown again"


def test_a_failure_lasts_through_rounds_that_have_nothing_to_send() -> None:
    reporter = RunReporter(json=False, once=True)
    unclear = Ambiguous("200 (a login page)")
    reporter.report(PassReport(in_doubt=1, halt=unclear))
    reporter.report(PassReport())
    assert (reporter.halt, reporter.interruption) == (None, unclear)
    reporter.report(PassReport(acked=1))
    reporter.report(FollowUpReport())
    assert reporter.interruption is None
