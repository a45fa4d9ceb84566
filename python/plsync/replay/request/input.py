"""Requests that are neither messages nor a prompt: texts of embeddings, token counts, queries, arguments of tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from plsync.replay.request.content import scrub
from plsync.replay.request.request import (
    MODEL_NAME_FIELDS,
    Kind,
    Request,
    canonical_messages,
    short_name,
    to_tagged,
    tools_and_format,
    with_schemas,
)
from plsync.replay.request.settings import settings_of_object

__all__ = ["RequestMaker", "messages_input"]

# The size of a batch, the hardware, the display of progress, and counters. No vector depends on them.
_WITHOUT_EFFECT: Final = re.compile(
    r"(_|^)(chunk_size|batch|batch_size|show_progress|show_progress_bar|progress|workers|device|devices|cache|"
    r"cache_folder|cache_dir|multi_process|n_batch|n_threads|threads|doc_embed_type|headers|timeout|retries|calls|count|counter)$"
)


class RequestMaker:
    """Makes the requests of one object, whose name, class and settings they share."""

    def __init__(
        self, kind: Kind, source: Any, class_name: str, options: Mapping[str, Any], *, compares_settings: bool = False
    ) -> None:
        """Reads the object.

        Args:
            kind: the kind of the requests.
            source: the embeddings, the retriever or the tool.
            class_name: the name of its class.
            options: the arguments of the call, except its input, by name.
            compares_settings: whether the recording compares the settings of models.
        """
        self._kind: Kind = kind
        self._class_name = class_name
        values = getattr(source, "__dict__", {})
        own = settings_of_object(source) if kind == "embeddings" else {}
        given = scrub(to_tagged(dict(options), redact=True)) if options else {}
        every = {**own, **{name: value for name, value in given.items() if value is not None}}
        self._settings = {name: value for name, value in every.items() if not _WITHOUT_EFFECT.search(name)}
        self._model_settings = self._settings if compares_settings else {}
        fields = ("name",) if kind == "tool" else MODEL_NAME_FIELDS
        self._model = short_name(next((values[name] for name in fields if isinstance(values.get(name), str)), None))

    def request(self, value: Any) -> Request:
        """The request of one input.

        Args:
            value: the input, as parsed tagged JSON.
        """
        body = {"input": scrub(value)}
        return Request(self._kind, body, self._model, self._class_name, self._settings, self._model_settings)


def messages_input(messages: Any, tools: Any) -> dict[str, Any]:
    """The input of a token count of messages, with the tools that count too.

    Args:
        messages: LangChain's messages.
        tools: tools in any form, or ``None``.
    """
    found = {"messages": canonical_messages(to_tagged(list(messages)))}
    if not tools:
        return found
    return found | tools_and_format(to_tagged({"tools": with_schemas("tools", tools)}))
