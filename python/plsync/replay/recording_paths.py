"""The paths of tests' recordings: beside the file of the test, under the name of the test."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["DIRECTORY", "CollectedTests", "Layout", "named_path", "path_of_test", "stale_recordings"]

DIRECTORY = "recordings"
"""The name of the directory beside the file of a test."""

_MAX_NAME = 120
# Characters that a file system refuses, or that are awkward in a shell.
_AWKWARD = re.compile(r"[^A-Za-z0-9_.,=+@\[\]-]+")
# The same start in every format.
_HEADER = b'{"plsync":"recording"'


@dataclass(frozen=True, slots=True)
class Layout:
    """Where recordings are: in a directory beside each file of tests, or in one directory for all of them."""

    root: Path
    """pytest's root directory."""
    directory: str = DIRECTORY
    """A name: a directory beside each file. With a ``/``: one directory, relative to ``root``."""

    @property
    def central(self) -> Path | None:
        """The one directory of all recordings, or ``None``."""
        is_path = "/" in self.directory or os.sep in self.directory
        return Path(os.path.abspath(self.root / self.directory)) if is_path else None

    def directory_of(self, folder: Path) -> Path:
        """The directory for the recordings of the test files in a folder."""
        central = self.central
        if central is None:
            return folder / self.directory
        return central / folder.relative_to(self.root) if folder.is_relative_to(self.root) else central / folder.name

    def of_module(self, module: Path) -> Path:
        """The directory for the recordings of a module's tests."""
        return self.directory_of(module.parent) / module.stem

    def of_test(self, module: Path, nodeid: str) -> Path:
        """The recording of a test or of a class of tests."""
        return self.of_module(module) / f"{_file_name(nodeid)}.jsonl"

    def of_whole_module(self, module: Path) -> Path:
        """The recording of a module."""
        return self.directory_of(module.parent) / f"{module.stem}.jsonl"

    def of_package(self, folder: Path) -> Path:
        """The recording of a package."""
        return self.directory_of(folder) / "pytest-package.jsonl"

    @property
    def of_session(self) -> Path:
        """The recording of the whole run."""
        return self.directory_of(self.root) / "pytest-session.jsonl"


@dataclass(slots=True)
class CollectedTests:
    """The collected tests of a run, and the recordings that they need."""

    tests: set[tuple[Path, str]] = field(default_factory=set)
    """The tests that run, and their classes: module and node id."""
    found: Counter[Path] = field(default_factory=Counter)
    """The number of tests in each module, with the tests that do not run."""
    partial: set[Path] = field(default_factory=set)
    """The modules of which some tests do not run."""
    named: set[Path] = field(default_factory=set)
    """The recordings that markers name."""
    whole_folders: set[Path] = field(default_factory=set)
    """The folders whose modules were all collected."""
    whole_roots: set[Path] = field(default_factory=set)
    """In a run of the whole suite, the directories that were collected."""
    is_whole: bool = False
    """Whether every test below pytest's root directory, or below ``testpaths``, was collected and runs."""
    file_patterns: tuple[str, ...] = ()
    """pytest's ``python_files``: the names of modules with tests."""


def path_of_test(module: Path, nodeid: str) -> Path:
    """The path of a test's recording.

    >>> path_of_test(Path("/t/test_rag.py"), "t/test_rag.py::TestRag::test_answer[paris]").as_posix()
    '/t/recordings/test_rag/TestRag.test_answer[paris].jsonl'
    """
    return Layout(module.parent).of_test(module, nodeid)


def named_path(module: Path, path: str | os.PathLike[str]) -> Path:
    """The absolute path of a recording that a marker names, relative to the file of the test."""
    return Path(os.path.abspath(module.parent / path))


def stale_recordings(collected: CollectedTests, layout: Layout | None = None) -> list[Path]:
    """The recordings of removed tests.

    Tests are looked for in modules whose tests all run. Modules are looked for in folders that were collected as a
    whole, and folders in a run of the whole suite.
    """

    def places(folder: Path) -> Layout:
        return layout or Layout(folder)

    wanted = collected.named | {places(module.parent).of_test(module, nodeid) for module, nodeid in collected.tests}
    whole = {module for module, _ in collected.tests if module not in collected.partial}
    directories = {places(module.parent).of_module(module) for module in whole}
    found = {path for directory in directories if _is_real(directory) for path in directory.glob("*.jsonl")}
    folders = {module.parent for module in collected.found} & collected.whole_folders
    for folder in folders:
        found |= set(_orphans(folder, places(folder).directory_of(folder), collected.file_patterns))
    for folder in _folders_without_tests(collected, layout) - folders:
        found |= set(_orphans(folder, places(folder).directory_of(folder), collected.file_patterns))
    # Another program may have files of this name there.
    return sorted(path for path in found if path not in wanted and _is_recording(path))


def _folders_without_tests(collected: CollectedTests, layout: Layout | None) -> set[Path]:
    """In a run of the whole suite, the folders that may have recordings and no tests any more."""
    found = {folder for root in collected.whole_roots for folder in _folders_below(root)}
    central = layout.central if layout and collected.whole_roots else None
    if layout and central:
        for directory in _folders_below(central):
            parts = directory.relative_to(central).parts
            # The directory of a module is no folder of tests.
            if not any(_is_module(part, collected.file_patterns) for part in parts):
                found.add(layout.root.joinpath(*parts))
    return found


def _folders_below(root: Path) -> set[Path]:
    """The folders below a directory, without environments and hidden folders."""
    found: set[Path] = set()
    for name, folders, files in os.walk(root):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = [folder for folder in folders if folder[0] not in "._" and folder != "node_modules"]
        found.add(Path(name))
    return found


def _orphans(folder: Path, directory: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """The recordings of modules that a folder no longer has."""
    for entry in directory.iterdir() if _is_real(directory) else ():
        stem = entry.name.removesuffix(".jsonl")
        if not _is_module(stem, patterns) or any(folder.glob(f"{_literal(stem)}.*")) or (folder / stem).is_dir():
            continue
        for path in entry.glob("*.jsonl") if _is_real(entry) else [entry]:
            if path.suffix == ".jsonl":
                yield path


def _is_module(stem: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(f"{stem}.py", pattern) for pattern in patterns)


def _literal(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _is_real(directory: Path) -> bool:
    """Whether a name is a directory, and no link to the files of another program."""
    return directory.is_dir() and not directory.is_symlink()


def _is_recording(path: Path) -> bool:
    from plsync._common.files import open_any  # noqa: PLC0415 - only runs with recordings get here

    try:
        with open(open_any(path), "rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError:
        return False


def _file_name(nodeid: str) -> str:
    name = nodeid.partition("::")[2].replace("::", ".")
    short = _AWKWARD.sub("_", name)[:_MAX_NAME]
    if short != name:  # two tests must not share a file
        short = f"{short}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return short
