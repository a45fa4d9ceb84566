"""Digests: the figures of records, and the counts, charts, sums and pages that are made of them."""

from __future__ import annotations

import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langchain_core.runnables import RunnableLambda

from plsync import Journal, PromptLayerCallbackHandler
from plsync._common.native import Store
from plsync.journal.digest_filler import Filler
from plsync.journal.digests import figures
from plsync.journal.usage import GROUPINGS, measures, summed
from tests.support.spooling import CACHED, SpoolWriter

T = 1_760_000_000_000
DAY = 86_400_000


def record(path: Path, *answers: AIMessage) -> None:
    """Record chat calls by the handler."""
    model = GenericFakeChatModel(messages=iter(answers), callbacks=[PromptLayerCallbackHandler(journal=path)])
    for _ in answers:
        model.invoke("?")


USAGE = {"input_tokens": 400, "output_tokens": 90, "total_tokens": 490}
RESPONSES: list[dict[str, Any]] = [
    {"usage_metadata": USAGE},
    {"usage_metadata": {**USAGE, "input_token_details": {"cache_read": 25, "audio": 3}}},
    {"usage_metadata": {**USAGE, "input_token_details": {}, "output_token_details": {"reasoning": 9}}},
    {"usage_metadata": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}},
    {"usage_metadata": {**USAGE, "output_tokens": 0}, "response_metadata": {"token_usage": {"prompt_tokens": 7}}},
    {"usage_metadata": {**USAGE, "cache_read_input_tokens": 5}},
    {"usage_metadata": {**USAGE, "total_cost": 0}},
    {"response_metadata": {"token_usage": {"prompt_tokens": 7, "completion_tokens": 3}}},
    {"response_metadata": {"model_name": "m-2", "finish_reason": "stop"}},
    {"additional_kwargs": {"usage": {"input_tokens": 4, "output_tokens": 2}}},
    {"response_metadata": {"eval_count": 4, "prompt_eval_count": 2}},
    {},
]
METADATA: list[dict[str, Any]] = [
    {"ls_model_name": "m", "ls_provider": "openai"},
    {"ls_model_name": "m", "thread_id": "t-1"},
    {"ls_model_name": "", "session_id": 17},
    {"conversation_id": uuid4(), "thread_id": None},
    {"thread_id": "", "ls_provider": 3},
    {"thread_id": 1.5},
    {"thread_id": True},
    {"thread_id": "x" * 300},
    {},
]
PARAMS: list[dict[str, Any]] = [
    {"model": "m"},
    {"model": "m", "model_name": "n"},
    {"model_path": "/models/tiny.gguf"},
    {"repo_id": "r", "model": ""},
    {"model": 7},
    {},
]
CLASSES: list[Any] = [
    {"id": ["langchain_openai", "chat_models", "base", "ChatOpenAI"]},
    {"id": ["langchain", "chat_models", "anthropic", "ChatAnthropic"]},
    {"id": ["mine", "Model"]},
    {"id": []},
    None,
]


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_the_facts_of_the_handler_equal_the_facts_of_the_content(data: st.DataObject) -> None:
    """A digest from the frames equals the digest from the bodies, whenever the frames have one."""
    draw = data.draw
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        handler = PromptLayerCallbackHandler(journal=path)
        for _ in range(4):
            run_id = uuid4()
            metadata, params = draw(st.sampled_from(METADATA)), draw(st.sampled_from(PARAMS))
            chosen = {"metadata": metadata, "invocation_params": params}
            is_chat = draw(st.booleans())
            if is_chat:
                handler.on_chat_model_start(
                    draw(st.sampled_from(CLASSES)), [[HumanMessage("?")]], run_id=run_id, **chosen
                )
            else:
                handler.on_llm_start(draw(st.sampled_from(CLASSES)), ["?"], run_id=run_id, **chosen)
            info = draw(
                st.sampled_from([None, {}, {"finish_reason": "stop"}, {"eval_count": 3, "prompt_eval_count": 2}])
            )
            outcome = draw(st.sampled_from(["ok", "ok", "ok", "error", "none"]))
            if outcome == "error":
                handler.on_llm_error(ValueError("no"), run_id=run_id)
            elif outcome == "ok":
                if draw(st.booleans()):
                    handler.on_llm_new_token("x", run_id=run_id)
                message = AIMessage("x", **draw(st.sampled_from(RESPONSES)))
                generation = (
                    ChatGeneration(message=message, generation_info=info)
                    if is_chat
                    else Generation(text="x", generation_info=info)
                )
                output = draw(st.sampled_from([None, {}, {"model_name": "m-3"}, {"token_usage": {"total_tokens": 4}}]))
                handler.on_llm_end(LLMResult(generations=[[generation]], llm_output=output), run_id=run_id)
        with Journal.open(path) as journal:
            records = list(journal.records())
            digests = journal.digests.of(records)
            store = journal._store
            found = [store.get(UUID(record.id).bytes) for record in records]
            rows = [row for row in found if row is not None]
            labels = [journal.count(thread=str(figures(row)[8])) for row in rows]
            store.put_digests([figures(row) for row in rows])
            made = journal.digests.of(records)
            for digest, again in zip(digests, made, strict=True):
                assert digest is not None
                assert again is not None
                assert again.is_complete
                if digest.is_complete:
                    assert digest == again
                assert (digest.status, digest.started_ms) == (again.status, again.started_ms)
            after = [journal.count(thread=str(figures(row)[8])) for row in rows]
            assert labels == after
            assert journal.check().problems == []


