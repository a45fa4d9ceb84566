"""Prices of models in the format of LiteLLM."""

from __future__ import annotations

from pathlib import Path

import pytest

from plsync.errors import ConfigError
from plsync.ui.prices import Prices

FILE = """{
  "sample_spec": {"input_cost_per_token": 0.0, "mode": "one of: chat, embedding"},
  "gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06},
  "azure/gpt-4o": {"input_cost_per_token": 5e-06, "output_cost_per_token": 2e-05},
  "image": {"output_cost_per_image": 0.04},
  "broken": {"input_cost_per_token": "a lot"},
  "negative": {"input_cost_per_token": -1}
}"""


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    (tmp_path / "prices.json").write_text(FILE)
    return Prices.read(tmp_path / "prices.json")


def test_a_cost_is_of_the_tokens_and_of_the_provider(prices: Prices) -> None:
    assert prices.cost("gpt-4o", "openai", 1_000_000, 100_000) == pytest.approx(3.5)
    assert prices.cost("gpt-4o", "azure", 1_000_000, 100_000) == pytest.approx(7.0)
    assert prices.cost("gpt-4o", None, 1_000_000, 0, 400_000) == pytest.approx(2.0)
    assert prices.cost("gpt-4o", None, 10, 0, 1_000_000) == pytest.approx(10 * 1.25e-06)
    assert prices.cost("azure/gpt-4o", None, 1_000_000, 0, 400_000) == pytest.approx(5.0)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "image", "broken", "negative", "", None])
def test_a_model_without_a_price_has_no_cost(prices: Prices, model: str | None) -> None:
    assert not prices.has(model)
    assert prices.cost(model, None, 10, 10) is None


def test_without_a_file_there_are_no_costs() -> None:
    assert not Prices()
    assert Prices().cost("gpt-4o", None, 1, 1) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is no JSON"),
        ("[]", "has no object"),
        ('{"m": {"input_cost_per_token": "1"}}', "has no price for a token"),
    ],
)
def test_a_wrong_file_is_an_error(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "prices.json").write_text(content)
    with pytest.raises(ConfigError, match=reason):
        Prices.read(tmp_path / "prices.json")
