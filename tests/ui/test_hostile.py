"""Texts of attackers and accidents in every field of a record: each response is JSON, and has them as text."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from starlette.testclient import TestClient

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.hostile import TEXTS, cases
from tests.support.models import Chat
from tests.support.page import lines_of, page_of
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000
LINKS = {
    "script link": "javascript:alert(1)",
    "data link": "data:text/html,<script>alert(1)</script>",
    "broken data link": "data:image/png;base64,%%%",
    "end of a script": "</script><script>alert(1)</script><!--",
}
LONGEST = 20_000


class Refused(Exception):
    """An error of a client with a body."""


def record(path: Path, text: str) -> None:
    """Calls with the text in every field."""
    names = {"name": text} if text.strip() else {}
    image = {"type": "image_url", "image_url": {"url": text}}
    call = {"name": text or "x", "args": {text: [text]}, "id": text or "1", "type": "tool_call"}
    messages = [
        SystemMessage(text),
        HumanMessage([{"type": "text", "text": text}, image, {"type": text, "x": text}, text], **names),
        AIMessage(text, tool_calls=[call], additional_kwargs={text: text, "reasoning_content": text}),
        ToolMessage(text, tool_call_id=text or "1"),
    ]

    def fail(_: Any) -> AIMessage:
        error = Refused(text)
        error.body = {text: text}  # type: ignore[attr-defined]
        raise error

    for reply in (lambda _: AIMessage(text, response_metadata={"finish_reason": text}), fail):
        handler = PromptLayerCallbackHandler(pl_tags=[text or "tag"], journal=path)
        config: Any = {
            "callbacks": [handler],
            "run_name": text,
            "tags": [text],
            "metadata": {text: text, "thread_id": text},
        }
        model = Chat(reply=reply).bind(model=text, stop=[text], tools=[{"name": text, "description": text}])
        with contextlib.suppress(Refused):
            model.invoke(messages, config)


@pytest.fixture(scope="module", params=cases({name: text[:LONGEST] for name, text in {**TEXTS, **LINKS}.items()}))
def hostile(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, TestClient]]:
    path = tmp_path_factory.mktemp("hostile") / "journal"
    record(path, request.param)
    with Journal.open(path) as journal:
        refused, failed = list(journal.records())
        journal.outbox.park([refused.seq], "dead", request.param.encode("utf-8", "replace").decode())
        journal.track.score(failed.id, 1, request.param.encode("utf-8", "replace").decode() or None)
    with page_of(path) as page:
        yield request.param, page


def test_each_response_is_json_with_the_same_text(hostile: tuple[str, TestClient]) -> None:
    text, page = hostile
    rows = page.get("/api/calls").json()["calls"]
    assert len(rows) == 2
    shown = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    for row in rows:
        one = f"/api/calls/{row['id']}"
        for address in (one, f"{one}/raw", f"{one}/tree", f"/api/compare?a={row['id']}&b={rows[0]['id']}"):
            found = page.get(address)
            assert found.status_code == 200, (address, found.text[:300])
            assert found.headers["content-type"] == "application/json"
            json.loads(found.content)
        system = page.get(one).json()["messages"][0]
        texts = [part["text"] for part in system["parts"]]
        if not any("folded" in one for one in texts):
            assert "".join(one["text"] for one in texts) in (text, shown)
    for address in ("facets", "histogram", "delivery", "conversations", "count", "journal"):
        assert page.get(f"/api/{address}").status_code == 200, address


def test_a_search_for_the_text_is_no_failure(hostile: tuple[str, TestClient]) -> None:
    text, page = hostile
    for name in ("q", "model", "tag", "name", "thread", "not.tag", "provider", "error"):
        try:
            found = page.get("/api/calls", params={name: text[:2000]})
        except UnicodeEncodeError:
            continue
        assert found.status_code in (200, 400), found.text
    found = page.get("/api/search", params={"q": text[:2000].encode("utf-8", "replace").decode()})
    assert lines_of(found.text)[-1]["type"] == "end"


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"[]",
        b'{"kind":"chat","messages":"x","tags":{},"metadata":[],"params":3}',
        b'{"kind":"chat","messages":[1,null,[],{}],"tags":[null,{}],"metadata":{"a":{"$":"x"}},"run_id":7}',
        b'{"kind":"llm","prompts":{"a":1},"t":"x","class":[[]],"options":7,"name":{}}',
        b'{"kind":"chat","messages":[{"content":[[[]],{"type":7},{"type":"image_url","image_url":{"url":7}}]}]}',
        orjson.dumps({"kind": "chat", "messages": [{"content": [{"type": "text", "text": ["x"]}], "tool_calls": {}}]}),
    ],
)
def test_bytes_of_another_writer_are_shown(path: Path, writer: SpoolWriter, body: bytes) -> None:
    record_id = writer.start(body, at=T)
    writer.end(
        record_id, {"generations": [{"text": 7}, None, {"message": {"content": 3}}], "error": [], "chunks": ["x"]}
    )
    with page_of(path) as page:
        addresses = ["calls", "facets", "histogram", "conversations", "delivery", f"calls/{record_id}"]
        addresses += [f"calls/{record_id}/{part}" for part in ("raw", "tree")]
        for address in addresses:
            found = page.get(f"/api/{address}")
            assert found.status_code == 200, (address, found.text)
