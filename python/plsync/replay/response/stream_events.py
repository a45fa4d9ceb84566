"""``stream_events(version="v3")``: its events made of chunks, and a message made of its events.

LangChain gives the message of such a stream the id of its run, whatever the chunks say, unless the events come from
the model itself. So a grafted model makes them itself, by LangChain's own functions, and the id is the recorded one.
Before langchain-core 1.4 there are no such streams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

__all__ = ["achunks_to_events", "chunks_to_events", "message_of", "run_message_id"]

try:
    from langchain_core.language_models._compat_bridge import achunks_to_events as _achunks_to_events
    from langchain_core.language_models._compat_bridge import chunks_to_events as _chunks_to_events
except ImportError:  # an older langchain-core, or one that keeps them elsewhere: ids are then those of the run
    chunks_to_events: Any = None
    achunks_to_events: Any = None
else:

    def chunks_to_events(chunks: Iterator[Any], message_id: str | None) -> Iterator[Any]:
        """The events of a stream of chunks."""
        return _chunks_to_events(chunks, message_id=message_id)

    def achunks_to_events(chunks: AsyncIterator[Any], message_id: str | None) -> AsyncIterator[Any]:
        """As ``chunks_to_events``."""
        return _achunks_to_events(chunks, message_id=message_id)


def message_of(events: Sequence[Any]) -> Any:
    """The message that events build up.

    Raises:
        ValueError: they build none.
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
    """The id LangChain gives a message that has none, in this run."""
    return None if run_manager is None else f"lc_run--{run_manager.run_id}"
