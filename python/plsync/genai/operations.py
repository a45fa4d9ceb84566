"""The operations of OpenTelemetry's ``gen_ai`` conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plsync.journal.events.facts import dict_at
from plsync.promptlayer.mapping.json_values import string
from plsync.promptlayer.mapping.step import is_agent

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["operation"]

_OPERATIONS = {"chat": "chat", "llm": "text_completion", "tool": "execute_tool", "retriever": "retrieval"}
"""The operation of each kind of record, but for chains."""


def operation(record: Record) -> str | None:
    """The value of ``gen_ai.operation.name`` for a record.

    The conventions have a name for a chain that is an agent or a graph. None for another chain, a prompt or a parser,
    and for a record without its events.
    """
    kind = record.stored_kind()
    if kind != "chain":
        return _OPERATIONS.get(kind or "")
    return "invoke_agent" if _is_agent(record) else None


def _is_agent(record: Record) -> bool:
    start, end = record.plain_events()
    if record.parent_id is None:
        return is_agent(start, start["input"] if "input" in start else end.get("input"))
    # An agent below another one names itself. Its nodes inherit the name, and do not store it.
    return string(dict_at(start, "metadata").get("lc_agent_name")) is not None
