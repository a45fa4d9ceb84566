"""Recorded here, replayed in another process: without the server, the model file or the key, and without a network."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_openai import ChatOpenAI, OpenAI

from plsync.testing.tiny_model import write_tiny_model
from tests.support import programs
from tests.support.models import StreamingChat
from tests.support.openai_server import OpenAIServer
from tests.support.replaying import recorded
from tests.support.root import ROOT

SHOWN = """
import asyncio, json, sys, warnings
warnings.simplefilter("ignore")
from plsync.replay import load, record_all, with_recording
from plsync.replay.network_block import block_network

def shown(value):
    return value if isinstance(value, str) else [type(value).__name__, value.model_dump(exclude_none=True)]

async def responses(model):
    found = [shown(model.invoke("whole")), [shown(chunk) for chunk in model.stream("stream")]]
    found.append(shown(await model.ainvoke("whole, async")))
    found.append([shown(chunk) async for chunk in model.astream("stream, async")])
    return found

path = sys.argv[1]
with block_network():
"""


def shown(value: Any) -> Any:
    return [type(value).__name__, value.model_dump(exclude_none=True)] if isinstance(value, BaseMessage) else value


async def responses(model: Any) -> list[Any]:
    """The responses to every kind of call. ``SHOWN`` has the same function for the other process."""
    found: list[Any] = [shown(model.invoke("whole")), [shown(chunk) for chunk in model.stream("stream")]]
    found.append(shown(await model.ainvoke("whole, async")))
    found.append([shown(chunk) async for chunk in model.astream("stream, async")])
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def run_elsewhere(program: str, path: Path) -> Any:
    """The result of a program in another process that has only the recording."""
    lines = "\n".join(f"    {line}" for line in program.strip().splitlines())
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(path.parent)}
    done = programs.run(
        [sys.executable, "-c", f"{SHOWN}{lines}\n    print(json.dumps(asyncio.run(responses(model))))", str(path)],
        env=environment,
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def without_last_id(found: Any) -> Any:
    """Streams without the id of LangChain's last chunk: it differs if the provider assigns message ids."""
    for stream in (found[1], found[3]):
        if isinstance(stream[-1], list):
            stream[-1][1].pop("id", None)
    return found


@pytest.mark.parametrize(
    "program",
    [
        "model = load(path)",
        "from langchain_openai import ChatOpenAI; model = load(path, ChatOpenAI, model='gpt-4o-mini')",
        """
from langchain_openai import ChatOpenAI
model = with_recording(ChatOpenAI(model="gpt-4o-mini", api_key="none", base_url="http://127.0.0.1:1"), path)
        """,
        """
from langchain.chat_models import init_chat_model
patch = record_all(path)
patch.__enter__()
model = init_chat_model("openai:gpt-4o-mini")
        """,
    ],
    ids=["load", "load like", "with_recording", "record_all"],
)
async def test_chat_openai(program: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with OpenAIServer() as server:
        live = ChatOpenAI(
            model="gpt-4o-mini", base_url=server.url, api_key="sk-a-key-that-is-nobodys", stream_usage=True
        )
        first = await responses(recorded(live, path))
    assert without_last_id(run_elsewhere(program, path)) == without_last_id(first)


async def test_openais_text_model(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with OpenAIServer() as server:
        live = OpenAI(base_url=server.url, api_key="none", cache=False)
        first = [live_answer := recorded(live, path).invoke("whole")]
    assert live_answer == "Paris is it."
    program = "model = load(path)\nprint(json.dumps([model.invoke('whole')]))\nsys.exit()"
    assert run_elsewhere(program, path) == first


@pytest.mark.parametrize(
    "program",
    [
        "model = load(path)",
        "from langchain_community.llms import GPT4All; model = load(path, GPT4All, model='./gone.gguf')",
    ],
    ids=["load", "load like"],
)
async def test_gpt4all(program: str, tmp_path: Path) -> None:
    pytest.importorskip("gpt4all")
    from langchain_community.llms import GPT4All  # noqa: PLC0415

    path, file = tmp_path / "calls.jsonl", write_tiny_model(tmp_path / "tiny.gguf")
    first = await responses(recorded(GPT4All(model=str(file), n_threads=1), path))
    assert first[0] == " I am a tiny local model without any knowledge."
    file.unlink()
    assert run_elsewhere(program, path) == first
    assert str(tmp_path) not in path.read_text()


TOGETHER = """
import asyncio, sys, threading, warnings
warnings.simplefilter("ignore")
from langchain_community.llms import GPT4All
from plsync.replay import with_recording
model = with_recording(GPT4All(model=sys.argv[1], n_threads=1), sys.argv[2], mode="all")

async def together():
    return await asyncio.gather(*(model.ainvoke("tell me a joke") for _ in range(20)))

asyncio.run(together())
threads = [threading.Thread(target=model.invoke, args=("tell me a joke",)) for _ in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_gpt4all_survives_concurrent_calls_while_it_is_recorded(tmp_path: Path) -> None:
    """Without the lock the process ends with SIGSEGV or SIGABRT."""
    pytest.importorskip("gpt4all")
    file, path = write_tiny_model(tmp_path / "tiny.gguf"), tmp_path / "calls.jsonl"
    done = programs.run([sys.executable, "-c", TOGETHER, str(file), str(path)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(path.read_text().splitlines()) == 41


@pytest.mark.parametrize(
    "program",
    [
        "model = load(path)",
        "from tests.support.models import StreamingChat; from tests.support.replaying import replayed\n"
        "model = replayed(StreamingChat(), path)",
    ],
    ids=["load", "with_recording"],
)
async def test_a_fake_model_that_streams(program: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    first = await responses(recorded(StreamingChat(), path))
    assert run_elsewhere(program, path) == first
