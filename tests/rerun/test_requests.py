"""A rerun sends each recorded request once more, with its messages and options, and never executes a tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import RerunError
from plsync.replay import export
from plsync.replay.request.request import request_of_record
from plsync.rerun import (
    MODEL,
    ORIGINAL,
    Answer,
    JournalOriginals,
    Originals,
    RecordingOriginals,
    Rerun,
    RerunReport,
    make_model,
)
from tests.rerun.conftest import OTHER
from tests.support.openai_server import OpenAIServer


class City(BaseModel):
    """A city."""

    name: str


@tool
def temperature(city: str) -> str:
    """The temperature in a city."""
    raise AssertionError("a rerun executes no tool")


def send_again(source: Path, into: Path, *, name: str = OTHER, retry: bool = False, at_once: int = 1) -> RerunReport:
    with Journal.open(source) as journal:
        rerun = Rerun(JournalOriginals(journal), name, make_model(name, {"max_retries": 0}), into=into, retry=retry)
        return rerun.run(at_once)


def answers(into: Path) -> list[Any]:
    with Journal.open(into) as journal:
        return list(journal.records(oldest_first=True))


def test_the_answers_are_records_with_the_id_of_the_original(model: Any, source: Path, into: Path) -> None:
    model.invoke("one")
    model.invoke("two")
    report = send_again(source, into)
    assert (report.sent, report.answered, report.left) == (2, 2, 0)
    with Journal.open(source) as journal:
        originals = [record.id for record in journal.records(oldest_first=True)]
    assert [record.metadata[ORIGINAL] for record in answers(into)] == originals
    assert {record.metadata[MODEL] for record in answers(into)} == {OTHER}
    assert {record.model for record in answers(into)} == {"other-model"}


def test_the_conversation_the_tools_and_the_stop_words_are_sent_as_recorded(
    model: Any, source: Path, into: Path, provider: OpenAIServer
) -> None:
    messages = [
        SystemMessage("Answer in one word."),
        HumanMessage([{"type": "text", "text": "How cold is it in"}, {"type": "text", "text": "Paris?"}]),
        AIMessage("", tool_calls=[{"name": "temperature", "args": {"city": "Paris"}, "id": "call_7"}]),
        ToolMessage("4 degrees", tool_call_id="call_7"),
    ]
    model.bind_tools([temperature], tool_choice="any").invoke(messages, stop=["!"])
    send_again(source, into)
    recorded, again = provider.requests
    for key in ("messages", "stop", "tool_choice"):
        assert again[key] == recorded[key]
    (offered,) = again["tools"]
    assert offered["function"]["name"] == "temperature"
    assert offered["function"]["parameters"] == recorded["tools"][0]["function"]["parameters"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_has_the_form_of_the_model(
    model: Any, source: Path, into: Path, provider: OpenAIServer, method: str
) -> None:
    model.with_structured_output(City, method=method).invoke("The capital of France?")
    send_again(source, into)
    form = provider.requests[-1]["response_format"]["json_schema"]
    assert form["name"] == "City"
    assert form["schema"]["properties"].keys() == {"name"}


def test_json_mode_is_sent_again(model: Any, source: Path, into: Path, provider: OpenAIServer) -> None:
    model.bind(response_format={"type": "json_object"}).invoke("A city as JSON")
    send_again(source, into)
    assert provider.requests[-1]["response_format"] == {"type": "json_object"}


def test_a_prompt_of_a_text_model_goes_to_a_chat_model(source: Path, into: Path, provider: OpenAIServer) -> None:
    FakeListLLM(responses=["4"], callbacks=[PromptLayerCallbackHandler(journal=source)]).invoke("2 + 2?")
    assert send_again(source, into).answered == 1
    assert provider.requests[-1]["messages"] == [{"content": "2 + 2?", "role": "user"}]


def test_a_request_that_the_model_cannot_take_is_not_sent(model: Any, source: Path, into: Path) -> None:
    model.bind_tools([temperature]).invoke("How cold is it?")
    with Journal.open(source) as journal:
        report = Rerun(JournalOriginals(journal), "fake:text", FakeListLLM(responses=["x"]), into=into).run(1)
    assert (report.sent, report.refused, report.left) == (0, 1, 0)
    assert "takes no tools" in next(iter(report.errors))
    assert answers(into) == []


def test_a_call_without_content_is_skipped(source: Path, into: Path, provider: OpenAIServer) -> None:
    handler = PromptLayerCallbackHandler(journal=source, content=False)
    FakeListLLM(responses=["4"], callbacks=[handler]).invoke("2 + 2?")
    report = send_again(source, into)
    assert (report.sent, report.skipped) == (0, 1)
    assert provider.requests == []


def test_a_second_rerun_sends_only_new_requests(model: Any, source: Path, into: Path) -> None:
    model.invoke("one")
    send_again(source, into)
    model.invoke("two")
    report = send_again(source, into)
    assert (report.sent, report.sent_before) == (1, 1)
    assert send_again(source, into, name="openai:third-model").sent == 2


def test_a_failed_request_is_sent_again_only_with_retry(
    model: Any, source: Path, into: Path, provider: OpenAIServer
) -> None:
    model.invoke("one")
    provider.failure = (500, {}, {"message": "overloaded"})
    report = send_again(source, into)
    assert (report.sent, report.answered) == (1, 0)
    assert "overloaded" in next(iter(report.errors))
    provider.failure = None
    assert send_again(source, into).sent == 0
    assert send_again(source, into, retry=True).answered == 1
    assert send_again(source, into, retry=True).sent == 0


def test_the_answers_of_a_rerun_are_no_requests_of_another(
    model: Any, source: Path, into: Path, tmp_path: Path
) -> None:
    model.invoke("one")
    send_again(source, into)
    assert send_again(into, tmp_path / "third").sent == 0


def test_each_request_is_read_once_and_no_answer(
    model: Any, source: Path, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.invoke("one")
    model.invoke("two")
    with Journal.open(source) as journal:
        export(journal.records(oldest_first=True), tmp_path / "field.jsonl")
    read: list[Any] = []

    def reading(start: Any) -> Any:
        read.append(start)
        return request_of_record(start)

    monkeypatch.setattr("plsync.rerun.originals.request_of_record", reading)
    monkeypatch.setattr(Answer, "of_record", None)
    monkeypatch.setattr(Answer, "of_call", None)
    assert send_again(source, into).answered == 2
    assert len(read) == 2
    assert send_again(source, into).sent_before == 2
    assert len(read) == 2
    assert Rerun(RecordingOriginals(tmp_path / "field.jsonl"), OTHER, make_model(OTHER), into=into).run(1).answered == 2


def test_only_the_newest_calls_are_sent_again(model: Any, source: Path, into: Path, tmp_path: Path) -> None:
    for prompt in ("one", "two", "three", "two"):
        model.invoke(prompt)
    with Journal.open(source) as journal:
        export(journal.records(oldest_first=True), tmp_path / "field.jsonl")
        newest: list[Originals] = [JournalOriginals(journal, limit=2), RecordingOriginals(tmp_path / "field.jsonl", 2)]
        for originals in newest:
            ids = list(originals.ids())
            assert [original.id for original in originals] == ids
            found = [originals.get(original_id) for original_id in ids]
            assert [None if one is None else one.content()[0].content for one in found] == ["three", "two"]  # type: ignore[union-attr]


def test_a_request_that_was_forgotten_meanwhile_is_skipped(model: Any, source: Path, into: Path) -> None:
    model.invoke("one")
    model.invoke("two")
    with Journal.open(source) as journal:
        rerun = Rerun(JournalOriginals(journal), OTHER, make_model(OTHER), into=into)
        journal.forget(rerun.ids[0])
        report = rerun.run(1)
    assert (report.sent, report.skipped, report.left) == (1, 1, 0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gpt-4o", "choose PROVIDER:MODEL"),
        ("nobody:model", "nobody"),
        ("gpt4all:/nowhere/tiny.gguf", "no model file at /nowhere/tiny.gguf"),
    ],
)
def test_a_model_that_cannot_be_made_is_an_error(name: str, reason: str) -> None:
    with pytest.raises(RerunError, match=reason):
        make_model(name)
