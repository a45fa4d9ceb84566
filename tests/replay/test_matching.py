"""Requests that match: values that vary from run to run do not count, all other values count."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models._utils import _normalize_messages
from langchain_core.language_models.chat_models import _format_for_tracing
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.utils.function_calling import convert_to_openai_tool, tool_example_to_messages
from pydantic import BaseModel, Field

from plsync.errors import NoRecording
from plsync.replay import Recording, with_recording
from plsync.replay.matching import Matcher
from plsync.replay.request.request import request_of_call
from tests.support.models import Chat
from tests.support.replaying import recorded, replayed


def key(messages: list[BaseMessage] | str = "hi", match: Any = None, **call: Any) -> str:
    if isinstance(messages, str):
        messages = [HumanMessage(messages)]
    stop = call.pop("stop", None)
    model = call.pop("model_name", None)
    return Matcher(match).key(request_of_call("chat", messages, stop=stop, options=call, model=model))


def conversation(call_id: str, message_id: str | None = None) -> list[BaseMessage]:
    call = {"name": "weather", "args": {"city": "Paris"}, "id": call_id}
    return [
        HumanMessage("The weather?", id=message_id),
        AIMessage("", tool_calls=[call], id=message_id, response_metadata={"id": call_id}),
        ToolMessage("sunny", tool_call_id=call_id),
    ]


class City(BaseModel):
    """A city."""

    name: str = Field(description="Its name.")


class Town(BaseModel):
    """A town."""

    name: str = Field(description="Its name.")


# --- parts that do not count ---


def test_ids_of_messages_and_tool_calls_do_not_count() -> None:
    assert key(conversation("call_a", "id-1")) == key(conversation(str(uuid4()), None))


def test_the_tool_call_of_a_result_counts() -> None:
    def results(*order: str) -> list[BaseMessage]:
        calls = [{"name": "f", "args": {}, "id": one} for one in "ab"]
        return [AIMessage("", tool_calls=calls), *(ToolMessage(one, tool_call_id=one) for one in order)]

    assert key(results("a", "b")) != key(results("b", "a"))


@pytest.mark.filterwarnings("ignore:.*is in beta")
def test_generated_ids_of_examples_do_not_count() -> None:
    one, other = (key(tool_example_to_messages("Paris", [City(name="Paris")], ["ok"])) for _ in range(2))
    assert one == other


def test_a_chunk_equals_its_message() -> None:
    chunk = AIMessageChunk(content="", tool_call_chunks=[{"name": "f", "args": "{}", "id": "x", "index": 0}])
    whole = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "y"}])
    assert key([chunk]) == key([whole])


def test_blocks_that_repeat_tool_calls_do_not_count() -> None:
    calls = [{"name": "f", "args": {"a": 1}, "id": "x"}]
    message = AIMessage([{"type": "tool_use", "id": "x", "name": "f", "input": {"a": 1}}], tool_calls=calls)
    assert key([message]) == key([AIMessage("", tool_calls=calls)])


def test_a_single_text_block_equals_its_text() -> None:
    block = {"type": "text", "text": "hi", "id": "lc_1", "index": 0}
    assert key([HumanMessage([block])]) == key([HumanMessage("hi")]) == key([HumanMessage(["hi"])])


@pytest.mark.parametrize("kind", [["string", "null"], {"const": "row"}, 7])
def test_a_block_whose_type_is_not_a_text_is_compared_unchanged(kind: Any) -> None:
    # A tool that returns rows of JSON may return such a block.
    message = ToolMessage([{"type": kind, "value": 1}], tool_call_id="c1")
    assert key([message]) != key([ToolMessage([{"type": kind, "value": 2}], tool_call_id="c1")])
    assert key([message]) == key([message.model_copy(update={"id": "m1"})])


def test_addresses_of_objects_do_not_count() -> None:
    assert key("a <thing at 0x7f00deadbeef>") == key("a <thing at 0x7f0012345678>")
    assert key("the word 0x7f00deadbeef") != key("the word 0x7f0012345678")


def test_signatures_of_links_do_not_count() -> None:
    def picture(query: str) -> list[BaseMessage]:
        return [HumanMessage([{"type": "image_url", "image_url": {"url": f"https://x.example/a.png?size=2&{query}"}}])]

    assert key(picture("X-Amz-Signature=1&X-Amz-Date=2")) == key(picture("X-Amz-Signature=3&X-Amz-Date=4"))
    assert key(picture("page=1")) != key(picture("page=2"))


@pytest.mark.parametrize("kind", ["image", "audio", "file"])
def test_all_forms_of_a_medium_are_equal(kind: str) -> None:
    mime = {"image": "image/png", "audio": "audio/wav", "file": "application/pdf"}[kind]
    forms: list[dict[str, Any]] = [
        {"type": kind, "base64": "AAECAw==", "mime_type": mime},
        {"type": kind, "source_type": "base64", "data": "AAECAw==", "mime_type": mime},
        {
            "image": {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAECAw=="}},
            "audio": {"type": "input_audio", "input_audio": {"data": "AAECAw==", "format": "wav"}},
            "file": {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAECAw=="}},
        }[kind],
    ]
    if kind == "image":
        forms.append({"type": "image", "source": {"type": "base64", "media_type": mime, "data": "AAECAw=="}})
    keys = {
        key(form([HumanMessage([block])]))
        for block in forms
        for form in (
            list,
            _normalize_messages,
            _format_for_tracing,
            lambda m: _format_for_tracing(_normalize_messages(m)),
        )
    }
    assert len(keys) == 1
    assert key([HumanMessage([{**forms[0], "base64": "AAAA"}])]) not in keys


BASE64 = st.binary(min_size=1, max_size=20).map(lambda data: base64.b64encode(data).decode())
MIME = st.sampled_from(["image/png", "audio/wav", "application/pdf", "text/plain"])


@st.composite
def medium(draw: st.DrawFn) -> dict[str, Any]:
    """A picture, sound or file in one of the forms programs use."""
    kind, data, mime = draw(st.sampled_from(["image", "audio", "file"])), draw(BASE64), draw(MIME)
    url = draw(st.sampled_from(["https://example.org/a", f"data:{mime};base64,{data}"]))
    extras: list[dict[str, Any]] = [{}, {"id": "lc_1"}, {"extras": {"detail": "low"}}, {"filename": "a.pdf"}]
    extra = draw(st.sampled_from(extras))
    form = draw(st.integers(0, 5))
    forms: list[dict[str, Any]] = [
        {"type": kind, "base64": data, "mime_type": mime, **extra},
        {"type": kind, "source_type": "base64", "data": data, "mime_type": mime},
        {"type": kind, "url": "https://example.org/a", **extra},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:{mime};base64,{data}"}},
    ]
    return forms[form]


TEXT_BLOCK = st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=5)) | st.text(max_size=5)


@given(st.lists(medium() | TEXT_BLOCK, min_size=1, max_size=4))
def test_the_forms_of_handler_and_model_have_the_same_key(content: list[Any]) -> None:
    """A journal has the form of the handler, and a live call has the form of the model."""
    messages: list[BaseMessage] = [HumanMessage(content)]
    assert key(_format_for_tracing(messages)) == key(_normalize_messages(messages)) == key(messages)


def test_all_forms_of_a_tool_are_equal() -> None:
    def weather(city: str) -> str:
        """The weather."""
        return city

    openai = convert_to_openai_tool(weather)
    function = openai["function"]
    anthropic = {"name": "weather", "description": "The weather.", "input_schema": function["parameters"]}
    bedrock = {"toolSpec": {**function, "inputSchema": {"json": function["parameters"]}}}
    strict = {"type": "function", "function": {**function, "strict": True}}
    keys = {
        key(tools=[tool]) for tool in (openai, function, anthropic, strict, weather, {"type": "function", **function})
    }
    assert len(keys) == 1
    assert key(tools=[{"toolSpec": {k: v for k, v in bedrock["toolSpec"].items() if k != "parameters"}}]) in keys


@pytest.mark.parametrize(
    "same",
    [
        ["any", "required", True, {"type": "any"}, {"type": "required"}],
        ["auto", None, False, {"type": "auto"}],
        ["weather", {"type": "function", "function": {"name": "weather"}}, {"type": "tool", "name": "weather"}],
    ],
)
def test_all_forms_of_a_tool_choice_are_equal(same: list[Any]) -> None:
    assert len({key(tool_choice=choice) for choice in same}) == 1


def test_all_forms_of_a_response_format_are_equal() -> None:
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}}
    openai = {"type": "json_schema", "json_schema": {"name": "City", "schema": schema, "strict": True}}
    assert key(response_format=openai) == key(format=schema) == key(response_schema=schema)
    described = {**openai, "json_schema": {**openai["json_schema"], "description": "A city."}}  # type: ignore[dict-item]
    assert key(response_format=described) == key(format={**schema, "description": "A city."}) != key(format=schema)
    assert key(response_format={"type": "json_object"}) == key(format="json")
    assert key(response_format={"type": "text"}) == key()


def test_sampling_and_the_model_do_not_count_by_default() -> None:
    assert key(temperature=0.1, model_name="a") == key(temperature=0.9, model_name="b", seed=1) == key()


# --- parts that count ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([HumanMessage("a")], [HumanMessage("b")]),
        ([HumanMessage("a")], [SystemMessage("a")]),
        ([HumanMessage("a")], [HumanMessage("a", name="ann")]),
        ([HumanMessage("a")], [HumanMessage("a"), HumanMessage("a")]),
        ([ChatMessage(content="a", role="x")], [ChatMessage(content="a", role="y")]),
        ([ToolMessage("a", tool_call_id="1")], [ToolMessage("a", tool_call_id="1", status="error")]),
        (
            [AIMessage("", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "1"}])],
            [AIMessage("", tool_calls=[{"name": "f", "args": {"x": 2}, "id": "1"}])],
        ),
    ],
)
def test_messages_count(one: list[BaseMessage], other: list[BaseMessage]) -> None:
    assert key(one) != key(other)


def test_tools_and_formats_count() -> None:
    city, town = convert_to_openai_tool(City), convert_to_openai_tool(Town)
    keys = [
        key(),
        key(stop=["x"]),
        key(stop=["y"]),
        key(tools=[city]),
        key(tools=[town]),
        key(tools=[city, town]),
        key(tools=[city, town], tool_choice="any"),
        key(tools=[city, town], tool_choice="City"),
        key(tools=[city, town], tool_choice="Town"),
        key(tools=[city, town], tool_choice="none"),
        key(response_format=City),
        key(response_format=Town),
        key(response_format={"type": "json_object"}),
    ]
    assert len(set(keys)) == len(keys)


def test_a_property_called_title_counts() -> None:
    def tool(**properties: Any) -> dict[str, Any]:
        return {"name": "f", "parameters": {"type": "object", "properties": properties}}

    assert key(tools=[tool(title={"type": "string"})]) != key(tools=[tool()])
    assert key(tools=[tool(a={"title": "A", "type": "string"})]) == key(tools=[tool(a={"type": "string"})])


# --- match= ---


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def test_match_can_be_stricter(path: Path) -> None:
    strict = ("messages", "model", "settings")
    recorded(Chat(), path).invoke("hi", temperature=0)
    assert replayed(Chat(), path, match=strict).invoke("hi", temperature=0).content == "yes"
    with pytest.raises(
        NoRecording, match=r"recorded settings \{'temperature': 0\}, requested settings \{'temperature': 1\}"
    ):
        replayed(Chat(), path, match=strict).invoke("hi", temperature=1)


def test_match_can_be_looser(path: Path) -> None:
    recorded(Chat(), path).invoke("hi", stop=["x"])
    assert replayed(Chat(), path, match="messages").invoke("hi").content == "yes"


def test_match_can_be_a_function(path: Path) -> None:
    def last_word(request: dict[str, Any]) -> str:
        return str(request["messages"][-1]["content"]).split()[-1]

    recorded(Chat(reply=lambda m: AIMessage(m[-1].content)), path).batch(["at 12:01 Paris", "at 12:02 Rome"])
    replay = replayed(Chat(), path, match=last_word)
    assert [replay.invoke(question).content for question in ("now Rome", "now Paris")] == [
        "at 12:02 Rome",
        "at 12:01 Paris",
    ]


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="no part of a request is called mesages"):
        Matcher(["mesages"])


class Named(Chat):
    model_name: str = "small"


def test_among_matching_calls_one_with_the_same_model_and_settings_is_served(path: Path) -> None:
    recording = Recording(path, mode="new_episodes")
    for name in ("small", "large"):
        for temperature in (0, 1):
            model = Named(model_name=name, reply=lambda _, text=f"{name} {temperature}": AIMessage(text))
            with_recording(model, recording).invoke("hi", temperature=temperature)
    large = replayed(Named(model_name="large"), path)
    assert large.invoke("hi", temperature=1).content == "large 1"
    assert large.invoke("hi", temperature=0).content == "large 0"
    assert large.invoke("hi", temperature=0, model="small").content == "small 0"


def test_an_old_key_in_an_edited_line_is_not_used(path: Path) -> None:
    recorded(Chat(), path).invoke("The capital of France?")
    path.write_text(path.read_text().replace("France", "Spain"))
    with pytest.raises(NoRecording):
        replayed(Chat(), path).invoke("The capital of France?")
    assert replayed(Chat(), path).invoke("The capital of Spain?").content == "yes"


MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize("others", [[], [{"type": "text", "text": "Second."}]], ids=["alone", "with another"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_a_mark_for_the_providers_cache_is_not_compared(path: Path, others: list[Any], is_marked: bool) -> None:
    block = {"type": "text", "text": "First."}
    first, second = ([{**block, **mark}, *others] for mark in ((MARK, {}) if is_marked else ({}, MARK)))
    recorded(Chat(), path).invoke([HumanMessage(first)])
    assert replayed(Chat(), path).invoke([HumanMessage(second)]).content == "yes"


def test_a_recorded_mark_for_the_providers_cache_is_not_compared(path: Path) -> None:
    recorded(Chat(), path).invoke([HumanMessage("First.")])
    earlier = '"content":[{"type":"text","text":"First.","cache_control":{"type":"ephemeral"}}]'
    content = re.sub('"key":"[0-9a-f]{16}"', '"key":"0123456789abcdef"', path.read_text())
    path.write_text(content.replace('"content":"First."', earlier))
    assert "cache_control" in path.read_text()
    assert replayed(Chat(), path).invoke([HumanMessage([{"type": "text", "text": "First.", **MARK}])]).content == "yes"
