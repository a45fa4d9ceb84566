"""Programs read request ids in the order of their arrival, each once, from a cursor on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from plsync.errors import JournalError
from plsync.journal import Journal
from plsync.journal.acks import Ack
from tests.support import programs
from tests.support.calls import write_calls
from tests.support.spooling import SpoolWriter

RUN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """A journal with five calls of a process that has ended."""
    write_calls(path, 5)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        yield journal


def ids(acks: Iterator[Ack]) -> list[int]:
    return [ack.request_id for ack in acks]


def test_acks_keep_the_order_of_their_arrival(journal: Journal) -> None:
    assert list(journal.acks()) == []
    journal.outbox.ack([(4, 104), (2, 102)])
    journal.outbox.ack([(1, 101)])
    assert ids(journal.acks()) == [104, 102, 101]
    assert ids(journal.acks(limit=2)) == [104, 102]


def test_an_ack_has_its_record_and_its_time(path: Path) -> None:
    writer = SpoolWriter(path)
    record_id = writer.call("question", "answer", at=1_790_000_000_000, run_id=RUN_ID)
    other = writer.call("question", "answer", at=1_790_000_000_001)
    writer.close()
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.outbox.ack([(1, 7), (2, 8)])
        first, second = journal.acks()
    assert (first.record_id, first.request_id, first.run_id) == (record_id, 7, RUN_ID)
    assert (second.record_id, second.run_id) == (other, None)
    assert abs(first.acked_at - datetime.now(timezone.utc)) < timedelta(minutes=1)
    assert first.as_dict() == {
        "record_id": record_id,
        "request_id": 7,
        "run_id": RUN_ID,
        "acked_at": first.acked_at.isoformat(),
        "cursor": first.cursor,
        "server": None,
    }


def test_a_cursor_continues_in_another_process(journal: Journal) -> None:
    journal.outbox.ack([(3, 103), (5, 105), (1, 101)])
    first, *_ = journal.acks()
    assert ids(journal.acks(first.cursor)) == [105, 101]
    program = (
        "import sys\n"
        "from plsync import Journal\n"
        "with Journal.open(sys.argv[1]) as journal:\n"
        "    print([ack.request_id for ack in journal.acks(sys.argv[2])])\n"
    )
    command = [sys.executable, "-c", program, str(journal.path), first.cursor]
    done = programs.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[105, 101]\n"
    journal.outbox.ack([(2, 102)])
    assert ids(journal.acks(first.cursor)) == [105, 101, 102]


def test_a_cursor_at_the_end_yields_later_acks(journal: Journal) -> None:
    journal.outbox.ack([(3, 103)])
    cursor = journal.ack_cursor()
    assert ids(journal.acks(cursor)) == []
    journal.outbox.ack([(1, 101)])
    assert ids(journal.acks(cursor)) == [101]


def test_more_than_a_page_is_read_to_its_end(path: Path) -> None:
    write_calls(path, 250)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        order = [*range(250, 0, -1)]
        journal.outbox.ack([(seq, seq) for seq in order])
        assert ids(journal.acks()) == order
        assert ids(journal.acks(limit=150)) == order[:150]


def test_a_cursor_survives_a_compaction(journal: Journal) -> None:
    journal.outbox.ack([(3, 103), (5, 105)])
    first, _ = journal.acks()
    journal.compact()
    assert ids(journal.acks(first.cursor)) == [105]


@pytest.mark.parametrize("cursor", ["", "7", "00000000-1", "zzzzzzzz-1", "-1"])
def test_a_cursor_of_another_journal_is_refused(journal: Journal, cursor: str) -> None:
    journal.outbox.ack([(3, 103)])
    with pytest.raises(ValueError, match="leave it out"):
        journal.acks(cursor)


def test_a_cursor_beyond_the_last_ack_is_refused(journal: Journal) -> None:
    journal.outbox.ack([(3, 103)])
    (ack,) = journal.acks()
    beyond = ack.cursor.replace("-1", "-2")
    with pytest.raises(ValueError, match="before it was restored"):
        journal.acks(beyond)


def test_a_waiting_reader_receives_the_next_ack_at_once(journal: Journal) -> None:
    journal.outbox.ack([(3, 103)])
    arrivals: list[float] = []
    received: list[int] = []
    began = threading.Event()

    def consume() -> None:
        for ack in journal.acks(wait=30, limit=3):
            arrivals.append(time.monotonic())
            received.append(ack.request_id)
            began.set()

    consumer = threading.Thread(target=consume)
    consumer.start()
    assert began.wait(30)
    # Another process acks, like `plsync run`.
    acknowledge = (
        "import sys\n"
        "from plsync import Journal\n"
        "with Journal.open(sys.argv[1]) as journal: journal.outbox.ack([(1, 101), (2, 102)])\n"
    )
    programs.run([sys.executable, "-c", acknowledge, str(journal.path)], check=True, timeout=60)
    acked = time.monotonic()
    consumer.join(30)
    assert received == [103, 101, 102]
    assert arrivals[-1] - acked < 10  # without the ring the next poll would come after 30 seconds


def test_a_wait_without_an_ack_ends(journal: Journal) -> None:
    began = time.monotonic()
    assert list(journal.acks(wait=0.3)) == []
    assert 0.3 <= time.monotonic() - began < 10


def test_a_reader_beside_a_sender_receives_each_ack_once(path: Path) -> None:
    write_calls(path, 200)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        order = [*range(1, 201, 2), *range(2, 201, 2)]

        def send() -> None:
            for seq in order:
                journal.outbox.ack([(seq, 1000 + seq)])

        sender = threading.Thread(target=send)
        sender.start()
        received: list[int] = []
        cursor = None
        while len(received) < 200:
            for ack in journal.acks(cursor, limit=min(7, 200 - len(received)), wait=30):
                received.append(ack.request_id)
                cursor = ack.cursor
        sender.join()
    assert received == [1000 + seq for seq in order]


def test_reading_a_closed_journal_raises(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.acks()
