"""Filters that need more than an index: metadata, threads, durations, patterns of models, text of every script."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from langchain_core.language_models import FakeListLLM

from plsync import PromptLayerCallbackHandler
from plsync._common.native import TextSearch
from plsync.journal import Journal
from plsync.journal.record import Record
from plsync.journal.short_ids import short_end
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000
RUN = "11111111-2222-4333-8444-555555555555"


def found(journal: Journal, **filters: Any) -> list[str]:
    """The prompts of the records that pass, oldest first."""
    return [record.input[0]["content"] for record in journal.records(oldest_first=True, **filters)]


def record(writer: SpoolWriter, metadata: dict[str, Any], **start: Any) -> None:
    """Record a call whose prompt is its number."""
    writer.call(str(writer.frames // 2), "answer", at=T + writer.frames, metadata=metadata, **start)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ("42", "01234"),
        (42, "01234"),
        ("42.0", "0123"),
        (42.5, ""),
        ("true", "56"),
        (True, "56"),
        ("True", "5"),
        ("null", "78"),
        (None, "78"),
        ("", "9"),
        ("a=b", ""),
    ],
)
def test_a_value_of_metadata_is_found_by_its_text_and_by_itself(
    writer: SpoolWriter, path: Path, wanted: Any, numbers: str
) -> None:
    values: list[Any] = [42, 42.0, 42, 42.0, "42", True, "true", None, "null", ""]
    for value in values:
        record(writer, {"user_id": value, "other": "x"})
    record(writer, {"other": 42})
    with Journal.open(path) as journal:
        if wanted == "42.0":
            numbers = "0123"
        assert "".join(found(journal, metadata={"user_id": wanted})) == numbers
        assert journal.count(metadata={"user_id": wanted}) == len(numbers)
        assert found(journal, metadata={"user_id": wanted, "missing": 1}) == []


def test_metadata_of_any_script_and_length_is_found(writer: SpoolWriter, path: Path) -> None:
    values = ['Jörg "the" Größte\n', "日本", "x" * 2000, "C:\\temp", "a\x1bb", "1e400", "9" * 500]
    for value in values:
        record(writer, {"ключ": value})
    with Journal.open(path) as journal:
        for number, value in enumerate(values):
            assert found(journal, metadata={"ключ": value}) == [str(number)]
        assert found(journal, metadata={"ключ": "jörg"}) == []


def test_a_thread_is_found_under_each_of_its_names_and_by_live_handlers(writer: SpoolWriter, path: Path) -> None:
    record(writer, {"thread_id": "t 1"})
    record(writer, {"session_id": "t 1"})
    record(writer, {"conversation_id": 17})
    record(writer, {"thread_id": "other", "session_id": "t 1"})
    record(writer, {"note": "t 1"})
    with Journal.open(path) as journal:
        assert found(journal, thread="t 1") == ["0", "1"]
        assert found(journal, thread="17") == ["2"]
    writer.close()
    model = FakeListLLM(responses=["a"], callbacks=[PromptLayerCallbackHandler(journal=path)])
    for thread in ("live", 17, UUID(RUN)):
        model.invoke("live", config={"metadata": {"thread_id": thread}})
    with Journal.open(path) as journal:
        # Calls of a live handler have a lane, by which the store finds them.
        for thread, number in (("live", 1), ("17", 2), (RUN, 1)):
            assert journal.count(thread=thread) == number
        assert all(call.lane for call in journal.records(thread="live"))


def test_a_run_finds_its_own_call_and_the_calls_it_made(writer: SpoolWriter, path: Path) -> None:
    record(writer, {}, run_id=RUN)
    record(writer, {})
    model = FakeListLLM(responses=["a"], callbacks=[PromptLayerCallbackHandler(journal=path)])
    chain = (lambda text: text) | model
    chain.invoke("from a chain", config={"run_id": UUID(RUN)})
    with Journal.open(path) as journal:
        assert journal.count(run=RUN) == 2
        assert journal.count(run=UUID(RUN), status="ok") == 2
        assert journal.count(run_id=RUN) == 1
        assert journal.count(run="22222222-2222-4333-8444-555555555555") == 0


def test_slower_compares_the_duration_of_the_call_alone(writer: SpoolWriter, path: Path) -> None:
    # A client's own figure of the same name, before and after the call's.
    for number, elapsed in enumerate((1_000_000_000, 2_000_000_000, 2_000_000_001, 9_000_000_000)):
        record_id = writer.start({"kind": "llm", "prompts": [str(number)]}, at=T + number)
        info = {"generations": [{"text": "", "generation_info": {"elapsed": 10**18}}]}
        writer.end(record_id, {**info, "elapsed": elapsed})
    clock = writer.start({"kind": "llm", "prompts": ["by the clock"]}, at=T + 8)
    writer.end(clock, {"elapsed": None, "t": (T + 8) * 1_000_000 + 5_000_000_000})
    writer.start({"kind": "llm", "prompts": ["running"]}, at=T + 9)
    with Journal.open(path) as journal:
        slow = [call.input[0] for call in journal.records(slower=timedelta(seconds=2), oldest_first=True)]
        assert slow == ["2", "3", "by the clock"]
        assert [call.input[0] for call in journal.records(slower=timedelta(seconds=2), limit=1)] == ["by the clock"]


def test_a_pattern_finds_models_of_every_name(writer: SpoolWriter, path: Path) -> None:
    names = ["gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-3.5", "claude", "models/gpt-4.gguf"]
    for name in [*names, *names]:
        record(writer, {}, params={"model": name})
    writer.call("both", "b", at=T + 99, params={"model": "gpt-4"}, metadata={"ls_model_name": "gpt-4o"})
    with Journal.open(path) as journal:
        assert journal.models() == sorted(names)
        assert found(journal, model="gpt-4*") == ["0", "1", "2", "6", "7", "8", "both"]
        assert found(journal, model="gpt-4*", limit=2) == ["0", "1"]
        assert found(journal, model="gpt-?.5") == ["3", "9"]
        assert found(journal, model="no*") == []
        assert journal.count(model="gpt-4*") == 7
        assert journal.count(model="*", tag="none") == 0


def test_a_count_is_exact_or_none(writer: SpoolWriter, path: Path) -> None:
    for number in range(50):
        record(writer, {"number": number}, tags=["even"] if number % 2 == 0 else ["odd"], params={"model": "m"})
    writer.start({"kind": "llm", "prompts": ["?"]}, at=T)
    with Journal.open(path) as journal:
        assert journal.count() == journal.count(at_most=0) == 51
        assert journal.count(state="pending", at_most=0) == 51
        assert journal.count(tag="even") == journal.count(tag="even", at_most=25) == 25
        assert journal.count(tag="even", state="pending", at_most=24) is None
        assert journal.count(result="running", at_most=5) == 1
        assert journal.count(text="answer") == 50
        assert journal.count(text="answer", at_most=1000) is None
        assert journal.count(metadata={"number": 7}) == 1
        assert journal.count(tag="even", model="m", result="ok") == 25
        assert journal.count(result="ok", status="error") == 0


def test_text_of_every_script_is_found_in_any_case_and_however_it_is_escaped(writer: SpoolWriter, path: Path) -> None:
    arguments = json.dumps({"city": "München 😀"})
    texts = ["Ünïcödé", "cafe\u0301 à", "ΟΔΥΣΣΕΥΣ", arguments, json.dumps(arguments), "Straße", "plain"]
    for text in texts:
        writer.call(text, "b", at=T + writer.frames)
    writer.start(json.dumps({"kind": "chat", "messages": [{"content": "Ålesund"}]}).encode(), at=T + 99)
    with Journal.open(path) as journal:
        for text, numbers in (
            ("ÜNÏCÖDÉ", [0]),
            ("CAFÉ À", [1]),
            ("οδυσσευς", [2]),
            ("MÜNCHEN 😀", [3, 4]),
            ("STRAẞE", [5]),
            ("straße", [5]),
            ("PLAIN", [6]),
            ("ÅLESUND", [7]),
            ("unicode", []),
        ):
            seqs = [call.seq - 1 for call in journal.records(text=text, oldest_first=True)]
            assert seqs == numbers, text
            assert [call.seq - 1 for call in journal.scan(text=text)] == numbers


def test_the_folding_of_a_character_is_unicodes_simple_folding() -> None:
    for code in range(0x80, 0x11000):
        character = chr(code)
        other = character.casefold()
        # A character with a longer full folding has no such simple folding. Cherokee letters fold to upper case.
        if len(other) == 1 and other != character and not 0xD800 <= code < 0xE000:
            assert TextSearch(character).is_in(f'"{other}"'.encode()), hex(code)
            assert TextSearch(other).is_in(f'"{character}"'.encode()), hex(code)


def test_a_text_finds_itself() -> None:
    # Of some letters only one case composes with a mark, and two letters fold to ASCII.
    texts = (
        "I\u0307stanbul",
        "İstanbul",
        "H\u0331ay",
        "W\u030a",
        "Wa\u017f\u017fer",
        "293 \u212a",
        "ﬁne",
        "cafe\u0301",
    )
    for text in texts:
        for written in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)):
            assert TextSearch(text).is_in(written.encode()), (text, written)
            assert TextSearch(text).is_in(json.dumps(written).encode()), (text, written)


def test_the_end_of_an_id_names_a_record(writer: SpoolWriter, path: Path) -> None:
    written = [writer.call("a", "b", at=T + number) for number in range(40)]
    with Journal.open(path) as journal:
        ends = {short_end(record_id, 40): record_id for record_id in written}
        if len(ends) == len(written):
            for end, record_id in ends.items():
                assert journal.get(end).id == journal.get(f"…{end.lstrip('…')}").id == record_id
                assert journal.get(f"...{end.lstrip('…')}").id == record_id
        assert journal.get(written[3][-13:]).id == written[3]


def test_an_end_without_a_letter_has_an_ellipsis_because_digits_are_a_request_id() -> None:
    assert short_end("0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b", 1) == "4a5b"
    assert short_end("0199a3b2-c4d5-7e6f-8a9b-0c1d2e344556", 1) == "…4556"
    assert short_end("0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b", 1_000_000) == "e3f4a5b"


def test_pages_of_long_work_lists_are_whole_and_in_order(writer: SpoolWriter, path: Path) -> None:
    # More records than a page reads before it sorts a work list.
    for number in range(2_300):
        writer.call(f"{number}", "!", at=T + number * 7_919 % 2_300)
    running = writer.start({"kind": "chat", "messages": []}, at=T)
    with Journal.open(path) as journal:
        journal.ingest()
        journal.outbox.ack([(seq, 1000 + seq) for seq in range(1, 100)])
        every = [(record.id, record.state, record.status, record.started_at) for record in journal.records()]
        middle = every[1_100][3]
        ranges: list[tuple[dict[str, Any], Callable[[datetime], bool]]] = [
            ({}, lambda _: True),
            ({"since": middle}, lambda at: at >= middle),
            ({"until": middle}, lambda at: at < middle),
        ]
        for bounds, is_within in ranges:
            pending = [id for id, state, _, at in every if state == "pending" and is_within(at)]
            assert len(pending) > 1_000
            assert [record.id for record in journal.records(state="pending", **bounds)] == pending
            oldest = journal.records(state="pending", oldest_first=True, **bounds)
            assert [record.id for record in oldest] == pending[::-1]
            assert [record.id for record in journal.records(state="pending", limit=20, **bounds)] == pending[:20]
        assert [record.id for record in journal.records(status="pending")] == [running]
        assert journal.count(at_most=100, state="pending", since=middle) is None


def test_pages_behind_many_other_records_are_whole_and_in_order(writer: SpoolWriter, path: Path) -> None:
    # More records than a page walks before it selects the rest by whole indexes.
    for number in range(2_600):
        tags = ["old" if number < 60 else "new", "even" if number % 2 == 0 else "odd"]
        at = T + number - number % 7
        record = writer.start(
            {"kind": "chat", "messages": [], "params": {"model": f"m-{number % 3}"}}, at=at, tags=tags
        )
        ended = "error" if number % 50 == 3 else "ok"
        writer.end(record, {"elapsed": 10**9 * (number % 100 == 8) + number}, ended=ended)
    tree = writer.run("chain", "agent", at=T + 30)
    step = writer.run("tool", "search", at=T + 31, root=tree)
    with Journal.open(path) as journal:
        journal.ingest()
        journal.outbox.ack([(seq, 1000 + seq) for seq in range(1, 2_200)])
        journal.outbox.park([3, 5, 2_300, 2_301], "dead", "a test")
        every = list(journal.records(runs=True))
        assert [record.id for record in every] == sorted((record.id for record in every), reverse=True)
        chosen: list[tuple[dict[str, Any], Callable[[Record], bool]]] = [
            ({"tag": "old"}, lambda r: "old" in r.tags),
            ({"tag": ["even", "odd"]}, lambda _: False),
            ({"tag": ["even", "new"]}, lambda r: {"even", "new"} <= set(r.tags)),
            ({"model": "m-*"}, lambda r: not r.is_run),
            ({"model": "m-[12]", "tag": "odd"}, lambda r: r.model in ("m-1", "m-2") and "odd" in r.tags),
            ({"delivery": "sent"}, lambda r: r.state == "acked"),
            ({"delivery": "waiting"}, lambda r: r.state == "pending"),
            ({"delivery": ["sent", "refused"]}, lambda r: r.state in ("acked", "dead")),
            ({"delivery": "sent", "tag": "old"}, lambda r: r.state == "acked" and "old" in r.tags),
            ({"delivery": "waiting", "tag": "old"}, lambda _: False),
            ({"delivery": "sent", "result": "error"}, lambda r: r.state == "acked" and r.status == "error"),
            ({"result": "ok", "runs": True}, lambda r: r.status == "ok"),
            ({"slower": timedelta(seconds=1)}, lambda r: (r.duration_ns or 0) > 10**9),
            ({"slower": timedelta(hours=1)}, lambda _: False),
            (
                {"slower": timedelta(seconds=1), "tag": "old"},
                lambda r: (r.duration_ns or 0) > 10**9 and "old" in r.tags,
            ),
        ]
        for filters, passes in chosen:
            expected = [r.id for r in every if passes(r) and (filters.get("runs") or not r.is_run)]
            assert [r.id for r in journal.records(**filters)] == expected, filters
            assert [r.id for r in journal.records(**filters, limit=9, oldest_first=True)] == expected[:-10:-1], filters
            # The digests of a foreign writer may lack the durations.
            counts = (None, len(expected)) if "slower" in filters else (len(expected),)
            assert journal.count(at_most=1_000_000, **filters) in counts, filters
        assert [run.id for run in journal.trees(result="ok")] == [tree]
        assert [run.id for run in journal.trees(tag="old")] == []
        assert step in {record.id for record in every}
