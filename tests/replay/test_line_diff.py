"""The bounded difference of lines: equal to difflib's for ordinary texts, and cheap for any text."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plsync.replay import line_diff, mismatch
from plsync.replay.request.request import Request
from plsync.replay.storage.recorded_call import RecordedCall, line_data
from tests.support.hostile import GROWING, assert_linear, cases

LINES = st.lists(st.sampled_from("abcdefgh"), max_size=40)


def applied(lines: list[str], changes: list[str], sign: str) -> list[str]:
    """One side of a difference that shows every line."""
    return [line[1:] for line in changes if not line.startswith("@@") and line[0] in (" ", sign)] if changes else lines


@given(LINES, LINES)
def test_a_difference_shows_both_sides(one: list[str], other: list[str]) -> None:
    changes = list(line_diff.unified(one, other, context=100))
    if one == other:
        assert changes == []
    else:
        assert applied(one, changes, "-") == one
        assert applied(other, changes, "+") == other


def test_an_ordinary_difference_is_difflibs() -> None:
    one = [f"line {number}" for number in range(400)]
    other = [*one[:50], "added", *one[50:200], *one[210:300], "changed", *one[301:]]
    expected = list(difflib.unified_diff(one, other, lineterm="", n=1))[2:]
    assert list(line_diff.unified(one, other)) == expected
    assert line_diff.ratio(one, other) == difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def test_a_long_difference_keeps_its_anchors() -> None:
    one = [f"line {number}" for number in range(20_000)]
    other = [line if number % 2 else f"other {number}" for number, line in enumerate(one)]
    assert line_diff.ratio(one, other) == 0.5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["same"] * 8000, ["same"] * 8000 + ["other"]),
        (["first"] + ["same"] * 8000, ["same"] * 8000 + ["last"]),
        (["a", "b"] * 4000, ["b", "a", "a"] * 3000),
        ([f"{number}" for number in range(8000)], [f"{number}" for number in range(8000)][::-1]),
        ([f"{number % 90}" for number in range(8000)], [f"{number % 89}" for number in range(8000)]),
    ],
    ids=["equal", "shifted", "alternating", "reversed", "periodic"],
)
def test_a_long_repetitive_difference_is_quick(one: list[str], other: list[str]) -> None:
    before = time.thread_time()
    changes = list(line_diff.unified(one, other))
    line_diff.ratio(one, other)
    assert time.thread_time() - before < 1.5
    assert changes


def explained(text: str) -> str:
    """The message of a mismatch with a recording of similar prompts."""
    bodies = [{"messages": [{"type": "human", "content": f"{text}{tail}"}]} for tail in (" one", " two", "\nthree")]
    calls = [RecordedCall("line 1", line_data(Request("chat", body), {}, [])) for body in bodies]
    return mismatch.explain(Request("chat", bodies[0] | {"stop": ["x"]}), "a.jsonl", calls, recorded=0, mode="none")


@pytest.mark.parametrize("make", cases(GROWING))
def test_the_message_of_a_mismatch_is_bounded(make: Callable[[int], str]) -> None:
    assert_linear(explained, make, least=10_000, budget=3e-6)
    assert len(explained(make(100_000))) < 40_000
