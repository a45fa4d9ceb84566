"""The times of tokens: a part of a stream without content is no token. Cancelled streams of a real client."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, GenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph

from plsync import PromptLayerCallbackHandler
from plsync.journal import Record
from tests.support.models import records, texts
from tests.support.pausing_server import PausingServer

KEY = "sk-a-key-that-is-nobodys"


@pytest.fixture
def server() -> Iterator[PausingServer]:
    with PausingServer() as server:
        yield server


@pytest.fixture
def model(server: PausingServer, path: Path) -> ChatOpenAI:
    handler = PromptLayerCallbackHandler(journal=path)
    settings: dict[str, Any] = {"base_url": server.url, "api_key": KEY, "max_retries": 0, "callbacks": [handler]}
    return ChatOpenAI(model="gpt-4o-mini", **settings)


def only(path: Path) -> Record:
    (record,) = records(path)
    return record


def test_the_first_token_is_the_first_word(model: ChatOpenAI, server: PausingServer, path: Path) -> None:
    stream = model.stream("The capital of France?")
    next(stream)  # the role
    spoken_ns = time.time_ns()
    server.speak.set()
    server.finish.set()
    list(stream)
    record = only(path)
    assert record.first_token_at is not None
    assert record.first_token_at.timestamp() >= spoken_ns / 1e9
    assert record.chunk_times is not None
    assert len(record.chunk_times) == 3


async def gone(call: asyncio.Task[Any], path: Path) -> Record:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    async def ended() -> None:
        while only(path).status == "pending":
            await asyncio.sleep(0)

    await asyncio.wait_for(ended(), 30)
    return only(path)


async def test_a_cancelled_call_of_a_client_has_no_part(model: ChatOpenAI, server: PausingServer, path: Path) -> None:
    call = asyncio.create_task(model.ainvoke("hi"))
    await asyncio.to_thread(server.began.wait)
    record = await gone(call, path)
    assert (record.status, texts(record)) == ("cancelled", [])


async def test_a_graph_whose_client_goes_keeps_the_words_that_arrived(
    model: ChatOpenAI, server: PausingServer, path: Path
) -> None:
    async def node(state: MessagesState, config: RunnableConfig) -> Any:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)

    async def respond() -> None:
        app: Any = graph.compile()
        async for part, _ in app.astream({"messages": [("user", "hi")]}, stream_mode="messages"):
            words.append(part.content)
            if "".join(words) == "Paris is it.":
                read.set()

    words: list[str] = []
    read = asyncio.Event()
    call = asyncio.create_task(respond())
    server.speak.set()
    await asyncio.wait_for(read.wait(), 30)
    record = await gone(call, path)
    assert (record.status, texts(record)) == ("cancelled", ["Paris is it."])
    assert record.chunk_times is not None
    assert len(record.chunk_times) == 3


def chunk(content: Any = "", **fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=content, **fields))


CALL = {"name": "weather", "args": "", "id": "1", "index": 0}

TOKENS: list[tuple[Any, Any]] = [
    ("word", None),
    ("word", chunk("word")),
    ([{"type": "text", "text": "word", "index": 0}], chunk([{"type": "text", "text": "word", "index": 0}])),
    ("", chunk(tool_call_chunks=[CALL])),
    ("", chunk(additional_kwargs={"reasoning_content": "hm"})),
    ("", chunk([{"type": "thinking", "thinking": "hm", "index": 0}])),
    ("", chunk([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "index": 0}])),
    ("", chunk([{"type": "input_json_delta", "partial_json": "{", "index": 1}])),
    ("", chunk([{"type": "server_tool_use", "name": "web_search", "id": "1", "input": {}, "index": 1}])),
]
PARTS: list[tuple[Any, Any]] = [
    ("", None),
    ("", chunk()),
    ("", chunk([])),
    ("", chunk(additional_kwargs={"refusal": None})),
    ("", chunk(usage_metadata={"input_tokens": 1, "output_tokens": 0, "total_tokens": 1})),
    ("", chunk(response_metadata={"model_name": "claude"})),
    ([], chunk([])),
    ("", chunk([{"type": "text", "text": "", "index": 0}])),
    ([{"type": "text", "text": "", "id": "msg_1", "phase": "answer"}], chunk([])),
    ("", chunk([{"type": "thinking", "thinking": "", "signature": "", "index": 0}])),
    ("", chunk([{"type": "reasoning", "id": "rs_1", "summary": [], "index": 0}])),
    ("", GenerationChunk(text="")),
]


@pytest.mark.parametrize("token", range(len(TOKENS)))
@pytest.mark.parametrize("part", range(len(PARTS)))
def test_a_part_without_content_is_no_token(token: int, part: int, path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    run_id = uuid.uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=run_id)
    for text, piece in (PARTS[part], TOKENS[token], PARTS[part]):
        handler.on_llm_new_token(text, run_id=run_id, **({} if piece is None else {"chunk": piece}))
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=AIMessage("yes"))]]), run_id=run_id)
    record = only(path)
    assert record.chunk_times is not None
    assert len(record.chunk_times) == 1