def test_langchains_own_counts_need_no_body(path: Path) -> None:
    record(path, AIMessage("x", usage_metadata=USAGE, response_metadata={"model_name": "m"}))
    FakeListLLM(responses=["x"], callbacks=[PromptLayerCallbackHandler(journal=path)]).invoke("?")
    run_id = uuid4()
    handler = PromptLayerCallbackHandler(journal=path)
    handler.on_chat_model_start({}, [[HumanMessage("?")]], run_id=run_id, metadata=METADATA[0])
    answer = AIMessage("x", usage_metadata=USAGE)
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]), run_id=run_id)
    with Journal.open(path) as journal:
        [digest] = journal.digests.of(journal.records(limit=1))
        assert digest is not None
        assert digest.is_complete
        assert (digest.model, digest.provider, digest.kind, digest.status) == ("m", "openai", "chat", "ok")
        assert (digest.input_tokens, digest.output_tokens, digest.cached_tokens) == (400, 90, 0)
        assert digest.duration_ns == next(journal.records()).duration_ns
        # The models without a name: the answer decides.
        assert journal.digests.pending() == 2
        assert journal.digests.fill() == 0
        assert journal.check().problems == []


def test_runs_of_a_tree_have_digests(path: Path) -> None:
    model = FakeListLLM(responses=["x"])
    chain: RunnableLambda[str, str] = RunnableLambda(model.invoke)
    handler = PromptLayerCallbackHandler(journal=path, runs="tree")
    chain.invoke("?", config={"callbacks": [handler], "metadata": {"thread_id": "t"}})
    with Journal.open(path) as journal:
        assert journal.usage("thread").groups["t"].calls == 1
        runs = journal.usage("thread", runs=True)
        assert runs.groups["t"].calls == 2
        kinds = [digest.kind for digest in journal.digests.of(journal.records(runs=True)) if digest]
        assert sorted(kinds, key=str) == ["chain", "llm"]


