"""Calls that the program gives up: each ends once, as cancelled, with the part of the answer that had arrived."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph

from plsync import PromptLayerCallbackHandler
from plsync.journal import Record
from tests.support import programs
from tests.support.models import Chat, StreamingChat, StuckChat, records, texts


@pytest.fixture
def handler(path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=path)


@pytest.fixture
def stuck() -> StuckChat:
    return StuckChat(begun=asyncio.Event())


def only(path: Path) -> Record:
    (record,) = records(path)
    return record


class Halting(StreamingChat):
    """Streams its words and then waits without end; sets ``begun`` after the last word."""

    begun: Any = None

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for word in self.words:
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        self.begun.set()
        await asyncio.Event().wait()


async def cancel(call: Awaitable[Any], begun: asyncio.Event) -> None:
    task = asyncio.ensure_future(call)
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def wait_for(call: Awaitable[Any], begun: asyncio.Event) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(call, 0.05)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is new in Python 3.11")
async def timeout(call: Awaitable[Any], begun: asyncio.Event) -> None:
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(0.05):  # type: ignore[attr-defined, unused-ignore]
            await call


async def sibling(call: Awaitable[Any], begun: asyncio.Event) -> None:
    async def fail() -> None:
        await begun.wait()
        raise ValueError

    with pytest.raises(BaseException, match="TaskGroup"):
        async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined, unused-ignore]
            group.create_task(_as_coroutine(call))
            group.create_task(fail())


async def _as_coroutine(call: Awaitable[Any]) -> Any:
    return await call


ways = [cancel, wait_for] + ([timeout, sibling] if sys.version_info >= (3, 11) else [])


@pytest.mark.parametrize("way", ways)
async def test_a_call_that_is_cancelled_ends_at_once(
    way: Callable[..., Awaitable[None]], stuck: StuckChat, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    await way(stuck.ainvoke("hi", {"callbacks": [handler]}), stuck.begun)
    await asyncio.sleep(0)
    record = only(path)
    assert (record.status, record.error and record.error["type"]) == ("cancelled", "Cancelled")
    assert record.input[0]["content"] == "hi"
    assert record.duration_ns is not None


async def test_the_handler_may_go_with_its_call(stuck: StuckChat, path: Path) -> None:
    await cancel(stuck.ainvoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]}), stuck.begun)
    assert only(path).status == "cancelled"


@pytest.mark.parametrize("run_id", [uuid.uuid4(), str(uuid.uuid4())], ids=["object", "text"])
async def test_a_cancelled_task_ends_its_calls_though_the_program_keeps_the_id(
    run_id: Any, stuck: StuckChat, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    await cancel(stuck.ainvoke("hi", {"callbacks": [handler], "run_id": run_id}), stuck.begun)
    await asyncio.sleep(0)
    assert (only(path).status, only(path).run_id) == ("cancelled", str(run_id))


async def test_a_kept_error_does_not_delay_the_end(
    stuck: StuckChat, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    task = asyncio.create_task(stuck.ainvoke("hi", {"callbacks": [handler]}))
    await stuck.begun.wait()
    task.cancel()
    kept = await asyncio.gather(task, return_exceptions=True)
    assert only(path).status == "cancelled"
    assert isinstance(kept[0], asyncio.CancelledError)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is new in Python 3.11")
async def test_a_task_that_a_timeout_ends_has_no_open_calls(
    stuck: StuckChat, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    run_id = uuid.uuid4()

    async def call() -> None:
        async with asyncio.timeout(0.05):  # type: ignore[attr-defined, unused-ignore]
            await stuck.ainvoke("hi", {"callbacks": [handler], "run_id": run_id})

    # The program keeps the error, whose traceback keeps the call.
    kept = await asyncio.gather(asyncio.create_task(call()), return_exceptions=True)
    assert (only(path).status, only(path).run_id) == ("cancelled", str(run_id))
    assert isinstance(kept[0], asyncio.TimeoutError)


async def test_a_task_that_goes_on_ends_no_call_early(handler: PromptLayerCallbackHandler, path: Path) -> None:
    """An async generator may be read on by another task than the one that began it."""
    stream: Any = StreamingChat().astream("hi", {"callbacks": [handler]})

    async def read_once() -> None:
        await stream.__anext__()
        begun.set()
        await asyncio.Event().wait()

    begun = asyncio.Event()
    await cancel(read_once(), begun)
    await asyncio.sleep(0)
    assert only(path).status == "pending"
    async for _ in stream:
        pass
    assert (only(path).status, texts(only(path))) == ("ok", ["a b c"])


def graph(model: Chat) -> Any:
    async def node(state: MessagesState, config: RunnableConfig) -> Any:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    built = StateGraph(MessagesState)
    built.add_node("node", node)
    built.add_edge(START, "node")
    built.add_edge("node", END)
    return built.compile()


def streamed(app: Any, way: str, handler: PromptLayerCallbackHandler) -> AsyncIterator[Any]:
    config = {"callbacks": [handler]}
    given = {"messages": [("user", "hi")]}
    if way == "events":
        events: AsyncIterator[Any] = app.astream_events(given, config, version="v2")
        return events
    parts: AsyncIterator[Any] = app.astream(given, config, stream_mode=way)
    return parts


@pytest.mark.parametrize("way", ["messages", "events"])
@pytest.mark.parametrize("end", ["cancelled", "stopped"])
async def test_a_graph_whose_reader_goes_ends_its_calls_with_the_part_that_arrived(
    way: str, end: str, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    model = Halting(begun=asyncio.Event())

    async def read() -> None:
        async for part in streamed(graph(model), way, handler):
            if end == "stopped" and (way == "messages" or part["event"] == "on_chat_model_stream"):
                break

    if end == "cancelled":
        await cancel(read(), model.begun)
    else:
        await read()

    async def ended() -> None:
        while only(path).status == "pending":  # the loop closes the graph's generators in another task
            await asyncio.sleep(0)

    await asyncio.wait_for(ended(), 30)
    record = only(path)
    assert record.status == "cancelled"
    assert texts(record) == ["a b c"] or (end == "stopped" and texts(record)[0].startswith("a "))
    assert record.first_token_at is not None


def test_a_loop_that_is_closed_ends_its_calls(handler: PromptLayerCallbackHandler, path: Path) -> None:
    async def main() -> None:
        stuck = StuckChat(begun=asyncio.Event())
        left.append(asyncio.create_task(stuck.ainvoke("hi", {"callbacks": [handler]})))
        await stuck.begun.wait()

    left: list[Any] = []
    asyncio.run(main())
    assert only(path).status == "cancelled"


def test_a_stream_that_is_open_when_its_loop_closes_is_cancelled(path: Path) -> None:
    # In another process, because pytest keeps the error that Python shows for the stream.
    program = """
    import asyncio, gc, sys
    from pathlib import Path
    from plsync import PromptLayerCallbackHandler
    from tests.support.models import StreamingChat, records, texts

    handler = PromptLayerCallbackHandler(journal=sys.argv[1])
    loop = asyncio.new_event_loop()
    stream = StreamingChat().astream("hi", {"callbacks": [handler]})
    loop.run_until_complete(stream.__anext__())
    loop.close()
    del stream
    gc.collect()
    print([(record.status, texts(record)) for record in records(Path(sys.argv[1]))])
    """
    run = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    done = programs.run(run, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[('cancelled', ['a '])]"


def test_an_end_that_comes_later_replaces_the_cancelled_one(handler: PromptLayerCallbackHandler, path: Path) -> None:
    text = str(uuid.uuid4())
    run_id = uuid.UUID(text)
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=run_id)
    del run_id
    assert only(path).status == "cancelled"
    answer = LLMResult(generations=[[ChatGeneration(message=AIMessage("yes"))]])
    handler.on_llm_end(answer, run_id=uuid.UUID(text))
    record = only(path)
    assert (record.status, texts(record), record.error) == ("ok", ["yes"], None)
    handler.on_llm_end(answer, run_id=uuid.UUID(text))
    assert len(records(path)) == 1


def test_a_start_with_a_temporary_id_is_not_cancelled(handler: PromptLayerCallbackHandler, path: Path) -> None:
    text = str(uuid.uuid4())
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=uuid.UUID(text))
    assert only(path).status == "pending"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_call_is_cancelled(
    error: type[BaseException], handler: PromptLayerCallbackHandler, path: Path
) -> None:
    def interrupt(_: Any) -> AIMessage:
        raise error

    with pytest.raises(error):
        Chat(reply=interrupt).invoke("hi", {"callbacks": [handler]})
    record = only(path)
    assert (record.status, record.error and record.error["type"]) == ("cancelled", error.__name__)


IN_A_THREAD = """
    import os, signal, sys, threading, time
    from langchain_core.messages import AIMessage
    from plsync import PromptLayerCallbackHandler
    from tests.support.models import Chat

    def reply(_):
        begun.set()
        time.sleep(60)

    begun = threading.Event()
    handler = PromptLayerCallbackHandler(journal=sys.argv[1])
    call = lambda: Chat(reply=reply).invoke("hi", {"callbacks": [handler]})
