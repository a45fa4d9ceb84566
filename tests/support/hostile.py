"""The hostile corpus: texts and secrets that attackers, servers and accidents put in front of plsync.

A test of a parser, a command or a page takes its inputs from here, so a new case reaches every one of them. To add one:

* a text whose cost may grow faster than its length: a function of a length, in ``GROWING``;
* a text that may confuse a parser, a terminal or a page: in ``TEXTS``;
* another kind of input (files, responses, recordings): a module ``hostile_<kind>.py`` beside this module, in the same
  form.

Every table is a dict from a short name, the id of the parametrised test, to the case.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["GROWING", "TEXTS", "assert_linear", "cases"]


def _repeated(piece: str, end: str = "") -> Callable[[int], str]:
    """A text of a given length that repeats a piece."""
    return lambda length: (piece * (length // len(piece) + 1))[: length - len(end)] + end


def _after(begin: str, piece: str, end: str = "") -> Callable[[int], str]:
    """A text of a given length that begins with one text and repeats another."""
    body = _repeated(piece, end)
    return lambda length: begin + body(length - len(begin))


GROWING: dict[str, Callable[[int], str]] = {
    "one letter": _repeated("a"),
    "spaces": _repeated(" "),
    "lines": _repeated("\n"),
    "dots": _repeated(". "),
    "scheme of letters and signs": _repeated("a-"),
    "schemes": _repeated("a://"),
    "schemes with users": _repeated("a://b:"),
    "schemes with users and slashes": _repeated("a://b:c/"),
    "users and signs": _after("https://a:", "b@"),
    "user without end": _after("https://", "a:"),
    "password without end": _after("https://a:", "b"),
    "query without a value": _after("https://x/?", "a"),
    "query of names": _after("https://x/?", "a&"),
    "query of parameters": _after("https://x/?", "key=a&"),
    "query of queries": _after("https://x/", "?a="),
    "percent signs": _after("https://x/?", "%61"),
    "fragments": _after("https://x/", "#a"),
    "equal signs": _repeated("="),
    "colons": _repeated(":"),
    "assignments": _repeated("password="),
    "assignments in quotes": _repeated("password='"),
    "assignments of words": _repeated("password: must be set, "),
    "spaces before a value": _after("password=", " "),
    "spaces after names": _repeated("password "),
    "one long name": _repeated("password_", "=x"),
    "escaped quotes": _after('{"password": "', '\\"'),
    "backslashes": _after('{"password": "', "\\"),
    "names in quotes": _repeated('"password" "'),
    "bearers": _repeated("Bearer "),
    "bearer and spaces": _after("Bearer", " "),
    "prefixes of keys": _repeated("sk-"),
    "prefixes of keys apart": _repeated("sk- "),
    "names like keys": _repeated("sk-learn-"),
    "credentials without values": _repeated("token "),
    "credentials behind credentials": _repeated("password-"),
    "credentials with long values": _repeated("password aaaaaaaa"),
    "credentials in brackets": _repeated('password "=('),
    "prefixes of tokens": _repeated("eyJ-"),
    "parts of a token": _repeated("eyJ."),
    "begins of private keys": _repeated("-----BEGIN PRIVATE KEY-----"),
    "hyphens": _repeated("-"),
    "mixed cases": _repeated("aA"),
    "underscores": _repeated("_"),
    "digits": _repeated("1"),
    "brackets": _repeated("["),
    "braces": _repeated("{"),
    "closing braces": _repeated("}"),
    "quotes": _repeated('"'),
    "apostrophes": _repeated("'"),
    "commas": _after("data:", ","),
    "data urls": _repeated("data:a/b;base64"),
    "parameters of data urls": _after("data:a/b", ";a"),
    "addresses": _repeated(" at 0x"),
    "combining marks": _after("e", "\u0301"),
    "two-byte letters": _repeated("é"),
    "four-byte characters": _repeated("\U0001f600"),
    "controls": _repeated("\x1b["),
}
"""A text of a length in characters. No function may take longer than its length allows."""

TEXTS: dict[str, str] = {
    "empty": "",
    "nul": "a\0b",
    "terminal title": "\x1b]0;owned\x07",
    "terminal colour": "\x1b[31mRED\x1b[0m",
    "clear screen": "\x1b[2J\x1b[H",
    "hyperlink": "\x1b]8;;https://evil.invalid\x1b\\click\x1b]8;;\x1b\\",
    "one-byte control": "\x9b31mRED",
    "carriage return": "harmless\rforged",
    "backspaces": "harmless\b\b\b\b\b\b\b\bforged",
    "new line": "harmless\nplsync: forged",
    "line separators": "a\u2028b\u2029c\x85d\vf\fg",
    "right to left": "a\u202egnp.exe",
    "isolates": "\u2066a\u2069\u061c",
    "zero width": "a\u200bb\ufeffc\u2060d\u206ae",
    "tag characters": "a\U000e0041\U000e007f",
    "fillers": "\u3164\u115f",
    "variation selectors": "a\ufe0f\U000e0100",
    "lone surrogate": "a\ud800b",
    "workflow command": "::error file=a,line=1::forged",
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "spreadsheet formula": '=HYPERLINK("https://evil.invalid")',
    "format string": "{0.__class__} %s %n ${x} {{x}}",
    "path": "../../../etc/passwd",
    "systemd": "READY=1\nMAINPID=1",
    "deep list": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "long number": "9" * 6000,
    "not a number": "NaN",
    "overflowing number": "1e999",
    "tag of the journal": '{"$":"int","v":"9"}',
}
"""Texts in any place that foreign data reaches: prompts, names, errors, responses."""


def cases(table: dict[str, Any]) -> Any:
    """A table of this corpus as arguments of ``pytest.mark.parametrize``, with the names as ids."""
    return [pytest.param(case, id=name) for name, case in table.items()]


def assert_linear(
    function: Callable[[str], object], make: Callable[[int], str], *, least: int = 50_000, budget: float = 50e-9
) -> None:
    """Fails if a text takes more than its budget, and a text of four times the length more than eight times as long.

    Linear time grows by four and quadratic time by sixteen. So other processes, which slow a processor down by half,
    decide nothing. Below the budget, the clock, the caches and the allocator decide.

    Args:
        function: takes the text.
        make: a text of a length, such as a case of ``GROWING``.
        least: the first length, in characters. It grows until the time can be measured.
        budget: seconds for each character. The default is 50 ms for a million characters.
    """
    if _seconds(function, make(2 * least)) <= 2 * least * budget:
        return
    length, took = least, _least_seconds(function, make(least))
    while took < 0.002 and length < 800_000:
        length, took = 2 * length, _least_seconds(function, make(2 * length))
    longer = _seconds(function, make(4 * length))
    for _ in range(6):
        if longer <= max(8 * took, 4 * length * budget):
            return
        took = min(took, _least_seconds(function, make(length)))
        longer = min(longer, _least_seconds(function, make(4 * length)))
    raise AssertionError(f"{length} characters take {took:.4f} s, {4 * length} take {longer:.4f} s")


def _least_seconds(function: Callable[[str], object], text: str) -> float:
    """The least time of three calls."""
    times = [_seconds(function, text)]
    while len(times) < 3 and times[0] <= 1:
        times.append(_seconds(function, text))
    return min(times)


def _seconds(function: Callable[[str], object], text: str) -> float:
    """The time of a call, in seconds of this thread's processor."""
    gc.disable()
    try:
        before = time.thread_time()
        function(text)
        return time.thread_time() - before
    finally:
        gc.enable()
