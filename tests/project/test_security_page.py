"""The pages on security: each promise names tests, and the tests exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.root import ROOT

SECURITY = ROOT / "docs" / "guarantees" / "security.md"
THREATS = ROOT / "docs" / "guarantees" / "threat-model.md"
HEADING = "| promise | test |"

# These sections promise nothing: an introduction, a how-to, limits, and an address.
WITHOUT_PROMISES = {"Security", "Keeping content out", "Limits", "Reporting"}


def sections() -> dict[str, str]:
    parts = re.split(r"^##? (.+)\n", SECURITY.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def promises() -> list[tuple[str, str]]:
    """Each promise of the page, with its cell of tests."""
    text = SECURITY.read_text(encoding="utf-8")
    tables = re.findall(rf"^{re.escape(HEADING)}\n\| --- \| --- \|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row.strip("| \n").rsplit(" | ", 1) for table in tables for row in table.splitlines()]
    return [(promise, tests) for promise, tests in rows]


@cache
def names_in(path: Path) -> set[str]:
    return set(re.findall(r"^\s*(?:async )?(?:def|fn) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_page_has_promises_in_each_section() -> None:
    without = {name for name, text in sections().items() if HEADING not in text}
    assert without == WITHOUT_PROMISES


@pytest.mark.parametrize(("promise", "tests"), promises())
def test_a_promise_names_tests_that_exist(promise: str, tests: str) -> None:
    named = re.findall(r"`([\w./-]+\.(?:py|rs))::(\w+)`", tests)
    assert named, "no test is named"
    assert re.sub(r"`[^`]+`", "", tests).strip(", ") == ""
    for place, name in named:
        assert (ROOT / place).is_file(), place
        assert name in names_in(ROOT / place), f"{place} has no {name}"


def test_the_threat_model_names_each_attacker_and_both_sides() -> None:
    text = THREATS.read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    attackers = {name: body for name, body in zip(parts[::2], parts[1::2], strict=True) if "| can | cannot |" in body}
    assert len(attackers) >= 8
    for body in attackers.values():
        rows = re.findall(r"^\| (.*) \|$", body, re.MULTILINE)[2:]
        assert any(row.split(" | ", 1)[0].strip() for row in rows)
        assert any(row.split(" | ", 1)[-1].strip() for row in rows)
    # One page is read. Two are not.
    assert len(text.split()) <= 1200
