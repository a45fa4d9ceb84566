"""A recorded call, wherever it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from plsync.errors import RecordingFormatError
from plsync.replay.request.request import Kind, Request

if TYPE_CHECKING:
    from plsync.replay.response.response import Answer

__all__ = ["Call", "Source", "alike", "data_of", "is_of", "most_alike"]


@dataclass(slots=True, eq=False)
class Call:
    """A request and its answer, parsed at first use: most calls of a recording are never looked at."""

    where: str
    """What people find it by: ``line 5``, or a record's id."""
    raw: bytes | dict[str, Any]
    """One line of a recording (``docs/reference/recordings.md``), as it is or parsed."""
    source: str = ""
    """The file it is in."""

    @property
    def data(self) -> dict[str, Any]:
        """The line as an object.

        Raises:
            RecordingFormatError: it holds no call.
        """
        if isinstance(self.raw, bytes):
            try:
                found = orjson.loads(self.raw)
            except orjson.JSONDecodeError:
                found = None
            if not isinstance(found, dict) or not all(isinstance(found.get(part), dict) for part in _PARTS):
                advice = "nothing was changed: mend it by hand (a conflict of a merge?) or record it anew"
                raise RecordingFormatError(f"{self.where} of {self.source} holds no recorded call; {advice}")
            self.raw = found
        return self.raw

    @property
    def request(self) -> Request:
        """What was asked."""
        data = self.data
        kind: Kind = "chat" if data.get("kind") == "chat" else "llm"
        return Request(kind, data["request"], data.get("model"), data.get("class"), data.get("settings") or {})

    def answer(self, load: Callable[[str], bytes], *, fresh: bool = False) -> Answer:
        """What came back; ``load`` gives large binaries by their name."""
        from plsync.replay.response.response import Answer  # noqa: PLC0415 - only serving needs LangChain

        data = self.data
        return Answer(data["answer"], ms=data.get("ms") or (), load=load, fresh=fresh)

    @property
    def stopped(self) -> bool:
        """Whether the program that recorded it stopped reading before the answer ended."""
        return bool(self.data["answer"].get("stopped"))


_PARTS = ("request", "answer")


def data_of(request: Request, answer: dict[str, Any], ms: Sequence[int]) -> dict[str, Any]:
    """A call as ``Call.data`` has it."""
    return {
        "kind": request.kind,
        "model": request.model,
        "class": request.class_name,
        **({"settings": request.settings} if request.settings else {}),
        "request": request.asked,
        "answer": answer,
        "ms": ms,
    }


class Source(Protocol):
    """Where recorded calls come from."""

    @property
    def name(self) -> str:
        """The file or journal, for messages."""

    def matching(self, request: Request, key: str) -> list[Call]:
        """The calls with this key, in the order in which they are served."""

    def sample(self) -> list[Call]:
        """Calls among which the one nearest to a request is looked for."""

    def first(self) -> Call | None:
        """Any call, to see what kind of model was recorded."""

    def load(self, name: str) -> bytes:
        """A large binary, by its name."""


def is_of(kind: Kind, call: Call) -> bool:
    """Whether a call was made to a model of this kind."""
    try:
        return call.request.kind == kind
    except RecordingFormatError:  # a line that holds no call is named when it is needed
        return False


def most_alike(request: Request, calls: list[Call]) -> Call:
    """The first of the calls that was made with the same model and settings, as far as there is one."""
    if len(calls) == 1:
        return calls[0]

    return max(calls, key=lambda call: alike(request, call.request))


def alike(one: Request, other: Request) -> tuple[bool, bool, bool]:
    """Whether model, settings and class are the same."""
    model = None in (one.model, other.model) or one.model == other.model
    return model, one.settings == other.settings, one.class_name == other.class_name
