"""End to end: the handler records LangChain calls, PromptLayer accepts them, and the callbacks get their ids."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.language_models import FakeListLLM, GenericFakeChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables import RunnableConfig

from plsync import PromptLayerCallbackHandler, Record
from plsync.delivery.policy import SendPolicy
from plsync.delivery.sender import Sender
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer
from tests.support import programs


def send(path: Path, server: PromptLayerServer) -> list[dict[str, Any]]:
    """Send the records of the journal, and return the request logs."""
    with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
        result = Sender(journal, client, SendPolicy()).run_pass()
        assert (result.dead, result.in_doubt, result.halt) == (0, 0, None)
    return server.request_logs


def invoke(path: Path, answer: AIMessage, *messages: BaseMessage, **config: Any) -> None:
    model = GenericFakeChatModel(messages=iter([answer]))
    config["callbacks"] = [PromptLayerCallbackHandler(journal=path)]
    model.invoke(list(messages), config=cast("RunnableConfig", config))


def test_a_text_call_arrives(path: Path, server: PromptLayerServer) -> None:
    handler = PromptLayerCallbackHandler(pl_tags=["langchain", "gpt4all"], journal=path)
    FakeListLLM(responses=["Paris"]).invoke("The capital of France?", config={"callbacks": [handler]})
    (log,) = send(path, server)
    assert log["input"]["content"] == [{"type": "text", "text": "The capital of France?"}]
    assert log["output"]["content"] == [{"type": "text", "text": "Paris"}]
    assert log["tags"] == ["langchain", "gpt4all"]


def test_a_turn_after_a_tool_call_arrives_whole(path: Path, server: PromptLayerServer) -> None:
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"}
    invoke(
        path,
        AIMessage("It is 3.", usage_metadata={"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}),
        SystemMessage("You add."),
        HumanMessage("1 + 2?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("3", tool_call_id="c1", name="add"),
        FunctionMessage(content="3", name="add"),
        ChatMessage(content="Go on.", role="developer"),
    )
    (log,) = send(path, server)
    roles = [message["role"] for message in log["input"]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "function", "developer"]
    assert log["input"]["messages"][2]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a":1,"b":2}'}
    assert (log["input_tokens"], log["output_tokens"], log["status"]) == (9, 4, "SUCCESS")


def test_images_and_files_arrive_in_promptlayers_form(path: Path, server: PromptLayerServer) -> None:
    blocks: list[str | dict[Any, Any]] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "url": "https://example.com/cat.png"},
        {"type": "image", "base64": "QQ==", "mime_type": "image/png"},
        {"type": "file", "base64": "QQ==", "mime_type": "application/pdf", "filename": "a.pdf"},
        {"type": "audio", "base64": "QQ==", "mime_type": "audio/wav"},
    ]
    invoke(path, AIMessage("A cat."), HumanMessage(blocks))
    (log,) = send(path, server)
    kinds = [block["type"] for block in log["input"]["messages"][0]["content"]]
    assert kinds[0] == "text"
    assert set(kinds[1:]) <= {"image_url", "media"}
    assert len(kinds) == 5


def test_a_streamed_answer_arrives_as_one_message(path: Path, server: PromptLayerServer) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("one two three")]))
    chunks = list(model.stream("count", config={"callbacks": [PromptLayerCallbackHandler(journal=path)]}))
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    (log,) = send(path, server)
    assert log["output"]["messages"][0]["content"] == [{"type": "text", "text": "one two three"}]


def test_a_failing_call_arrives_as_an_error(path: Path, server: PromptLayerServer) -> None:
    model = GenericFakeChatModel(messages=iter([]))
    with pytest.raises((RuntimeError, StopIteration)):
        model.invoke("hi", config={"callbacks": [PromptLayerCallbackHandler(journal=path)]})
    (log,) = send(path, server)
    assert (log["status"], log["error_type"]) == ("ERROR", "UNKNOWN_ERROR")
    assert log["output"] == {"type": "chat", "messages": []}


def test_tags_metadata_and_odd_values_arrive_as_text(path: Path, server: PromptLayerServer) -> None:
    odd = {"user": 7, "set": {1}, "lone": "\ud800", "big": 1 << 80, "nan": float("nan")}
    invoke(path, AIMessage("yo"), HumanMessage("hi \ud800"), metadata=odd, tags=["lc"])
    (log,) = send(path, server)
    assert all(isinstance(value, str) for value in log["metadata"].values())
    assert (log["metadata"]["user"], log["tags"]) == ("7", ["lc"])


def test_the_callback_of_a_living_process_fires_when_another_sends(path: Path, server: PromptLayerServer) -> None:
    seen: list[tuple[int, Record]] = []
    fired = threading.Event()

    def on_id(request_id: int, record: Record) -> None:
        seen.append((request_id, record))
        fired.set()

    handler = PromptLayerCallbackHandler(on_id, journal=path)
    FakeListLLM(responses=["Paris"]).invoke("hi", config={"callbacks": [handler]})
    environment = {
        "PLSYNC_JOURNAL": str(path),
        "PROMPTLAYER_API_KEY": server.api_key,
        "PROMPTLAYER_BASE_URL": server.url,
    }
    command = [*programs.PLSYNC_IN_PYTHON, "run", "--once"]
    done = programs.run(command, env={**os.environ, **environment}, timeout=60, check=False)
    assert done.returncode in {0, 3}  # 3: its last check may come before this process has claimed the callback
    assert fired.wait(30)
    assert [request_id for request_id, _ in seen] == [server.request_logs[0]["id"]]
    assert seen[0][1].output[0]["text"] == "Paris"


def test_the_next_process_with_the_same_callback_takes_the_waiting_ids(path: Path, server: PromptLayerServer) -> None:
    program = (
        "import sys, threading\n"
        "from langchain_core.language_models import FakeListLLM\n"
        "from plsync import PromptLayerCallbackHandler\n"
        "fired = threading.Event()\n"
        "def on_id(request_id):\n"
        "    print(request_id, flush=True)\n"
        "    fired.set()\n"
        "handler = PromptLayerCallbackHandler(on_id, journal=sys.argv[1])\n"
        "FakeListLLM(responses=['Paris']).invoke('hi', config={'callbacks': [handler]})\n"
        "if len(sys.argv) > 2: fired.wait(30)\n"
    )
    script = path.parent / "program.py"
    script.write_text(program)
    first = programs.run([sys.executable, script, path], capture_output=True, text=True, timeout=60, check=True)
    assert first.stdout == ""
    (log,) = send(path, server)
    second: list[str | Path] = [sys.executable, script, path, "wait"]
    later = programs.run(second, capture_output=True, text=True, timeout=60, check=True)
    assert later.stdout.split() == [str(log["id"])]
