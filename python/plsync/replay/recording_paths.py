"""The paths of tests' recordings: beside the file of the test, under the name of the test."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["CollectedTests", "named_path", "path_of_test", "stale_recordings"]

_DIRECTORY = "recordings"
_MAX_NAME = 120
# Characters that a file system refuses, or that are awkward in a shell.
_AWKWARD = re.compile(r"[^A-Za-z0-9_.,=+@\[\]-]+")


@dataclass(slots=True)
class CollectedTests:
    """The collected tests of a run, and the recordings that they need."""

    tests: set[tuple[Path, str]] = field(default_factory=set)
    """The tests that run: module and node id."""
    found: Counter[Path] = field(default_factory=Counter)
    """The number of tests in each module, with the tests that do not run."""
    partial: set[Path] = field(default_factory=set)
    """The modules of which some tests do not run."""
    named: set[Path] = field(default_factory=set)
    """The recordings that markers name."""


def path_of_test(module: Path, nodeid: str) -> Path:
    """The path of a test's recording.

    >>> path_of_test(Path("/t/test_rag.py"), "t/test_rag.py::TestRag::test_answer[paris]").as_posix()
    '/t/recordings/test_rag/TestRag.test_answer[paris].jsonl'
    """
    name = nodeid.partition("::")[2].replace("::", ".")
    short = _AWKWARD.sub("_", name)[:_MAX_NAME]
    if short != name:  # two tests must not share a file
        short = f"{short}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return _directory(module) / f"{short}.jsonl"


def named_path(module: Path, path: str | os.PathLike[str]) -> Path:
    """The absolute path of a recording that a marker names, relative to the file of the test."""
    return Path(os.path.abspath(module.parent / path))


def stale_recordings(collected: CollectedTests) -> list[Path]:
    """The recordings without a test, in the directories of modules whose tests all run."""
    wanted = collected.named | {path_of_test(module, nodeid) for module, nodeid in collected.tests}
    directories = {_directory(module) for module, _ in collected.tests if module not in collected.partial}
    found = [path for directory in directories if directory.is_dir() for path in directory.glob("*.jsonl")]
    return sorted(path for path in found if path not in wanted)


def _directory(module: Path) -> Path:
    return module.parent / _DIRECTORY / module.stem
