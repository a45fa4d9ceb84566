"""What a model was made to ask in every call counts as asked: in a recording, and in a journal, which tells no
difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from plsync import PromptLayerCallbackHandler
from plsync.errors import NoRecording
from plsync.replay import load, with_recording
from tests.support.models import Chat
from tests.support.openai_server import OpenAIServer
from tests.support.replaying import lines, poisoned, recorded, replayed

JSON = {"response_format": {"type": "json_object"}}
SERVER = {"type": "mcp", "server_label": "x", "server_url": "https://tools.example/mcp", "require_approval": "never"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


def made(server: OpenAIServer, **fields: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="none", **fields)


@pytest.mark.parametrize("own", [{"stop": ["x"]}, {"model_kwargs": JSON}])
def test_a_model_made_otherwise_is_not_served_what_another_was_told(
    own: dict[str, Any], path: Path, server: OpenAIServer
) -> None:
    first = recorded(made(server, **own), path).invoke("hi")
    assert replayed(made(server, **own), path).invoke("hi") == first
    for other in ({}, {"stop": ["y"]}):
        with pytest.raises(NoRecording, match=r"stop|response_format"):
            replayed(made(server, **other), path).invoke("hi")


def test_it_is_the_same_whether_the_model_or_the_call_says_it(path: Path, server: OpenAIServer) -> None:
    first = recorded(made(server, stop=["x"], model_kwargs=JSON), path).invoke("hi")
    assert lines(path)[0]["request"]["stop"] == ["x"]
    assert replayed(made(server), path).bind(stop=["x"], **JSON).invoke("hi") == first
    assert load(path).bind(stop=["x"], **JSON).invoke("hi") == first
    assert load(path, ChatOpenAI, stop=["x"], model_kwargs=JSON).invoke("hi") == first


def test_what_the_call_says_comes_first(path: Path, server: OpenAIServer) -> None:
    recorded(made(server, stop=["x"]), path).invoke("hi", stop=["y"])
    assert lines(path)[0]["request"]["stop"] == ["y"]


@pytest.mark.parametrize("own", [{"stop": ["x"]}, {"model_kwargs": JSON}])
def test_a_journal_is_asked_as_it_was_told(own: dict[str, Any], tmp_path: Path, server: OpenAIServer) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    first = made(server, **own).invoke("hi", {"callbacks": [handler]})
    assert with_recording(poisoned(made(server, **own)), tmp_path / "journal").invoke("hi") == first


def test_a_server_offered_as_a_tool_is_found_in_a_journal_too(tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    tool = {**SERVER, "headers": {"Authorization": "Bearer one"}}

    class Told(Chat):
        """Tells callbacks what ChatOpenAI tells them."""

        def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
            return {"tools": [{**one, "headers": "**REDACTED**"} for one in kwargs.get("tools", [])]}

    first = Told().invoke("hi", {"callbacks": [handler]}, tools=[tool])
    again = with_recording(poisoned(Told()), tmp_path / "journal")
    assert again.invoke("hi", tools=[{**SERVER, "headers": {"Authorization": "Bearer two"}}]) == first


def test_a_change_of_the_model_is_seen_at_the_next_call(path: Path, server: OpenAIServer) -> None:
    model = recorded(made(server, stop=["x"]), path)
    model.invoke("hi")
    model.stop = ["y"]
    model.invoke("hi")
    assert [line["request"]["stop"] for line in lines(path)] == [["x"], ["y"]]
