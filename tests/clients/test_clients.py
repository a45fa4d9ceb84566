"""Every client of a provider, in its wire format: its calls are recorded, delivered and replayed.

The table in ``docs/reference/clients.md`` has the result. The tests compare the rows of the clients that are installed,
and write them when ``PLSYNC_WRITE_CLIENTS`` is set. ``make clients`` installs every client.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_core.tools import tool
from pydantic import BaseModel

from plsync import Journal, PromptLayerCallbackHandler, Record
from plsync.testing import PromptLayerServer
from tests.support.replaying import recorded, replayed
from tests.support.root import ROOT
from tests.support.sending import send_once
from tests.support.wire.clients import CLIENTS, Client
from tests.support.wire.server import FILLED, INPUT_TOKENS, TEXT, WireServer

TABLE = ROOT / "docs" / "reference" / "clients.md"
COLUMNS = ("invoke", "stream", "tools", "structured", "usage", "error", "cancel")
PROMPT = "What is the capital of France?"

pytestmark = [
    # Clients warn of their dependencies, and leave sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]


class City(BaseModel):
    """A city."""

    name: str


@tool
def find(name: str) -> str:
    """Finds a city."""
    return name


def text_of(answer: Any) -> str:
    return answer.strip() if isinstance(answer, str) else str(answer.text).strip()


def invoke(model: Any, config: Any) -> None:
    assert text_of(model.invoke(PROMPT, config)) == TEXT


def stream(model: Any, config: Any) -> None:
    chunks = [chunk if isinstance(chunk, str) else chunk.text for chunk in model.stream(PROMPT, config)]
    assert "".join(chunks).strip() == TEXT


def tools(model: Any, config: Any) -> None:
    (call,) = model.bind_tools([find]).invoke(PROMPT, config).tool_calls
    assert (call["name"], call["args"]) == ("find", FILLED)


def tools_in_a_stream(model: Any, config: Any) -> None:
    chunks = list(model.bind_tools([find]).stream(PROMPT, config))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.tool_calls[0]["args"] == FILLED


def structured(model: Any, config: Any) -> None:
    assert model.with_structured_output(City).invoke(PROMPT, config) == City(**FILLED)


CALLS: dict[str, tuple[Callable[[Any, Any], None], ...]] = {
    "invoke": (invoke,),
    "stream": (stream,),
    "tools": (tools, tools_in_a_stream),
    "structured": (structured,),
    "usage": (invoke, stream),
}


class Run:
    """One client: a model that is recorded by a handler and into a file, and the server that answers it."""

    def __init__(self, client: Client, server: WireServer | None, directory: Path) -> None:
        self.client, self.server, self.file = client, server, directory / "calls.jsonl"
        self.path = directory / "journal"
        self.model = client.model(server.url if server is not None else "")
        self.recorded = recorded(self.model, self.file)
        self.config: Any = {"callbacks": [PromptLayerCallbackHandler(journal=self.path)]}

    def calls(self, column: str) -> tuple[Callable[[Any, Any], None], ...]:
        return CALLS[column][:1] if column in self.client.whole_only else CALLS[column]

    def make(self, column: str) -> None:
        """Make the calls of a column."""
        if column == "error":
            assert self.server is not None
            self.server.failure = self.client.failure
            with pytest.raises(Exception):  # noqa: B017 - of any client
                self.recorded.invoke(PROMPT, self.config)
            self.server.failure = None
        elif column == "cancel":
            asyncio.run(self._cancel())
        else:
            for call in self.calls(column):
                call(self.recorded, self.config)

    async def _cancel(self) -> None:
        assert self.server is not None
        self.server.arrived.clear()
        self.server.held.clear()
        task = asyncio.create_task(self.model.ainvoke(PROMPT, self.config))
        await asyncio.get_running_loop().run_in_executor(None, self.server.arrived.wait, 20)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self.server.held.set()

    def records(self) -> list[Record]:
        if not self.path.exists():
            return []
        with Journal.open(self.path) as journal:
            return list(journal.records())[::-1]

    def replay(self, column: str) -> None:
        """Replay the calls of a column, without the server."""
        model = replayed(self.model, self.file)
        if column == "error":
            with pytest.raises(Exception) as raised:
                model.invoke(PROMPT)
            assert raised.type.__name__ not in {"AssertionError", "RecordingMismatch"}
            return
        for call in self.calls(column):
            call(model, {})


SCHEMA = b'"properties":{"name":'


def is_recorded(column: str, record: Record, output_tokens: int) -> bool:
    error: Any = record.error or {}
    used = record.usage or {}
    holds: dict[str, Callable[[], bool]] = {
        "error": lambda: (record.status, error.get("status_code")) == ("error", 429),
        "cancel": lambda: record.status == "cancelled",
        "tools": lambda: [call["args"] for call in record.tool_calls] == [FILLED],
        "structured": lambda: SCHEMA in orjson.dumps([record.params, record.options]),
        "usage": lambda: (used.get("input_tokens"), used.get("output_tokens")) == (INPUT_TOKENS, output_tokens),
    }
    if column not in {"error", "cancel"} and (record.status != "ok" or record.lossy):
        return False
    return holds[column]() if column in holds else record.output[0]["text"].strip() == TEXT


def is_delivered(column: str, log: dict[str, Any], output_tokens: int) -> bool:
    output = log["output"]["content"] if log["output"]["type"] == "completion" else log["output"]["messages"]
    offered = log["input"].get("tools") or []
    holds: dict[str, Callable[[], bool]] = {
        "error": lambda: (log["status"], log["error_type"], output) == ("ERROR", "PROVIDER_RATE_LIMIT", []),
        "cancel": lambda: log["status"] == "WARNING",
        "tools": lambda: (
            orjson.loads(output[0]["tool_calls"][0]["function"]["arguments"]) == FILLED
            and offered[0]["function"]["name"] == "find"
        ),
        "structured": lambda: SCHEMA in orjson.dumps([log["parameters"], offered]),
        "usage": lambda: (log.get("input_tokens"), log.get("output_tokens")) == (INPUT_TOKENS, output_tokens),
    }
    return holds[column]() if column in holds else TEXT in orjson.dumps(output).decode()


def cell(run: Run, column: str, server: PromptLayerServer) -> str:
    """The cell of a client: ``yes``, or the steps that hold."""
    before = len(run.records())
    run.make(column)
    records = run.records()[before:]
    send_once(run.path, server)
    logs = {log["metadata"]["plsync_id"]: log for log in server.request_logs}
    held = []
    if records and all(is_recorded(column, record, run.client.output_tokens) for record in records):
        held.append("recorded")
    if records and all(
        record.id in logs and is_delivered(column, logs[record.id], run.client.output_tokens) for record in records
    ):
        held.append("delivered")
    if column != "cancel":
        with contextlib.suppress(Exception):
            run.replay(column)
            held.append("replayed")
    whole = "yes, not in streams" if column in run.client.whole_only else "yes"
    return whole if len(held) == (2 if column == "cancel" else 3) else ", ".join(held) or "no"


def row(client: Client, directory: Path) -> str:
    """The row of a client in the table."""
    with contextlib.ExitStack() as stack:
        wire = None if client.answer is None else stack.enter_context(WireServer(client.answer))
        server = stack.enter_context(PromptLayerServer())
        cells = []
        for column in COLUMNS:
            if column in client.lacks:
                cells.append("-")
                continue
            place = directory / column
            place.mkdir()
            cells.append(cell(Run(client, wire, place), column, server))
        return f"| `{client.name}` | {' | '.join(cells)} |"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_the_table_holds_for_every_client_that_is_installed(client: Client, tmp_path: Path) -> None:
    if not client.installed:
        pytest.skip(f"{client.module} is not installed")
    found = row(client, tmp_path)
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    at = next((number for number, line in enumerate(lines) if line.startswith(f"| `{client.name}` |")), None)
    if os.environ.get("PLSYNC_WRITE_CLIENTS"):
        lines[at if at is not None else len(lines) : at + 1 if at is not None else len(lines)] = [found]
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        assert at is not None
        assert lines[at] == found
