"""Defaults of a model are part of every request, in a recording and in a journal."""

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


def openai_model(server: OpenAIServer, **fields: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="none", **fields)


@pytest.mark.parametrize("defaults", [{"stop": ["x"]}, {"model_kwargs": JSON}])
def test_a_model_with_other_defaults_is_not_served(defaults: dict[str, Any], path: Path, server: OpenAIServer) -> None:
    first = recorded(openai_model(server, **defaults), path).invoke("hi")
    assert replayed(openai_model(server, **defaults), path).invoke("hi") == first
    for other in ({}, {"stop": ["y"]}):
        with pytest.raises(NoRecording, match=r"stop|response_format"):
            replayed(openai_model(server, **other), path).invoke("hi")


def test_a_default_equals_an_argument_of_the_call(path: Path, server: OpenAIServer) -> None:
    first = recorded(openai_model(server, stop=["x"], model_kwargs=JSON), path).invoke("hi")
    assert lines(path)[0]["request"]["stop"] == ["x"]
    assert replayed(openai_model(server), path).bind(stop=["x"], **JSON).invoke("hi") == first
    assert load(path).bind(stop=["x"], **JSON).invoke("hi") == first
    assert load(path, ChatOpenAI, stop=["x"], model_kwargs=JSON).invoke("hi") == first


def test_an_argument_of_the_call_overrides_a_default(path: Path, server: OpenAIServer) -> None:
    recorded(openai_model(server, stop=["x"]), path).invoke("hi", stop=["y"])
    assert lines(path)[0]["request"]["stop"] == ["y"]


@pytest.mark.parametrize("defaults", [{"stop": ["x"]}, {"model_kwargs": JSON}])
def test_defaults_match_in_a_journal(defaults: dict[str, Any], tmp_path: Path, server: OpenAIServer) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    first = openai_model(server, **defaults).invoke("hi", {"callbacks": [handler]})
    assert with_recording(poisoned(openai_model(server, **defaults)), tmp_path / "journal").invoke("hi") == first


def test_a_server_among_the_tools_matches_in_a_journal(tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    tool = {**SERVER, "headers": {"Authorization": "Bearer one"}}

    class Reporting(Chat):
        """Passes tools to callbacks like ChatOpenAI."""

        def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
            return {"tools": [{**one, "headers": "**REDACTED**"} for one in kwargs.get("tools", [])]}

    first = Reporting().invoke("hi", {"callbacks": [handler]}, tools=[tool])
    again = with_recording(poisoned(Reporting()), tmp_path / "journal")
    assert again.invoke("hi", tools=[{**SERVER, "headers": {"Authorization": "Bearer two"}}]) == first


def test_a_change_of_the_model_affects_the_next_call(path: Path, server: OpenAIServer) -> None:
    model = recorded(openai_model(server, stop=["x"]), path)
    model.invoke("hi")
    model.stop = ["y"]
    model.invoke("hi")
    assert [line["request"]["stop"] for line in lines(path)] == [["x"], ["y"]]
