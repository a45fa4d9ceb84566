"""The final outcomes of tests, and the steps that need them: pruning, totals and the summary.

Subtests, teardowns, strict xfail and reruns change the outcome of a test after its call. So a test counts as passed
only when its protocol has ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from plsync.replay import recording_paths
from plsync.replay.pytest_plugin.recordings import Use, shared_paths, use_of_item, uses, wide_paths, with_calls
from plsync.replay.pytest_plugin.settings import layout_of

__all__ = ["Outcomes"]

_MAX_SHOWN: Final = 10
_COUNTS: Final = ("recorded", "replayed", "missed")


class Outcomes:
    """Collects the reports of tests, prunes recordings, and adds up the totals of all processes."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._reports: dict[str, list[pytest.TestReport]] = {}
        self._tests = 0
        self._totals = dict.fromkeys(_COUNTS, 0)
        # Lists, so that a worker of xdist can send them.
        self.unused: list[str] = []
        self.silent: list[str] = []
        self.stale: list[str] = []
        self.problems: list[str] = []
        self.passed: list[str] = []
        self.shared: dict[str, dict[str, list[str]]] = {}

    # --- one test ---

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the report. The report of a setup begins a new attempt of a plugin that reruns tests."""
        if not hasattr(report, "node"):  # otherwise a worker of xdist ran the test
            if report.when == "setup":
                self._reports[report.nodeid] = []
            self._reports.setdefault(report.nodeid, []).append(report)
        usage = getattr(report, "plsync", None)
        if usage is not None:
            self._tests += 1
            for name in _COUNTS:
                self._totals[name] += usage[name]

    def has_failed(self, nodeid: str) -> bool:
        """Whether a report of the test's present attempt failed."""
        return any(report.outcome == "failed" for report in self._reports.get(nodeid, ()))

    def finish(self, item: pytest.Item) -> None:
        """Prune the recording of a test whose outcome is final, or note its unused calls."""
        reports = self._reports.pop(item.nodeid, [])
        use = item.stash.get(use_of_item, None)
        if use is None:
            return
        called = [report for report in reports if report.when == "call"]
        passed = bool(called) and all(report.outcome == "passed" for report in reports)
        if passed:
            self.passed.append(item.nodeid)
        if use.recording is not None:
            with self._noting_problems():
                self._finish_recording(item, use, use.recording, passed)
        for recording in use.wide:
            self._share(recording)
        needs = self._config.stash[with_calls].intersection(getattr(item, "fixturenames", ()))
        if passed and use.recording is not None and not any(use.counts.values()) and not needs:
            self.silent.append(item.nodeid)
        del item.stash[use_of_item]

    @contextlib.contextmanager
    def _noting_problems(self) -> Iterator[None]:
        """A recording that cannot be changed must not stop the run: the error fails the run at its end."""
        try:
            yield
        except Exception as error:
            from plsync.errors import ReplayError  # noqa: PLC0415 - few runs get here

            if not isinstance(error, (ReplayError, OSError)):
                raise
            self.problems.append(str(error))

    def _finish_recording(self, item: pytest.Item, use: Use, recording: Any, passed: bool) -> None:
        own = recording.path == layout_of(item.config).of_test(item.path, item.nodeid)
        if not own:
            # Other tests share the recording, and this test does not know their calls.
            self._share(recording)
            return
        for wide in use.wide:
            recording.keep_used_by(wide)
        if not passed:
            return
        if recording.mode == "all" or item.config.getoption("--plsync-prune"):
            recording.prune()
        else:
            self.unused += [f"{_shown(item.config, recording.path)}: {call.location}" for call in recording.unused()]

    def _share(self, recording: Any) -> None:
        entry = self.shared.setdefault(str(recording.path), {"keys": [], "modes": []})
        entry["keys"] = sorted({*entry["keys"], *recording.used_keys()})
        entry["modes"] = sorted({*entry["modes"], recording.mode})

    # --- the run ---

    def for_controller(self) -> dict[str, Any]:
        """The findings of a worker of xdist."""
        names = ("unused", "silent", "stale", "problems", "passed", "shared")
        return {name: getattr(self, name) for name in names}

    def add_worker(self, found: dict[str, Any]) -> None:
        """Add the findings of a worker of xdist."""
        self.unused += found.get("unused", [])
        self.silent += found.get("silent", [])
        self.stale += found.get("stale", [])
        self.problems += found.get("problems", [])
        self.passed += found.get("passed", [])
        for path, entry in found.get("shared", {}).items():
            mine = self.shared.setdefault(path, {name: [] for name in entry})
            for name, values in entry.items():
                mine[name] = sorted({*mine[name], *values})

    def finish_shared(self, expected: dict[str, list[str]]) -> None:
        """Prune recordings of classes and modules whose tests have all passed, or note their unused calls.

        Args:
            expected: the ids of all tests that use each such recording, by themselves or by a fixture.
        """
        passed = set(self.passed)
        for path, tests in sorted(expected.items()):
            # A file that no test used may belong to the program.
            if path in self.shared and passed.issuperset(tests):
                with self._noting_problems():
                    self._finish_shared_file(path, self.shared[path])

    def _finish_shared_file(self, path: str, entry: dict[str, list[str]]) -> None:
        from plsync.replay.storage.file import RecordingFile, key_of  # noqa: PLC0415 - few runs get here

        file = RecordingFile(path)
        used = {None, *(key.encode() for key in entry["keys"])}
        unused = [number for number, line in enumerate(file.read(), 2) if key_of(line) not in used]
        if not unused:
            return
        if self._config.getoption("--plsync-prune") or entry["modes"] == ["all"]:
            with file.rewrite() as (lines, replace):
                replace([line for line in lines if key_of(line) in used])
            file.sweep()
        else:
            self.unused += [f"{_shown(self._config, Path(path))}: line {number}" for number in unused]

    def print_summary(self, terminalreporter: Any) -> None:
        """Print the totals, and the unused calls and recordings."""
        if not self._tests and not self.stale and not self.problems:
            return
        from plsync._terminal import visible_line  # noqa: PLC0415 - most runs print no summary

        pruned = self._config.getoption("--plsync-prune")
        counts = [f"{self._totals[name]} {name}" for name in _COUNTS]
        terminalreporter.write_line(f"plsync: {', '.join(counts)}, {len(self.unused)} unused")
        stale = "recordings of removed tests, deleted" if pruned else "recordings of removed tests"
        for label, found in (
            ("recorded calls that no test used", self.unused),
            (stale, self.stale),
            ("tests with a recording that called no model", self.silent),
            ("errors", self.problems),
        ):
            if found:
                more = f" and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
                terminalreporter.write_line(f"  {label}: {visible_line(', '.join(found[:_MAX_SHOWN]))}{more}")
        if (self.unused or self.stale) and not pruned:
            terminalreporter.write_line("  --plsync-prune removes them")

    def find_stale(self, collected: recording_paths.CollectedTests) -> None:
        """Find the recordings of removed tests, and delete them with --plsync-prune."""
        stale = recording_paths.stale_recordings(collected, layout_of(self._config))
        if self._config.getoption("--plsync-prune"):
            from plsync.replay.storage.file import RecordingFile  # noqa: PLC0415 - few runs get here

            for path in stale:
                with self._noting_problems():
                    RecordingFile(path).remove()
                    if not any(path.parent.iterdir()):
                        path.parent.rmdir()
        self.stale += [_shown(self._config, path) for path in stale]


