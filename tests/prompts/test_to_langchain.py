"""PromptLayer's templates as LangChain's: what they are filled in with, and what they then say."""

from __future__ import annotations

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
from plsync.prompts.to_langchain import to_langchain
from plsync.testing.schema import check


def answer(prompt: dict[str, Any]) -> dict[str, Any]:
    return {"prompt_name": "example", "version": 3, "prompt_template": prompt}


def texts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


def media(**media: str) -> dict[str, Any]:
    return {"type": "media", "media": media}


def message(role: str, *content: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A chat of one message."""
    return {"type": "chat", "messages": [{"role": role, "content": list(content), **more}]}


def completion(*content: str, form: str = "f-string") -> PromptTemplate:
    made = to_langchain(answer({"type": "completion", "content": texts(*content), "template_format": form}))
    assert isinstance(made, PromptTemplate)
    return made


def chat(*messages: dict[str, Any]) -> ChatPromptTemplate:
    made = to_langchain(answer({"type": "chat", "messages": list(messages)}))
    assert isinstance(made, ChatPromptTemplate)
    return made


def filled(message: dict[str, Any], **variables: Any) -> BaseMessage:
    (made,) = chat(message).format_messages(**variables)
    return made


def test_a_completion_is_a_prompt_template() -> None:
    template = completion("A name for {product}", ", please.")
    assert template.input_variables == ["product"]
    assert template.format(product="toasters") == "A name for toasters, please."
    assert template.metadata == {"promptlayer_prompt_name": "example", "promptlayer_version": 3}


def test_jinja2_is_filled_in_as_such() -> None:
    template = completion("{% for one in many %}<{{ one }}>{% endfor %} {literal}", form="jinja2")
    assert template.input_variables == ["many"]
    assert template.format(many=["a", "b"]) == "<a><b> {literal}"


def test_jinja2_runs_in_a_sandbox() -> None:
    template = completion("{{ ''.__class__.__mro__ }}", form="jinja2")
    with pytest.raises(Exception, match="unsafe"):
        template.format()


def test_doubled_braces_are_braces() -> None:
    assert completion('{{"name": "{name}"}}').format(name="Bo") == '{"name": "Bo"}'


@pytest.mark.parametrize("text", ['{"name": "Bo"}', "{", "{a.b}", "{a[0]}", "{0}", "{a:{b}}"])
def test_braces_that_are_no_variable_are_an_error_that_says_what_to_do(text: str) -> None:
    with pytest.raises(PromptError, match=r"version 3 of the prompt template 'example'.*have to be doubled"):
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


def test_a_template_takes_part_in_a_chain() -> None:
    template = chat({"role": "user", "content": texts("{a}")})
    assert template.invoke({"a": "hi"}).to_messages() == [HumanMessage("hi")]


def test_a_placeholder_takes_messages() -> None:
    template = chat({"role": "placeholder", "name": "history"}, {"role": "user", "content": texts("And now?")})
    history = [HumanMessage("hi"), AIMessage("hello")]
    assert template.format_messages(history=history) == [*history, HumanMessage("And now?")]


def test_a_developers_message_is_marked_as_langchain_openai_marks_it() -> None:
    made = filled({"role": "developer", "content": texts("Be brief.")})
    assert made == SystemMessage("Be brief.", additional_kwargs={"__openai_role__": "developer"})


def test_names_are_kept() -> None:
    named = {"content": texts("I am {who}."), "name": "bo"}
    assert filled({"role": "user", **named}, who="Bo") == HumanMessage("I am Bo.", name="bo")
    assert filled({"role": "system", **named}, who="Bo") == SystemMessage("I am Bo.", name="bo")
    assert filled({"role": "assistant", **named}, who="Bo") == AIMessage("I am Bo.", name="bo")


def test_tool_calls_and_their_answers_are_messages_of_their_own_kind() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    asked = filled({"role": "assistant", "content": [], "tool_calls": [call]})
    assert isinstance(asked, AIMessage)
    assert asked.tool_calls == [{"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}}]
    answered = filled({"role": "tool", "content": texts("It is {sum}."), "tool_call_id": "c1", "name": "add"}, sum=3)
    assert answered == ToolMessage("It is 3.", tool_call_id="c1", name="add")
    older = filled({"role": "function", "content": texts("{sum}"), "name": "add"}, sum=3)
    assert older == FunctionMessage(content="3", name="add")
    called = filled({"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}})
    assert called.additional_kwargs == {"function_call": {"name": "add", "arguments": "{}"}}


def test_an_empty_message_is_an_empty_text() -> None:
    assert filled({"role": "user", "content": []}) == HumanMessage("")
    assert filled({"role": "user", "content": "a plain {kind}"}, kind="text") == HumanMessage("a plain text")


def test_images_files_and_thoughts_stay_what_they_are() -> None:
    made = filled(
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
    assert made.content == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/{a}.png", "detail": "low"}},
        {"type": "file", "mime_type": "application/pdf", "base64": "QQ==", "filename": "a.pdf"},
        {"type": "audio", "mime_type": "audio/wav", "base64": "QQ=="},
        {"type": "image", "mime_type": "image/png", "url": "https://x/{}"},
        {"type": "thinking", "thinking": "{hm}"},
    ]


def test_a_jinja2_message_may_hold_an_image_too() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/{{a}}.png"}}
    made = filled({"role": "user", "content": [*texts("{{ a }}"), image], "template_format": "jinja2"}, a="cat")
    assert made.content == [
        {"type": "text", "text": "cat"},
        {"type": "image_url", "image_url": {"url": "https://example.com/{{a}}.png"}},
    ]


def test_an_image_that_is_a_variable_is_filled_in() -> None:
    image = {"type": "image_url", "image_url": {"url": ""}, "image_variable": "photo"}
    made = filled({"role": "user", "content": [image]}, photo="data:image/png;base64,QQ==")
    assert made.content == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (message("user", {"type": "media_variable", "name": "a"}), "media_variable"),
        (message("critic"), "the role 'critic'"),
        (message("user", *texts("a"), template_format="mustache"), "mustache"),
        (message("user", *texts("{% if a %}"), template_format="jinja2"), "TemplateSyntaxError: Unexpected end"),
        (
            message("assistant", tool_calls=[{"id": "c1", "function": {"name": "f", "arguments": "[1]"}}]),
            r"no object: \[1\]",
        ),
        (message("tool"), "tool_call_id"),
        ({"type": "completion", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}, "a completion is text"),
        ({"type": "chat"}, "messages"),
    ],
)
def test_what_langchain_has_no_place_for_is_an_error_that_names_it(prompt: dict[str, Any], reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        to_langchain(answer(prompt))


def test_the_templates_of_these_tests_are_ones_that_promptlayer_takes() -> None:
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
