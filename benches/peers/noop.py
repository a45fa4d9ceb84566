"""The handler that every cost is measured against."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks.base import BaseCallbackHandler

__all__ = ["Noop"]


class Noop(BaseCallbackHandler):
    """Does nothing: its cost is LangChain's."""

    run_inline = True

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        pass
