"""The events of a page that listens, from a server that runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from plsync import Journal
from tests.support.page import StartedPage, started_page
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SpoolWriter, Path]]:
    path = tmp_path_factory.mktemp("live") / "journal"
    writer = SpoolWriter(path)
    writer.call("first", "a", at=T)
    yield writer, path
    writer.close()


@pytest.fixture(scope="module")
def started(journal: tuple[SpoolWriter, Path]) -> Iterator[StartedPage]:
    with started_page(journal[1]) as page:
        yield page


@pytest.fixture
def client(started: StartedPage) -> Iterator[httpx.Client]:
    with started.client() as client:
        yield client


def events(client: httpx.Client, query: str, number: int, *acts: Callable[[], Any]) -> list[dict[str, Any]]:
    """The first events that are no numbers of the journal. Each act follows an event, the first the hello."""
    found: list[dict[str, Any]] = []
    left = list(acts)
    with client.stream("GET", f"/api/events?{query}") as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        for line in response.iter_lines():
            event = json.loads(line)
            if event["type"] in ("journal", "ping"):
                continue
            if left:
                left.pop(0)()
            if event["type"] != "hello":
                found.append(event)
            if len(found) == number:
                break
    return found


def test_a_call_comes_when_it_starts_and_changes_when_it_ends(
    client: httpx.Client, journal: tuple[SpoolWriter, Path]
) -> None:
    writer, _ = journal
    ids: list[str] = []

    def start() -> None:
        message = {"$": "HumanMessage", "v": {"type": "human", "content": "running"}}
        ids.append(writer.start({"kind": "chat", "messages": [message]}, at=T + 1))

    found = events(client, "", 2, start, lambda: writer.end(ids[0], {}))
    assert [(event["type"], event["call"]["id"], event["call"]["result"]) for event in found] == [
        ("new", ids[0], "running"),
        ("changed", ids[0], "ok"),
    ]


def test_a_shown_row_changes_with_its_delivery(client: httpx.Client, journal: tuple[SpoolWriter, Path]) -> None:
    _, path = journal
    with Journal.open(path) as opened:
        first = next(opened.records(oldest_first=True))
        acked = events(client, f"ids={first.id}", 1, lambda: opened.outbox.ack([(first.seq, 4711)]))
    assert acked[0]["type"] == "changed"
    assert (acked[0]["call"]["delivery"], acked[0]["call"]["request_id"]) == ("sent", 4711)


def test_only_chosen_calls_come(client: httpx.Client, journal: tuple[SpoolWriter, Path]) -> None:
    writer, _ = journal

    def both() -> None:
        writer.call("other", "a", at=T + 2)
        writer.call("chosen", "a", at=T + 3, tags=["wanted"])

    found = events(client, "tag=wanted", 1, both)
    assert [event["call"]["input"] for event in found] == ["chosen"]


def test_a_look_up_by_an_id_brings_no_other_call(client: httpx.Client, journal: tuple[SpoolWriter, Path]) -> None:
    writer, _ = journal
    seq = client.get("/api/journal").json()["last_seq"]
    ids = [writer.call("looked up", "a", at=T + 5), writer.call("another", "a", at=T + 6)]
    (found,) = events(client, f"after={seq}&q={ids[0]}", 1)
    assert found["call"]["id"] == ids[0]


def test_a_flood_is_a_number(client: httpx.Client, journal: tuple[SpoolWriter, Path]) -> None:
    writer, _ = journal
    seq = client.get("/api/journal").json()["last_seq"]
    for number in range(250):
        writer.call("flood", "a", at=T + 10 + number)
    found = events(client, f"after={seq}", 1)
    assert found == [{"type": "more", "count": 250, "seq": seq + 250}]


def test_the_numbers_of_the_journal_come_once_and_then_their_changes(
    client: httpx.Client, journal: tuple[SpoolWriter, Path]
) -> None:
    writer, _ = journal
    with client.stream("GET", "/api/events") as response:
        numbers: list[dict[str, Any]] = []
        for line in response.iter_lines():
            event = json.loads(line)
            if event["type"] == "journal":
                numbers.append(event)
                if len(numbers) == 2:
                    break
                writer.call("one more", "a", at=T + 1000)
    assert numbers[1]["records"] == numbers[0]["records"] + 1
    assert set(numbers[1]) == {"type", "records", "last_seq", "delivery", "digests"}
