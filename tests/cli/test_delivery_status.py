"""``plsync status`` about the delivery: where records went, how the last run ended, and the next step."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from plsync.cli.delivery_status import destination, destinations, elsewhere_lines, last_run, sent_to
from plsync.cli.run_changes import Change
from plsync.cli.run_messages import failure_line, left_lines
from plsync.delivery.lock import SenderProcess, sole_sender
from plsync.delivery.next_step import next_step
from plsync.journal import Journal
from plsync.journal.reports import Stats
from plsync.journal.servers import LastRun, Server
from plsync.promptlayer.outcomes import Ambiguous
from plsync.testing import PromptLayerServer
from tests.support.calls import write_calls
from tests.support.commands import printed, run

ONE, TWO = "https://one.example", "https://two.example"


def known(number: int, url: str, acked: int, **more: Any) -> Server:
    values: dict[str, Any] = {
        "key": f"{number:08x}",
        "stand_in": False,
        "bound": False,
        "in_doubt": 0,
        "first_at": None,
        "last_at": None,
    }
    return Server(id=number, url=url, acked=acked, **values | more)


def ended(outcome: str, reason: str = "", *, minutes: int | None = 2, remedy: str = "") -> LastRun:
    now = datetime.now(timezone.utc)
    at = None if minutes is None else now - timedelta(minutes=minutes)
    return LastRun(ONE, 7, now - timedelta(minutes=5), at, outcome, reason, remedy)


@pytest.fixture
def stats(path: Any) -> Any:
    """Statistics with 30 sent and 5 waiting records."""
    with Journal.open(path, create=True) as journal:
        found = journal.stats()
    states = dict.fromkeys(found.states, 0) | {"acked": 30, "pending": 5}

    def with_changes(**changes: Any) -> Stats:
        values = {name: getattr(found, name) for name in Stats.__slots__}
        return Stats(**values | {"states": states, "records": 35} | changes)

    return with_changes


def test_one_server_is_named_in_the_line_of_sent_records(stats: Any) -> None:
    assert destination(stats(servers=[known(1, ONE, 30), known(2, TWO, 0)])) == f"to {ONE}"
    assert list(destinations(stats(servers=[known(1, ONE, 30)]))) == []


def test_several_servers_are_listed(stats: Any) -> None:
    found = stats(servers=[known(1, ONE, 5), known(2, TWO, 20, stand_in=True), known(3, ONE, 2)])
    assert destination(found) is None
    assert list(destinations(found)) == [
        f"20 to {TWO} (a stand-in)",
        f"5 to {ONE}, key 00000001",
        f"2 to {ONE}, key 00000003",
        "3 by an earlier version of plsync, which did not store the server",
    ]
    many = stats(servers=[known(number, f"http://127.0.0.1:{number}", 1) for number in range(1, 31)])
    assert list(destinations(many))[-1] == "20 to 20 more servers; --json lists them"
    assert list(destinations(stats(servers=[]))) == [], "a journal of an earlier version"


@pytest.mark.parametrize(
    ("run", "shown", "advice"),
    [
        (ended("ok"), f"2 min ago, to {ONE}: ended without a failure", "Next: `plsync run` sends"),
        (
            ended("unauthorized", "401 Invalid API key"),
            f"2 min ago, to {ONE}: the server refused the API key (401 Invalid API key)",
            "Next: set PROMPTLAYER_API_KEY to a valid key, then `plsync run`.",
        ),
        (ended("offline", "no route"), f"2 min ago, to {ONE}: no route", "Next: `plsync run` sends"),
        (
            ended("unauthorized", "401", remedy="write a valid key to /run/secrets/key"),
            f"2 min ago, to {ONE}: the server refused the API key (401)",
            "Next: write a valid key to /run/secrets/key, then `plsync run`.",
        ),
        (
            ended("AuthenticationError", "no key"),
            f"2 min ago, to {ONE}: no key",
            "Next: see the reason of the last run",
        ),
        (
            ended("throttled", "429"),
            f"2 min ago, to {ONE}: 429",
            "Next: `plsync run` sends the waiting records. The last run ended for the reason above.",
        ),
        (ended("misdirected", "404"), f"2 min ago, to {ONE}: 404", "Next: check PROMPTLAYER_BASE_URL"),
        (ended("WrongWorkspace", "use `x`"), f"2 min ago, to {ONE}: use `x`", "Next: see the reason of the last run"),
        (
            ended("ok", minutes=None),
            f"began 5 min ago, to {ONE}, and did not store its end: it may have been killed",
            "Next: `plsync run` sends",
        ),
        (None, None, "Next: `plsync run` sends"),
    ],
)
def test_the_last_run_and_the_next_step(stats: Any, run: LastRun | None, shown: str | None, advice: str) -> None:
    if run is not None:
        # Minutes may pass after the collection of the tests.
        passed = datetime.now(timezone.utc) - run.began_at - timedelta(minutes=5)
        at = run.ended_at and run.ended_at + passed
        run = replace(run, began_at=run.began_at + passed, ended_at=at)
    found = stats(last_run=run, servers=[known(1, ONE, 30, bound=True)])
    assert last_run(found, None) == shown
    assert (next_step(found, None) or "").startswith(advice)


def test_a_running_sender_replaces_the_last_run(stats: Any) -> None:
    found = stats(last_run=ended("unauthorized", "401"), servers=[])
    assert last_run(found, SenderProcess(5668, 0.0, "sending")) is None
    assert next_step(found, SenderProcess(5668, 0.0, "sending")) == "Process 5668 is sending; 5 to go."
    waiting = next_step(found, SenderProcess(5668, 0.0, "waiting: no route"))
    assert waiting == "Process 5668 tries again after a pause; 5 to go. The reason: no route"


def test_records_in_doubt_elsewhere_have_a_way_out(stats: Any) -> None:
    found = stats(servers=[known(1, ONE, 3, in_doubt=2), known(2, TWO, 27, bound=True)])
    (line,) = elsewhere_lines(found)
    assert line.startswith(f"2 unclear records went to {ONE}. `plsync retry --sent-to {ONE}` sends them to {TWO}")
    assert "together with the 3 records that it has" in line
    nothing_else = stats(states=dict.fromkeys(found.states, 0) | {"in_doubt": 2}, servers=found.servers)
    assert next_step(nothing_else, None) is None


def test_servers_of_one_url_are_named_by_their_keys(stats: Any) -> None:
    found = stats(servers=[known(1, ONE, 0, in_doubt=2), known(2, ONE, 27, bound=True)])
    (line,) = elsewhere_lines(found)
    assert line.startswith(
        f"2 unclear records went to {ONE}, key 00000001. `plsync retry --sent-to 00000001` sends them to {ONE}, "
        "key 00000002; "
    )


def test_calls_that_went_to_a_stand_in_have_a_way_to_promptlayer(stats: Any) -> None:
    found = stats(servers=[known(1, ONE, 3, stand_in=True), known(2, TWO, 27, bound=True)])
    (line,) = elsewhere_lines(found)
    assert line.startswith("3 records went to a stand-in. With an account, `plsync retry --sent-to stand-in`")


def test_status_shows_the_server_and_the_end_of_the_last_run(path: Any, server: PromptLayerServer) -> None:
    write_calls(path, 2)
    settings = {"PROMPTLAYER_BASE_URL": server.url, "PROMPTLAYER_API_KEY": server.api_key}
    assert run(path, "run", "--once", **settings).returncode == 0
    shown = printed(path, "status")
    assert f"2  (to {server.url})" in shown
    assert re.search(rf"last run +[0-9]+ s ago, to {server.url}: ended without a failure", shown)
    write_calls(path, 1)
    assert run(path, "run", "--once", **settings | {"PROMPTLAYER_API_KEY": "pl_wrong"}).returncode == 1
    shown = printed(path, "status")
    assert "the server refused the API key" in shown
    assert "Next: set PROMPTLAYER_API_KEY to a valid key, then `plsync run`." in shown
    assert run(path, "run", "--once", PROMPTLAYER_BASE_URL=server.url).returncode == 1
    assert "PROMPTLAYER_API_KEY is not set" in printed(path, "status")
    with sole_sender(path):
        assert "is sending; 1 to go." in printed(path, "status")
    assert f"sent #1001 to {server.url}, 20" in printed(path, "show", "1001")


def test_several_servers_are_no_promptlayer(stats: Any) -> None:
    assert sent_to(stats(servers=[])) is None
    assert sent_to(stats(servers=[known(1, ONE, 30)])) == f"to {ONE}"
    assert sent_to(stats(servers=[known(1, ONE, 20), known(2, TWO, 10)])) == "to 2 servers"
    assert sent_to(stats(servers=[known(1, ONE, 20)])) == "to 2 servers"


def test_unclear_records_alone_are_looked_up_next(stats: Any) -> None:
    states = {"acked": 30, "in_doubt": 2, "pending": 0}
    assert next_step(stats(states=dict.fromkeys(stats().states, 0) | states), None) == (
        "Next: `plsync run` looks up the unclear records as soon as this machine reaches PromptLayer."
    )


def test_a_run_repeats_no_advice_that_cannot_help() -> None:
    left = {"in_doubt": 3, "followups": 6}
    assert left_lines(left, [], stranded=4, elsewhere={ONE: 2}) == [
        "Left: 1 record with an unclear delivery; run this again later.",
        f"Left: 2 records with an unclear delivery at {ONE}; `plsync status` has the next step.",
        "Left: 2 follow-ups to send after their records; run this again.",
        "Left: 4 follow-ups of refused or held records, kept with them.",
    ]


def test_the_line_of_a_failure_repeats_no_words() -> None:
    lost = Ambiguous("no clear response from https://one.example: Server disconnected.")
    assert failure_line(Change(lost, None, 0.0, 0), lost, None) == f"not sending: {lost.reason[:-1]}"
    other = Ambiguous("503 busy")
    assert failure_line(Change(other, None, 0.0, 0), other, None) == "not sending, no clear response: 503 busy"
