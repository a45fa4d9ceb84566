"""Journals from Python, on the real store: paging, filters, lookup, following, and the states of records."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from plsync._common import native
from plsync.errors import AmbiguousId, JournalError, JournalFormatError, JournalNotFound, PlsyncWarning, RecordNotFound
from plsync.journal import Journal, scan
from plsync.journal.callbacks import FailedCallback
from plsync.journal.filters import Filters, Query
from plsync.journal.record import STATES, STATUSES, Record, State, Status
from plsync.recorder.handler import PromptLayerCallbackHandler
from tests.support.examples import examples
from tests.support.spooling import CACHED, SpoolWriter

T = 1_760_000_000_000
RUN = "11111111-2222-4333-8444-555555555555"
SINK = "app:on_id"


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, timezone.utc)


@pytest.fixture
def journal(path: Path, writer: SpoolWriter) -> Iterator[Journal]:
    with Journal.open(path) as opened:
        yield opened


def now() -> int:
    return time.time_ns() // 1_000_000


def lease(journal: Journal, limit: int) -> list[Record]:
    """Ingest all events, then lease at most ``limit`` records."""
    journal.ingest(wait=True)
    return journal.outbox.lease(limit, 60_000, now())


def ids(records: Iterator[Record]) -> list[str]:
    return [record.id for record in records]


# --- opening ---


def test_opening_a_missing_journal_raises_and_creates_nothing(path: Path) -> None:
    with pytest.raises(JournalNotFound, match=r"no journal at .*journal; .*record a call first"):
        Journal.open(path)
    assert not path.exists()


def test_a_journal_is_created_on_request_for_its_owner_only(path: Path) -> None:
    with Journal.open(path, create=True) as journal:
        assert list(journal.records()) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_journal_works_in_a_directory_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    odd = tmp_path / "j\udcff"
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    with Journal.open(odd, create=True) as journal:
        handler = PromptLayerCallbackHandler(journal=odd)
        GenericFakeChatModel(messages=iter([AIMessage("yes")]), callbacks=[handler]).invoke("hi")
        journal.append("a note")
        assert (journal.path, len(list(journal.records()))) == (odd, 2)
        assert journal.track.score(4711, 90)
    assert list(tmp_path.iterdir()) == [odd]


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(JournalFormatError, match="not a journal"):
        Journal.open(tmp_path, create=True)


def test_a_newer_format_is_refused(path: Path, writer: SpoolWriter) -> None:
    marker = path / "FORMAT"
    marker.write_text(marker.read_text().replace("format 1", "format 99"))
    with pytest.raises(JournalFormatError, match="upgrade plsync"):
        Journal.open(path)


def test_the_environment_names_the_default_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLSYNC_JOURNAL", str(path))
    with Journal.open(create=True) as journal:
        assert journal.path == path


def test_a_closed_journal_raises(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.stats()


def test_names_and_numbers_agree_with_the_store() -> None:
    stored = ("pending", "leased", "in_doubt", "acked", "dead", "held")
    assert STATES == get_args(State) == (*stored, "carried", "received")
    assert STATUSES == ("pending", "ok", "error", "cancelled", "partial", "error", "interrupted")
    names = ("ok", "error", "cancelled", "partial", "interrupted")
    numbers = {name: getattr(native, f"END_{name.upper()}") for name in names}
    assert all(STATUSES[number] == name for name, number in numbers.items())
    assert STATUSES[native.END_ABANDONED] == "error"
    assert set(STATUSES) == set(get_args(Status))


# --- reading ---


def test_a_recorded_call_is_read_back(path: Path) -> None:
    handler = PromptLayerCallbackHandler(pl_tags=["mine"], journal=path)
    model = GenericFakeChatModel(messages=iter([AIMessage("hello")]), callbacks=[handler])
    messages = [SystemMessage("be kind"), HumanMessage("hi")]
    model.invoke(messages, {"tags": ["theirs"]})
    with Journal.open(path) as journal:
        (record,) = journal.records()
    assert (record.kind, record.status, record.state) == ("chat", "ok", "pending")
    assert record.tags == ["theirs", "mine"]
    assert record.messages() == messages
    assert record.output[0]["text"] == "hello"
    assert record.span_id == UUID(record.id).bytes[8:].hex()


def test_a_model_is_found_as_the_handler_labels_it(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    names = [
        "gpt-4o",
        "meta-llama/Llama-3",
        "/models/tiny.gguf",
        "./tiny.bin",
        "C:\\models\\tiny.bin",
        "/models/llama/",
    ]
    for name in names:
        model = GenericFakeChatModel(messages=iter([AIMessage("hello")]), metadata={"ls_model_name": name})
        model.invoke("hi", {"callbacks": [handler]})
    with Journal.open(path) as journal:
        by_name = {record.model: record.id for record in journal.records()}
        assert set(by_name) == set(names)
        for name in names:
            assert by_name[name] in ids(journal.records(model=name))
            query = Query.from_filters({"model": name})
            assert query.matches(journal.get(by_name[name])._row)


def test_records_come_newest_first_or_oldest_first_and_each_once(writer: SpoolWriter, journal: Journal) -> None:
    written = [writer.call(f"prompt {number}", "answer", at=T + number) for number in range(250)]
    assert ids(journal.records(oldest_first=True)) == written
    assert ids(journal.records()) == written[::-1]
    assert ids(journal.records(limit=120)) == written[:129:-1]
    assert ids(journal.records(limit=0)) == []


def test_calls_written_while_a_journal_is_open_are_found(writer: SpoolWriter, journal: Journal) -> None:
    assert list(journal.records()) == []
    written = writer.call("hi", "hello", at=T)
    assert ids(journal.records()) == [written]
    assert journal.get(written).id == written


def test_a_record_must_have_every_tag_of_a_filter(writer: SpoolWriter, journal: Journal) -> None:
    both = writer.call("a", "b", at=T, tags=["one", "two"])
    one = writer.call("a", "b", at=T + 1, tags=["one"])
    assert ids(journal.records(tag="one")) == [one, both]
    assert ids(journal.records(tag=["one", "two"])) == [both]


def test_a_model_file_is_found_by_its_name(writer: SpoolWriter, journal: Journal) -> None:
    written = writer.call("a", "b", at=T, params={"model": "tiny.gguf"})
    writer.call("a", "b", at=T, params={"model": "other"})
    assert ids(journal.records(model="tiny.gguf")) == [written]
    assert ids(journal.records(model="/models/tiny.gguf")) == [written]
    hosted = writer.call("a", "b", at=T, params={"model": "meta-llama/Llama-3"})
    assert ids(journal.records(model="meta-llama/Llama-3")) == [hosted]
    assert ids(journal.records(model="Llama-3")) == []


def test_status_shows_how_calls_ended(writer: SpoolWriter, journal: Journal) -> None:
    statuses: tuple[Status, ...] = ("ok", "error", "cancelled", "partial")
    ended: dict[Status, str] = {}
    for number, status in enumerate(statuses):
        ended[status] = writer.start({"kind": "llm", "prompts": ["?"]}, at=T + number)
        writer.end(ended[status], {}, ended=status)
    running = writer.start({"kind": "llm", "prompts": ["?"]}, at=T + 9)
    for status, record_id in ended.items():
        assert ids(journal.records(status=status)) == [record_id]
    assert ids(journal.records(status="pending")) == [running]
    assert ids(journal.records(status=["ok", "partial"])) == [ended["partial"], ended["ok"]]


def test_a_call_of_a_dead_process_is_an_abandoned_error(writer: SpoolWriter, journal: Journal) -> None:
    left = writer.start({"kind": "llm", "prompts": ["?"]}, at=T)
    writer.close()
    (record,) = journal.records(status="error")
    assert record.id == left
    assert record.error is not None
    assert record.error["type"] == "Abandoned"


def test_times_are_inclusive_at_the_start_and_exclusive_at_the_end(writer: SpoolWriter, journal: Journal) -> None:
    written = [writer.call("a", "b", at=T + second * 1000) for second in range(4)]
    assert ids(journal.records(since=at(T + 1000), until=at(T + 3000))) == [written[2], written[1]]


def test_a_time_before_1970_is_accepted(writer: SpoolWriter, journal: Journal) -> None:
    written = writer.call("a", "b", at=T)
    long_ago = datetime(1960, 1, 1, tzinfo=timezone.utc)
    assert ids(journal.records(since=long_ago)) == [written]
    assert ids(journal.records(until=long_ago)) == []


def test_text_is_found_in_request_and_response_in_any_case(writer: SpoolWriter, journal: Journal) -> None:
    in_request = writer.call('the "Eiffel"\ntower', "tall", at=T)
    in_response = writer.call("what is tall?", "the EIFFEL tower", at=T + 1)
    assert ids(journal.records(text="eiffel")) == [in_response, in_request]
    assert ids(journal.records(text='"eiffel"\n')) == [in_request]
    assert ids(journal.records(text="louvre")) == []


def test_all_records_of_a_run_are_found(writer: SpoolWriter, journal: Journal) -> None:
    written = [writer.call("a", "b", at=T + number, run_id=RUN) for number in range(2)]
    writer.call("a", "b", at=T)
    assert ids(journal.records(run_id=UUID(RUN), oldest_first=True)) == written


def test_wrong_filters_are_refused_at_the_call(journal: Journal) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        journal.records(since=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="'gone' is not a state: use pending, leased"):
        journal.records(state="gone")  # type: ignore[arg-type]
    for read in (journal.records, journal.follow):
        with pytest.raises(TypeError, match="'tags' is not a filter: the filters are tag, model, state"):
            read(tags="geo")  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="contains a lone surrogate"):
            read(text="cut \ud83d")


def test_a_failed_ingest_does_not_prevent_reading(writer: SpoolWriter, journal: Journal) -> None:
    stored = writer.call("a", "b", at=T)
    assert ids(journal.records()) == [stored]
    lock = journal.path / "ingest.lock"
    lock.unlink()
    lock.mkdir()
    writer.call("a", "b", at=T)
    with pytest.warns(PlsyncWarning, match="could not be ingested, and stay in the spool"):
        assert ids(journal.records()) == [stored]


# --- one record ---


def test_a_record_is_found_by_each_of_its_ids(writer: SpoolWriter, journal: Journal) -> None:
    written = writer.call("a", "b", at=T, run_id=RUN)
    writer.call("a", "b", at=T - 10**10)
    (leased, _) = lease(journal, 2)
    journal.outbox.ack([(leased.seq, 4711)])
    acked = leased.id
    for key in (written, written.upper(), written.replace("-", ""), written[:12], UUID(written), RUN):
        assert journal.get(key).id == written
    assert journal.get(4711).id == journal.get("4711").id == journal.get("#4711").id == acked


def test_the_error_for_an_unknown_id_names_the_journal(writer: SpoolWriter, journal: Journal) -> None:
    for key in ("ffffffff", RUN, 5, -1, 2**70):
        with pytest.raises(RecordNotFound, match=r"no record has the id .*; `plsync list`"):
            journal.get(key)
    with pytest.raises(RecordNotFound, match="too short"):
        journal.get("0")
    with pytest.raises(RecordNotFound, match="no record has the id #12"):
        journal.get("#12")
    for key in ("../../etc", "", "12 34", "…5a1g"):
        with pytest.raises(RecordNotFound, match="not a record id: ids are hex digits"):
            journal.get(key)


def test_the_error_for_an_id_that_is_too_long_counts_its_digits(writer: SpoolWriter, journal: Journal) -> None:
    written = writer.call("a", "b", at=T)
    for key, digits in ((written + "00", 34), (written.replace("-", "") * 2, 64), ("1" * 5000, 5000)):
        with pytest.raises(RecordNotFound, match=f"it has {digits} hex digits, and a whole id has 32"):
            journal.get(key)


def test_the_error_for_an_ambiguous_id_lists_its_records(writer: SpoolWriter, journal: Journal) -> None:
    written = [writer.call("a", "b", at=T, run_id=RUN) for _ in range(2)]
    for key in (written[0][:8], RUN):
        with pytest.raises(AmbiguousId, match="more than one record") as raised:
            journal.get(key)
        assert all(record_id in str(raised.value) for record_id in written)
        assert [record.id for record in raised.value.candidates.values()] == sorted(written)
        assert [journal.get(short).id for short in raised.value.candidates] == sorted(written)


def test_a_short_id_begins_the_id_and_names_only_its_record(writer: SpoolWriter, journal: Journal) -> None:
    for number in range(40):
        writer.call("a", "b", at=T + number % 3)
    for record in journal.records():
        short = journal.short_id(record)
        assert record.id.startswith(short)
        assert journal.get(short).id == record.id


# --- following ---


def test_following_yields_new_records_and_running_ones_again_when_they_end(
    writer: SpoolWriter, journal: Journal
) -> None:
    writer.call("before", "b", at=T)
    running = writer.start({"kind": "llm", "prompts": ["?"]}, at=T + 1)
    before = list(journal.records())
    followed = journal.follow(poll=0.001, watch=before)
    new = writer.start({"kind": "llm", "prompts": ["?"]}, at=T + 2)
    assert next_records(followed, 1) == [(new, "pending")]
    writer.end(running, {})
    writer.end(new, {}, ended="error")
    assert sorted(next_records(followed, 2)) == sorted([(running, "ok"), (new, "error")])


def test_following_filters_like_reading(writer: SpoolWriter, journal: Journal) -> None:
    followed = journal.follow(poll=0.001, tag="mine", status="ok")
    writer.call("a", "b", at=T, tags=["theirs"])
    mine = writer.start({"kind": "llm", "prompts": ["?"]}, at=T, tags=["mine"])
    threading.Timer(0.02, writer.end, (mine, {})).start()
    assert next_records(followed, 1) == [(mine, "ok")]


def test_following_after_a_seq_starts_behind_it(writer: SpoolWriter, journal: Journal) -> None:
    written = [writer.call("a", "b", at=T + number) for number in range(120)]
    first = journal.get(written[0])
    assert [found for found, _ in next_records(journal.follow(after=first.seq), 119)] == written[1:]


def next_records(followed: Iterator[Record], count: int) -> list[tuple[str, str]]:
    return [(record.id, record.status) for record in islice(followed, count)]


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    """A journal with different values for every filter."""
    path = tmp_path_factory.mktemp("varied") / "journal"
    writer = SpoolWriter(path)
    for number in range(30):
        start: dict[str, Any] = {
            "kind": "llm",
            "prompts": [f"Prompt {number % 4}"],
            "params": {"model": f"m{number % 2}"},
        }
        start |= {"run_id": RUN} if number % 5 == 0 else {}
        start |= {"parent_run_id": RUN} if number % 8 == 0 else {}
        start |= {"metadata": METADATA[number % len(METADATA)]}
        record_id = writer.start(start, at=T + number, tags=[f"t{number % 3}", "all"])
        if number % 7:
            ended = ("ok", "error", "partial")[number % 3]
            end = {
                "llm_output": {"word": f"W{number % 3} Ü{number % 2}", "elapsed": 9},
                "elapsed": number * 100_000_000,
            }
            writer.end(record_id, end, ended=ended, flags=CACHED)
    with Journal.open(path) as journal:
        leased = lease(journal, 10)
        journal.outbox.ack([(record.seq, record.seq) for record in leased[:5]])
        journal.outbox.park([leased[5].seq], "dead", "refused")
        yield journal
    writer.close()


METADATA: list[dict[str, Any]] = [
    {"thread_id": "conversation", "user": 42},
    {"session_id": 17, "user": "42", "flag": True},
    {"thread_id": None, "conversation_id": "17", "user": "Jörg", "flag": None},
    {"user": 42.0, "ratio": 0.5, "flag": "true"},
]
MOMENTS = st.none() | st.integers(-2, 32).map(lambda offset: at(T + offset))
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "tag": st.lists(st.sampled_from(["t0", "t1", "t2", "all", "none"]), max_size=2),
        "model": st.sampled_from([None, "m0", "m1", "/dir/m1", "m*", "?1", "no*"]),
        "state": st.lists(st.sampled_from(STATES), max_size=2),
        "status": st.lists(st.sampled_from(STATUSES), max_size=2),
        "since": MOMENTS,
        "until": MOMENTS,
        "text": st.sampled_from([None, "prompt 1", "w2", "WORD", "no", "ü1", "Ü0"]),
        "run_id": st.sampled_from([None, RUN]),
        "run": st.sampled_from([None, RUN]),
        "thread": st.sampled_from([None, "conversation", "17", "no"]),
        "metadata": st.none()
        | st.dictionaries(
            st.sampled_from(["user", "flag", "ratio", "no"]),
            st.sampled_from([42, "42", "42.0", "Jörg", True, "true", None, "null", 0.5, "5e-1", "no"]),
            max_size=2,
        ),
        "slower": st.sampled_from([None, timedelta(), timedelta(seconds=1), timedelta(seconds=5)]),
    },
)


@given(filters=FILTERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(200), deadline=None)
def test_following_and_reading_agree_on_every_filter(varied: Journal, filters: Filters) -> None:
    query = Query.from_filters(filters)
    everything = [record._row for record in varied.records()]
    assert [row.id.hex() for row in everything if query.matches(row)] == [
        record.trace_id for record in varied.records(**filters)
    ]


@pytest.mark.parametrize("threshold", [0, 500], ids=["two threads", "one thread"])
@given(filters=FILTERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(50), deadline=None)
def test_a_scan_finds_the_records_of_every_filter_oldest_first(
    varied: Journal, threshold: int, filters: Filters
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_SMALL", threshold)
        assert ids(varied.scan(**filters)) == ids(varied.records(oldest_first=True, **filters))


def test_peek_returns_a_stored_record_that_passes_the_filters(writer: SpoolWriter, journal: Journal) -> None:
    written = writer.call("a", "b", at=T, tags=["mine"])
    assert journal.peek(written) is None
    journal.ingest()
    assert journal.peek(written, tag="mine") == journal.get(written)
    assert journal.peek(written, tag="theirs") is None


# --- maintenance and queues ---


def test_a_receipt_counts_the_records_by_state(writer: SpoolWriter, journal: Journal) -> None:
    for number in range(5):
        writer.call("a", "b", at=T + number)
    first, second, third = lease(journal, 3)
    journal.outbox.ack([(first.seq, 1)])
    journal.outbox.park([second.seq], "in_doubt", "no response")
    journal.outbox.park([third.seq], "dead", "refused")
    receipt = journal.flush()
    assert (receipt.journaled, receipt.acked, receipt.in_doubt, receipt.dead) == (5, 1, 1, 1)


def test_statistics_count_records_writers_and_failures(writer: SpoolWriter, journal: Journal) -> None:
    writer.call("a", "b", at=T)
    writer.start({"kind": "llm", "prompts": ["?"]}, at=T + 5)
    writer.fail("disk full")
    stats = journal.stats()
    assert journal.id == stats.journal_id
    assert (stats.records, stats.open, stats.states["pending"]) == (2, 1, 2)
    assert (stats.failures, stats.last_failure) == (1, "disk full")
    assert [item.alive for item in stats.writers] == [True]
    assert stats.oldest_unsent == at(T)
    assert stats.as_dict()["oldest_unsent"] == "2025-10-09T08:53:20+00:00"


def test_records_move_through_their_states(writer: SpoolWriter, journal: Journal) -> None:
    record_id = writer.call("a", "b", at=T)

    def state() -> tuple[str, int, str | None]:
        record = journal.get(record_id)
        return record.state, record.attempts, record.last_error

    journal.ingest(wait=True)
    (leased,) = journal.outbox.lease(10, 1, now() - 10)
    assert (leased.id, leased.state) == (record_id, "leased")
    assert journal.outbox.orphan_leases(now(), now()) == 1
    assert [record.id for record in journal.outbox.in_doubt(10, now())] == [record_id]
    journal.outbox.release([leased.seq], 0, "not there")
    assert state() == ("pending", 1, "not there")
    journal.outbox.park([leased.seq], "held", "wait")
    assert state()[::2] == ("held", "wait")
    assert journal.outbox.requeue([leased.seq]) == 1
    assert journal.outbox.ack([(leased.seq, 99)]) == 1
    acked = journal.get(record_id)
    assert (acked.state, acked.request_id) == ("acked", 99)
    assert acked.acked_at is not None
    assert abs(acked.acked_at - datetime.now(timezone.utc)) < timedelta(minutes=1)


def test_a_callback_waits_for_its_sink_until_it_is_done(writer: SpoolWriter, journal: Journal) -> None:
    record_id = writer.call("a", "b", at=T, sink=SINK)
    writer.close()
    (leased,) = lease(journal, 1)
    journal.outbox.ack([(leased.seq, 7)])
    (waiting,) = journal.callbacks.waiting()
    assert (waiting.sink, waiting.waiting, waiting.owned, waiting.dead) == (SINK, 1, 0, 0)
    ((seq, attempts, record),) = journal.callbacks.claim(SINK, None, 10, 1000, now())
    assert (seq, attempts, record.id, record.request_id) == (leased.seq, 0, record_id, 7)
    journal.callbacks.settle(SINK, failed=[FailedCallback(seq, "raised", 0, dead=False)])
    ((_, attempts, _),) = journal.callbacks.claim(SINK, None, 10, 1000, now())
    assert attempts == 1
    journal.callbacks.settle(SINK, done=[seq])
    assert journal.callbacks.waiting() == []
    assert journal.stats().callbacks == 0


def test_every_ring_of_the_doorbell_sets_a_new_time(journal: Journal) -> None:
    doorbell = journal.path / "doorbell"
    stamps = []
    for _ in range(20):
        journal.doorbell()
        stamps.append(doorbell.stat().st_mtime_ns)
    assert len(set(stamps)) == 20
    assert stat.S_IMODE(doorbell.stat().st_mode) == 0o600


def test_a_check_of_a_sound_journal_finds_no_problem(writer: SpoolWriter, journal: Journal) -> None:
    writer.call("a", "b", at=T)
    report = journal.check()
    assert (report.problems, report.frames) == ([], 2)
    journal.flush()
    report = journal.check()
    assert (report.problems, report.records, report.events) == ([], 1, 2)


def test_a_check_and_a_reader_find_a_flipped_bit(writer: SpoolWriter, journal: Journal) -> None:
    writer.call("a" * 200, "b", at=T)
    content = bytearray(writer.path.read_bytes())
    content[content.index(b"aaaa")] ^= 1
    writer.path.write_bytes(content)
    (problem,) = journal.check().problems
    assert "checksum" in problem.what
    assert journal.ingest().damage[0].reason == "the payload's checksum is wrong"


def test_append_keeps_a_value_that_is_not_a_call(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal", create=True) as journal:
        key = journal.append({"note": "the tape was changed"})
        other = journal.append(b"\x00bytes")
        assert (journal.get(key).state, journal.get(other).state) == ("held", "held")
        assert journal.stats().left == {}
        assert [record.id for record in journal.records(text="the tape")] == [key]
