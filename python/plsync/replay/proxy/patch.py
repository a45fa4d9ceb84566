"""Every model of the program with one recording, for a while: also those made deep inside, and those made before."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM

from plsync.replay.proxy.live import is_model_code
from plsync.replay.proxy.proxy_class import Graft, is_grafted
from plsync.replay.proxy.wrap import graft
from plsync.replay.recording import Recording

if TYPE_CHECKING:
    from plsync.journal.filters import Filters
    from plsync.journal.journal import Journal
    from plsync.replay.matching import Match
    from plsync.replay.modes import Exhausted, Mode
    from plsync.replay.redaction import Redact

__all__ = ["record_all"]

# LangChain's public ways into a model; the others lead through these.
_ENTRIES: Final = ("generate", "agenerate", "stream", "astream", "stream_events", "astream_events")

# Providers refuse to be made without a key, though it is never used.
_KEYS: Final = (
    *("ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "CEREBRAS_API_KEY", "COHERE_API_KEY", "DEEPSEEK_API_KEY"),
    *("FIREWORKS_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY", "HUGGINGFACEHUB_API_TOKEN", "MISTRAL_API_KEY"),
    *("NVIDIA_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "PERPLEXITY_API_KEY", "PPLX_API_KEY"),
    *("TOGETHER_API_KEY", "UPSTAGE_API_KEY", "XAI_API_KEY"),
)
_NO_KEY: Final = "no-key-plsync-replays"


@contextlib.contextmanager
def record_all(
    recording: str | os.PathLike[str] | Journal | Recording,
    mode: Mode = "none",
    *,
    match: Match | None = None,
    exhausted: Exhausted = "fail",
    speed: float | None = None,
    redact: Redact | None = None,
    filters: Filters | None = None,
) -> Iterator[Recording]:
    """Serve the calls of every chat model and text model from a recording, or record them, until the block ends.

    It holds for the whole process, for models made before as well. Those that have a recording of their own keep it.
    As long as nothing is asked, providers' keys that are not set are set to a text that is none, since their classes
    cannot be made without.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> from plsync.replay import record_all
    >>> with record_all("./capitals.jsonl", mode="once") as recording:
    ...     FakeListChatModel(responses=["Paris"]).invoke("The capital of France?").content
    'Paris'

    Args:
        recording: as of ``with_recording``.
        mode: likewise.
        match, exhausted, speed, redact, filters: as of ``Recording``.

    Raises:
        ValueError: as ``Recording``.
    """
    if not isinstance(recording, Recording):
        settings: dict[str, Any] = {"match": match, "exhausted": exhausted, "speed": speed, "redact": redact}
        recording = Recording(recording, mode, filters=filters, **settings)
    with recording, _without_keys() if recording.only_serves else contextlib.nullcontext(), _grafted(recording):
        yield recording


@contextlib.contextmanager
def _grafted(recording: Recording) -> Iterator[None]:
    grafts: dict[type, Graft] = {}

    def seen(model: Any) -> Any:
        # A model that asks another is recorded with what the other said.
        if is_grafted(model) or is_model_code():
            return model
        cls = type(model)
        if cls not in grafts:
            grafts[cls] = graft(cls, recording)
        return grafts[cls].view(model)

    with contextlib.ExitStack() as stack:
        for base in (BaseChatModel, BaseLLM):
            for name in _ENTRIES:
                if (method := vars(base).get(name)) is not None:
                    setattr(base, name, _through(seen, method))
                    stack.callback(setattr, base, name, method)
        yield


def _through(seen: Callable[[Any], Any], method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def entry(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(seen(self), *args, **kwargs)

    return entry


@contextlib.contextmanager
def _without_keys() -> Iterator[None]:
    missing = [name for name in _KEYS if not os.environ.get(name)]
    before = {name: os.environ.get(name) for name in missing}
    os.environ.update(dict.fromkeys(missing, _NO_KEY))
    try:
        yield
    finally:
        for name, value in before.items():
            if os.environ.get(name) == _NO_KEY:
                os.environ.pop(name)
                os.environ.update({name: value} if value is not None else {})
