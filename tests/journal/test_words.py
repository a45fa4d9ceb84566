"""The words for people: results and deliveries, and the filters of both."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from plsync.journal import Journal, words
from plsync.journal.quota import Quota
from plsync.journal.record import STATES, STATUSES
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000


def test_every_stored_name_has_one_word_and_each_word_is_a_filter() -> None:
    assert {next(iter(words.states_of([words.DELIVERY_OF_STATE[state]]) or ()))[0] for state in STATES} == set(STATES)
    assert all(words.ends_of([word]) for word in words.RESULTS)
    assert all(words.states_of([word]) for word in words.DELIVERIES)
    assert all(words.ends_of([status]) for status in STATUSES)
    assert all(words.states_of([state]) for state in STATES)


def test_each_result_finds_the_calls_that_show_it(writer: SpoolWriter, path: Path) -> None:
    dead = SpoolWriter(path)
    dead.start({"kind": "llm", "prompts": ["?"]}, at=T)
    dead.close()
    for number, ended in enumerate(("ok", "error", "cancelled", "partial")):
        writer.end(writer.start({"kind": "llm", "prompts": ["?"]}, at=T + number), {}, ended=ended)
    writer.start({"kind": "llm", "prompts": ["?"]}, at=T)
    with Journal.open(path) as journal:
        records = list(journal.records())
        for word in words.RESULTS:
            found = {record.id for record in journal.records(result=word)}
            assert found == {record.id for record in records if words.result(record) == word}
        assert [words.result(record) for record in records].count("cut short") == 2
        assert len(list(journal.records(result=["cut short", "error"], status="error"))) == 2
        assert list(journal.records(result="ok", status="error")) == []


def test_each_delivery_finds_the_records_that_show_it(writer: SpoolWriter, path: Path) -> None:
    for number in range(9):
        writer.call("a" * 2000, "b", at=T + number)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        leased = journal.outbox.lease(8, 60_000, time.time_ns() // 1_000_000)
        journal.outbox.park([leased[0].seq], "dead", "refused")
        journal.outbox.park([leased[1].seq], "held", "no log")
        journal.set_quota(Quota(max_bytes=1, policy="drop-oldest"))
        journal.compact()
        journal.set_quota(Quota())
        journal.outbox.ack([(leased[2].seq, 1003)])
        journal.outbox.park([leased[3].seq], "in_doubt", "no response")
        journal.outbox.park([leased[4].seq], "dead", "refused")
        journal.outbox.park([leased[5].seq], "held", "no log")
        records = list(journal.records())
        for word in words.DELIVERIES:
            found = {record.id for record in journal.records(delivery=word)}
            assert found == {record.id for record in records if words.delivery(record) == word}, word
        shown = sorted(words.delivery_word(record) for record in records)
        assert shown == [
            "dropped",
            "dropped",
            "dropped",
            "held",
            "refused",
            "sending",
            "sending",
            "sent #1003",
            "unclear",
        ]
        # A stored name finds all records of the state.
        assert len(list(journal.records(delivery="dead"))) == len(list(journal.records(state="dead"))) == 3
        assert len(list(journal.records(delivery=["dropped", "refused"]))) == 4
        assert len(list(journal.records(delivery="dropped", limit=2))) == 2


def test_an_unknown_word_is_refused(writer: SpoolWriter, path: Path) -> None:
    writer.call("a", "b", at=T)
    with Journal.open(path) as journal:
        with pytest.raises(ValueError, match="'gone' is not a delivery: use waiting, sending"):
            journal.records(delivery="gone")
        with pytest.raises(ValueError, match="'fine' is not a result: use ok, error, cancelled, cut short"):
            journal.records(result="fine")
