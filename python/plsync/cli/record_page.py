"""One record as a page for people: facts, conversation, answer, parameters and metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import orjson
from rich.text import Text

from plsync._common.large_json import dumps
from plsync.cli import humanize
from plsync.cli.followup_table import follow_up_state, follow_up_text
from plsync.cli.output import escaped, indented, labelled, one_line
from plsync.journal.display.message_text import LEFT_OUT, content, content_gone, is_left_out, sender
from plsync.journal.display.noise import own_metadata, own_params
from plsync.journal.display.notes import delivery_note, result_note
from plsync.journal.events.facts import tool_calls_at
from plsync.journal.events.tool_arguments import broken_arguments
from plsync.journal.followups import FollowUp
from plsync.journal.record import Record

__all__ = ["record_page"]


def record_page(record: Record, followups: Sequence[FollowUp] = (), *, everything: bool = False) -> Iterator[Text]:
    """The lines of the page.

    Args:
        record: the record.
        followups: its follow-ups.
        everything: with the facts that LangChain and the provider repeat for each call.
    """
    left_out = is_left_out(record)
    yield from _facts(record)
    if followups:
        yield from _section("Follow-ups")
        for followup in followups:
            yield Text("  ").join([Text(), follow_up_text(followup), follow_up_state(followup)])
    yield from _section("Input")
    if not record.input:
        yield escaped(f"  {content_gone(record) or '(none recorded)'}", "dim")
    for item in record.input:
        yield from _message(item) if record.kind == "chat" else _body(item)
    for number, generation in enumerate(record.output, 1):
        yield from _section("Output" if len(record.output) == 1 else f"Output {number} of {len(record.output)}")
        lines = (
            [*_message(generation["message"], output=True)] if generation["message"] else [*_body(generation["text"])]
        )
        yield from lines
        if len(lines) == bool(generation["message"]):
            yield escaped(f"    {LEFT_OUT if left_out else '(empty)'}", "dim")
    if error := record.error:
        yield from _section("Error")
        code = f" ({error['status_code']})" if error["status_code"] is not None else ""
        message = error["message"] or (LEFT_OUT if left_out else "")
        first, *rest = indented(f"{error['type']}{code}: {message}", 4, "red")
        yield from (first[2:], *rest)
    params, metadata = _without_schemas(record.params), record.metadata
    shown = params if everything else own_params(record, params), metadata if everything else own_metadata(metadata)
    yield from _values("Parameters", shown[0])
    yield from _values("Options", {name: value for name, value in record.options.items() if value is not None})
    yield from _values("Metadata", shown[1])
    if hidden := len(params) + len(metadata) - len(shown[0]) - len(shown[1]):
        yield Text()
        yield escaped(f"  {humanize.count(hidden, 'fact')} of LangChain and the provider not shown: --all", "dim")


def _facts(record: Record) -> Iterator[Text]:
    yield labelled("record", escaped(record.id, "yellow"))
    if record.run_id:
        yield labelled(
            "run", escaped(record.run_id + (f", part of {record.parent_run_id}" if record.parent_run_id else ""))
        )
    call = " · ".join(filter(None, (record.model, record.provider, record.name, record.kind)))
    yield labelled("call", one_line(call))
    yield labelled("result", Text.assemble(humanize.result(record), escaped(result_note(record))))
    yield labelled("started", escaped(_times(record)))
    if usage := record.usage:
        spent = f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out, {usage['total_tokens']:,} in all"
        yield labelled("tokens", escaped(spent))
    if record.tags:
        yield labelled("tags", one_line(", ".join(record.tags)))
    yield labelled("delivery", Text.assemble(humanize.delivery(record), escaped(delivery_note(record))))
    if record.sink:
        yield labelled("callback", one_line(record.sink))
    if record.lossy:
        yield labelled("note", escaped("some values were stored in an approximate form"))
    if record.redacted:
        yield labelled("note", escaped("plsync redacted or removed content before it wrote the record"))


def _times(record: Record) -> str:
    parts = [humanize.exact_time(record.started_at)]
    if record.duration_ns is not None:
        parts.append(f"took {humanize.duration(record.duration_ns)}")
    if record.first_token_at is not None:
        wait = (record.first_token_at - record.started_at) // timedelta(microseconds=1)
        parts.append(f"first token after {humanize.duration(wait * 1000)}")
    if record.chunk_times:
        parts.append(humanize.count(len(record.chunk_times), "chunk"))
    return ", ".join(parts)


def _message(message: Any, *, output: bool = False) -> Iterator[Text]:
    if not isinstance(message, dict):
        yield from _body(message)
        return
    yield Text("  ") + one_line(sender(message)).append(":")
    yield from _body(content(message.get("content", _json(message))), indent=4)
    for call, broken in zip(tool_calls_at(message, "tool_calls"), broken_arguments(message), strict=True):
        if output and broken is not None:
            yield escaped(f"    → {call.get('name')}({broken}) is not a valid call: no JSON object", "red")
            continue
        arguments = ", ".join(f"{name}={_json(value)}" for name, value in _items(call.get("args")))
        yield escaped(f"    → {call.get('name')}({arguments})  {call.get('id') or ''}".rstrip(), "cyan")
    for call in tool_calls_at(message, "invalid_tool_calls"):
        yield escaped(f"    → {call.get('name')}({call.get('args')}) is not a valid call: {call.get('error')}", "red")


def _body(text: object, indent: int = 2) -> Iterator[Text]:
    return indented(text, indent) if text else iter(())


def _section(title: str) -> Iterator[Text]:
    yield Text()
    yield Text(title, style="bold")


def _values(title: str, values: dict[str, Any]) -> Iterator[Text]:
    if values:
        yield from _section(title)
        for name, value in values.items():
            first, *rest = indented(value if isinstance(value, str) else _json(value), 4)
            yield from (Text("  ") + one_line(name) + Text(": ") + first[4:], *rest)


def _without_schemas(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters, with tools by name. Their schemas fill pages; ``--json`` prints them."""
    return {
        name: _tool_names(value) if name == "tools" else value for name, value in params.items() if value is not None
    }


def _tool_names(tools: Any) -> Any:
    if not isinstance(tools, list):
        return tools
    named = [tool.get("function", tool) if isinstance(tool, dict) else tool for tool in tools]
    return ", ".join(str(tool.get("name", "?")) if isinstance(tool, dict) else str(tool) for tool in named)


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _json(value: Any) -> str:
    return dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
