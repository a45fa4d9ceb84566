"""``stream_events(version="v3")``: events from chunks, and a message from events.

LangChain assigns the message of such a stream the id of its run, unless the model itself streams the events. A proxied
model therefore builds the events itself, with LangChain's own functions. So the id is the recorded id.
langchain-core before 1.4 has no such streams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

__all__ = ["achunks_to_events", "chunks_to_events", "message_from_events", "run_message_id"]

try:
    from langchain_core.language_models._compat_bridge import achunks_to_events as _achunks_to_events
    from langchain_core.language_models._compat_bridge import chunks_to_events as _chunks_to_events
except ImportError:  # langchain-core has moved them or is older: LangChain then assigns the id of the run
    chunks_to_events: Any = None
    achunks_to_events: Any = None
else:

    def chunks_to_events(chunks: Iterator[Any], message_id: str | None) -> Iterator[Any]:
        """The events of a stream of chunks.

        Args:
            chunks: ``ChatGenerationChunk`` objects.
            message_id: the id of the message that the events build.
        """
        return _chunks_to_events(chunks, message_id=message_id)

    def achunks_to_events(chunks: AsyncIterator[Any], message_id: str | None) -> AsyncIterator[Any]:
        """The async form of ``chunks_to_events``."""
        return _achunks_to_events(chunks, message_id=message_id)


def message_from_events(events: Sequence[Any]) -> Any:
    """The message that events build.

    Raises:
        ValueError: the events build no message.
    """
    from langchain_core.language_models.chat_model_stream import ChatModelStream  # noqa: PLC0415 - since 1.4

    stream = ChatModelStream()
    for event in events:
        stream.dispatch(event)
    if events and not stream.done:
        stream.dispatch({"event": "message-finish"})
    if stream.output_message is None:
        raise ValueError("the recorded events build no message")
    return stream.output_message


def run_message_id(run_manager: Any) -> str | None:
    """The id that LangChain assigns to a message without one in this run; ``None`` outside a run."""
    return None if run_manager is None else f"lc_run--{run_manager.run_id}"