class Recorded:
    """Calls of two models, three days, several tags and threads, by a writer without facts."""

    def __init__(self, writer: SpoolWriter, path: Path) -> None:
        self.writer, self.path = writer, path
        self.call(T, params={"model": "a"}, tags=["x", "y"], metadata={"thread_id": "1"})
        self.call(T + DAY, params={"model": "a"}, tags=["x"], metadata={"session_id": 1}, ms=300, tokens=(20, 2))
        self.call(T + DAY, params={"model": "b"}, ended="error", tokens=None, ms=500)
        self.call(T + 2 * DAY, params={"model": "b"}, flags=CACHED, ms=0, tokens=(1000, 1000))
        writer.start({"kind": "llm", "prompts": ["?"], "params": {"model": "b"}}, at=T + 2 * DAY)

    def call(self, at: int, *, tokens: tuple[int, int] | None = (10, 1), ms: int = 100, **more: Any) -> None:
        ended, flags, tags = more.pop("ended", "ok"), more.pop("flags", 0), more.pop("tags", None)
        prompt = {"$": "HumanMessage", "v": {"type": "human", "content": f"What is {ms}?"}}
        record_id = self.writer.start({"kind": "chat", "messages": [prompt], **more}, at=at, tags=tags)
        message: dict[str, Any] = {"type": "ai", "content": ""}
        if tokens is not None:
            counts = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
            message["usage_metadata"] = counts
        generation = {"$": "ChatGeneration", "v": {"message": {"$": "AIMessage", "v": message}}}
        end = {"generations": [generation], "elapsed": ms * 1_000_000, "first_token": ms * 500_000}
        self.writer.end(record_id, end, ended=ended, flags=flags)


@pytest.fixture
def recorded(writer: SpoolWriter, path: Path) -> Path:
    """The journal of :class:`Recorded`."""
    return Recorded(writer, path).path


@pytest.mark.parametrize("by", GROUPINGS)
def test_the_sums_of_digests_are_the_sums_of_the_records(recorded: Path, by: Any) -> None:
    with Journal.open(recorded) as journal:
        for filters in ({}, {"model": "a"}, {"text": "what is 300"}, {"slower": timedelta(milliseconds=200)}):
            expected = summed(measures(journal.records(**filters), by), by).as_dict()
            assert journal.usage(by, **filters).as_dict() == expected


