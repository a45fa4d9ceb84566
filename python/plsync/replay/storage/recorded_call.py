"""A recorded call: the request, its response, and where it is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import orjson

from plsync._common.large_json import dumps, loads
from plsync.errors import RecordingFormatError
from plsync.replay.request.content import without_cache_marks
from plsync.replay.request.request import Kind, Request

if TYPE_CHECKING:
    from plsync.replay.response.response import RecordedResponse

__all__ = ["REPEATABLE", "CallSource", "RecordedCall", "closest", "has_kind", "line_data", "similarity"]

REPEATABLE: Final = frozenset({"embeddings", "tokens"})
"""The kinds whose requests have one response, which is served any number of times."""

_PARTS: Final = ("request", "answer")
_NAMES: Final = ("key", "kind", "model", "class", "place")


@dataclass(slots=True, eq=False)
class RecordedCall:
    """A request and its response. They are parsed at first use, since most calls of a recording are never used."""

    location: str
    """Where people find the call: ``line 5``, or ``record`` and its id."""
    raw: bytes | dict[str, Any]
    """One line of a recording (``docs/reference/recordings.md``), unparsed or parsed."""
    source: str = ""
    """The path of the recording."""

    @property
    def data(self) -> dict[str, Any]:
        """The parsed line.

        Raises:
            RecordingFormatError: the line holds no call.
        """
        if isinstance(self.raw, dict):
            return self.raw
        try:
            found = loads(self.raw)
        except orjson.JSONDecodeError:
            found = None
        if not _is_call(found):
            advice = "nothing was changed: repair the line (a merge conflict?) or record the call again"
            raise RecordingFormatError(f"{self.location} of {self.source} holds no recorded call; {advice}")
        parsed = cast("dict[str, Any]", found)
        if b'"cache_control"' in self.raw:
            parsed["request"] = without_cache_marks(parsed["request"])
        self.raw = parsed
        return parsed

    @property
    def request(self) -> Request:
        """The request in its canonical form."""
        data = self.data
        kind: Kind = data.get("kind") or "llm"
        settings, model_settings = data.get("settings") or {}, data.get("model_settings") or {}
        names = data.get("model"), data.get("class")
        return Request(kind, data["request"], *names, settings, model_settings, data.get("place"))

    def response(self, load_blob: Callable[[str], bytes], *, new_ids: bool = False) -> RecordedResponse:
        """The response; ``RecordedResponse`` explains the arguments."""
        from plsync.replay.response.response import RecordedResponse  # noqa: PLC0415 - only serving needs LangChain

        data = self.data
        place = f"{self.source}, {self.location}" if self.source else self.location
        ms = data.get("ms") or ()
        return RecordedResponse(data["answer"], ms=ms, load_blob=load_blob, new_ids=new_ids, place=place)

    @property
    def stopped(self) -> bool:
        """Whether the recorded program stopped reading before the response ended."""
        return bool(self.data["answer"].get("stopped"))

    @property
    def given_up(self) -> bool:
        """Whether the recorded program cancelled the call."""
        return bool(self.data["answer"].get("given_up"))

    @property
    def succeeded(self) -> bool:
        """Whether the recorded call returned a response."""
        return not self.data["answer"].keys() & {"error", "stopped"}


def _is_call(found: Any) -> bool:
    """Whether parsed JSON has the parts of a call, each of its type, and no more levels than JSON may have again."""
    if not isinstance(found, dict) or not all(isinstance(found.get(part), dict) for part in _PARTS):
        return False
    if not all(isinstance(found.get(name), (str, type(None))) for name in _NAMES):
        return False
    if not all(isinstance(found.get(name), (dict, type(None))) for name in ("settings", "model_settings")):
        return False
    ms = found.get("ms") or []
    if not isinstance(ms, list) or not all(type(item) in (int, float) for item in ms):
        return False
    try:
        dumps(found)
    except TypeError:  # orjson reads deeper levels than it writes
        return False
    return True


def line_data(request: Request, response: dict[str, Any], ms: Sequence[int]) -> dict[str, Any]:
    """A call as the value of ``RecordedCall.data``, without its key."""
    return {
        "kind": request.kind,
        "model": request.model,
        "class": request.class_name,
        **({"settings": request.settings} if request.settings else {}),
        **({"model_settings": request.model_settings} if request.model_settings else {}),
        **({"place": request.place} if request.place else {}),
        "request": request.body,
        "answer": response,
        "ms": ms,
    }


class CallSource(Protocol):
    """A file or a journal that holds recorded calls."""

    @property
    def name(self) -> str:
        """The path of the file or journal, for messages."""

    def matching(self, request: Request, key: str) -> list[RecordedCall]:
        """The calls with this key, in the order in which they are served."""

    def sample(self) -> list[RecordedCall]:
        """The calls among which a mismatch looks for the nearest one."""

    def first(self, kinds: Sequence[Kind]) -> RecordedCall | None:
        """The first call of these kinds, or else any call; ``None`` without calls."""

    def load_blob(self, name: str) -> bytes:
        """The large binary of a name."""


def has_kind(kind: Kind, call: RecordedCall) -> bool:
    """Whether a call was made to a model of this kind."""
    try:
        return call.request.kind == kind
    except RecordingFormatError:  # a damaged line is reported when its call is needed
        return False


def closest(request: Request, calls: list[RecordedCall]) -> RecordedCall:
    """The call whose model, settings, class and place are most similar; the first one of several."""
    if len(calls) == 1:
        return calls[0]
    return max(calls, key=lambda call: similarity(request, call.request))


def similarity(one: Request, other: Request) -> tuple[bool, bool, bool, bool]:
    """Whether two requests have the same model, the same settings, the same class and the same place."""
    same_model = None in (one.model, other.model) or one.model == other.model
    return same_model, one.settings == other.settings, one.class_name == other.class_name, one.place == other.place
