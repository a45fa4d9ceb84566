"""Messages in parts: the content blocks of each provider, tool calls, and their answers."""

from __future__ import annotations

from typing import Any

import pytest

from plsync.journal.display.conversation import message_of
from plsync.journal.display.media import media_in

PNG = "iVBORw0KGgo="


def parts(content: Any, **fields: Any) -> list[tuple[str, str]]:
    message = message_of({"type": "ai", "content": content, **fields})
    return [(part.kind, part.text or (part.media.mime or "" if part.media else "")) for part in message.parts]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("plain", ("text", "plain")),
        ({"type": "text", "text": "a"}, ("text", "a")),
        ({"type": "output_text", "text": "a", "annotations": []}, ("text", "a")),
        ({"type": "refusal", "refusal": "no"}, ("refusal", "no")),
        ({"type": "thinking", "thinking": "t", "signature": "s"}, ("thinking", "t")),
        ({"type": "reasoning", "reasoning": "t"}, ("thinking", "t")),
        ({"type": "reasoning", "summary": [{"text": "a"}, {"text": "b"}]}, ("thinking", "a\n\nb")),
        ({"type": "non_standard", "value": {"type": "thinking", "thinking": "t"}}, ("thinking", "t")),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}, ("media", "image/png")),
        ({"type": "image_url", "image_url": "https://a/b.png"}, ("link", "https://a/b.png")),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}},
            ("media", "image/jpeg"),
        ),
        ({"type": "image", "source_type": "base64", "mime_type": "image/png", "data": PNG}, ("media", "image/png")),
        ({"type": "image", "base64": PNG, "mime_type": "image/png"}, ("media", "image/png")),
        ({"image": {"format": "png", "source": {"bytes": PNG}}}, ("media", "block/png")),
        ({"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}}, ("media", "audio/wav")),
        ({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PNG}"}}, ("media", "application/pdf")),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "doc"}}, ("text", "doc")),
        ({"type": "file", "source_type": "text", "text": "doc"}, ("text", "doc")),
        ({"type": "file", "file_id": "file-1"}, ("json", "")),
        ({"type": "web_search_result", "url": "https://a", "title": "A"}, ("json", "")),
        ({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}, ("json", "")),
        (7, ("json", "")),
    ],
)
def test_a_block_becomes_a_part(block: Any, expected: tuple[str, str]) -> None:
    assert parts([block]) == [expected]


def test_a_tool_call_stands_in_the_list_of_calls_alone() -> None:
    block = {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}
    call = {"name": "add", "args": {"a": 1}, "id": "c1"}
    message = message_of({"type": "ai", "content": [block], "tool_calls": [call]})
    assert message.parts == []
    assert [(one.name, one.args, one.id, one.error) for one in message.tool_calls] == [("add", {"a": 1}, "c1", None)]
    assert parts([block]) == [("json", "")]


def test_the_calls_of_older_messages_and_of_streams() -> None:
    legacy = {"function_call": {"name": "add", "arguments": '{"a": 1}'}, "reasoning_content": "because"}
    message = message_of({"type": "ai", "content": "", "additional_kwargs": legacy})
    assert [(one.name, one.args) for one in message.tool_calls] == [("add", '{"a": 1}')]
    assert [(part.kind, part.text) for part in message.parts] == [("thinking", "because")]
    chunk = {"name": "add", "args": "{x", "id": "c1", "index": 0}
    streamed = {"type": "AIMessageChunk", "tool_calls": [{"name": "add", "args": {}, "id": "c1"}]}
    broken = message_of({**streamed, "content": "", "tool_call_chunks": [chunk]})
    assert (broken.role, broken.tool_calls[0].args) == ("ai", "{x")
    assert broken.tool_calls[0].error == "the arguments are no JSON object"


def test_the_role_of_a_chat_message_is_its_own() -> None:
    assert message_of({"type": "chat", "role": "critic", "content": "no"}).role == "critic"
    assert message_of("a prompt").role == "prompt"


@pytest.mark.parametrize(
    ("data", "content"),
    [
        ("AAEC", b"\x00\x01\x02"),
        ("AAE=", b"\x00\x01"),
        ("AAE", b"\x00\x01"),
        ("_-8", b"\xff\xef"),
        ("AA\nEC", b"\x00\x01\x02"),
        ("A", None),
        ("%%%", None),
        ("", None),
    ],
)
def test_base64_of_each_spelling_is_decoded(data: str, content: bytes | None) -> None:
    assert media_in({"type": "image", "data": data, "mime_type": "image/png"}).content() == content


@pytest.mark.parametrize(
    ("begin", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", "audio/wav"),
        (b"%PDF-1.7", "application/pdf"),
        (b"<svg onload=alert(1)>", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_bytes_without_a_type_have_the_type_that_they_begin_like(begin: bytes, mime: str) -> None:
    assert media_in({"type": "image", "data": "AA=="}).type_of(begin) == mime