def is_whole_run(session: pytest.Session, arguments: Sequence[Path], collected: recording_paths.CollectedTests) -> bool:
    """Whether every test of the suite runs, so that a recording of several modules has no other users."""
    config = session.config
    source = getattr(getattr(config, "args_source", None), "name", "")
    covers_root = any(path.is_dir() and config.rootpath.is_relative_to(path) for path in arguments)
    leaves_out = any(config.getoption(name, None) for name in ("ignore", "ignore_glob", "deselect", "lf", "keyword"))
    return (source == "TESTPATHS" or covers_root) and not (leaves_out or collected.partial or session.testsfailed)


def expected_users(items: list[pytest.Item], collected: recording_paths.CollectedTests) -> dict[str, list[str]]:
    """The ids of all tests of each shared recording.

    A recording of a class or module counts if all of its tests run and no marker names it. Any other shared recording
    counts in a run of the whole suite.
    """
    found: dict[str, list[str]] = {}
    for item in items:
        if not uses(item):
            continue
        paths = set() if item.path in collected.partial else shared_paths(item) - collected.named
        for path in paths | (wide_paths(item) if collected.is_whole else set()):
            found.setdefault(str(path), []).append(item.nodeid)
    return found


def _shown(config: pytest.Config, path: Path) -> str:
    return str(path.relative_to(config.rootpath)) if path.is_relative_to(config.rootpath) else str(path)
