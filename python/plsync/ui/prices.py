"""The costs of calls, from a file of prices in the format of LiteLLM.

A model without a price has no cost: nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from plsync.errors import ConfigError

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["Prices"]

_LARGEST: Final = 64 << 20
_INPUT: Final = "input_cost_per_token"
_OUTPUT: Final = "output_cost_per_token"
_CACHED: Final = "cache_read_input_token_cost"


@dataclass(frozen=True, slots=True)
class _Price:
    """US dollars for a token."""

    input: float
    output: float
    cached: float


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of models by name."""

    models: Mapping[str, _Price] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.models)

    @classmethod
    def read(cls, path: Path) -> Prices:
        """The prices in a file such as LiteLLM's ``model_prices_and_context_window.json``.

        Raises:
            ConfigError: the file cannot be read, or has another format.
        """
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST + 1)
            found = orjson.loads(content)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; the page was not started: check the path") from error
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{path} is no JSON ({error}); the page was not started: {_FORM}") from None
        if not isinstance(found, dict):
            raise ConfigError(f"{path} has no object; the page was not started: {_FORM}")
        prices = {name: price for name, entry in found.items() if (price := _price(entry)) is not None}
        if not prices:
            raise ConfigError(f"{path} has no price for a token; the page was not started: {_FORM}")
        return cls(prices)

    def has(self, model: str | None, provider: str | None = None) -> bool:
        """Whether a model has a price."""
        return self._find(model, provider) is not None

    def cost(
        self, model: str | None, provider: str | None, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> float | None:
        """The cost of tokens in US dollars; None for a model without a price.

        >>> Prices({"m": _Price(0.5, 2.0, 0.25)}).cost("m", None, 10, 1, 4)
        6.0
        """
        price = self._find(model, provider)
        if price is None:
            return None
        cached = min(cached_tokens, input_tokens)
        return (input_tokens - cached) * price.input + cached * price.cached + output_tokens * price.output

    def cost_of(self, record: Record) -> float | None:
        """The cost of a call in US dollars; None without a price, without tokens, and for a cached answer."""
        usage = record.usage
        if usage is None or not self.models or record.cached or record.is_run:
            return None
        cached = (usage.get("input_token_details") or {}).get("cache_read")
        tokens = usage["input_tokens"], usage["output_tokens"], cached if isinstance(cached, int) else 0
        return self.cost(record.model, record.provider, *tokens)

    def _find(self, model: str | None, provider: str | None) -> _Price | None:
        if not model or not self.models:
            return None
        names = [f"{provider}/{model}"] if provider else []
        return next((price for name in (*names, model) if (price := self.models.get(name)) is not None), None)


_FORM: Final = 'use the format of LiteLLM, {"gpt-4o": {"input_cost_per_token": 2.5e-06, ...}}'


def _price(entry: Any) -> _Price | None:
    if not isinstance(entry, dict):
        return None
    given, made = _number(entry.get(_INPUT)), _number(entry.get(_OUTPUT))
    if given is None and made is None:
        return None
    cached = _number(entry.get(_CACHED))
    return _Price(given or 0.0, made or 0.0, given or 0.0 if cached is None else cached)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value >= 0 else None
