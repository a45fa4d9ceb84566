"""Helpers for whole runs of pytest over tests with recordings."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

# A run inside this process drops the modules that it imports first.
import plsync.replay.proxy.patch  # noqa: F401
from tests.support import programs

MODEL = """
from langchain_core.language_models import FakeListChatModel, FakeListLLM

ANSWER = "{answer}"

def model():
    return FakeListChatModel(responses=[ANSWER])
"""


def live(pytester: pytest.Pytester, answer: str) -> None:
    pytester.makepyfile(app=MODEL.format(answer=answer))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*arguments)


def popen(pytester: pytest.Pytester, command: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
    """``pytester.popen``, in a fork."""
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    if more.get("stdin", pytester.CLOSE_STDIN) is pytester.CLOSE_STDIN:
        more["stdin"] = subprocess.DEVNULL
    return programs.Popen(command, env={**os.environ, "PYTHONPATH": path}, **more)


def summary(result: pytest.RunResult) -> str:
    [line] = [line for line in result.outlines if line.startswith("plsync: ")]
    return line.removeprefix("plsync: ")


def recordings(pytester: pytest.Pytester) -> list[str]:
    return sorted(str(path.relative_to(pytester.path)) for path in pytester.path.rglob("*.jsonl"))


def questions(path: Path) -> list[str]:
    calls = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return [call["request"]["messages"][-1]["content"] for call in calls]