"""


@pytest.mark.parametrize(
    "program",
    [
        "threading.Thread(target=call, daemon=True).start(); begun.wait()",
        "threading.Thread(target=call, daemon=True).start(); begun.wait(); sys.exit(3)",
        """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    call()
    """,
        """
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    call()
    """,
    ],
    ids=["exit", "sys.exit", "SIGTERM", "Ctrl-C"],
)
def test_a_call_that_is_open_when_the_program_exits_is_cancelled(program: str, path: Path) -> None:
    source = textwrap.dedent(IN_A_THREAD) + textwrap.dedent(program)
    programs.run([sys.executable, "-c", source, str(path)], check=False, capture_output=True, timeout=60)
    assert only(path).status == "cancelled"


def test_a_forked_child_ends_no_call_of_its_parent(path: Path) -> None:
    program = """
    import os, sys
    from plsync import PromptLayerCallbackHandler
    from tests.support.models import Chat

    def fork_and_answer(_):
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        return Chat().reply([])

    handler = PromptLayerCallbackHandler(journal=sys.argv[1])
    Chat(reply=fork_and_answer).invoke("hi", {"callbacks": [handler]})
    """
    program = program.replace("sys.exit(0)", "(gc.collect(), atexit._run_exitfuncs(), os._exit(0))")
    program = program.replace("import os, sys", "import atexit, gc, os, sys")
    programs.run([sys.executable, "-c", textwrap.dedent(program), str(path)], check=True, timeout=60)
    assert [record.status for record in records(path)] == ["ok"]
