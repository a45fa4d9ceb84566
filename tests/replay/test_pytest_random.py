"""Generated modules of fixtures and tests: recorded once, and served in any order, alone, and in two processes."""

from __future__ import annotations

import random

import pytest

from tests.support.pytest_runs import live, run, summary

SCOPES = ("session", "package", "module", "class", "function")
HEAD = """
import asyncio
import pytest, pytest_asyncio
from app import model

def call(question):
    answer = model().invoke(question).content
    assert answer == "Paris"
    return answer
"""
SHUFFLE = """
import os, random, pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    if "SEED" in os.environ:
        random.Random(os.environ["SEED"]).shuffle(items)
"""


def generated(seed: int) -> str:
    """A module whose fixtures of all scopes call models in setup and teardown, and need each other."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    parts = [HEAD]
    fixtures: list[tuple[str, int]] = []
    for number in range(draw.randint(3, 6)):
        width = draw.randrange(len(SCOPES))
        needed = [name for name, other in fixtures if other <= width and draw.random() < 0.4]
        name = f"fixture_{number}"
        dynamic = [other for other in needed if draw.random() < 0.3]
        arguments = ", ".join([*(other for other in needed if other not in dynamic), "request"])
        lines = [f"    request.getfixturevalue({other!r})" for other in dynamic]
        lines += [f"    call({f'{name} begins'!r})"] * draw.randint(1, 2)
        lines += ["    yield", f"    call({f'{name} ends'!r})"] if draw.random() < 0.5 else []
        autouse = draw.random() < 0.15
        parts.append(f"@pytest.fixture(scope={SCOPES[width]!r}, autouse={autouse})\ndef {name}({arguments}):")
        parts.append("\n".join(lines) + "\n")
        fixtures.append((name, width))
    for number in range(draw.randint(3, 5)):
        needed = [name for name, _ in fixtures if draw.random() < 0.5]
        form = draw.choice(["marker", "fixture", "module fixture", "scoped marker"])
        indent = ""
        if draw.random() < 0.4:
            parts.append(f"class TestClass{number}:")
            indent = "    "
        if form == "marker":
            parts.append(f"{indent}@pytest.mark.plsync_recording")
        elif form == "scoped marker":
            parts.append(
                f"{indent}@pytest.mark.plsync_recording(scope={draw.choice(['class', 'module', 'session'])!r})"
            )
        else:
            needed.insert(
                draw.randint(0, len(needed)), "plsync_recording" if form == "fixture" else "plsync_module_recording"
            )
        own = ["self"] if indent else []
        parts.append(f"{indent}def test_{number}({', '.join(own + needed)}):")
        parts.append(f"{indent}    call('shared'), call('test {number}')\n")
    return "\n".join(parts)


@pytest.mark.parametrize("seed", range(8))
def test_any_fixtures_are_recorded_once_and_served_in_any_order(
    tests: pytest.Pytester, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests.makeconftest(SHUFFLE)
    tests.makepyfile(test_app=generated(seed))
    monkeypatch.setenv("SEED", str(seed))
    recorded = run(tests, "--plsync-record=once")
    assert recorded.ret == 0
    number = recorded.parseoutcomes()["passed"]
    live(tests, "Rome")
    for order in ("other", "another"):
        monkeypatch.setenv("SEED", order)
        result = run(tests)
        result.assert_outcomes(passed=number)
        assert summary(result).startswith("0 recorded,")
    for one in range(number):
        result = run(tests, "-k", f"test_{one}")
        result.assert_outcomes(passed=1, deselected=number - 1)
        assert ", 0 missed," in summary(result)
