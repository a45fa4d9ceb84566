"""Calls as texts to paste: each program sends the request that was recorded, and each test passes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from plsync import Journal, PromptLayerCallbackHandler
from plsync.replay import export
from tests.support.openai_server import OpenAIServer
from tests.support.page import page_of
from tests.support.page_journal import PageJournal


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return city


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, server: OpenAIServer) -> tuple[Path, dict[str, Any], str]:
    """A call with every kind of message, the request that the server received, and the id of the record."""
    path = tmp_path_factory.mktemp("copied") / "journal"
    call = {"name": "weather", "args": {"city": "Paris"}, "id": "call_1", "type": "tool_call"}
    messages = [
        SystemMessage('You\'re "terse".\nJSON'),
        HumanMessage(
            [{"type": "text", "text": "How warm?"}, {"type": "image_url", "image_url": {"url": "https://a/b"}}]
        ),
        AIMessage("", tool_calls=[call]),
        ToolMessage("21 °C $HOME `id` ${x} 'quoted'", tool_call_id="call_1"),
        HumanMessage("In words\\n, please"),
    ]
    model = ChatOpenAI(
        model="gpt-4o-mini",
        base_url=server.url,
        api_key="sk-x",
        temperature=0.5,
        max_tokens=9,
        seed=7,
        max_retries=0,
    )
    handler = PromptLayerCallbackHandler(journal=path)
    model.bind_tools([weather]).invoke(messages, {"callbacks": [handler]}, stop=["END"])
    with Journal.open(path) as journal:
        return path, server.requests[-1], next(journal.records()).id


def text_of(path: Path, record: str, form: str) -> str:
    with page_of(path) as page:
        found = page.get(f"/api/calls/{record}/copy?as={form}")
        assert found.status_code == 200, found.text
        assert found.headers["content-type"].startswith("text/plain")
        return str(found.text)


@pytest.fixture
def openai(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    """The server, where the environment leads to it."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-y")
    return server


def test_the_program_sends_the_recorded_request(
    recorded: Any, openai: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path, request, record = recorded
    program = text_of(path, record, "python")
    assert "sk-" not in program
    exec(compile(program, "copied", "exec"), {})  # noqa: S102 - the subject of the test
    assert openai.requests[-1] == request
    assert len(openai.requests) == 2
    assert capsys.readouterr().out


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl")
def test_the_curl_sends_the_recorded_request(recorded: Any, openai: OpenAIServer) -> None:
    path, request, record = recorded
    command = text_of(path, record, "curl")
    assert "sk-" not in command
    sh = ["/bin/sh", "-s"]
    done = subprocess.run(sh, input=command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["object"] == "chat.completion"
    sent, expected = openai.requests[-1], {name: value for name, value in request.items() if name != "stream"}
    for message in (*sent["messages"], *expected["messages"]):
        # LangChain sends no content of a message with tool calls.
        message["content"] = message["content"] or ""
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert sent == expected


def test_the_test_passes_with_the_recording_of_its_command(
    recorded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _, record = recorded
    text = text_of(path, record, "pytest")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    command = text.splitlines()[0].removeprefix("# plsync ").split()
    with Journal.open(path) as journal:
        export(map(journal.get, command[1:2]), command[3])
    names: dict[str, Any] = {}
    exec(compile(text, "copied", "exec"), names)  # noqa: S102 - the subject of the test
    (function,) = (value for name, value in names.items() if name.startswith("test_"))
    function()


def test_texts_of_each_form(shown: PageJournal) -> None:
    assert text_of(shown.path, shown.ids["plain"], "answer") == "Please ignore line 7."
    assert text_of(shown.path, shown.ids["plain"], "prompt").startswith("You are a terse support agent.\n\nMy invoice")
    assert json.loads(text_of(shown.path, shown.ids["plain"], "messages"))[0]["type"] == "system"
    assert text_of(shown.path, shown.ids["plain"], "show") == f"plsync show {shown.ids['plain']}"
    for name in shown.ids:
        for form in ("python", "pytest"):
            if name != "tree":
                compile(text_of(shown.path, shown.ids[name], form), name, "exec")


def test_a_run_that_is_no_call_is_not_copied(shown: PageJournal) -> None:
    with page_of(shown.path) as page:
        assert page.get(f"/api/calls/{shown.ids['tree']}/copy?as=python").status_code == 400
        assert page.get(f"/api/calls/{shown.ids['plain']}/copy?as=rust").status_code == 400
