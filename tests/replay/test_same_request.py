"""One notion of the same request: for serving, replacing, listing unused calls, and pruning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseLanguageModel, FakeListChatModel, FakeListLLM
from langchain_core.messages import AIMessage

from plsync.replay import Recording, record_all, with_recording
from tests.support.models import Chat
from tests.support.replaying import lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def without_dates(request: dict[str, Any]) -> str:
    return re.sub(r"\d{4}-\d{2}-\d{2}", "DATE", str(request["messages"]))


def answer_to(path: Path, question: str, answer: str = "-", mode: Any = "none", match: Any = None, **more: Any) -> str:
    model = more.pop("model", None) or FakeListChatModel(responses=[answer])
    with record_all(path, mode, match=match):
        return str(model.invoke(question, **more).content)


def test_a_call_recorded_again_under_a_match_function_serves_its_new_answer(path: Path) -> None:
    answer_to(path, "2026-05-01?", "old", "all", without_dates)
    answer_to(path, "2026-05-02?", "new", "all", without_dates)
    assert answer_to(path, "2026-06-01?", match=without_dates) == "new"
    assert len(lines(path)) == 1


@pytest.mark.parametrize(
    ("match", "first", "second"),
    [
        (["messages"], {"stop": ["a"]}, {"stop": ["b"]}),
        (["messages"], {"tools": [{"name": "a", "parameters": {}}]}, {"tools": [{"name": "b", "parameters": {}}]}),
        (["messages", "stop"], {"tool_choice": "any"}, {}),
        (["tools"], {}, {"stop": ["x"]}),
    ],
)
def test_a_part_that_is_not_compared_does_not_keep_the_old_answer(
    path: Path, match: list[str], first: dict[str, Any], second: dict[str, Any]
) -> None:
    answer_to(path, "q", "old", "all", match, **first)
    answer_to(path, "q", "new", "all", match, **second)
    assert answer_to(path, "q", match=match, **first) == "new"


def test_a_part_that_is_compared_in_addition_keeps_the_other_call(path: Path) -> None:
    match = ["messages", "settings"]
    answer_to(path, "q", "cold", "all", match, temperature=0)
    answer_to(path, "q", "warm", "all", match, temperature=1)
    assert [answer_to(path, "q", match=match, temperature=value) for value in (0, 1)] == ["cold", "warm"]


def test_a_model_that_is_recorded_alone_replaces_its_own_call(path: Path) -> None:
    class Named(Chat):
        model: str

    def named(model: str, text: str) -> Named:
        return Named(model=model, reply=lambda _: AIMessage(text))

    with record_all(path, "all"):
        for name in ("big", "small"):
            named(name, f"old {name}").invoke("q")
    with record_all(path, "all") as recording:
        named("small", "new small").invoke("q")
        assert [call.request.model for call in recording.unused()] == ["big"]
    assert [answer_to(path, "q", model=named(name, "-")) for name in ("big", "small")] == ["old big", "new small"]


def test_a_renamed_model_replaces_the_call_of_the_old_model_last(path: Path) -> None:
    class Named(Chat):
        model: str

    def answers(*names: str) -> None:
        with record_all(path, "all"):
            for name in names:
                Named(model=name, reply=lambda _, name=name: AIMessage(name)).invoke("q")

    answers("a", "b")
    answers("c", "b")
    assert [line["model"] for line in lines(path)] == ["c", "b"]


def test_unused_lists_the_calls_that_pruning_removes(path: Path) -> None:
    for question in ("2026-05-01 a", "2026-05-01 b"):
        answer_to(path, question, "old", "new_episodes", without_dates)
    recording = Recording(path, "all", match=without_dates)
    with_recording(FakeListChatModel(responses=["new"]), recording).invoke("2026-05-02 a")
    assert [call.location for call in recording.unused()] == ["line 3"]
    assert recording.prune() == 1
    assert recording.unused() == []
    assert [line["request"]["messages"][0]["content"] for line in lines(path)] == ["2026-05-02 a"]


def test_a_line_that_the_match_function_does_not_know_stays(path: Path) -> None:
    models: list[BaseLanguageModel[Any]] = [FakeListLLM(responses=["text"]), FakeListChatModel(responses=["chat"])]
    with record_all(path, "all"):
        models[0].invoke("2026-05-01?")
    with record_all(path, "all", match=without_dates):
        models[1].invoke("2026-05-01?")
    assert sorted(line["kind"] for line in lines(path)) == ["chat", "llm"]


RESPONSES_API = {
    "content": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA1"},
        {"type": "text", "text": "4", "id": "msg_1", "annotations": []},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"id": 1}'},
    ],
    "response_metadata": {"id": "resp_1", "created_at": 1.5, "total_duration": 12, "headers": {"date": "Monday"}},
    "additional_kwargs": {"tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": '{"id": 1}'}}]},
}


def varied(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: varied(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [varied(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) and '"id"' not in value else value


def test_a_line_whose_answer_differs_in_ids_within_its_content_stays(path: Path) -> None:
    def answer(parts: dict[str, Any]) -> bytes:
        answer_to(path, "q", mode="all", model=Chat(reply=lambda _: AIMessage(**parts)))
        return path.read_bytes()

    before = answer(RESPONSES_API)
    again = {**varied(RESPONSES_API, "1", "2")}
    again["response_metadata"] = {"id": "resp_2", "created_at": 9.5, "total_duration": 99, "headers": {"date": "x"}}
    assert answer(again) == before
    again["content"][2]["arguments"] = '{"id": 2}'
    assert answer(again) != before
