"""A call as the handler writes it, and the request log that plsync sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from plsync.journal.record import STATUSES, Record
from plsync.promptlayer.mapping.blueprint import span
from plsync.testing.schema import check

AT = 1_795_378_479_779_262_001
RECORD_ID = bytes.fromhex("0193aaaabbbb7ccc8dddeeeeffff0001")


@dataclass
class StoredRow:
    """The attributes of a native row, by hand."""

    start: bytes | None = None
    end: bytes | None = None
    ended: int = 1
    flags: int = 0
    id: bytes = RECORD_ID
    seq: int = 1
    state: int = 1
    attempts: int = 1
    last_error: str | None = None
    damage: str | None = None
    sink: str | None = None
    writer: bytes = bytes(16)
    request_id: int | None = None
    server: str | None = None
    server_id: int | None = None
    acked_at_ns: int | None = None
    not_before: int | None = None
    lane: int = 0
    changed_at_ms: int = 0

    @property
    def size(self) -> int:
        return len(self.start or b"") + len(self.end or b"")

    def record(self) -> Record:
        return Record.from_row(self)  # type: ignore[arg-type]


@dataclass
class LoggedCall:
    """A call and the span that plsync sends. ``start`` and ``end`` replace fields of its events."""

    start: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    status: str = "ok"
    flags: int = 0
    damage: str | None = None

    def span(self) -> dict[str, Any]:
        start = {
            "v": 1,
            "kind": "chat",
            "t": AT,
            "run_id": "019a0000-0000-7000-8000-000000000001",
            "parent_run_id": None,
            "class": ["langchain_openai", "ChatOpenAI"],
            "name": None,
            "messages": [human("hi")],
            "params": {"model": "gpt-x"},
            "options": {},
            "tags": [],
            "pl_tags": [],
            "metadata": {"ls_provider": "openai"},
            **self.start,
        }
        end = {"v": 1, "t": AT + 5_000_000_000, "elapsed": 2_000_000_000, "generations": [], **self.end}
        events = orjson.dumps(start), orjson.dumps(end)
        row = StoredRow(*events, STATUSES.index(self.status), self.flags, damage=self.damage)
        built = span(row.record())
        check("Span", orjson.loads(orjson.dumps(built)))
        return built

    def log(self) -> dict[str, Any]:
        log: dict[str, Any] = self.span()["log_request"]
        return log


def tagged(tag: str, /, **fields: Any) -> dict[str, Any]:
    return {"$": tag, "v": fields}


def human(content: Any, **fields: Any) -> dict[str, Any]:
    return tagged("HumanMessage", type="human", content=content, **fields)


def answer(content: Any = "yo", **fields: Any) -> dict[str, Any]:
    message = tagged("AIMessage", type="ai", content=content, **fields)
    text = content if isinstance(content, str) else ""
    return tagged("ChatGeneration", text=text, message=message, generation_info=None)


def log_with(**params: Any) -> dict[str, Any]:
    """The log of a call with these parameters."""
    provider = params.pop("provider", "openai")
    return LoggedCall(start={"params": params, "metadata": {"ls_provider": provider}}).log()


def input_messages(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of the request log, for messages to a model."""
    found: list[dict[str, Any]] = LoggedCall(start={"messages": list(messages)}).log()["input"]["messages"]
    return found


def output_message(generation: dict[str, Any]) -> dict[str, Any]:
    """The message of the request log, for a model's answer."""
    found: list[dict[str, Any]] = LoggedCall(end={"generations": [generation]}).log()["output"]["messages"]
    return found[0]


def input_blocks(block: Any) -> list[dict[str, Any]]:
    """The blocks of the request log, for a content block to a model."""
    content: list[dict[str, Any]] = input_messages(human([block]))[0]["content"]
    return content


def output_blocks(block: Any) -> list[dict[str, Any]]:
    """The blocks of the request log, for a content block of a model's answer."""
    content: list[dict[str, Any]] = output_message(answer([block]))["content"]
    return content
