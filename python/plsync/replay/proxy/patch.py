"""``record_all``: patches LangChain, so that every model of the program uses one recording for a while."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM

from plsync.replay.proxy.live import is_model_code
from plsync.replay.proxy.proxy_class import ProxyClass, is_proxy
from plsync.replay.proxy.wrap import proxy_class_for
from plsync.replay.recording import Recording, as_recording

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from plsync.journal.journal import Journal
    from plsync.replay.options import Mode, ReplayOptions

__all__ = ["record_all"]

# The public methods of LangChain's models through which all other methods run.
_ENTRY_POINTS: Final = ("generate", "agenerate", "stream", "astream", "stream_events", "astream_events")

# The constructors of these providers' models fail without a key, even if no request is sent.
_KEY_VARIABLES: Final = (
    "ANTHROPIC_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "CEREBRAS_API_KEY",
    "COHERE_API_KEY",
    "DEEPSEEK_API_KEY",
    "FIREWORKS_API_KEY",
    "GOOGLE_API_KEY",
    "GROQ_API_KEY",
    "HUGGINGFACEHUB_API_TOKEN",
    "MISTRAL_API_KEY",
    "NVIDIA_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "PERPLEXITY_API_KEY",
    "PPLX_API_KEY",
    "TOGETHER_API_KEY",
    "UPSTAGE_API_KEY",
    "XAI_API_KEY",
)
_PLACEHOLDER: Final = "no-key-plsync-replays"


@contextlib.contextmanager
def record_all(
    recording: str | os.PathLike[str] | Journal | Recording, mode: Mode = "none", **options: Unpack[ReplayOptions]
) -> Iterator[Recording]:
    """Serve or record the calls of every chat model and text model, until the block ends.

    The patch covers the whole process, also models that exist already. A model with its own recording keeps that
    recording. While the mode forbids live calls, an API key that is not set gets a placeholder: the constructors of
    providers' models fail without a key.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> from plsync.replay import record_all
    >>> with record_all("./capitals.jsonl", mode="once") as recording:
    ...     FakeListChatModel(responses=["Paris"]).invoke("The capital of France?").content
    'Paris'

    Args:
        recording: the path of a file; a journal or its directory; or an open ``Recording``, which keeps its own mode
            and options.
        mode: ``none`` (default), ``once``, ``new_episodes`` or ``all``: see ``with_recording``.
        options: ``match=None``, ``exhausted="fail"``, ``speed=None``, ``redact=None``, ``filters=None``:
            see ``Recording``.

    Returns:
        A context manager that returns the open ``Recording``, and closes the recording at the end of the block.

    Raises:
        TypeError: an option is unknown.
        ValueError: see ``Recording``.
    """
    recording = as_recording(recording, mode, options)
    with recording, _placeholder_keys() if recording.only_serves else contextlib.nullcontext(), _patched(recording):
        yield recording


@contextlib.contextmanager
def _patched(recording: Recording) -> Iterator[None]:
    proxies: dict[type, ProxyClass] = {}

    def proxy_of(model: Any) -> Any:
        # A model that another model calls contributes to the response of that model, which is recorded.
        if is_proxy(model) or is_model_code():
            return model
        cls = type(model)
        if cls not in proxies:
            proxies[cls] = proxy_class_for(cls, recording)
        return proxies[cls].view_of(model)

    with contextlib.ExitStack() as stack:
        for base in (BaseChatModel, BaseLLM):
            for name in _ENTRY_POINTS:
                if (method := vars(base).get(name)) is not None:
                    setattr(base, name, _with_proxy_as_self(proxy_of, method))
                    stack.callback(setattr, base, name, method)
        yield


def _with_proxy_as_self(proxy_of: Callable[[Any], Any], method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def entry_point(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(proxy_of(self), *args, **kwargs)

    return entry_point


@contextlib.contextmanager
def _placeholder_keys() -> Iterator[None]:
    missing = [name for name in _KEY_VARIABLES if not os.environ.get(name)]
    before = {name: os.environ.get(name) for name in missing}
    os.environ.update(dict.fromkeys(missing, _PLACEHOLDER))
    try:
        yield
    finally:
        for name, value in before.items():
            if os.environ.get(name) == _PLACEHOLDER:
                os.environ.pop(name)
                os.environ.update({name: value} if value is not None else {})
