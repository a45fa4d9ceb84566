"""The requested model, its provider, and the parameters, where the events have several forms of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.support.request_log import LoggedCall, StoredRow, answer, tagged


def record(start: dict[str, Any], end: dict[str, Any] | None = None) -> Any:
    return StoredRow(start=orjson.dumps(start), end=orjson.dumps(end or {})).record()


@pytest.mark.parametrize(
    ("kind", "noted", "passed", "answered", "model"),
    [
        # ChatOllama(model="big").bind(model="small"), and OpenAI(model="big").bind(model="small")
        ("chat", "big", "small", "small", "small"),
        ("llm", "small", "big", "small", "small"),
        ("chat", "big", "small", None, "small"),
        ("llm", "small", "big", None, "small"),
        ("chat", "gpt-4o", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("chat", "gpt-4o-mini", "gpt-4o", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("chat", "openai/gpt-4o", "gpt-5", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("chat", "auto", "auto", "gpt-4o", "auto"),
        ("chat", None, "deployment", "gpt-4o", "deployment"),
        ("chat", "a", "b", "c", "b"),
    ],
)
def test_the_answer_decides_between_two_names(
    kind: str, noted: str | None, passed: str, answered: str | None, model: str
) -> None:
    start = {"kind": kind, "metadata": {"ls_model_name": noted}, "params": {"model": passed}}
    metadata = {} if answered is None else {"model_name": answered}
    assert record(start, {"generations": [answer(response_metadata=metadata)]}).model == model


def test_the_name_that_a_client_repeats_decides_nothing() -> None:
    start = {"kind": "llm", "metadata": {"ls_model_name": "small"}, "params": {"model_name": "big"}}
    assert record(start, {"llm_output": {"model_name": "big"}}).model == "small"


@pytest.mark.parametrize(
    "end",
    [
        {"generations": [tagged("Generation", text="hi", generation_info={"model": "qwen3:4b"})]},
        {
            "generations": [tagged("Generation", text="hi", generation_info=None)],
            "llm_output": {"model_name": "qwen3:4b"},
        },
        {"generations": [answer(response_metadata={"model_version": "qwen3:4b"})]},
    ],
)
def test_the_model_is_read_from_every_part_of_an_answer(end: dict[str, Any]) -> None:
    assert record({"kind": "llm", "class": ["langchain_ollama", "llms", "OllamaLLM"]}, end).model == "qwen3:4b"


@pytest.mark.parametrize(
    ("path", "provider"),
    [
        (["langchain_ollama", "llms", "OllamaLLM"], "ollama"),
        (["langchain", "chat_models", "openai", "ChatOpenAI"], "openai"),
        (["langchain_community", "llms", "gpt4all", "GPT4All"], "gpt4all"),
        (["langchain_core", "language_models", "fake", "FakeListLLM"], "fakelistllm"),
        (["app", "models", "MyChat"], "mychat"),
        (["langchain_ollama", 7], "ollama"),
        ([], None),
        (None, None),
    ],
)
def test_the_provider_is_read_from_the_class_without_langchains_note(path: Any, provider: str | None) -> None:
    assert record({"class": path}).provider == provider


SCHEMA = {"title": "Person", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "Person", "schema": SCHEMA}}


def test_the_repr_of_a_class_is_replaced_by_langchains_note() -> None:
    start = {
        "params": {
            "model": "gpt-4o",
            "response_format": {"$": "repr", "c": "builtins:type", "v": "<class 'app.Person'>"},
        },
        "options": {"ls_structured_output_format": {"kwargs": {"method": "json_schema"}, "schema": SCHEMA}},
    }
    assert record(start).params == {"model": "gpt-4o", "response_format": FORMAT}
    assert LoggedCall(start=start).log()["parameters"]["response_format"] == FORMAT


def test_a_class_without_a_note_stays() -> None:
    assert record({"params": {"response_format": "<class 'app.Person'>"}}).params == {
        "response_format": "<class 'app.Person'>"
    }


def test_schemas_of_classes_have_the_form_that_the_provider_received() -> None:
    found = record({"params": {"response_format": SCHEMA, "tools": [SCHEMA, {"type": "web_search"}]}}).params
    assert found["response_format"] == FORMAT
    function = {key: value for key, value in SCHEMA.items() if key != "title"}
    expected = {"type": "function", "function": {"name": "Person", "description": "", "parameters": function}}
    assert found["tools"] == [expected, {"type": "web_search"}]


@pytest.mark.parametrize("given", [FORMAT, {"type": "json_object"}, {"type": "text"}, None, 7, [SCHEMA]])
def test_a_format_in_the_providers_form_stays(given: Any) -> None:
    assert record({"params": {"response_format": given}}).params == {"response_format": given}