def test_missing_digests_are_made_in_slices_and_shown(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        journal.ingest(wait=True)
        total = journal.digests.progress().total
        assert (total, journal.digests.pending()) == (5, 5)
        report = journal.usage(fill=False)
        assert (report.pending, report.total.calls, report.total.input_tokens) == (5, 5, 0)
        seen: list[float] = []
        assert journal.digests.fill(on_progress=lambda progress: seen.append(progress.fraction)) == 0
        assert seen == [1.0]
        assert journal.usage(fill=False).pending == 0


def test_a_thread_fills_the_digests_beside_other_work(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        journal.ingest(wait=True)
        with Filler(journal):
            deadline = time.monotonic() + 10
            while journal.digests.pending() and time.monotonic() < deadline:
                time.sleep(0.005)
        assert journal.digests.pending() == 0


def test_facets_count_the_selection_and_show_zeros(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        journal.ingest(wait=True)
        journal.digests.fill()
        found = journal.facets()
        assert found.total == 5
        assert found.results["ok"] == 3
        assert (found.results["error"], found.results["interrupted"]) == (1, 0)
        assert (found.deliveries["waiting"], found.deliveries["sent"], found.deliveries["dropped"]) == (5, 0, 0)
        assert found.models == [("b", 3), ("a", 2)]
        assert found.tags == [("x", 2), ("y", 1)]
        assert found.threads == [("1", 2)]
        chosen = journal.facets(tag="x", text="what is 100")
        assert (chosen.total, chosen.models, chosen.tags) == (1, [("a", 1)], [("x", 1), ("y", 1)])
        assert journal.facets(model="none").total == 0
        assert journal.label_values("tag") == [("x", 2), ("y", 1)]
        assert journal.label_values("thread") == [("1", 2)]
        with pytest.raises(ValueError, match="'day' is not a kind"):
            journal.label_values("day")  # type: ignore[arg-type]


def test_a_histogram_has_each_record_in_its_bucket(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        found = journal.histogram(buckets=3)
        assert (found.edges[0], found.calls, found.errors) == (T, [1, 2, 2], [0, 1, 0])
        since = datetime.fromtimestamp(T / 1000, timezone.utc) - timedelta(days=1)
        until = since + timedelta(days=4)
        spanned = journal.histogram(buckets=4, since=since, until=until, model="b")
        assert spanned.edges == [T - DAY + day * DAY for day in range(5)]
        assert (spanned.calls, spanned.errors) == ([0, 0, 1, 2], [0, 0, 1, 0])
        assert journal.histogram(model="none").as_dict() == {
            "edges": [],
            "calls": [],
            "errors": [],
            "is_partial": False,
        }


@pytest.mark.parametrize("order", ["time", "took", "tokens", "first_token"])
@pytest.mark.parametrize("ascending", [False, True])
def test_pages_in_any_order_have_each_record_once(recorded: Path, order: Any, ascending: bool) -> None:
    figures = {
        "time": lambda record: record.id,
        "took": lambda record: record.duration_ns,
        "tokens": lambda record: record.usage and record.usage["total_tokens"],
        "first_token": lambda record: record.events()[1].get("first_token"),
    }
    with Journal.open(recorded) as journal:
        journal.ingest(wait=True)
        journal.digests.fill()
        found, cursor, pages = [], None, 0
        while cursor is not None or not pages:
            page = journal.page(limit=2, order=order, ascending=ascending, cursor=cursor)
            found += page.records
            cursor, pages = page.cursor, pages + 1
            assert page.is_done
        values = [figures[order](record) for record in found]
        assert values == sorted(values, reverse=not ascending)
        assert len({record.id for record in found}) == len(found)
        assert len(found) == sum(figures[order](record) is not None for record in journal.records())


def test_a_search_of_content_goes_on_where_its_time_ended(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        page = journal.page(limit=1, text="What is 100", model="a")
        assert [record.duration_ns for record in page.records] == [100_000_000]
        assert (page.searched, page.total) == (2, 2)
        assert page.cursor is not None
        last = journal.page(limit=1, text="What is 100", model="a", cursor=page.cursor)
        assert (last.records, last.cursor, last.searched, last.is_done) == ([], None, 2, True)
        for wrong in ("", "took:1:2:3", "time:zz:1:2", "time:" + "0" * 32, "time:00:1:2"):
            with pytest.raises(ValueError, match="is not a cursor"):
                journal.page(cursor=wrong)
        with pytest.raises(ValueError, match="'size' is not an order"):
            journal.page(order="size")  # type: ignore[arg-type]


def test_pruned_and_forgotten_records(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        journal.ingest(wait=True)
        journal.digests.fill()
        before = journal.usage().total
        record = next(journal.records(model="a", oldest_first=True))
        journal.forget(record.id)
        after = journal.usage().total
        assert (after.calls, after.input_tokens) == (before.calls, before.input_tokens - 10)
        assert journal.check().problems == []
        assert b'"a"' not in str(journal.digests.of([record])[0]).encode()


def test_the_filter_of_threads_is_the_same_before_and_after_the_fill(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        before = [record.id for record in journal.records(thread="1")]
        slow = [record.id for record in journal.records(slower=timedelta(milliseconds=100))]
        assert (len(before), len(slow)) == (2, 2)
        journal.ingest(wait=True)
        journal.digests.fill()
        assert [record.id for record in journal.records(thread="1")] == before
        assert [record.id for record in journal.records(slower=timedelta(milliseconds=100))] == slow
        assert journal.count(thread="1", at_most=100) == 2


def test_the_store_takes_no_outdated_figures(writer: SpoolWriter, path: Path) -> None:
    record_id = writer.start({"kind": "chat", "messages": []}, at=T)
    store = Store(str(path))
    store.ingest(wait=True)
    [row] = store.undigested()[0]
    writer.end(record_id, {"generations": []})
    store.ingest(wait=True)
    store.put_digests([figures(row)])
    assert store.undigested_count() == (1, 1)
    store.put_digests([figures(row) for row in store.undigested()[0]])
    assert store.undigested_count() == (1, 0)
