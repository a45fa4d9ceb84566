"""``plsync show``: the newest record, the texts for pipes, and the words of a page."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from plsync import PromptLayerCallbackHandler
from plsync.cli.output import one_line
from plsync.journal import Journal
from plsync.journal.display import media, message_text
from tests.support.commands import PLSYNC, environment, json_lines, printed, run
from tests.support.models import Chat
from tests.support.spooling import SpoolWriter
from tests.support.terminal import on_terminal

T = 1_760_000_000_000
PNG = "data:image/png;base64," + "A" * 92


# --- which record ---


def test_without_an_id_the_newest_record_is_shown(writer: SpoolWriter, path: Path) -> None:
    written = [writer.call(f"question {number}", "b", at=T + number) for number in range(4)]
    for arguments, number in ((), 3), (("-0",), 3), (("-1",), 2), (("--last", "1"), 2), (("-3", "--json"), 0):
        assert written[number] in printed(path, "show", *arguments)


def test_a_record_before_the_first_is_an_error(writer: SpoolWriter, path: Path) -> None:
    assert "has no record yet" in run(path, "show").stderr
    writer.call("a", "b", at=T)
    done = run(path, "show", "-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == "plsync: the journal has 1 record, none of them 1 before the newest; `plsync list` lists them\n"
    )
    assert run(path, "show", "0199", "-1").returncode == 2


# --- the texts alone ---


def test_the_texts_reach_a_pipe_unchanged(writer: SpoolWriter, path: Path) -> None:
    answer = "# Títle\n\x1b[31mred\x1b[0m \u202e日本語\ttab\n\n  end"
    writer.call("first\nsecond\n", answer, at=T)
    assert printed(path, "show", "-r") == answer + "\n"
    assert printed(path, "show", "--prompt") == "first\nsecond\n"
    (texts,) = json_lines(path, "show", "-r", "--prompt")
    assert texts == {"id": texts["id"], "response": answer, "prompt": "first\nsecond\n"}
    assert on_terminal(path, "show", "-r").startswith("# Títle\n\\x1b[31mred\\x1b[0m \\u202e日本語")


def test_the_texts_of_a_conversation_have_no_marks(writer: SpoolWriter, path: Path) -> None:
    blocks = [{"type": "text", "text": "What is"}, {"type": "image_url", "image_url": {"url": PNG}}, " this?"]
    messages = [
        {"$": "SystemMessage", "v": {"type": "system", "content": "Be brief."}},
        {"$": "HumanMessage", "v": {"type": "human", "content": blocks}},
    ]
    record_id = writer.start({"kind": "chat", "messages": messages}, at=T)
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "A "}, {"type": "text", "text": "dog."}]
    message = {"$": "AIMessage", "v": {"type": "ai", "content": content}}
    writer.end(record_id, {"generations": [{"$": "ChatGeneration", "v": {"text": "", "message": message}}]})
    assert printed(path, "show", "--prompt") == "Be brief.\n\nWhat is this?\n"
    assert printed(path, "show", "-r") == "A dog.\n"


def test_an_answer_without_a_text_is_an_error_with_its_reason(writer: SpoolWriter, path: Path) -> None:
    running = writer.start({"kind": "llm", "prompts": ["?"]}, at=T)
    done = run(path, "show", "-r")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"plsync: the response of record {running} has no text: the result of the call is: running\n"
    assert json_lines(path, "show", "-r") == [{"id": running, "response": None}]
    calling = writer.start({"kind": "llm", "prompts": ["?"]}, at=T + 1)
    call = {"name": "add", "args": {}, "id": "call_1", "type": "tool_call"}
    message = {"$": "AIMessage", "v": {"type": "ai", "content": "", "tool_calls": [call]}}
    writer.end(calling, {"generations": [{"$": "ChatGeneration", "v": {"text": "", "message": message}}]})
    assert "has no text: it has 1 tool call, and `plsync show" in run(path, "show", "-r").stderr


def test_a_reader_of_a_text_may_stop_early(writer: SpoolWriter, path: Path) -> None:
    writer.call("a", "b" * 5_000_000, at=T)
    shell = ["sh", "-c", '"$0" show -r | head -c 10; echo "${PIPESTATUS[0]}"', str(PLSYNC)]
    done = subprocess.run(shell, env=environment(path), capture_output=True, encoding="utf-8", check=False)
    assert done.stderr == "" or "Bad substitution" in done.stderr
    assert done.stdout.startswith("b" * 10)


# --- the page ---


def test_content_that_was_left_out_is_named(path: Path) -> None:
    Chat().invoke("secret question", {"callbacks": [PromptLayerCallbackHandler(journal=path, content=False)]})
    page = printed(path, "show")
    assert "\nInput\n  (left out: content=False)\n" in page
    assert "\n  ai:\n    (left out: content=False)\n" in page
    assert "(left out: content=False)" in printed(path, "list")
    assert "has no text: left out: content=False" in run(path, "show", "-r").stderr


def test_a_streamed_answer_is_of_ai(path: Path) -> None:
    list(Chat().stream("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]}))
    assert "\nOutput\n  ai:\n" in printed(path, "show")


def test_facts_of_the_library_are_shown_on_request(writer: SpoolWriter, path: Path) -> None:
    own = {"thread_id": "7", "user": "ann"}
    noise = {"ls_provider": "openai", "lc_versions": {"langchain": "1"}, "langgraph_step": 1, "__pregel_x": 1}
    params = {"model": "gpt-4o", "model_name": "gpt-4o", "_type": "openai-chat", "temperature": 0}
    writer.call("a", "b", at=T, params=params, metadata={**noise, **own})
    page = printed(path, "show")
    assert page.endswith(
        "\nParameters\n  temperature: 0\n\nMetadata\n  thread_id: 7\n  user: ann\n"
        "\n  7 facts of LangChain and the provider not shown: --all\n"
    )
    everything = printed(path, "show", "--all")
    assert all(f"\n  {name}: " in everything for name in (*noise, *params, *own))
    assert "--all" not in everything


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}}, "[image/png, 69 B]"),
        ({"type": "image_url", "image_url": PNG}, "[image/png, 69 B]"),
        ({"type": "image_url", "image_url": {"url": "https://u:p@x.example/cat.png?sig=1"}}, "[image, https://x.example/cat.png]"),
        ({"type": "image", "source_type": "base64", "mime_type": "image/jpeg", "data": "AAAA"}, "[image/jpeg, 3 B]"),
        ({"type": "image", "base64": "AA==", "mime_type": "image/png"}, "[image/png, 1 B]"),
        ({"type": "image", "source": {"media_type": "image/gif", "data": "AAAA"}}, "[image/gif, 3 B]"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "[audio/wav, 3 B]"),
        ({"file": {"filename": "a", "file_data": "data:application/pdf;base64,AAAA"}}, "[application/pdf a, 3 B]"),
        ({"type": "media", "mime_type": "video/mp4", "data": "AAAA"}, "[video/mp4, 3 B]"),
        ({"type": "input_file", "file_id": "file-123"}, "[file, file-123]"),
        ({"type": "image_url", "image_url": {"url": "http://["}}, "[image, http://[]"),
        ({"type": "image_url", "image_url": {"url": "data:"}}, "[image]"),
        ({"type": "image_url", "image_url": None}, "[image]"),
        ({"type": "guess"}, "[guess]"),
        ({}, "[block]"),
    ],
)  # fmt: skip
def test_media_are_shown_by_type_and_size(block: dict[str, Any], shown: str) -> None:
    assert media.described(block) == shown


def test_a_preview_keeps_the_end_of_a_long_prompt() -> None:
    shown = one_line("Context: " + "x " * 5000 + "\nQuestion: how many x?", 60, keep_end=True)
    assert shown.plain.startswith("Context: x x x")
    assert shown.plain.endswith("how many x?")
    assert shown.cell_len <= 60
    wide = one_line("日本語" * 100 + "終わり", 21, keep_end=True)
    assert wide.plain.endswith("終わり")
    assert wide.cell_len <= 21
    assert one_line("short", 60, keep_end=True).plain == "short"


def test_a_call_whose_process_died_differs_from_an_error_of_the_server(writer: SpoolWriter, path: Path) -> None:
    failed = writer.start({"kind": "llm", "prompts": ["?"]}, at=T)
    writer.end(failed, {"error": {"type": "RateLimitError", "message": "slow", "status_code": 429}}, ended="error")
    died = writer.start({"kind": "llm", "prompts": ["?"]}, at=T + 1)
    writer.close()
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
    assert "\nresult        error 429\n" in printed(path, "show", failed)
    assert "\nresult        cut short: the process ended before the call did\n" in printed(path, "show", died)


def test_long_values_continue_below_themselves_on_a_terminal(writer: SpoolWriter, path: Path) -> None:
    words = "alpha beta gamma delta epsilon 日本語日本語日本語 zeta eta theta iota kappa"
    writer.call(words, "answer " * 20, at=T, tags=["one two three four five six seven eight nine ten eleven"])
    page = on_terminal(path, "show", columns=40).splitlines()
    at = page.index("  human:")
    assert page[at + 1 : at + 4] == [
        "    alpha beta gamma delta epsilon",
        "    日本語日本語日本語 zeta eta theta",
        "    iota kappa",
    ]
    tags = next(number for number, line in enumerate(page) if line.startswith("tags"))
    assert page[tags + 1].startswith(" " * 14 + "six")
    assert f"    {words}\n" in printed(path, "show", COLUMNS="40")
    assert message_text.raw(None) == ""
