"""The conversion of PromptLayer's templates to LangChain's: variables, and formatted messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

from plsync.errors import PromptError
from plsync.prompts import text_template
from plsync.prompts.to_langchain import to_langchain
from plsync.testing.schema import check


def response(prompt: dict[str, Any]) -> dict[str, Any]:
    return {"prompt_name": "example", "version": 3, "prompt_template": prompt}


def texts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


def media(**media: str) -> dict[str, Any]:
    return {"type": "media", "media": media}


def message(role: str, *content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chat of one message."""
    return {"type": "chat", "messages": [{"role": role, "content": list(content), **fields}]}


def completion(*content: str, form: str = "f-string") -> PromptTemplate:
    converted = to_langchain(response({"type": "completion", "content": texts(*content), "template_format": form}))
    assert isinstance(converted, PromptTemplate)
    return converted


def chat(*messages: dict[str, Any]) -> ChatPromptTemplate:
    converted = to_langchain(response({"type": "chat", "messages": list(messages)}))
    assert isinstance(converted, ChatPromptTemplate)
    return converted


def filled(message: dict[str, Any], **variables: Any) -> BaseMessage:
    (converted,) = chat(message).format_messages(**variables)
    return converted


def test_a_completion_is_a_prompt_template() -> None:
    template = completion("A name for {product}", ", please.")
    assert template.input_variables == ["product"]
    assert template.format(product="toasters") == "A name for toasters, please."
    assert template.metadata == {"promptlayer_prompt_name": "example", "promptlayer_version": 3}


def test_a_jinja2_template_is_formatted_by_jinja2() -> None:
    template = completion("{% for one in many %}<{{ one }}>{% endfor %} {literal}", form="jinja2")
    assert template.input_variables == ["many"]
    assert template.format(many=["a", "b"]) == "<a><b> {literal}"


def test_jinja2_runs_in_a_sandbox() -> None:
    template = completion("{{ ''.__class__.__mro__ }}", form="jinja2")
    with pytest.raises(Exception, match="unsafe"):
        template.format()


def test_doubled_braces_become_braces() -> None:
    assert completion('{{"name": "{name}"}}').format(name="Bo") == '{"name": "Bo"}'


@pytest.mark.parametrize("text", ['{"name": "Bo"}', "{", "{a.b}", "{a[0]}", "{0}", "{a:{b}}"])
def test_the_error_of_undoubled_braces_names_the_next_step(text: str) -> None:
    with pytest.raises(PromptError, match=r"version 3 of the prompt template 'example'.*double the braces"):
        completion(text)


def test_a_chat_is_a_chat_prompt_template_with_a_format_for_each_message() -> None:
    template = chat(
        {"role": "system", "content": texts("You sell {product}.")},
        {"role": "user", "content": texts("{{ question }} {braces}"), "template_format": "jinja2"},
        {"role": "assistant", "content": texts("Yes.")},
    )
    assert sorted(template.input_variables) == ["product", "question"]
    assert template.format_messages(product="tea", question="Is it good?") == [
        SystemMessage("You sell tea."),
        HumanMessage("Is it good? {braces}"),
        AIMessage("Yes."),
    ]


def test_a_converted_template_works_in_a_chain() -> None:
    template = chat({"role": "user", "content": texts("{a}")})
    assert template.invoke({"a": "hi"}).to_messages() == [HumanMessage("hi")]


def test_a_placeholder_becomes_a_list_of_messages() -> None:
    template = chat({"role": "placeholder", "name": "history"}, {"role": "user", "content": texts("And now?")})
    history = [HumanMessage("hi"), AIMessage("hello")]
    assert template.format_messages(history=history) == [*history, HumanMessage("And now?")]


def test_a_developer_message_has_the_mark_of_langchain_openai() -> None:
    converted = filled({"role": "developer", "content": texts("Be brief.")})
    assert converted == SystemMessage("Be brief.", additional_kwargs={"__openai_role__": "developer"})


def test_names_are_kept() -> None:
    named = {"content": texts("I am {who}."), "name": "bo"}
    assert filled({"role": "user", **named}, who="Bo") == HumanMessage("I am Bo.", name="bo")
    assert filled({"role": "system", **named}, who="Bo") == SystemMessage("I am Bo.", name="bo")
    assert filled({"role": "assistant", **named}, who="Bo") == AIMessage("I am Bo.", name="bo")


