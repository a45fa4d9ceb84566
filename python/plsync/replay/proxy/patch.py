"""``record_all``: patches LangChain, so that every model of the program uses one recording for a while."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM

from plsync.replay.proxy.class_patches import patch_classes, unpatch_classes
from plsync.replay.proxy.live import is_model_code
from plsync.replay.proxy.node_cache import hide_node_caches, show_node_caches
from plsync.replay.proxy.open_blocks import Block, current_block, open_block
from plsync.replay.proxy.placeholder_keys import KEY_VARIABLES, set_placeholders
from plsync.replay.proxy.proxy_class import is_proxy
from plsync.replay.recording import Recording, as_recording

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from plsync.journal.journal import Journal
    from plsync.replay.options import Mode, ReplayOptions

__all__ = ["record_all"]

# The public methods of LangChain's models through which all other methods run.
_ENTRY_POINTS: Final = ("generate", "agenerate", "stream", "astream", "stream_events", "astream_events")
_MARK: Final = "__plsync_original__"


@contextlib.contextmanager
def record_all(
    recording: str | os.PathLike[str] | Journal | Recording,
    mode: Mode = "none",
    *,
    placeholder_keys: Iterable[str] = KEY_VARIABLES,
    **options: Unpack[ReplayOptions],
) -> Iterator[Recording]:
    """Serve or record the calls of every chat model, text model and embeddings, until the block ends.

    The patch covers the whole process, also models that exist already. A model with its own recording keeps that
    recording. Blocks may overlap: a call belongs to the block that its task or thread opened last or inherited. Inside
    a block LangChain's and LangGraph's caches are not used. While the mode forbids live calls, an API key that is not
    set gets a placeholder: the constructors of providers' models fail without a key.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> from plsync.replay import record_all
    >>> with record_all("./capitals.jsonl", mode="once") as recording:
    ...     FakeListChatModel(responses=["Paris"]).invoke("The capital of France?").content
    'Paris'

    Args:
        recording: the path of a file; a journal or its directory; or an open ``Recording``, which keeps its own mode
            and options.
        mode: ``none`` (default), ``once``, ``new_episodes`` or ``all``: see ``with_recording``.
        placeholder_keys: the environment variables that get a placeholder; by default the keys of 18 providers. A
            program that chooses its provider by the keys that it finds needs the keys of its provider alone.
        options: ``match``, ``exhausted``, ``speed``, ``redact``, ``filters``, ``also``, ``record_errors``:
            see ``Recording``.

    Returns:
        A context manager that returns the open ``Recording``, and closes the recording at the end of the block.

    Raises:
        TypeError: an option is unknown.
        ValueError: see ``Recording``.
    """
    recording = as_recording(recording, mode, options)
    with recording, open_block(recording, _adapt, placeholder_keys):
        yield recording


_originals: dict[tuple[type, str], Callable[..., Any]] = {}


def _adapt(blocks: tuple[Block, ...]) -> None:
    """Install the patches with the first block, and remove them with the last one."""
    if blocks and not _originals:
        _patch()
        patch_classes()
        hide_node_caches()
    elif not blocks and _originals:
        _unpatch()
        unpatch_classes()
        show_node_caches()
    set_placeholders({name for block in blocks if block.only_serves for name in block.placeholder_keys})


def _patch() -> None:
    for base in (BaseChatModel, BaseLLM):
        for name in _ENTRY_POINTS:
            if (method := vars(base).get(name)) is not None:
                _originals[base, name] = method
                setattr(base, name, _with_proxy_as_self(method))


def _unpatch() -> None:
    for (base, name), method in _originals.items():
        # Another library may have patched the method meanwhile. Its patch stays, and ours passes each call on.
        if getattr(vars(base)[name], _MARK, None) is method:
            setattr(base, name, method)
    _originals.clear()


def _with_proxy_as_self(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def entry_point(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        # A model that another model calls contributes to the response of that model, which is recorded.
        if is_proxy(self) or is_model_code() or (block := current_block()) is None:
            return method(self, *args, **kwargs)
        return method(block.proxy_of(self), *args, **kwargs)

    setattr(entry_point, _MARK, method)
    return entry_point
