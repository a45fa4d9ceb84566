"""The facts of a record by column: the columns of a lake, from which a span is made, too.

``docs/guide/lake.md`` describes the columns. They are only ever added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from plsync._common.large_json import dumps
from plsync.errors import ExportError
from plsync.genai.messages import input_messages, output_messages, tool_calls, tool_definitions, tool_errors
from plsync.genai.operations import operation
from plsync.genai.runs import InheritedMetadata, run_facts
from plsync.journal.conditions import thread_of
from plsync.promptlayer.mapping.json_values import as_dict, integer, string
from plsync.promptlayer.mapping.params import parameters

if TYPE_CHECKING:
    from plsync._common.redaction import Redact
    from plsync.journal.record import Record

__all__ = ["COLUMNS", "CONTENT", "JSON_COLUMNS", "FactsMaker"]

COLUMNS: Final = {
    "record_id": "text",
    "journal_id": "text",
    "seq": "int",
    "trace_id": "text",
    "span_id": "text",
    "parent_span_id": "text",
    "run_id": "text",
    "parent_run_id": "text",
    "operation": "text",
    "name": "text",
    "provider": "text",
    "model": "text",
    "status": "text",
    "error_type": "text",
    "error_message": "text",
    "started_at": "time",
    "first_token_at": "time",
    "ended_at": "time",
    "duration_ns": "int",
    "input_tokens": "int",
    "output_tokens": "int",
    "cached_input_tokens": "int",
    "reasoning_tokens": "int",
    "input_messages": "text",
    "output_messages": "text",
    "tools": "text",
    "params": "text",
    "tool_calls": "texts",
    "tool_errors": "texts",
    "tags": "texts",
    "metadata": "map",
    "conversation_id": "text",
    "user_id": "text",
    "state": "text",
    "request_id": "int",
    "acked_at": "time",
    "marks": "texts",
    "kind": "text",
    "rerun_of": "text",
    "tool_call_id": "text",
    "run_input": "text",
    "run_output": "text",
}
"""The type of each column: ``text``, ``int``, ``time``, ``texts`` (a list) or ``map`` (of texts)."""

CONTENT: Final = ("input_messages", "output_messages", "tools", "error_message", "run_input", "run_output")
"""The columns that ``--no-content`` leaves empty."""

JSON_COLUMNS: Final = ("input_messages", "output_messages", "tools", "params", "run_input", "run_output")
"""The columns of texts that are JSON."""

# Engines read no later time: 9999-12-31T23:59:59.999999.
_LAST_US: Final = 253_402_300_799_999_999
_NO_CONTENT: Final = dict.fromkeys(CONTENT)
_EMPTY: Final = dict.fromkeys(COLUMNS)


class FactsMaker:
    """Makes the facts of records.

    Args:
        journal_id: the id of the journal.
        content: whether to keep messages, tools and error messages.
        redact: a hook that receives the facts of each record, and returns the facts to keep, or None to leave out the
            record.
        find: returns the record of an id, for the metadata that runs inherit; None for records of no journal.
    """

    def __init__(
        self,
        journal_id: str,
        *,
        content: bool = True,
        redact: Redact | None = None,
        find: Callable[[str], Record | None] | None = None,
    ) -> None:
        self.content: Final = content
        self.redact: Final = redact
        self._journal_id = journal_id
        self._inherited = InheritedMetadata(find or (lambda _: None))

    def facts(self, record: Record) -> dict[str, Any] | None:
        """The facts of a record by column; None if the hook leaves it out.

        The values of JSON columns are not encoded yet. Times are in µs since the epoch.

        Raises:
            ExportError: the hook raised, or returned a value that a column cannot hold.
        """
        facts = self._of_run(record) if record.is_run else _of_call(record)
        facts["journal_id"] = self._journal_id
        if not self.content:
            facts |= _NO_CONTENT
        return facts if self.redact is None else _redacted(self.redact, facts, record.id)

    def _of_run(self, record: Record) -> dict[str, Any]:
        facts = {**_of_any(record, self._inherited.of(record)), **run_facts(record)}
        # Only calls have a model, and the parameters of one.
        return facts | {"tool_calls": [], "tool_errors": []}


def _of_call(record: Record) -> dict[str, Any]:
    """The columns of a call. JSON columns hold JSON-able values; times are in µs since the epoch."""
    metadata, output, usage = record.metadata, record.output, record.usage
    details = cast("Mapping[str, Any]", usage or {})
    sent, received = input_messages(record.input), output_messages(output, failed=record.status == "error")
    return {
        **_of_any(record, metadata),
        "input_tokens": integer(details.get("input_tokens")),
        "output_tokens": integer(details.get("output_tokens")),
        "cached_input_tokens": integer(as_dict(details.get("input_token_details")).get("cache_read")),
        "reasoning_tokens": integer(as_dict(details.get("output_token_details")).get("reasoning")),
        "input_messages": sent,
        "output_messages": received,
        "tools": tool_definitions(record) or None,
        "params": parameters(record.params, record.options, metadata),
        "tool_calls": tool_calls(received),
        "tool_errors": tool_errors(sent),
    }


def _of_any(record: Record, metadata: dict[str, Any]) -> dict[str, Any]:
    """The columns of every record. The columns of calls and of runs are empty."""
    start, duration, error = record.started_ns, record.duration_ns, record.error
    first, acked = integer(record.plain_events()[1].get("first_token")), record.stored_row().acked_at_ns
    return {
        **_EMPTY,
        "record_id": record.id,
        "seq": record.seq,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "parent_span_id": _parent_span(record),
        "run_id": record.run_id,
        "parent_run_id": record.parent_run_id,
        "operation": operation(record),
        "name": record.name,
        "provider": record.provider,
        "model": record.model,
        "status": record.status,
        "error_type": None if error is None else error["type"],
        "error_message": None if error is None else error["message"],
        "started_at": _us(start),
        "first_token_at": None if first is None else _us(start + first),
        "ended_at": None if duration is None else _us(start + duration),
        "duration_ns": integer(duration),
        "tags": record.tags,
        "metadata": {key: _text(value) for key, value in metadata.items()},
        "conversation_id": thread_of(metadata),
        "user_id": string(metadata.get("user_id")),
        "state": record.state,
        "request_id": integer(record.request_id),
        "acked_at": None if acked is None else _us(acked),
        "marks": record.marks(),
        "kind": None if record.stored_kind() is None else record.kind,
        "rerun_of": string(metadata.get("rerun_of")),
    }


def _parent_span(record: Record) -> str | None:
    """The span of the parent. A renewed record has another trace than its tree."""
    parent = None if record.renewed else record.parent_id
    return None if parent is None else parent.replace("-", "")[16:]


def _redacted(redact: Callable[[dict[str, Any]], Any], facts: dict[str, Any], record_id: str) -> dict[str, Any] | None:
    try:
        kept = redact(dict(facts))
    except Exception as error:
        raise ExportError(
            f"the redact hook raised {type(error).__name__} for record {record_id}; the record was not written: "
            "correct the hook and export again"
        ) from error
    if kept is None:
        return None
    if not isinstance(kept, dict):
        raise ExportError(
            f"the redact hook returned {type(kept).__name__} for record {record_id}, and must return a dict or None"
        )
    for name, kind in COLUMNS.items():
        value = kept.get(name)
        if not (value is None or (_is_json(value) if name in JSON_COLUMNS else _FITS[kind](value))):
            raise ExportError(
                f"the redact hook returned a value of {type(value).__name__} as {name} of record {record_id}, which "
                "the column cannot hold: correct the hook and export again"
            )
    return {name: kept.get(name) for name in COLUMNS}


def _is_text(value: Any) -> bool:
    # Nothing can store a lone surrogate.
    return isinstance(value, str) and value.encode("utf-8", "replace").decode() == value


def _is_int(value: Any) -> bool:
    return integer(value) is not None


def _is_json(value: Any) -> bool:
    try:
        dumps(value)
    except TypeError:
        return False
    return True


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_text(key) and (item is None or _is_text(item)) for key, item in value.items()
    )


_FITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "text": _is_text,
    "int": _is_int,
    "time": lambda value: _is_int(value) and 0 <= value <= _LAST_US,
    "texts": _is_texts,
    "map": _is_map,
}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return dumps(value).decode()


def _us(ns: int) -> int:
    return min(max(ns // 1000, 0), _LAST_US)
