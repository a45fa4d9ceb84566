"""The comparison of a rerun's answers with the recorded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from plsync import Journal
from plsync.replay import export
from plsync.rerun import (
    Answer,
    Comparison,
    JournalOriginals,
    RecordingOriginals,
    Rerun,
    Sums,
    compare,
    make_model,
    newest_reruns,
)
from plsync.rerun.comparison import _same, _same_tools, _similarity
from tests.rerun.conftest import OTHER
from tests.rerun.test_requests import City, send_again, temperature
from tests.support.openai_server import OpenAIServer


def comparisons(source: Path, into: Path, judge: Any = None) -> list[Comparison]:
    with Journal.open(source) as journal, Journal.open(into) as target:
        reruns = newest_reruns(target)
        return [
            compare(original, reruns[original.id, OTHER], OTHER, judge)
            for original in JournalOriginals(journal)
            if (original.id, OTHER) in reruns
        ]


def test_equal_answers(model: Any, source: Path, into: Path) -> None:
    model.invoke("one")
    send_again(source, into)
    [found] = comparisons(source, into)
    assert (found.text, found.tools, found.structured) == (1.0, None, None)
    assert (found.input_tokens, found.output_tokens) == ((8, 8), (2, 2))
    assert found.recorded_model == "recorded-model"
    assert None not in found.seconds


def test_another_text_is_measured_by_its_words(model: Any, source: Path, into: Path, provider: OpenAIServer) -> None:
    provider.text = "It is cold in Paris"
    model.invoke("one")
    provider.text = "It is warm in Paris"
    send_again(source, into)
    [found] = comparisons(source, into)
    assert found.text == 0.8


def answer(text: str = "", *tool_calls: tuple[str, Any], error: str | None = None) -> Answer:
    return Answer(text, list(tool_calls), 1, 1, 1.0, error)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ([("cold", {"city": "Paris", "days": 1})], [("cold", {"days": 1.0, "city": "Paris"})], True),
        ([("cold", {"city": "Paris"})], [("cold", {"city": "Rome"})], False),
        ([("cold", {})], [("warm", {})], False),
        ([("cold", {}), ("warm", {})], [("warm", {}), ("cold", {})], True),
        ([("cold", {})], [("cold", {}), ("cold", {})], False),
        ([("cold", {})], [], False),
    ],
)
def test_tool_calls_are_compared_by_name_and_arguments(old: list[Any], new: list[Any], same: bool) -> None:
    assert _same_tools(answer("", *old), answer("", *new)) is same


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (answer('{"name": "Paris"}'), answer('{ "name":"Paris" }'), True),
        (answer('{"name": "Paris"}'), answer("", ("City", {"name": "Paris"})), True),
        (answer('```json\n{"name": "Paris"}\n```'), answer('{"name": "Paris"}'), True),
        (answer('{"name": "Paris"}'), answer('{"name": "Rome"}'), False),
        (answer("Paris"), answer("Paris"), False),
    ],
)
def test_structured_output_is_compared_as_json(old: Answer, new: Answer, same: bool) -> None:
    assert _same(old.structured(), new.structured()) is same


def test_structured_output_of_another_form_is_the_same(model: Any, source: Path, into: Path) -> None:
    model.with_structured_output(City, method="function_calling").invoke("The capital is 'Paris'.")
    send_again(source, into)
    [found] = comparisons(source, into)
    assert (found.tools, found.structured) == (None, True)


def test_a_failed_rerun_is_compared_by_tokens_and_time_only(
    model: Any, source: Path, into: Path, provider: OpenAIServer
) -> None:
    model.invoke("one")
    provider.failure = (500, {}, {"message": "overloaded"})
    send_again(source, into)
    [found] = comparisons(source, into, judge=lambda *_: 1 / 0)
    assert found.errors[0] is None and "overloaded" in str(found.errors[1])
    assert (found.text, found.judgement) == (None, None)


def test_the_judge_receives_both_records(model: Any, source: Path, into: Path) -> None:
    model.invoke("one")
    send_again(source, into)
    [found] = comparisons(source, into, judge=lambda old, new: [old.model, new.model])
    assert found.judgement == ["recorded-model", "other-model"]


def test_the_calls_of_a_recording_are_compared(model: Any, source: Path, into: Path, tmp_path: Path) -> None:
    model.bind_tools([temperature]).invoke("How cold is it in 'Paris'?")
    model.invoke("one")
    model.invoke("one")
    recording = tmp_path / "field.jsonl"
    with Journal.open(source) as journal:
        export(journal.records(oldest_first=True), recording)
    originals = RecordingOriginals(recording)
    rerun = Rerun(originals, OTHER, make_model(OTHER), into=into)
    assert len(set(rerun.ids)) == 3
    assert rerun.run(1).answered == 3
    with Journal.open(into) as target:
        reruns = newest_reruns(target)
        found = [compare(original, reruns[original.id, OTHER], OTHER) for original in originals]
    assert [item.tools for item in found] == [True, None, None]
    assert [item.output_tokens for item in found] == [(2, 2)] * 3
    assert [item.text for item in found] == [None, 1.0, 1.0]


def test_a_picture_known_by_its_hash_is_skipped(model: Any, source: Path, tmp_path: Path) -> None:
    picture = {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}
    model.invoke([HumanMessage([{"type": "text", "text": "What is it?"}, picture])])
    recording = tmp_path / "field.jsonl"
    with Journal.open(source) as journal:
        export(journal.records(), recording)
        assert len(list(JournalOriginals(journal))) == 1
    originals = RecordingOriginals(recording)
    assert list(originals) == []
    assert originals.skipped == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.text(), st.text())
def test_any_answer_equals_itself(value: Any, old: str, new: str) -> None:
    call = answer("", ("f", value))
    assert _same_tools(call, call)
    assert 0.0 <= (_similarity(old, new) or 0.0) <= 1.0
    assert _similarity(old, old) in (None, 1.0)


def test_sums_count_each_kind_of_agreement() -> None:
    def item(**changed: Any) -> Comparison:
        values: dict[str, Any] = {
            "original": "a",
            "rerun": "b",
            "model": OTHER,
            "recorded_model": "m",
            "tools": None,
            "structured": None,
            "text": None,
            "input_tokens": (10, 12),
            "output_tokens": (1, None),
            "seconds": (1.0, 2.0),
            "errors": (None, None),
        }
        return Comparison(**values | changed)

    sums = Sums.of([item(tools=True, text=0.5), item(tools=False, text=1.0, judgement=True), item(errors=(None, "x"))])
    assert (sums.compared, sums.failed, sums.tools, sums.structured) == (2, 1, (1, 2), (0, 0))
    assert (sums.text, sums.input_tokens, sums.output_tokens) == (0.75, (20, 24), (0, 0))
    assert (sums.seconds, sums.judgement) == ((1.0, 2.0), 1.0)
