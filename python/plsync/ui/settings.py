"""The choices of the user who starts the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from plsync.ui.prices import Prices

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one server."""

    token: str
    """The secret that each request to the API must carry."""
    read_only: bool = False
    """Without the routes that write."""
    hide_content: bool = False
    """Without messages, tools and error messages of calls."""
    prices: Prices = field(default_factory=Prices)
    is_stopping: Callable[[], bool] = lambda: False
    """Whether the server is about to end, for responses without end."""
