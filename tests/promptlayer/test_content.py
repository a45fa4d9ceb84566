"""The mapping of content blocks of LangChain and of providers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.request_log import answer, input_blocks, output_blocks, output_message


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "text", "text": "x"}, {"type": "text", "text": "x"}),
        ({"type": "image", "url": "http://i"}, {"type": "image_url", "image_url": {"url": "http://i"}}),
        ({"type": "image_url", "image_url": "http://i"}, {"type": "image_url", "image_url": {"url": "http://i"}}),
        (
            {"type": "image_url", "image_url": {"url": "http://i", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "http://i", "detail": "low"}},
        ),
        (
            {"type": "image", "base64": "QQ==", "mime_type": "image/png"},
            {"type": "media", "media": {"title": "image", "type": "image/png", "url": "QQ==", "format": "base64"}},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
            {"type": "media", "media": {"title": "image", "type": "image/png", "url": "QQ==", "format": "base64"}},
        ),
        ({"type": "image", "file_id": "f1"}, {"type": "text", "text": "[image f1]"}),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
            {"type": "media", "media": {"title": "audio", "type": "audio/mp3", "url": "QQ==", "format": "base64"}},
        ),
        (
            {"type": "file", "url": "http://f", "mime_type": "application/pdf"},
            {
                "type": "media",
                "media": {"title": "file", "type": "application/pdf", "url": "http://f", "format": "url"},
            },
        ),
        ({"type": "reasoning", "reasoning": "hm"}, {"type": "thinking", "thinking": "hm"}),
        (
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "thinking", "thinking": "hm", "signature": "s"},
        ),
        ({"type": "non_standard", "value": {"a": 1}}, {"type": "text", "text": '{"a":1}'}),
        ({"type": "hologram", "a": 1}, {"type": "text", "text": '{"type":"hologram","a":1}'}),
        ("words", {"type": "text", "text": "words"}),
    ],
)
def test_each_content_block_is_mapped(block: Any, expected: dict[str, Any]) -> None:
    assert input_blocks(block) == [expected]


def test_media_that_a_model_made_is_output_media() -> None:
    block = {"type": "image", "base64": "QQ==", "mime_type": "image/png"}
    made = {
        "type": "output_media",
        "url": "data:image/png;base64,QQ==",
        "mime_type": "image/png",
        "media_type": "image",
    }
    assert output_message(answer([block]))["content"] == [made]


def test_additional_reasoning_comes_first() -> None:
    content = output_message(answer("yo", additional_kwargs={"reasoning_content": "hm"}))["content"]
    assert [block["type"] for block in content] == ["thinking", "text"]


def text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": words}]


def media(kind: str, mime: str, url: str, form: str = "base64") -> list[dict[str, Any]]:
    return [{"type": "media", "media": {"title": kind, "type": mime, "url": url, "format": form}}]


def image(url: str) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url}}]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        # LangChain, of today and before 1.0
        ({"type": "text", "text": ""}, []),
        ({"type": "text-plain", "text": "x", "mime_type": "text/plain"}, text("x")),
        ({"type": "text-plain", "url": "http://t"}, media("file", "text/plain", "http://t", "url")),
        ({"type": "text-plain", "file_id": "f1"}, text("[file f1]")),
        ({"type": "image", "source_type": "url", "url": "http://i"}, image("http://i")),
        ({"type": "image", "source_type": "id", "id": "f1"}, text("[image f1]")),
        (
            {"type": "audio", "source_type": "base64", "data": "QQ==", "mime_type": "audio/mp3"},
            media("audio", "audio/mp3", "QQ=="),
        ),
        ({"type": "file", "source_type": "text", "text": "x", "mime_type": "text/plain"}, text("x")),
        ({"type": "video", "url": "http://v"}, media("video", "video/mp4", "http://v", "url")),
        (
            {"type": "file", "base64": "QQ==", "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}},
            media("a.pdf", "application/pdf", "QQ=="),
        ),
        (
            {"type": "non_standard", "value": {"type": "thinking", "thinking": "hm"}},
            [{"type": "thinking", "thinking": "hm"}],
        ),
        ({"type": "non_standard", "value": 7}, text('{"type":"non_standard","value":7}')),
        # OpenAI
        ({"type": "image_url", "image_url": "http://i"}, image("http://i")),
        ({"type": "input_image", "image_url": "http://i"}, image("http://i")),
        (
            {"type": "input_image", "image_url": "http://i", "detail": "low"},
            [{"type": "image_url", "image_url": {"url": "http://i", "detail": "low"}}],
        ),
        ({"type": "input_image", "file_id": "f1"}, text("[image f1]")),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"}},
            media("a.pdf", "application/octet-stream", "data:application/pdf;base64,QQ==", "url"),
        ),
        ({"type": "file", "file": {"file_id": "f1"}}, text("[file f1]")),
        (
            {"type": "input_file", "file_url": "http://f", "filename": "a.pdf"},
            media("a.pdf", "application/octet-stream", "http://f", "url"),
        ),
        ({"type": "video_url", "video_url": {"url": "http://v"}}, media("video", "video/mp4", "http://v", "url")),
        # Anthropic
        ({"type": "image", "source": {"type": "url", "url": "http://i"}}, image("http://i")),
        ({"type": "image", "source": {"type": "file", "file_id": "f1"}}, text("[image f1]")),
        (
            {
                "type": "document",
                "title": "T",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
            },
            media("T", "application/pdf", "QQ=="),
        ),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}}, text("hi")),
        ({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "hi"}]}}, text("hi")),
        (
            {"type": "search_result", "source": "http://s", "title": "T", "content": [{"type": "text", "text": "x"}]},
            text("T\nhttp://s\nx"),
        ),
        ({"type": "container_upload", "file_id": "f1"}, text("[file f1]")),
        # Google
        ({"type": "media", "mime_type": "image/png", "data": "QQ=="}, media("media", "image/png", "QQ==")),
        (
            {"type": "media", "mime_type": "video/mp4", "file_uri": "gs://v"},
            media("media", "video/mp4", "gs://v", "url"),
        ),
        (
            {"type": "file_data", "mime_type": "text/csv", "file_uri": "gs://f"},
            media("file", "text/csv", "gs://f", "url"),
        ),
        # Bedrock
        ({"text": "x"}, text("x")),
        ({"image": {"format": "png", "source": {"bytes": "QQ=="}}}, media("image", "image/png", "QQ==")),
        (
            {"document": {"format": "pdf", "name": "a", "source": {"bytes": "QQ=="}}},
            media("a", "application/pdf", "QQ=="),
        ),
        ({"document": {"format": "txt", "name": "a", "source": {"text": "hi"}}}, text("hi")),
        (
            {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://v"}}}},
            media("video", "video/mp4", "s3://v", "url"),
        ),
        ({"guardContent": {"text": {"text": "x"}}}, text("x")),
        ({"cachePoint": {"type": "default"}}, []),
        # PromptLayer's own, of a template
        (
            {"type": "media", "media": {"title": "T", "type": "image/png", "url": "http://i", "format": "url"}},
            image("http://i"),
        ),
        # of no known provider
        (None, []),
        (7, text("7")),
        ({"a": 1}, text('{"a":1}')),
        ({"type": 7}, text('{"type":7}')),
        ({"type": "image"}, text('{"type":"image"}')),
    ],
)
def test_an_input_block_of_every_provider_is_mapped(block: Any, expected: list[dict[str, Any]]) -> None:
    assert input_blocks(block) == expected


def thinking(words: str, **more: str) -> list[dict[str, Any]]:
    return [{"type": "thinking", "thinking": words, **more}]


def tool_use(name: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "server_tool_use", "id": "s1", "name": name, "input": given}]


def made(kind: str, mime: str, url: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "output_media", "url": url, "mime_type": mime, "media_type": kind, **more}]


PAGE = {"type": "web_search_result", "url": "http://p", "title": "T", "encrypted_content": "e", "page_age": None}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        # LangChain
        ({"type": "reasoning", "reasoning": "hm", "extras": {"signature": "s"}}, thinking("hm", signature="s")),
        ({"type": "reasoning"}, []),
        (
            {"type": "server_tool_call", "id": "s1", "name": "web_search", "args": {"q": 1}},
            tool_use("web_search", {"q": 1}),
        ),
        (
            {"type": "server_tool_call", "id": "s1", "name": "code_interpreter", "args": {"code": "1"}},
            [{"type": "code", "code": "1", "id": "s1"}],
        ),
        (
            {
                "type": "server_tool_call",
                "id": "s1",
                "name": "remote_mcp",
                "args": {"a": 1},
                "extras": {"tool_name": "roll", "server_label": "dice"},
            },
            [{"type": "mcp_call", "id": "s1", "name": "roll", "server_label": "dice", "arguments": '{"a":1}'}],
        ),
        (
            {
                "type": "server_tool_result",
                "tool_call_id": "s1",
                "status": "success",
                "output": [PAGE],
                "extras": {"block_type": "web_search_tool_result"},
            },
            [{"type": "web_search_tool_result", "tool_use_id": "s1", "content": [PAGE]}],
        ),
        (
            {
                "type": "server_tool_result",
                "tool_call_id": "s1",
                "status": "error",
                "output": "boom",
                "extras": {"block_type": "code_execution_result"},
            },
            [{"type": "code_execution_result", "output": "boom", "outcome": "OUTCOME_FAILED"}],
        ),
        ({"type": "server_tool_result", "tool_call_id": "s1", "status": "success"}, []),
        (
            {"type": "audio", "base64": "QQ==", "mime_type": "audio/mp3"},
            made("audio", "audio/mp3", "data:audio/mp3;base64,QQ=="),
        ),
        ({"type": "file", "url": "http://f"}, media("file", "application/octet-stream", "http://f", "url")),
        # OpenAI
        (
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "a"}, {"text": "b"}]},
            thinking("a\n\nb"),
        ),
        ({"type": "refusal", "refusal": "no"}, text("no")),
        ({"type": "output_text", "text": "x"}, text("x")),
        ({"type": "web_search_call", "id": "s1", "action": {"query": "x"}}, tool_use("web_search", {"query": "x"})),
        (
            {"type": "file_search_call", "id": "s1", "queries": ["x"], "results": [{"a": 1}]},
            [*tool_use("file_search", {"queries": ["x"]}), *text('[{"a":1}]')],
        ),
        (
            {
                "type": "code_interpreter_call",
                "id": "s1",
                "container_id": "c",
                "code": "1",
                "outputs": [{"type": "logs", "logs": "one"}],
            },
            [
                {"type": "code", "code": "1", "id": "s1", "container_id": "c"},
                {"type": "code_execution_result", "output": "one"},
            ],
        ),
        (
            {"type": "image_generation_call", "id": "s1", "result": "QQ=="},
            made("image", "image/png", "data:image/png;base64,QQ==", id="s1"),
        ),
        (
            {"type": "mcp_approval_request", "id": "s1", "name": "roll", "arguments": "{}", "server_label": "dice"},
            [{"type": "mcp_approval_request", "id": "s1", "name": "roll", "arguments": "{}", "server_label": "dice"}],
        ),
        (
            {"type": "mcp_list_tools", "id": "s1", "server_label": "dice", "tools": [{"name": "roll"}]},
            [
                {
                    "type": "mcp_list_tools",
                    "id": "s1",
                    "server_label": "dice",
                    "tools": [{"name": "roll"}],
                    "error": None,
                }
            ],
        ),
        (
            {
                "type": "local_shell_call",
                "id": "s1",
                "call_id": "c1",
                "action": {"command": ["ls"]},
                "status": "completed",
            },
            [{"type": "shell_call", "id": "s1", "call_id": "c1", "action": {"command": ["ls"]}, "status": "completed"}],
        ),
        (
            {"type": "apply_patch_call_output", "id": "s1", "call_id": "c1", "output": "done", "status": "completed"},
            [{"type": "apply_patch_call_output", "id": "s1", "call_id": "c1", "output": "done", "status": "completed"}],
        ),
        # Anthropic
        ({"type": "redacted_thinking", "data": "e"}, thinking("", signature="e")),
        (
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"q": 1}},
            tool_use("web_search", {"q": 1}),
        ),
        (
            {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [PAGE]},
            [{"type": "web_search_tool_result", "tool_use_id": "s1", "content": [PAGE]}],
        ),
        (
            {"type": "bash_code_execution_tool_result", "tool_use_id": "s1", "content": {"stdout": "x"}},
            [{"type": "bash_code_execution_tool_result", "tool_use_id": "s1", "content": {"stdout": "x"}}],
        ),
        (
            {
                "type": "code_execution_tool_result",
                "tool_use_id": "s1",
                "content": {"stdout": "x", "stderr": "y", "return_code": 1},
            },
            [{"type": "code_execution_result", "output": "xy", "outcome": "OUTCOME_FAILED"}],
        ),
        (
            {"type": "mcp_tool_use", "id": "s1", "name": "roll", "server_name": "dice", "input": {"a": 1}},
            [{"type": "mcp_call", "id": "s1", "name": "roll", "server_label": "dice", "arguments": '{"a":1}'}],
        ),
        (
            {
                "type": "mcp_tool_result",
                "tool_use_id": "s1",
                "is_error": True,
                "content": [{"type": "text", "text": "no"}],
            },
            [{"type": "mcp_call", "id": "s1", "error": "no"}],
        ),
        # Google
        (
            {"type": "text", "text": "x", "extras": {"signature": "s"}},
            [{"type": "text", "text": "x", "thought_signature": "s"}],
        ),
        (
            {"type": "executable_code", "executable_code": "1", "language": "python"},
            [{"type": "code", "code": "1", "id": None}],
        ),
        (
            {"type": "code_execution_result", "code_execution_result": "1", "outcome": 2},
            [{"type": "code_execution_result", "output": "1", "outcome": "OUTCOME_FAILED"}],
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/webp;base64,QQ=="}},
            made("image", "image/webp", "data:image/webp;base64,QQ=="),
        ),
        ({"type": "function_call_signature", "signature": "s", "index": 0}, []),
        # Bedrock
        ({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}, thinking("hm", signature="s")),
        ({"type": "reasoning_content", "reasoning_content": {"text": "hm"}}, thinking("hm")),
        ({"citationsContent": {"content": [{"text": "x"}], "citations": []}}, text("x")),
        # Mistral
        ({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, thinking("hm")),
    ],
)
def test_an_output_block_of_every_provider_is_mapped(block: Any, expected: list[dict[str, Any]]) -> None:
    assert output_blocks(block) == expected


def cited(**annotation: Any) -> list[dict[str, Any]]:
    """The annotations of the request log, for a text with one annotation."""
    found: list[dict[str, Any]] = output_blocks({"type": "text", "text": "abc", "annotations": [annotation]})[0].get(
        "annotations", []
    )
    return found


WEB = {"title": "T", "url": "http://t", "start_index": 0, "end_index": 1}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ({"type": "citation", **WEB}, {"type": "url_citation", **WEB}),
        ({"type": "citation", **WEB, "cited_text": "c"}, {"type": "url_citation", **WEB, "cited_text": "c"}),
        ({"type": "url_citation", **WEB}, {"type": "url_citation", **WEB}),
        ({"type": "url_citation", "url_citation": WEB}, {"type": "url_citation", **WEB}),
        (
            {"type": "citation", "url": "http://t"},
            {"type": "url_citation", "title": "http://t", "url": "http://t", "start_index": 0, "end_index": 3},
        ),
        (
            {
                "type": "web_search_result_location",
                "url": "http://t",
                "title": "T",
                "encrypted_index": "e",
                "cited_text": "c",
            },
            {"type": "url_citation", **WEB, "end_index": 3, "cited_text": "c", "encrypted_index": "e"},
        ),
        (
            {"type": "citation", **WEB, "extras": {"place_id": "p"}},
            {"type": "map_citation", **WEB, "place_id": "p"},
        ),
        (
            {"type": "file_citation", "file_id": "f1", "filename": "a.txt", "index": 4},
            {"type": "file_citation", "index": 4, "file_id": "f1", "filename": "a.txt"},
        ),
        (
            {"type": "citation", "title": "a.txt", "extras": {"file_id": "f1", "index": 4}},
            {"type": "file_citation", "index": 4, "file_id": "f1", "filename": "a.txt"},
        ),
        (
            {"type": "char_location", "document_index": 2, "document_title": "D", "cited_text": "c"},
            {"type": "file_citation", "index": 2, "file_id": "", "filename": "D"},
        ),
        (
            {
                "type": "non_standard_annotation",
                "value": {"type": "container_file_citation", "container_id": "c", "file_id": "f1", "start_index": 1},
            },
            {"type": "container_file_citation", "container_id": "c", "start_index": 1, "file_id": "f1"},
        ),
    ],
)
def test_a_citation_of_every_kind_is_mapped(annotation: dict[str, Any], expected: dict[str, Any]) -> None:
    assert cited(**annotation) == [expected]


def test_a_citation_without_a_source_is_left_out() -> None:
    assert cited(type="citation", cited_text="c") == []


def test_anthropics_citations_become_annotations() -> None:
    block = {"type": "text", "text": "abc", "citations": [{"type": "web_search_result_location", "url": "http://t"}]}
    assert output_blocks(block)[0]["annotations"][0]["url"] == "http://t"


def test_googles_grounding_becomes_annotations() -> None:
    grounding = {
        "grounding_chunks": [{"web": {"uri": "http://a", "title": "A"}}, {"maps": {"uri": "http://b", "placeId": "p"}}],
        "grounding_supports": [
            {"segment": {"start_index": 0, "end_index": 2, "text": "ab"}, "grounding_chunk_indices": [0, 1, 9]}
        ],
    }
    block = output_message(answer("abc", response_metadata={"grounding_metadata": grounding}))["content"][0]
    assert [(found["type"], found["url"]) for found in block["annotations"]] == [
        ("url_citation", "http://a"),
        ("map_citation", "http://b"),
    ]
    assert block["annotations"][0]["end_index"] == 2


@pytest.mark.parametrize(
    "additional",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": {"id": "r", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}},
    ],
)
def test_additional_reasoning_comes_first_in_every_format(additional: dict[str, Any]) -> None:
    assert output_message(answer("yo", additional_kwargs=additional))["content"] == [*thinking("hm"), *text("yo")]


def test_reasoning_is_not_repeated() -> None:
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yo"}]
    assert output_message(answer(content, additional_kwargs={"reasoning_content": "hm"}))["content"] == content


def test_an_additional_refusal_becomes_the_text() -> None:
    assert output_message(answer("", additional_kwargs={"refusal": "no"}))["content"] == text("no")


def test_additional_audio_becomes_media_and_its_transcript_text() -> None:
    audio = {"id": "a", "data": "QQ==", "transcript": "yo", "expires_at": 1}
    content = output_message(answer("", additional_kwargs={"audio": audio}))["content"]
    assert content == [*text("yo"), *made("audio", "audio/wav", "data:audio/wav;base64,QQ==")]


def test_additional_calls_of_openais_own_tools_come_first() -> None:
    outputs = [{"type": "web_search_call", "id": "s1", "action": {}}]
    content = output_message(answer("yo", additional_kwargs={"tool_outputs": outputs}))["content"]
    assert [block["type"] for block in content] == ["server_tool_use", "text"]
