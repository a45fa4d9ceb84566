"""Numbers, sizes and durations for people: each in the unit that its rounded value has."""

from __future__ import annotations

import pytest

from plsync.cli import humanize


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, ""),
        (0, "0.0 ms"),
        (3_040_000, "3.0 ms"),
        (9_949_999, "9.9 ms"),
        (9_999_999, "10 ms"),
        (12_500_000, "13 ms"),
        (431_000_000, "431 ms"),
        (999_600_000, "1.00 s"),
        (1_250_000_000, "1.25 s"),
        (59_990_000_000, "59.99 s"),
        (59_999_000_000, "1 min 0 s"),
        (119_700_000_000, "2 min 0 s"),
        (125_000_000_000, "2 min 5 s"),
        (3_599_700_000_000, "1 h 0 min"),
        (3_700_000_000_000, "1 h 2 min"),
        (90_000_000_000_000, "25 h 0 min"),
    ],
)
def test_a_duration_is_rounded_into_the_next_unit(ns: int | None, text: str) -> None:
    assert humanize.duration(ns) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_960, "1.0 MB"),
        (184_300, "184.3 kB"),
        (5_000_000_000_000, "5,000.0 GB"),
    ],
)
def test_a_size_is_rounded_into_the_next_unit(number: int, text: str) -> None:
    assert humanize.size(number) == text
