"""A prompt template that :func:`plsync.prompts.get` returns."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

    from plsync.prompts.cache import CachedTemplate

__all__ = ["Template"]


class Template(dict[str, Any]):
    """A prompt template: PromptLayer's response to ``GET /prompt-templates/{name}``.

    The keys include ``prompt_name``, ``version``, ``prompt_template``, ``metadata`` and ``tags``.
    """

    def __init__(self, cached: CachedTemplate, *, from_cache: bool, stale: bool = False, reason: str = "") -> None:
        super().__init__(cached.response)
        self.fetched_at = datetime.fromtimestamp(cached.fetched_at, timezone.utc)
        """The time of PromptLayer's response, in UTC."""
        self.from_cache = from_cache
        """Whether the template comes from the cache."""
        self.stale = stale
        """Whether PromptLayer may have a newer version: it was not queried, and the key names no version."""
        self.reason = reason
        """The reason why PromptLayer was not queried or did not respond; empty if it did."""

    def to_langchain(self) -> PromptTemplate | ChatPromptTemplate:
        """The template as a LangChain prompt template.

        Raises:
            PromptError: LangChain's templates have no place for a part of it.
        """
        from plsync.prompts.to_langchain import to_langchain  # noqa: PLC0415 - imports LangChain

        return to_langchain(self)
