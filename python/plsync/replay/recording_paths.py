"""Where the recordings of tests are: beside the test's file, by the name of the test."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Collected", "given", "of_test", "stale"]

_DIRECTORY = "recordings"
_LONGEST = 120
# What file systems take, and people can type.
_UNFIT = re.compile(r"[^A-Za-z0-9_.,=+@\[\]-]+")


@dataclass(slots=True)
class Collected:
    """The tests of a run, as far as they say which recordings there should be."""

    tests: set[tuple[Path, str]] = field(default_factory=set)
    found: Counter[Path] = field(default_factory=Counter)
    """How many tests there are in a module."""
    partly: set[Path] = field(default_factory=set)
    """Modules of which not every test is run."""
    named: set[Path] = field(default_factory=set)
    """Recordings that tests name themselves."""


def of_test(module: Path, nodeid: str) -> Path:
    """The recording of a test.

    >>> of_test(Path("/t/test_rag.py"), "t/test_rag.py::TestRag::test_answer[paris]").as_posix()
    '/t/recordings/test_rag/TestRag.test_answer[paris].jsonl'
    """
    name = nodeid.partition("::")[2].replace("::", ".")
    fit = _UNFIT.sub("_", name)[:_LONGEST]
    if fit != name:  # two tests must not meet in one file
        fit = f"{fit}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return _directory(module) / f"{fit}.jsonl"


def given(module: Path, path: str | os.PathLike[str]) -> Path:
    """The recording a test names: relative to the test's file."""
    return Path(os.path.abspath(module.parent / path))


def stale(collected: Collected) -> list[Path]:
    """The recordings in the directories of whole modules that belong to none of their tests."""
    wanted = collected.named | {of_test(module, nodeid) for module, nodeid in collected.tests}
    directories = {_directory(module) for module, _ in collected.tests if module not in collected.partly}
    found = [path for directory in directories if directory.is_dir() for path in directory.glob("*.jsonl")]
    return sorted(path for path in found if path not in wanted)


def _directory(module: Path) -> Path:
    return module.parent / _DIRECTORY / module.stem
