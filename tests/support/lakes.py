"""Lakes of simulated machines, whose calls answer the five questions of docs/guide/lake.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from plsync.journal import Journal
from plsync.lake.export import export
from tests.support.spooling import SpoolWriter

__all__ = ["DAY", "RECORDS", "START", "machine"]

START: Final = 1_777_593_600_000
"""2026-05-01T00:00:00Z, in ms."""
DAY: Final = 86_400_000
RECORDS: Final = 9
"""The records of a machine: four calls, and an agent with four runs of tools."""


def machine(journal: Path, lake: Path, *, model: str, extra_seconds: int, acked: int) -> None:
    """Record the calls of one machine over two days, and export them.

    Args:
        journal: the path of its journal.
        lake: the directory of the lake.
        model: the name of the model.
        extra_seconds: added to the duration of the slowest call.
        acked: the number of records with a request id.
    """
    writer = SpoolWriter(journal)
    begin = [_human("Where?"), _calling("search", "fetch")]
    _call(writer, START, model, begin[:1], begin[1], seconds=2)
    failed = [*begin, _result("search", "success"), _result("fetch", "error")]
    _call(writer, START + 1, model, failed, _calling("fetch"), seconds=3)
    # The failure is in the history, and is reported once.
    later = [*failed, _calling("fetch"), _result("fetch", "success")]
    _call(writer, START + DAY, model, later, _calling(), seconds=4 + extra_seconds)
    refused = {"messages": [_human("Why?")], "params": {"model": model}, "metadata": {"release": "2.1"}}
    error = {"type": "RateLimitError", "message": "slow down"}
    writer.end(writer.start({"kind": "chat", **refused}, at=START + DAY + 1), {"error": error}, ended="error")
    _agent(writer)
    writer.close()
    with Journal.open(journal) as opened:
        opened.ingest(wait=True)
        opened.outbox.ack([(seq, 70 + seq) for seq in range(1, acked + 1)])
        export(opened, lake)


def _agent(writer: SpoolWriter) -> None:
    """Write the tree of an agent that called its tools."""
    agent: dict[str, Any] = {
        "input": {"messages": [_human("Where?")]},
        "metadata": {"thread_id": "t1", "release": "2.1"},
    }
    root = writer.run("chain", "traveller", at=START + DAY + 2, **agent)
    for at, (tool, ended) in enumerate([("search", "ok"), ("search", "ok"), ("fetch", "error"), ("fetch", "ok")]):
        error = {"type": "TimeoutError", "message": "no response"} if ended == "error" else None
        given: dict[str, Any] = {
            "input": {"x": at},
            "tool_call_id": f"id of {tool}",
            "end": {"output": "7", "error": error},
        }
        writer.run("tool", tool, at=START + DAY + 3 + at, root=root, ended=ended, **given)


def _call(
    writer: SpoolWriter, at: int, model: str, messages: list[Any], answer: dict[str, Any], *, seconds: int
) -> None:
    release = "2.0" if at == START else "2.1"
    start = {"kind": "chat", "messages": messages, "params": {"model": model}, "metadata": {"release": release}}
    usage = {"input_tokens": 1000 * seconds, "output_tokens": 100, "total_tokens": 1000 * seconds + 100}
    message = {**answer, "usage_metadata": usage}
    end = {"generations": [{"text": "", "message": message}], "elapsed": seconds * 1_000_000_000}
    writer.end(writer.start(start, at=at), end)


def _human(text: str) -> dict[str, Any]:
    return {"type": "human", "content": text}


def _calling(*names: str) -> dict[str, Any]:
    calls = [{"name": name, "args": {"x": 1}, "id": f"id of {name}", "type": "tool_call"} for name in names]
    return {"type": "ai", "content": "", "tool_calls": calls}


def _result(name: str, status: str) -> dict[str, Any]:
    return {"type": "tool", "content": "7", "tool_call_id": f"id of {name}", "status": status}
