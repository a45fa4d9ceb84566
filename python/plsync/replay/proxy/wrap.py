"""Models with a recording: grafted onto a live one, or with none behind them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.runnables import Runnable, RunnableBinding

from plsync.replay.proxy.chat import chat_methods
from plsync.replay.proxy.proxy_class import Graft
from plsync.replay.proxy.text import text_methods
from plsync.replay.recording import Recording

if TYPE_CHECKING:
    from plsync.journal.filters import Filters
    from plsync.journal.journal import Journal
    from plsync.replay.matching import Match
    from plsync.replay.modes import Exhausted, Mode
    from plsync.replay.redaction import Redact

__all__ = ["graft", "regraft", "with_recording"]

Model = TypeVar("Model", bound=Runnable[Any, Any])


def with_recording(
    model: Model,
    recording: str | os.PathLike[str] | Journal | Recording,
    mode: Mode = "none",
    *,
    match: Match | None = None,
    exhausted: Exhausted = "fail",
    speed: float | None = None,
    redact: Redact | None = None,
    filters: Filters | None = None,
    serial: bool | None = None,
) -> Model:
    """A copy of a model whose calls are served from a recording, or made and recorded.

    The copy is of the model's own class and behaves as it did: ``isinstance``, ``bind_tools``,
    ``with_structured_output``, and what is sent to the provider.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> from plsync.replay import with_recording
    >>> model = with_recording(FakeListChatModel(responses=["Paris"]), "./capitals.jsonl", mode="once")
    >>> model.invoke("The capital of France?").content
    'Paris'

    Args:
        model: a chat model or a text model of LangChain's, or one with arguments bound to it.
        recording: the recording's file; a journal or its directory; or an open ``Recording``, which brings its own
            mode and settings.
        mode: ``none`` serves what is recorded, ``once`` records into a new file and serves an existing one,
            ``new_episodes`` serves what is recorded and records the rest, ``all`` records everything anew.
        match, exhausted, speed, redact, filters: as of ``Recording``.
        serial: let calls take turns while they are recorded; by default, calls of models known to need it.

    Raises:
        TypeError: the model is none of these.
        ValueError: as ``Recording``.
    """
    if not isinstance(recording, Recording):
        settings: dict[str, Any] = {"match": match, "exhausted": exhausted, "speed": speed, "redact": redact}
        recording = Recording(recording, mode, filters=filters, **settings)
    if isinstance(model, RunnableBinding):
        return cast("Model", model.model_copy(update={"bound": with_recording(model.bound, recording, serial=serial)}))
    if not isinstance(model, (BaseChatModel, BaseLLM)):
        raise TypeError(
            f"with_recording takes a chat model or a text model, not {type(model).__name__}: "
            "give it the model, and build the chain of what it returns"
        )
    return cast("Model", graft(type(model), recording, serial=serial).onto(model))


def graft(live: type, recording: Recording, *, asks: bool = True, serial: bool | None = None) -> Graft:
    """The graft of a model's class onto a recording. Raises TypeError when it is no model's."""
    if issubclass(live, BaseChatModel):
        return Graft(live, "chat", chat_methods(live), recording, asks=asks, serial=serial)
    if issubclass(live, BaseLLM):
        return Graft(live, "llm", text_methods(live), recording, asks=asks, serial=serial)
    raise TypeError(f"{live.__name__} is neither a chat model nor a text model")


def regraft(live: type, state: Any, recording: Recording, settings: dict[str, Any]) -> Any:
    """A grafted model as another process unpickles it: of its fields, when there is no model behind it."""
    model = _of_fields(live, state) if isinstance(state, dict) else state
    return graft(live, recording, **settings).onto(model)


def _of_fields(live: type, fields: dict[str, Any]) -> Any:
    model: Any = object.__new__(live)
    for slot, value in (
        ("__dict__", fields),
        ("__pydantic_fields_set__", set(fields)),
        ("__pydantic_extra__", None),
        ("__pydantic_private__", None),
    ):
        object.__setattr__(model, slot, value)
    return model
