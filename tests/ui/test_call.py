"""One record on the page: messages with their tool calls, media, settings, delivery, and fields of any size."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
from starlette.testclient import TestClient

from plsync import Journal, PromptLayerCallbackHandler
from plsync.ui.values import FOLDED
from tests.support.commands import json_lines
from tests.support.models import Chat
from tests.support.page import page_of
from tests.support.page_journal import PNG, PageJournal
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000


def detail(page: TestClient, shown: PageJournal, name: str) -> dict[str, Any]:
    found = page.get(f"/api/calls/{shown.ids[name]}")
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


def test_a_tool_call_is_joined_with_its_answer(page: TestClient, shown: PageJournal) -> None:
    messages = detail(page, shown, "tools")["messages"]
    assert [message["role"] for message in messages] == ["system", "human", "ai", "tool"]
    (call,) = messages[2]["tool_calls"]
    assert (call["name"], call["args"], call["valid"]) == ("lookup_invoice", {"json": {"number": "2026-118"}}, True)
    assert call["answer"] == 3
    assert messages[3]["answers"] == {"message": 2, "call": 0}
    assert messages[3]["status"] == "success"


def test_an_invalid_call_has_its_reason(page: TestClient, shown: PageJournal) -> None:
    (output,) = detail(page, shown, "broken call")["outputs"]
    (call,) = output["message"]["tool_calls"]
    assert (call["valid"], call["error"], call["args"]) == (False, "not valid JSON", {"json": "{no json"})
    assert output["finish_reason"] == "stop"


def test_reasoning_is_a_separate_part(page: TestClient, shown: PageJournal) -> None:
    (output,) = detail(page, shown, "thinking")["outputs"]
    parts = [(part["kind"], part["text"]["text"]) for part in output["message"]["parts"]]
    assert parts == [("thinking", "19 % once is right."), ("text", "Pay once.")]


def test_media_are_bytes_of_the_server_and_a_link_is_a_text(page: TestClient, shown: PageJournal) -> None:
    record = shown.ids["picture"]
    _, image, link, svg = detail(page, shown, "picture")["messages"][0]["parts"]
    assert (image["kind"], image["mime"], image["bytes"], image["shows"]) == ("media", "image/png", 33, "image")
    assert image["src"] == f"/api/media/{record}/0"
    assert link == {"kind": "link", "url": "https://tracker.invalid/pixel.png", "mime": None, "name": None}
    assert (svg["mime"], svg["shows"]) == ("image/svg+xml", None)
    found = page.get(image["src"])
    assert found.content == base64.b64decode(PNG)
    assert found.headers["content-type"] == "image/png"
    script = page.get(svg["src"])
    assert script.headers["content-type"] == "application/octet-stream"
    assert script.headers["content-disposition"] == "attachment"
    for answer in found, script:
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert page.get(f"/api/media/{record}/2").status_code == 404
    assert page.get(f"/api/media/{record}/-1").status_code == 404
    assert PNG not in page.get(f"/api/calls/{record}").text


def test_a_stream_has_its_times(page: TestClient, shown: PageJournal) -> None:
    stream = detail(page, shown, "streamed")["stream"]
    assert stream["pieces"] == len(stream["times_us"]) >= 3
    assert stream["first_us"] == stream["times_us"][0]
    assert stream["gap"]["to_us"] >= stream["gap"]["from_us"]
    assert detail(page, shown, "plain")["stream"] is None


def test_an_error_has_the_body_of_the_provider(page: TestClient, shown: PageJournal) -> None:
    found = detail(page, shown, "failed")
    error = found["error_detail"]
    assert (error["type"], error["status_code"]) == ("RateLimitError", 429)
    assert error["message"]["text"] == "Error code: 429 - FAIL429 please"
    assert orjson.loads(error["body"]["text"])["error"]["code"] == "rate_limit"
    assert found["outputs"] == []


def test_settings_and_metadata_without_the_facts_that_langchain_repeats(page: TestClient, shown: PageJournal) -> None:
    found = detail(page, shown, "plain")
    assert [item["name"] for item in found["metadata_all"]] == ["thread_id", "user_id"]
    assert "ls_provider" in [item["name"] for item in found["metadata_hidden"]]
    assert "_type" in [item["name"] for item in found["settings_hidden"]]


def test_delivery_and_follow_ups(page: TestClient, shown: PageJournal) -> None:
    found = detail(page, shown, "plain")
    assert [(one["op"], one["word"], one["payload"]) for one in found["followups"]] == [
        ("score", "sent", {"score": 100}),
        ("metadata", "sent", {"metadata": {"checked": "yes"}}),
    ]
    assert found["delivery_detail"]["request_id"] == 1007
    refused = detail(page, shown, "refused")["delivery_detail"]
    assert refused["last_error"] == "PromptLayer refused it: 422 prompt too long (3f2a9b1c)"
    assert refused["note"].endswith("kept here, not sent until `plsync retry`")
    assert refused["command"] == f"plsync show {shown.ids['refused']}"


def test_messages_that_a_conversation_repeats_are_named(page: TestClient, shown: PageJournal) -> None:
    assert detail(page, shown, "tools")["earlier"] == {"same": 2, "as": shown.ids["plain"]}
    assert detail(page, shown, "plain")["earlier"] is None


def test_raw_json_is_the_output_of_the_command(page: TestClient, shown: PageJournal) -> None:
    record = shown.ids["tools"]
    found = page.get(f"/api/calls/{record}/raw?download=1")
    assert found.headers["content-disposition"] == f'attachment; filename="{record}.json"'
    assert found.json() == json_lines(shown.path, "show", record)[0]


def test_a_tree_is_a_timeline(page: TestClient, shown: PageJournal) -> None:
    for name in "tree", "in tree":
        found = page.get(f"/api/calls/{shown.ids[name]}/tree").json()
        assert (found["root_id"], found["name"], found["count"]) == (shown.ids["tree"], "weather agent", 5)
        assert [(run["depth"], run["kind"], run["is_call"]) for run in found["runs"]] == [
            (0, "chain", False),
            (1, "chain", False),
            (2, "chat", True),
            (1, "chain", False),
            (2, "chat", True),
        ]
        seen: set[str | None] = {None}
        for run in found["runs"]:
            assert run["parent_id"] in seen
            assert run["offset_us"] >= 0
            seen.add(run["id"])
    root = detail(page, shown, "tree")
    assert root["is_run"]
    assert "Paris" in str(root["run"]["input"])
    assert page.get(f"/api/calls/{shown.ids['plain']}/tree").json()["count"] == 1


def test_two_calls_are_compared(page: TestClient, shown: PageJournal) -> None:
    found = page.get(f"/api/compare?a={shown.ids['plain']}&b={shown.ids['tools']}").json()
    assert found["messages"] == [
        {"a": 0, "b": 0, "same": True},
        {"a": 1, "b": 1, "same": True},
        {"a": None, "b": 2, "same": False},
        {"a": None, "b": 3, "same": False},
    ]
    other = page.get(f"/api/compare?a={shown.ids['plain']}&b={shown.ids['picture']}").json()
    assert {"a": 1, "b": 0, "same": False} in other["messages"]
    assert page.get(f"/api/compare?a={shown.ids['plain']}").status_code == 400


def test_calls_with_the_same_messages_are_found(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    for question, model in (("What is 2+2?\nReally?", "a"), ("What is 2+2?\nReally?", "b"), ("What is 2+2?", "a")):
        Chat().bind(model=model).invoke(question, {"callbacks": [handler]})
    with page_of(path) as page:
        other, second, first = [row["id"] for row in page.get("/api/calls").json()["calls"]]
        found = page.get(f"/api/calls/{first}/same").json()
        assert ([row["id"] for row in found["calls"]], found["complete"]) == ([second], True)
        assert page.get(f"/api/calls/{other}/same").json()["calls"] == []


def test_conversations_have_the_new_messages_of_each_turn(page: TestClient, shown: PageJournal) -> None:
    tree, thread = page.get("/api/conversations").json()["conversations"]
    assert (tree["kind"], tree["key"], tree["calls"]) == ("tree", shown.ids["tree"], 2)
    assert (thread["kind"], thread["key"], thread["calls"], thread["undelivered"]) == ("thread", "t1", 2, 1)
    assert thread["tokens"] == {"input": 42, "output": 34}
    turns = page.get("/api/conversation?thread=t1").json()["turns"]
    assert [[message["role"] for message in turn["messages"]] for turn in turns] == [
        ["system", "human"],
        ["ai", "tool"],
    ]
    assert [turn["earlier"] for turn in turns] == [0, 2]
    first = page.get("/api/conversation?thread=t1&limit=1").json()
    assert first["next"] == shown.ids["plain"]
    rest = page.get(f"/api/conversation?thread=t1&after={first['next']}").json()
    assert [turn["call"]["id"] for turn in rest["turns"]] == [shown.ids["tools"]]
    assert len(page.get(f"/api/conversation?tree={shown.ids['tree']}").json()["turns"]) == 2
    assert page.get("/api/conversation?thread=none").status_code == 404


def test_an_id_that_names_several_records_lists_them(page: TestClient, shown: PageJournal) -> None:
    found = page.get(f"/api/calls/{shown.ids['plain'][:4]}")
    assert found.status_code == 409
    assert shown.ids["plain"] in found.json()["error"]["candidates"]
    assert page.get("/api/calls/0000000000000000").status_code == 404
    assert page.get("/api/calls/x").status_code == 404


def test_a_field_of_megabytes_is_folded_and_fetched_whole(path: Path) -> None:
    prompt = "ä" * (5 << 20)
    large = {"blob": ["x" * 1000] * 1000}
    config: Any = {"callbacks": [PromptLayerCallbackHandler(journal=path)], "metadata": {"large": large}}
    Chat().invoke(prompt, config)
    with page_of(path) as page:
        record = page.get("/api/calls").json()["calls"][0]["id"]
        found = page.get(f"/api/calls/{record}")
        assert len(found.content) < 2 * FOLDED
        text = found.json()["messages"][0]["parts"][0]["text"]
        assert text["chars"] == len(prompt)
        assert text["folded"]["bytes"] == len(prompt.encode())
        assert prompt.startswith(text["text"])
        whole = page.get(text["folded"]["href"])
        assert whole.text == prompt
        assert whole.headers["content-type"].startswith("text/plain")
        item = next(item for item in found.json()["metadata_all"] if item["name"] == "large")
        assert page.get(item["value"]["folded"]["href"] + "&download=1").json() == large
        assert page.get(f"/api/calls/{record}/field?path=messages/9").status_code == 404
        assert len(page.get("/api/calls").content) < 4000


def test_a_forgotten_record_is_marked(path: Path, writer: SpoolWriter) -> None:
    record = writer.call("secret", "answer", at=T)
    with Journal.open(path) as journal:
        journal.forget(record)
    with page_of(path) as page:
        found = page.get(f"/api/calls/{record}").json()
        assert found["content_note"] == "(forgotten: `plsync forget` removed the content)"
        assert found["marks"] == ["forgotten"]
        assert found["delivery"] == "dropped"
