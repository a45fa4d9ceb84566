"""What the two events of a call say: what was asked, what came back, when.

Everything is read from the JSON bodies of the events (``docs/reference/events.md``) and the flags beside them. Bodies
are parsed at first use, so paging through a long journal costs what is looked at and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from plsync._common.clock import datetime_from_ns
from plsync._common.native import END_ABANDONED, ENDS, FLAG_CACHED, FLAG_LOSSY, FLAG_REDACTED
from plsync.journal.events import facts
from plsync.journal.events.facts import CallError, Generation, Usage
from plsync.journal.events.tagged import decode, read_plain

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

    from plsync._common.native import Row

__all__ = ["STATUSES", "Call", "Kind", "Status"]

Kind = Literal["chat", "llm"]
Status = Literal["pending", "ok", "error", "cancelled", "partial"]

_STATUS_OF_END: Final[dict[str, Status]] = {
    "none": "pending",
    "ok": "ok",
    "error": "error",
    "cancelled": "cancelled",
    "partial": "partial",
    "abandoned": "error",
}
STATUSES: Final[tuple[Status, ...]] = tuple(_STATUS_OF_END[end] for end in ENDS)
"""The status of each end; the index is the number of the end in docs/reference/format.md."""


class Call:
    """The part of a :class:`plsync.Record` that was written as it was called, and never changes after its end."""

    __slots__ = ("_end", "_output", "_row", "_start")

    def __init__(self, row: Row) -> None:
        """Wraps a stored row; programs get records from :class:`plsync.Journal`."""
        self._row = row
        self._start: dict[str, Any] | None = None
        self._end: dict[str, Any] | None = None
        self._output: list[Generation] | None = None

    # --- what was asked ---

    @property
    def run_id(self) -> str | None:
        """LangChain's run id. Not unique: LangChain repeats it when a config is used again."""
        return facts.text(self._either("run_id"))

    @property
    def parent_run_id(self) -> str | None:
        """The run this call was part of."""
        return facts.text(self._either("parent_run_id"))

    @property
    def kind(self) -> Kind:
        """``chat`` (messages) or ``llm`` (a prompt)."""
        return "chat" if self._either("kind") == "chat" else "llm"

    @property
    def name(self) -> str | None:
        """The run's name, else the model class's."""
        return facts.text(self._started().get("name")) or self.class_name

    @property
    def class_name(self) -> str | None:
        """The model class's name, e.g. ``ChatOpenAI``."""
        return facts.class_name(self._started())

    @property
    def model(self) -> str | None:
        """The model's name as the request gives it, else the answer; else the model class's name."""
        return facts.model(self.metadata, self.params) or facts.answered_model(self.output) or self.class_name

    @property
    def provider(self) -> str | None:
        """LangChain's ``ls_provider``, e.g. ``openai``; else the model class's name in lower case."""
        return facts.text(self.metadata.get("ls_provider")) or (self.class_name or "").lower() or None

    @property
    def input(self) -> list[Any]:
        """Message dicts (chat) or prompt strings (llm); empty when the start was not seen."""
        return facts.given(self._started())

    @property
    def params(self) -> dict[str, Any]:
        """LangChain's ``invocation_params``: model, temperature, tools, ..."""
        return facts.fields(self._started(), "params")

    @property
    def options(self) -> dict[str, Any]:
        """LangChain's ``options``: stop words, structured output format."""
        return facts.fields(self._started(), "options")

    @property
    def tags(self) -> list[str]:
        """LangChain's tags, then the handler's ``pl_tags``; each once, in order."""
        return facts.tags(self._started())

    @property
    def metadata(self) -> dict[str, Any]:
        """LangChain's metadata, the user's own keys among them."""
        return facts.fields(self._started(), "metadata")

    # --- what came back ---

    @property
    def status(self) -> Status:
        """How the call ended; ``pending`` while it has not. A call whose process died is an ``error``."""
        return STATUSES[self._row.ended]

    @property
    def output(self) -> list[Generation]:
        """The candidates; on errors, what had arrived."""
        if self._output is None:
            self._output = facts.generations(self._ended())
        return self._output

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The tool calls of every candidate: ``{"name", "args", "id", "type"}``."""
        return facts.tool_calls(self.output)

    @property
    def usage(self) -> Usage | None:
        """Tokens used, or ``None`` when nobody counted."""
        return facts.usage(self.output, self._ended())

    @property
    def error(self) -> CallError | None:
        """Why the call failed; type ``Abandoned`` when its process ended before the call did."""
        return facts.error(self._ended(), abandoned=self._row.ended == END_ABANDONED)

    @property
    def cached(self) -> bool:
        """Answered from a LangChain cache: no model ran."""
        return bool(self._row.flags & FLAG_CACHED)

    @property
    def lossy(self) -> bool:
        """A value could only be kept approximately."""
        return bool(self._row.flags & FLAG_LOSSY)

    @property
    def redacted(self) -> bool:
        """A redact hook, or ``content=False``, changed or removed content before it was written."""
        return bool(self._row.flags & FLAG_REDACTED)

    @property
    def damage(self) -> str | None:
        """Why a stored event could not be read, when one could not: what it held is then missing here."""
        return self._row.damage

    # --- when ---

    @property
    def started_ns(self) -> int:
        """Start, ns since the epoch; when the start was not seen, the moment of the end."""
        for body in (self._started(), self._ended()):
            if isinstance(at := body.get("t"), int):
                return at
        # The first 48 bits of a UUIDv7 are ms since the epoch.
        return int.from_bytes(self._row.id[:6], "big") * 1_000_000

    @property
    def ended_ns(self) -> int | None:
        """End, ns since the epoch, never before the start; ``None`` while the call runs and when it was abandoned."""
        return None if (duration := self.duration_ns) is None else self.started_ns + duration

    @property
    def duration_ns(self) -> int | None:
        """How long the call took, in ns of monotonic time; ``None`` when it has no end."""
        end = self._ended()
        if isinstance(elapsed := end.get("elapsed"), int):
            return elapsed
        # Without a monotonic figure the wall clock has to do, and it may have been set back in between.
        return max(0, end["t"] - self.started_ns) if isinstance(end.get("t"), int) else None

    @property
    def started_at(self) -> datetime:
        """:attr:`started_ns` as a datetime."""
        return datetime_from_ns(self.started_ns)

    @property
    def first_token_at(self) -> datetime | None:
        """Arrival of the first token, when the call streamed."""
        first = self._ended().get("first_token")
        return datetime_from_ns(self.started_ns + first) if isinstance(first, int) else None

    @property
    def ended_at(self) -> datetime | None:
        """:attr:`ended_ns` as a datetime."""
        return None if (at := self.ended_ns) is None else datetime_from_ns(at)

    @property
    def chunk_times(self) -> list[int] | None:
        """µs from the start to each token event, when the call streamed."""
        times = self._ended().get("chunks")
        return times if isinstance(times, list) else None

    @property
    def size(self) -> int:
        """Bytes of its events, as JSON."""
        return self._row.size

    # --- as other things ---

    def events(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The start and the end event (``docs/reference/events.md``); empty for an event that is missing."""
        return _parse(self._row.start), _parse(self._row.end)

    def messages(self) -> list[BaseMessage]:
        """The input as LangChain messages, each of its own class; empty for a text model (see :attr:`input`)."""
        found = _parse(self._row.start, decode).get("messages")
        return found if isinstance(found, list) else []

    def result(self) -> LLMResult | None:
        """The answer as LangChain's ``LLMResult``; ``None`` while there is no end."""
        if self._row.end is None:
            return None
        from langchain_core.outputs import LLMResult  # noqa: PLC0415 - looking must not cost LangChain's import

        # A redact hook may have put anything in the place of either.
        end = _parse(self._row.end, decode)
        generations, output = end.get("generations"), end.get("llm_output")
        return LLMResult(
            generations=[generations if isinstance(generations, list) else []],
            llm_output=output if isinstance(output, dict) else None,
        )

    def let_go(self) -> None:
        """Drop what was parsed; it is parsed again when it is asked for.

        Of many records that are kept at once the parsed form takes much memory, and Python's collector goes through it.
        """
        self._start = self._end = self._output = None

    def _started(self) -> dict[str, Any]:
        if self._start is None:
            self._start = _parse(self._row.start, read_plain)
        return self._start

    def _ended(self) -> dict[str, Any]:
        if self._end is None:
            self._end = _parse(self._row.end, read_plain)
        return self._end

    def _either(self, key: str) -> Any:
        return self._started().get(key) or self._ended().get(key)


def _parse(body: bytes | None, read: Callable[[bytes], Any] = orjson.loads) -> dict[str, Any]:
    """The event, as it was written or as another reader has it; empty for bytes that are none.

    Programs may append such bytes as opaque events.
    """
    if body is None:
        return {}
    try:
        parsed = read(body)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
