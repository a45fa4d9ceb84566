"""The recorded calls that a rerun sends: of a journal, or of a recording."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from plsync.errors import RecordingNotFound, RecordNotFound
from plsync.journal.events.tagged import decode_plain, encode
from plsync.journal.filters import Filters
from plsync.replay.matching import Matcher
from plsync.replay.request.request import Request, request_of_record
from plsync.replay.request.tools import canonical_format
from plsync.replay.storage.file import RecordingFile
from plsync.replay.storage.file_source import line_name
from plsync.replay.storage.recorded_call import RecordedCall
from plsync.rerun.answers import Answer
from plsync.rerun.reruns import ORIGINAL

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record

__all__ = ["JournalOriginals", "Original", "Originals", "RecordingOriginals"]

# LangChain stores the schema of with_structured_output() under this name, for every form of the request.
_STRUCTURED: Final = "ls_structured_output_format"


@dataclass(frozen=True, slots=True)
class Original:
    """A recorded call."""

    id: str
    """The id of the record; of a recorded call: the digits of its key, and its number among the calls of that key."""
    request: Request
    """The request: messages or prompt, stop words, tools, tool choice, response format."""
    content: Callable[[], list[BaseMessage] | str]
    """Returns the messages, or the prompt of a text model."""
    read_answer: Callable[[], Answer]
    """Returns the recorded answer."""
    source: Any
    """The ``Record``, or the recorded call as a dict (``docs/reference/recordings.md``)."""

    @property
    def answer(self) -> Answer:
        """The recorded answer. A comparison needs it, and a rerun does not."""
        return self.read_answer()


class Originals(Protocol):
    """The recorded calls of a source."""

    skipped: int
    """Calls that the last iteration left out: their content is not recorded, or a message in them is not whole."""

    def __iter__(self) -> Iterator[Original]:
        """The calls, oldest first."""

    def ids(self) -> Iterator[str]:
        """The ids of the calls, oldest first. No request is read whole."""

    def get(self, original_id: str) -> Original | None:
        """The call with this id."""


class JournalOriginals:
    """The calls of a journal that pass the filters, without calls that are reruns themselves."""

    def __init__(self, journal: Journal, filters: Filters | None = None, limit: int | None = None) -> None:
        """Reads nothing yet.

        Args:
            journal: the open journal.
            filters: the filters of ``Journal.records()``.
            limit: only the newest calls, at most this many.
        """
        self._journal, self._filters, self._limit = journal, filters or {}, limit
        self.skipped = 0

    def __iter__(self) -> Iterator[Original]:
        """The calls, oldest first."""
        if self._limit is None:
            yield from filter(None, map(_of_record, self._chosen()))
        else:
            yield from filter(None, map(self.get, self.ids()))

    def ids(self) -> Iterator[str]:
        """The ids of the calls, oldest first. No request is read whole."""
        found = (record.id for record in self._chosen())
        return found if self._limit is None else reversed(list(found))

    def get(self, original_id: str) -> Original | None:
        """The call with this id; None if the journal has no such record with a whole request."""
        try:
            return _of_record(self._journal.get(original_id))
        except RecordNotFound:
            return None

    def _chosen(self) -> Iterator[Record]:
        """The records of the calls: with a limit the newest ones, newest first, else oldest first."""
        self.skipped = 0
        is_limited = self._limit is not None
        for record in self._journal.records(limit=self._limit, oldest_first=not is_limited, **self._filters):
            if ORIGINAL in record.metadata:
                continue
            if _has_request(record):
                yield record
            else:
                self.skipped += 1


class RecordingOriginals:
    """The calls to models in the file of a recording.

    Raises:
        RecordingNotFound: there is no such file.
    """

    def __init__(self, path: str | os.PathLike[str], limit: int | None = None) -> None:
        self._file = RecordingFile(path)
        if not self._file.exists():
            raise RecordingNotFound(f"there is no recording at {self._file.path}; nothing was sent: check the path")
        self._limit = limit
        self._places: dict[str, _Place] | None = None
        self.skipped = 0

    def __iter__(self) -> Iterator[Original]:
        """The calls, in the order of the file."""
        if self._limit is None:
            self.skipped = 0
            for place, call in self._calls():
                if _has_fingerprint(call.request.body):
                    self.skipped += 1
                else:
                    yield self._of_call(place.id, call)
        else:
            yield from filter(None, map(self.get, self.ids()))

    def ids(self) -> Iterator[str]:
        """The ids of the calls, in the order of the file."""
        return iter(self._find_places())

    def get(self, original_id: str) -> Original | None:
        """The call with this id; None if the recording has no such call."""
        places = self._find_places() if self._places is None else self._places
        place = places.get(original_id)
        return None if place is None else self._of_call(original_id, self._call(place.number, place.start))

    def _find_places(self) -> dict[str, _Place]:
        """Where the lines of the chosen calls begin. A recording may be larger than the memory."""
        chosen = deque(
            ((place, _has_fingerprint(call.request.body)) for place, call in self._calls()), maxlen=self._limit
        )
        self.skipped = sum(is_skipped for _, is_skipped in chosen)
        self._places = {place.id: place for place, is_skipped in chosen if not is_skipped}
        return self._places

    def _calls(self) -> Iterator[tuple[_Place, RecordedCall]]:
        numbers: dict[str, int] = {}
        matcher = Matcher()
        for number, (start, _) in enumerate(self._file.keys()):
            call = self._call(number, start)
            if call.request.kind in ("chat", "llm"):
                key = matcher.key(call.request)
                numbers[key] = numbers.get(key, 0) + 1
                yield _Place(f"{key}-{numbers[key]}", number, start), call

    def _call(self, number: int, start: int) -> RecordedCall:
        return RecordedCall(line_name(number), self._file.line_at(start), str(self._file.path))

    def _of_call(self, original_id: str, call: RecordedCall) -> Original:
        request = call.request
        return Original(
            original_id,
            request,
            lambda: _content(request),
            lambda: Answer.of_call(call, self._end(call)),
            call.data,
        )

    def _end(self, call: RecordedCall) -> dict[str, Any] | None:
        if not call.succeeded or call.given_up:
            return None
        response = call.response(self._file.load_blob)
        if call.request.kind == "chat":
            result = response.chat_result()
            value: dict[str, Any] = {"generations": result.generations, "llm_output": result.llm_output}
        else:
            value = {"generations": response.generations()}
        end: dict[str, Any] = decode_plain(encode(value)[0])
        return end


@dataclass(frozen=True, slots=True)
class _Place:
    """A call of a recording: its id, its number, and the offset of its line."""

    id: str
    number: int
    start: int


def _has_request(record: Record) -> bool:
    """Whether a record is a call whose request is recorded."""
    if record.pruned or record.forgotten or record.damage or record.kind not in ("chat", "llm"):
        return False
    return bool(record.input)


def _of_record(record: Record) -> Original | None:
    if not _has_request(record):
        return None
    start, _ = record.events()
    request = request_of_record(start)
    if request is None:
        return None
    structured = record.options.get(_STRUCTURED)
    if isinstance(structured, dict) and isinstance(schema := structured.get("schema"), dict):
        request = _with_format(request, canonical_format(schema.get("function") or schema))
    prompt = record.input[0] if record.kind == "llm" and record.input else ""
    content = (lambda: list(map(_whole, record.messages()))) if record.kind == "chat" else (lambda: str(prompt))
    return Original(record.id, request, content, lambda: Answer.of_record(record), record)


def _whole(message: BaseMessage) -> BaseMessage:
    """The message with the default of each field that its record lacks. Clients read them."""
    for name, field in type(message).model_fields.items():
        if name not in message.__dict__:
            message.__dict__[name] = field.get_default(call_default_factory=True)
    return message


def _with_format(request: Request, form: Any) -> Request:
    """The request with a response format in place of the tool that a provider used for it."""
    body = dict(request.body)
    choice = body.get("tool_choice")
    if choice is not None and len(body.get("tools") or ()) == 1:
        del body["tools"], body["tool_choice"]
    body["response_format"] = form
    return Request(request.kind, body, request.model, request.class_name, request.settings)


def _has_fingerprint(value: Any) -> bool:
    """Whether a picture or file of the request is known by the hash of its bytes only."""
    if isinstance(value, dict):
        data = value.get("data")
        return (isinstance(data, str) and data.startswith("sha256:")) or any(map(_has_fingerprint, value.values()))
    return isinstance(value, list) and any(map(_has_fingerprint, value))


def _content(request: Request) -> list[BaseMessage] | str:
    if request.kind == "llm":
        return str(request.body["prompt"])
    return [_message(message) for message in request.body["messages"]]


def _message(message: dict[str, Any]) -> BaseMessage:
    kind, content = message.get("type"), message.get("content", "")
    name = {"name": message["name"]} if message.get("name") else {}
    if kind == "ai":
        calls = [tool_call(**call) for call in message.get("tool_calls") or ()]
        broken = [invalid_tool_call(error=None, **call) for call in message.get("invalid_tool_calls") or ()]
        extra = {"function_call": message["function_call"]} if "function_call" in message else {}
        return AIMessage(content, tool_calls=calls, invalid_tool_calls=broken, additional_kwargs=extra, **name)
    if kind == "tool":
        status = "error" if message.get("status") == "error" else "success"
        return ToolMessage(content, tool_call_id=str(message.get("tool_call_id")), status=status, **name)
    if kind == "function":
        return FunctionMessage(content=content, name=str(message.get("name")))
    if kind == "chat":
        return ChatMessage(content=content, role=str(message.get("role")), **name)
    return (SystemMessage if kind == "system" else HumanMessage)(content, **name)
