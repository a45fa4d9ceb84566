"""Helpers that record a model and replay it. A live call fails during a replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.runnables import Runnable

from plsync.replay import with_recording
from plsync.replay.proxy.embeddings import ENTRY_POINTS

Model = TypeVar("Model", bound=Runnable[Any, Any])

_STREAMS = ("_stream", "_astream", "_stream_chat_model_events", "_astream_chat_model_events")


def poisoned_class(cls: type) -> type:
    """A subclass of the same name whose live calls fail."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the live model was called")

    if issubclass(cls, Embeddings):
        names = {name: refuse for name in ENTRY_POINTS}
        return type(cls.__name__, (cls,), {**names, "__module__": cls.__module__, "__qualname__": cls.__qualname__})
    base = BaseChatModel if issubclass(cls, BaseChatModel) else BaseLLM
    streams = [name for name in _STREAMS if getattr(cls, name, None) is not getattr(base, name, None)]
    names = {name: refuse for name in ("_generate", "_agenerate", *streams)}
    return type(cls.__name__, (cls,), {**names, "__module__": cls.__module__, "__qualname__": cls.__qualname__})


def poisoned(model: Model) -> Model:
    """A copy of the model whose live calls fail."""
    copy: Any = model.model_copy()  # type: ignore[attr-defined]
    object.__setattr__(copy, "__class__", poisoned_class(type(model)))
    return copy  # type: ignore[no-any-return]


def recorded(model: Model, path: Path, **settings: Any) -> Model:
    """The model; its calls are recorded into a file."""
    return with_recording(model, path, mode="all", **settings)


def replayed(model: Model, path: Path, **settings: Any) -> Model:
    """The model; its calls are served from a file, and a live call fails."""
    return with_recording(poisoned(model), path, **settings)


def lines(path: Path) -> list[dict[str, Any]]:
    """The parsed lines of a recording, without its header."""
    return [json.loads(line) for line in path.read_bytes().splitlines()[1:]]