def test_tool_calls_and_tool_results_become_langchain_messages() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    calling = filled({"role": "assistant", "content": [], "tool_calls": [call]})
    assert isinstance(calling, AIMessage)
    assert calling.tool_calls == [{"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}}]
    result = filled({"role": "tool", "content": texts("It is {sum}."), "tool_call_id": "c1", "name": "add"}, sum=3)
    assert result == ToolMessage("It is 3.", tool_call_id="c1", name="add")
    older = filled({"role": "function", "content": texts("{sum}"), "name": "add"}, sum=3)
    assert older == FunctionMessage(content="3", name="add")
    called = filled({"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}})
    assert called.additional_kwargs == {"function_call": {"name": "add", "arguments": "{}"}}


def test_an_empty_message_is_an_empty_text() -> None:
    assert filled({"role": "user", "content": []}) == HumanMessage("")
    assert filled({"role": "user", "content": "a plain {kind}"}, kind="text") == HumanMessage("a plain text")


def test_images_files_and_thoughts_are_copied() -> None:
    converted = filled(
        {
            "role": "user",
            "content": [
                *texts("What is {this}?"),
                {"type": "image_url", "image_url": {"url": "https://example.com/{a}.png", "detail": "low"}},
                media(title="a.pdf", type="application/pdf", url="QQ==", format="base64"),
                media(title="media", type="audio/wav", url="data:audio/wav;base64,QQ=="),
                media(title="media", type="image/png", url="https://x/{}", format="url"),
                {"type": "thinking", "thinking": "{hm}", "signature": None},
            ],
        },
        this="it",
    )
    assert converted.content == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/{a}.png", "detail": "low"}},
        {"type": "file", "mime_type": "application/pdf", "base64": "QQ==", "filename": "a.pdf"},
        {"type": "audio", "mime_type": "audio/wav", "base64": "QQ=="},
        {"type": "image", "mime_type": "image/png", "url": "https://x/{}"},
        {"type": "thinking", "thinking": "{hm}"},
    ]


def test_a_jinja2_message_can_hold_an_image() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/{{a}}.png"}}
    converted = filled({"role": "user", "content": [*texts("{{ a }}"), image], "template_format": "jinja2"}, a="cat")
    assert converted.content == [
        {"type": "text", "text": "cat"},
        {"type": "image_url", "image_url": {"url": "https://example.com/{{a}}.png"}},
    ]


def test_an_image_that_is_a_variable_is_filled_in() -> None:
    image = {"type": "image_url", "image_url": {"url": ""}, "image_variable": "photo"}
    converted = filled({"role": "user", "content": [image]}, photo="data:image/png;base64,QQ==")
    assert converted.content == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (message("user", {"type": "media_variable", "name": "a"}), "media_variable"),
        (message("critic"), "the unknown role 'critic'"),
        (message("user", *texts("a"), template_format="mustache"), "mustache"),
        (message("user", *texts("{% if a %}"), template_format="jinja2"), "TemplateSyntaxError: Unexpected end"),
        (
            message("assistant", tool_calls=[{"id": "c1", "function": {"name": "f", "arguments": "[1]"}}]),
            r"not an object: \[1\]",
        ),
        (message("tool"), "tool_call_id"),
        (
            {"type": "completion", "content": [{"type": "image_url", "image_url": {"url": "a"}}]},
            "a completion has only text",
        ),
        ({"type": "chat"}, "messages"),
    ],
)
def test_the_error_of_an_unsupported_part_names_the_part(prompt: dict[str, Any], reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        to_langchain(response(prompt))


def test_promptlayer_accepts_the_templates_of_these_tests() -> None:
    developer = {"role": "developer", "content": texts("Be brief."), "name": "bo"}
    log = {"provider": "p", "model": "m", "request_start_time": 0.0, "request_end_time": 1.0}
    prompt = {"type": "chat", "messages": [developer, {"role": "placeholder", "name": "history"}]}
    check("LogRequest", {**log, "input": prompt, "output": prompt})


def test_a_template_is_shown_to_people() -> None:
    template = chat(
        {"role": "tool", "content": texts("It is {sum}."), "tool_call_id": "c1"},
        {"role": "user", "content": texts("{a}")},
    )
    assert "Tool Message" in template.pretty_repr()
    assert "It is {sum}." in template.pretty_repr()


@pytest.mark.parametrize(("version", "installs"), [("3.1.5", True), ("2.11", True), ("3.1.6", False), ("4.0", False)])
def test_a_jinja2_with_a_published_hole_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, installs: bool
) -> None:
    metadata = tmp_path / f"jinja2-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Jinja2\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    text_template._sandbox.cache_clear()
    try:
        if installs:
            with pytest.raises(ImportError, match=r"plsync\[jinja2\]"):
                text_template.TextTemplate.of("{{ a }}", "jinja2")
        else:
            assert text_template.TextTemplate.of("{{ a }}", "jinja2").format(a="b") == "b"
    finally:
        text_template._sandbox.cache_clear()
