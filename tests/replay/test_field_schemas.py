"""Structured output from the field to a test: a journal serves every way in which a program requests it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.utils.function_calling import convert_to_openai_function, convert_to_openai_tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import NoRecording
from plsync.replay import export, load, with_recording
from plsync.replay.request.request import request_of_call, request_of_record
from tests.support.models import Chat
from tests.support.openai_server import OpenAIServer
from tests.support.replaying import poisoned
from tests.support.spooling import SpoolWriter


class City(BaseModel):
    """A city."""

    name: str = Field(description="The name")
    twin: str | None = None


class CityDict(TypedDict):
    """A city."""

    name: Annotated[str, ..., "The name"]


SCHEMA = {
    "title": "City",
    "description": "A city.",
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
}
FORMS: dict[str, Any] = {"class": City, "typed dict": CityDict, "schema": SCHEMA}
Way = Callable[[Any], Any]


def structured(form: Any, method: str, **settings: Any) -> Way:
    return lambda model: model.with_structured_output(form, method=method, **settings).invoke(
        "JSON: say 'Paris' 'name'"
    )


def by_agent(form: Any) -> Way:
    request = {"messages": [("user", "Say 'Paris'")]}
    return lambda model: create_agent(model, [], response_format=form).invoke(request)["structured_response"]


WAYS: dict[str, Way] = {
    **{
        f"{method} of a {name}": structured(form, method)
        for method in ("json_schema", "function_calling", "json_mode")
        for name, form in FORMS.items()
    },
    "strict": structured(City, "json_schema", strict=True),
    "agent of a class": by_agent(City),
    "agent of a typed dict": by_agent(CityDict),
    "agent of a schema": by_agent(SCHEMA),
    "agent by tool": by_agent(ToolStrategy(City)),
    "agent by provider": by_agent(ProviderStrategy(City)),
}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


def test_every_way_of_structured_output_is_replayed_from_the_field(server: OpenAIServer, tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    live = ChatOpenAI(model="m", base_url=server.url, api_key="none", callbacks=[handler])
    path = tmp_path / "field.jsonl"
    first = {name: way(live) for name, way in WAYS.items()}
    offline = poisoned(ChatOpenAI(model="m", api_key="none"))
    with Journal.open(tmp_path / "journal") as journal:
        assert export(journal.records(oldest_first=True), path).calls == len(WAYS)
        for source in (journal, path):
            model = with_recording(offline, source)
            assert {name: way(model) for name, way in WAYS.items()} == first
    model = load(path)
    assert {name: way(model) for name, way in WAYS.items() if "json_mode" not in name}
    assert isinstance(first["agent of a class"], City)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    """A part."""

    colour: Colour = Colour.RED
    size: Literal["s", "l"] | None = None


class Whole(BaseModel):
    """A whole.

    It has parts.
    """

    parts: list[Part] = Field(default_factory=list, description="All parts")
    first: Part
    by_name: dict[str, Part] = {}


class Bare(BaseModel):
    value: int = Field(gt=0, examples=[1])


@dataclasses.dataclass
class Point:
    x: int
    label: str = ""


@dataclasses.dataclass
class Described:
    """A described class."""

    x: int
    at: Point | None = None


@pytest.mark.parametrize("cls", [City, Whole, Bare, CityDict, Point, Described])
@pytest.mark.parametrize("option", ["response_format", "tools"])
def test_a_recorded_class_is_the_class_of_a_live_call(cls: Any, option: str, tmp_path: Path) -> None:
    value = [cls] if option == "tools" else cls
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    Chat(callbacks=[handler]).bind(**{option: value}).invoke("hi")
    with Journal.open(tmp_path / "journal") as journal:
        (record,) = journal.records()
        recorded = request_of_record(record.events()[0])
    assert recorded is not None
    assert recorded.body[option] == request_of_call("chat", [], options={option: value}).body[option]


@pytest.mark.parametrize(
    "form", [list[City], TypeAdapter(City), TypeAdapter(list[Whole]), Colour, Literal["a"], City | None], ids=str
)
def test_a_recorded_type_is_the_type_of_a_live_call(form: Any, tmp_path: Path) -> None:
    model = Chat(callbacks=[PromptLayerCallbackHandler(journal=tmp_path / "journal")])
    answer = model.invoke("hi", response_format=form)
    for source in (tmp_path / "journal", tmp_path / "calls.jsonl"):
        if source.suffix:
            with_recording(Chat(), source, "once").invoke("hi", response_format=form)
        replayed = with_recording(poisoned(Chat()), source)
        assert replayed.invoke("hi", response_format=form).content == answer.content
        with pytest.raises(NoRecording):
            replayed.invoke("hi", response_format=list[Bare])


@pytest.mark.parametrize(
    "traced", [convert_to_openai_tool(Whole), convert_to_openai_function(Whole)], ids=["tool", "function"]
)
def test_an_older_record_of_a_class_is_replayed(traced: dict[str, Any], tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "journal")
    named = {"$": "repr", "c": "pydantic:ModelMetaclass", "v": "<class 'app.Whole'>"}
    options = {"ls_structured_output_format": {"kwargs": {"method": "json_schema", "strict": None}, "schema": traced}}
    params = {"model": "m", "response_format": named}
    writer.call("hi", "whole", at=1_760_000_000_000, params=params, options=options)
    writer.close()
    model = with_recording(poisoned(Chat()), tmp_path / "journal")
    assert model.invoke("hi", response_format=Whole).content == "whole"
