"""Calls of a journal whose settings hold a class are replayed with the same class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from plsync import PromptLayerCallbackHandler
from plsync._common.native import encode
from plsync.replay import with_recording
from plsync.replay.request.request import request_of_record
from tests.support.openai_server import OpenAIServer


class City(BaseModel):
    """A city."""

    name: str


WAYS: dict[str, Callable[[Any, Any], object]] = {
    "structured": lambda model, config: model.with_structured_output(City).invoke("'Ann'", config),
    "function": lambda model, config: model.with_structured_output(City, method="function_calling").invoke(
        "'A'", config
    ),
    "bound": lambda model, config: model.bind(response_format=City).invoke("'Ann'", config).content,
    "called": lambda model, config: model.invoke("'Ann'", config, response_format=City).content,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_class_in_the_settings_matches_its_record(path: Path, way: str) -> None:
    with OpenAIServer() as server:
        model = ChatOpenAI(model="gpt-4o", api_key="x", base_url=server.url, max_retries=0)
        answer = WAYS[way](model, {"callbacks": [PromptLayerCallbackHandler(journal=path)]})
        sent = len(server.requests)
        assert WAYS[way](with_recording(model, path), {}) == answer
        assert len(server.requests) == sent


def test_a_record_of_an_earlier_version_matches_by_langchains_note() -> None:
    start: dict[str, Any] = {
        "kind": "chat",
        "messages": [{"$": "HumanMessage", "v": {"type": "human", "content": "hi"}}],
        "params": orjson.loads(encode({"model": "m", "response_format": City})[0]),
        "options": {"ls_structured_output_format": {"kwargs": {}, "schema": City.model_json_schema()}},
    }
    earlier = {"$": "repr", "c": "pydantic:ModelMetaclass", "v": "<class 'app.City'>"}
    new, old = (
        request_of_record({**start, "params": {**start["params"], "response_format": form}})
        for form in (start["params"]["response_format"], earlier)
    )
    assert new is not None
    assert old is not None
    assert new.body == old.body
    assert new.body["response_format"]["name"] == "City"


def test_a_recorded_request_has_the_model_that_the_call_overrode() -> None:
    start = {"kind": "chat", "messages": [{"$": "HumanMessage", "v": {"content": "hi"}}], "params": {"model": "small"}}
    request = request_of_record({**start, "metadata": {"ls_model_name": "big"}})
    assert request is not None
    assert request.model == "small"
