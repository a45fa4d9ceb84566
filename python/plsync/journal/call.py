"""The facts of a call: its request, its response, its times. All are read from the call's two events.

The bodies of the events are JSON (``docs/reference/events.md``). A body is parsed at first use, so paging through a
long journal parses only the records that a program looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import orjson

from plsync._common.clock import datetime_from_ns
from plsync._common.large_json import loads
from plsync._common.native import END_ABANDONED, ENDS, FLAG_CACHED, FLAG_LOSSY, FLAG_REDACTED, FLAG_RUN
from plsync.journal.events import facts, params
from plsync.journal.events.facts import CallError, Generation, Usage
from plsync.journal.events.tagged import decode, decode_plain

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

    from plsync._common.native import Row

__all__ = ["KINDS", "STATUSES", "CallEnd", "CallEvents", "CallKind", "RunKind", "Status"]

CallKind = Literal["chat", "llm"]
RunKind = Literal["chat", "llm", "chain", "prompt", "parser", "tool", "retriever"]
Status = Literal["pending", "ok", "error", "cancelled", "partial", "interrupted"]
CallEnd = Literal["none", "ok", "error", "cancelled", "partial", "abandoned", "interrupted"]

KINDS: Final = frozenset({"chain", "prompt", "parser", "tool", "retriever"})
"""The kinds of runs that are not calls."""

_STATUS_OF_END: Final[dict[str, Status]] = {
    "none": "pending",
    "ok": "ok",
    "error": "error",
    "cancelled": "cancelled",
    "partial": "partial",
    "abandoned": "error",
    "interrupted": "interrupted",
}
STATUSES: Final[tuple[Status, ...]] = tuple(_STATUS_OF_END[end] for end in ENDS)
"""The status of each end; the index is the number of the end in docs/reference/format.md."""


class CallEvents:
    """The content of a record's two events. Immutable once the call has ended."""

    __slots__ = ("_end", "_output", "_row", "_start")

    def __init__(self, row: Row) -> None:
        """Programs get records from :class:`plsync.Journal`."""
        self._row = row
        self._start: dict[str, Any] | None = None
        self._end: dict[str, Any] | None = None
        self._output: list[Generation] | None = None

    # --- request ---

    @property
    def run_id(self) -> str | None:
        """LangChain's run id. Not unique: LangChain repeats it when a config is used again."""
        return facts.nonempty_text(self._from_either("run_id"))

    @property
    def parent_run_id(self) -> str | None:
        """The run id of the run that made this call."""
        return facts.nonempty_text(self._from_either("parent_run_id"))

    @property
    def kind(self) -> RunKind:
        """``chat`` (messages) or ``llm`` (a prompt). Of a run that is not a call, its kind in LangChain."""
        kind = self._from_either("kind")
        if self.is_run:
            return kind if kind in KINDS else "chain"
        return "chat" if kind == "chat" else "llm"

    @property
    def is_run(self) -> bool:
        """Whether it is a run that is not a call: a chain, a prompt, a parser, a tool or a retriever."""
        return bool(self._row.flags & FLAG_RUN)

    @property
    def root_id(self) -> str | None:
        """The record id of the root of its tree; None for a call outside trees. The root has its own id here."""
        root = _record_id(self._start_event().get("root"))
        return str(UUID(bytes=self._row.id)) if root is None and self.is_run else root

    @property
    def parent_id(self) -> str | None:
        """The record id of its parent in the tree; None for a root, and for a call outside trees."""
        start = self._start_event()
        return _record_id(start.get("parent")) or _record_id(start.get("root"))

    @property
    def started_after(self) -> str | None:
        """The record id of the root of the tree that was over when this run of it started."""
        return _record_id(self._start_event().get("after"))

    @property
    def name(self) -> str | None:
        """The run's name, else the name of the model class."""
        return facts.nonempty_text(self._start_event().get("name")) or self.class_name

    @property
    def class_name(self) -> str | None:
        """The name of the model class, e.g. ``ChatOpenAI``."""
        return facts.class_name(self._start_event())

    @property
    def model(self) -> str | None:
        """The name of the requested model, else of the model that responded, else of the model class.

        When the request has several names, because a call overrides its model's, the response decides.
        """
        requested = facts.models(self.metadata, self.params, self.kind)
        if len(requested) == 1:
            return requested[0]
        found = facts.requested_model(requested, facts.response_model(self.output))
        return found or facts.client_model(self._end_event()) or self.class_name

    @property
    def provider(self) -> str | None:
        """LangChain's ``ls_provider``, e.g. ``openai``, else the provider that the model class names."""
        return facts.provider(self._start_event())

    @property
    def input(self) -> list[Any]:
        """Message dicts (chat) or prompt strings (llm). Empty when the journal has no start of the call."""
        return facts.inputs(self._start_event())

    @property
    def params(self) -> dict[str, Any]:
        """LangChain's ``invocation_params``: model, temperature, tools, ... Schemas replace classes."""
        return params.params(self._start_event())

    @property
    def options(self) -> dict[str, Any]:
        """LangChain's ``options``: stop words, structured output format."""
        return facts.dict_at(self._start_event(), "options")

    @property
    def tags(self) -> list[str]:
        """LangChain's tags, then the handler's ``pl_tags``; each once, in order."""
        return facts.tags(self._start_event())

    @property
    def metadata(self) -> dict[str, Any]:
        """LangChain's metadata, with the user's own keys."""
        return facts.dict_at(self._start_event(), "metadata")

    # --- response ---

    @property
    def status(self) -> Status:
        """How the call ended; ``pending`` while it runs. A call whose process died is an ``error``."""
        return STATUSES[self._row.ended]

    @property
    def output(self) -> list[Generation]:
        """The candidates of the response. Of a failed call, the part that arrived."""
        if self._output is None:
            self._output = facts.generations(self._end_event())
        return self._output

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The tool calls of every candidate: ``{"name", "args", "id", "type"}``."""
        return facts.tool_calls(self.output)

    @property
    def usage(self) -> Usage | None:
        """The tokens used; ``None`` when the provider reported no count."""
        return facts.usage(self.output, self._end_event())

    @property
    def error(self) -> CallError | None:
        """Why the call failed. The type is ``Abandoned`` when its process ended before the call."""
        return facts.error(self._end_event(), abandoned=self._row.ended == END_ABANDONED)

    @property
    def cached(self) -> bool:
        """The response came from a LangChain cache: no model ran."""
        return bool(self._row.flags & FLAG_CACHED)

    @property
    def lossy(self) -> bool:
        """A value was kept only approximately."""
        return bool(self._row.flags & FLAG_LOSSY)

    @property
    def redacted(self) -> bool:
        """A redact hook, or ``content=False``, changed or removed content before it was written."""
        return bool(self._row.flags & FLAG_REDACTED)

    @property
    def damage(self) -> str | None:
        """Why a stored event is unreadable; its content is then missing here. ``None`` when all events are readable."""
        return self._row.damage

    # --- times ---

    @property
    def started_ns(self) -> int:
        """The start, in ns since the epoch. The end, when the journal has no start of the call."""
        for body in (self._start_event(), self._end_event()):
            if isinstance(at := body.get("t"), int):
                return at
        # The first 48 bits of a UUIDv7 are ms since the epoch.
        return int.from_bytes(self._row.id[:6], "big") * 1_000_000

    @property
    def ended_ns(self) -> int | None:
        """The end, in ns since the epoch, never before the start. ``None`` for a running or abandoned call."""
        return None if (duration := self.duration_ns) is None else self.started_ns + duration

    @property
    def duration_ns(self) -> int | None:
        """The duration of the call, in ns of monotonic time. ``None`` for a running or abandoned call."""
        end = self._end_event()
        if isinstance(elapsed := end.get("elapsed"), int):
            return elapsed
        # Without a monotonic figure only the wall clock is left, and it may have been set back in between.
        return max(0, end["t"] - self.started_ns) if isinstance(end.get("t"), int) else None

    @property
    def started_at(self) -> datetime:
        """:attr:`started_ns` as a datetime."""
        return datetime_from_ns(self.started_ns)

    @property
    def first_token_at(self) -> datetime | None:
        """The arrival of the first token, of a call that streamed."""
        first = self._end_event().get("first_token")
        return datetime_from_ns(self.started_ns + first) if isinstance(first, int) else None

    @property
    def ended_at(self) -> datetime | None:
        """:attr:`ended_ns` as a datetime."""
        return None if (at := self.ended_ns) is None else datetime_from_ns(at)

    @property
    def chunk_times(self) -> list[int] | None:
        """µs from the start to each token event, of a call that streamed."""
        times = self._end_event().get("chunks")
        return times if isinstance(times, list) else None

    @property
    def size(self) -> int:
        """The bytes of its events, as JSON."""
        return self._row.size

    # --- conversions ---

    def stored_end(self) -> CallEnd:
        """How the call ended: as :attr:`status`, but ``none`` while it runs, and ``abandoned`` if its process died."""
        return ENDS[self._row.ended]

    def stored_kind(self) -> str | None:
        """The kind in the events. None for a record without the events of a call: an opaque or a pruned one."""
        return facts.nonempty_text(self._from_either("kind"))

    def events(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The start and the end event (``docs/reference/events.md``); empty for an event that is missing."""
        return _parse(self._row.start), _parse(self._row.end)

    def plain_events(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The start and the end event in plain values: a message is the dict of its fields."""
        return self._start_event(), self._end_event()

    def messages(self) -> list[BaseMessage]:
        """The input as LangChain messages of their original classes. Empty for a text model (see :attr:`input`)."""
        found = _parse(self._row.start, decode).get("messages")
        return found if isinstance(found, list) else []

    def result(self) -> LLMResult | None:
        """The response as LangChain's ``LLMResult``; ``None`` for a running call."""
        if self._row.end is None:
            return None
        from langchain_core.outputs import LLMResult  # noqa: PLC0415 - reading must not cost LangChain's import

        # A redact hook may have replaced both fields by any value.
        end = _parse(self._row.end, decode)
        generations, output = end.get("generations"), end.get("llm_output")
        return LLMResult(
            generations=[generations if isinstance(generations, list) else []],
            llm_output=output if isinstance(output, dict) else None,
        )

    def llm_output(self) -> dict[str, Any]:
        """LangChain's ``llm_output``: facts of the whole answer, e.g. token counts. Empty without one."""
        return facts.dict_at(self._end_event(), "llm_output")

    def error_response(self) -> dict[str, Any]:
        """The provider's HTTP response to a failed call: ``body``, ``headers``, ``status_code``, ``request_id``.

        Empty without one. A key is missing when LangChain and the exception do not have its value.
        """
        return facts.dict_at(facts.dict_at(self._end_event(), "error"), "response")

    def drop_parsed(self) -> None:
        """Drop the parsed events. The next access parses them again.

        A program that keeps many records saves memory and time of the garbage collector.
        """
        self._start = self._end = self._output = None

    def drop_content(self) -> None:
        """Drop the events. The ids, the state and the size stay.

        A sender that waits for a response needs no more of a record.
        """
        self.drop_parsed()
        self._row = self._row.without_bodies()

    def _start_event(self) -> dict[str, Any]:
        if self._start is None:
            self._start = _parse(self._row.start, decode_plain)
        return self._start

    def _end_event(self) -> dict[str, Any]:
        if self._end is None:
            self._end = _parse(self._row.end, decode_plain)
        return self._end

    def _from_either(self, key: str) -> Any:
        return self._start_event().get(key) or self._end_event().get(key)


def _record_id(text: object) -> str | None:
    """The record id in a field of an event, with its dashes."""
    if not isinstance(text, str):
        return None
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _parse(body: bytes | None, read: Callable[[bytes], Any] = loads) -> dict[str, Any]:
    """The event in a body, as ``read`` returns it. Empty for other bytes, which ``Journal.append`` allows."""
    if body is None:
        return {}
    try:
        parsed = read(body)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
