"""The pytest plugin: one recording per test, beside the file of the test.

pytest loads the plugin in every run with plsync installed. So it imports nothing until a test uses it, and does not
affect other tests. ``docs/replay/pytest.md`` explains its use.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from plsync._terminal import visible_line
from plsync.replay import recording_paths

if TYPE_CHECKING:
    from plsync.replay.recording import Recording

__all__ = ["plsync_recording"]

_FIXTURE = "plsync_recording"
_MODES = ("none", "once", "new_episodes", "all")
_MARKER = (
    f"{_FIXTURE}(path=None, mode=None, match=None, exhausted='fail', speed=None, redact=None, allow_misses=False): "
    "serve the model calls of the test from its recording, or record them (see --plsync-record)."
)
_MAX_SHOWN = 10

_passed = pytest.StashKey[bool]()
_usage = pytest.StashKey[dict[str, Any]]()
_totals = pytest.StashKey[dict[str, Any]]()
_collected = pytest.StashKey[recording_paths.CollectedTests]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options to the command line."""
    group = parser.getgroup("plsync", "recorded model calls (plsync)")
    group.addoption(
        "--plsync-record",
        choices=_MODES,
        default=None,
        help="The mode of recordings. By default (none), recorded calls are served and other calls fail. "
        "With once, tests without a recording record. With new_episodes, missing calls are recorded. "
        "With all, every call is recorded again.",
    )
    group.addoption(
        "--plsync-block-network",
        action="store_true",
        help="Fail tests that contact another machine. Loopback addresses and Unix sockets are allowed.",
    )
    group.addoption(
        "--plsync-prune",
        action="store_true",
        help="Remove recorded calls that a passed test did not use, and recordings of removed tests.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)
    config.stash[_totals] = {"tests": 0, "recorded": 0, "replayed": 0, "missed": 0, "unused": [], "stale": []}
    config.stash[_collected] = recording_paths.CollectedTests()


# --- one test ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def plsync_recording(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """The recording of the test. Until the test ends, it serves or records the calls of every model."""
    from plsync.replay.proxy.patch import record_all  # noqa: PLC0415 - it imports LangChain
    from plsync.replay.recording import Recording  # noqa: PLC0415

    marker = request.node.get_closest_marker(_FIXTURE)
    options = dict(marker.kwargs) if marker else {}
    options.pop("path", None)
    path = _named_path(request.node) or recording_paths.path_of_test(request.path, request.node.nodeid)
    allow_misses = options.pop("allow_misses", False)
    mode = request.config.getoption("--plsync-record") or options.get("mode") or "none"
    with record_all(Recording(path, **{**options, "mode": mode})) as recording:
        yield recording
    _record_usage(request, recording)
    if recording.first_miss is not None and not allow_misses and request.node.stash.get(_passed, False):
        # The program caught even NoRecording, so the test passed without testing its subject.
        pytest.fail(f"the test passed, but a model call had no response: {recording.first_miss}", pytrace=False)


def _named_path(item: pytest.Item) -> Path | None:
    """The recording that the test's marker names."""
    marker = item.get_closest_marker(_FIXTURE)
    path = (marker.kwargs.get("path") or next(iter(marker.args), None)) if marker else None
    return recording_paths.named_path(item.path, path) if path else None


def _record_usage(request: pytest.FixtureRequest, recording: Recording) -> None:
    passed = request.node.stash.get(_passed, False)
    unused = [f"{_shown(request.config, recording.path)}: {call.location}" for call in recording.unused()]
    # Several tests may share a recording that a marker names, and this test does not know the calls of other tests.
    own = recording.path == recording_paths.path_of_test(request.path, request.node.nodeid)
    if passed and own and (recording.mode == "all" or request.config.getoption("--plsync-prune")):
        recording.prune()
        unused = []
    counts = recording.counts
    request.node.stash[_usage] = {
        "recorded": counts.recorded,
        "replayed": counts.replayed,
        "missed": counts.missed,
        "unused": unused if passed and own else [],
    }


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Add the fixture to a test that has the marker."""
    names = getattr(item, "fixturenames", None)
    if names is not None and _FIXTURE not in names and item.get_closest_marker(_FIXTURE):
        # A new list: parametrised tests of one function share the old one.
        item.fixturenames = [_FIXTURE, *names]  # type: ignore[attr-defined]


# Not ``wrapper``: pytest 7 knows only ``hookwrapper``, and loads this plugin wherever plsync is installed.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Block the network during a test if the command line demands it."""
    if not item.config.getoption("--plsync-block-network"):
        yield
        return
    from plsync.replay.network_block import block_network  # noqa: PLC0415 - its audit hook stays installed

    with block_network():
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Attach the usage of a recording to the report of its test: xdist sends reports to the main process."""
    outcome: Any = yield
    report = outcome.get_result()
    if call.when == "call":
        item.stash[_passed] = report.passed
    if call.when == "teardown" and _usage in item.stash:
        report.plsync = item.stash[_usage]
    if report.longrepr is not None and "plsync.replay.recording" in sys.modules:
        # The report quotes prompts, answers and exceptions of a recording, which may come from a stranger.
        from plsync.replay.report_text import make_visible  # noqa: PLC0415 - only a failed test needs it

        report.longrepr = make_visible(report.longrepr)


# --- the run ----------------------------------------------------------------------------------------------------------


def pytest_itemcollected(item: pytest.Item) -> None:
    """Count every test of a module, also a test that will not run."""
    item.config.stash[_collected].found[item.path] += 1


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which recordings the tests need. A module whose tests do not all run cannot have stale recordings."""
    collected = session.config.stash[_collected]
    collected.partial |= {Path(arg.partition("::")[0]).resolve() for arg in session.config.args if "::" in arg}
    collected.tests |= {(item.path, item.nodeid) for item in session.items}
    collected.named |= {path for path in map(_named_path, session.items) if path is not None}
    # Counted here, because plugins that distribute tests drop items without reporting them as deselected.
    run = Counter(item.path for item in session.items)
    collected.partial |= {path for path, number in collected.found.items() if run[path] < number}
    # With --last-failed, pytest skips passed tests before it collects them.
    if session.config.getoption("lf", False):
        collected.partial |= set(run)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Find the recordings of removed tests, and delete them with --plsync-prune; with xdist, in one worker."""
    config = session.config
    worker = getattr(config, "workerinput", None)
    if config.getoption("collectonly") or (worker is not None and worker["workerid"] != "gw0"):
        return
    stale = recording_paths.stale_recordings(config.stash[_collected])
    if config.getoption("--plsync-prune"):
        for path in stale:
            path.unlink(missing_ok=True)
    shown = [_shown(config, path) for path in stale]
    config.stash[_totals]["stale"] += shown
    if worker is not None:
        config.workeroutput["plsync_stale"] = shown  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Add the results of an xdist worker that has ended."""
    node.config.stash[_totals]["stale"] += getattr(node, "workeroutput", {}).get("plsync_stale", [])


class _Tally:
    """Adds up the reports. A report has no access to the config, so this plugin object holds the totals."""

    def __init__(self, totals: dict[str, Any]) -> None:
        self.totals = totals

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        usage = getattr(report, "plsync", None)
        if usage is not None:
            self.totals["tests"] += 1
            for name in ("recorded", "replayed", "missed", "unused"):
                self.totals[name] += usage[name]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Register the object that adds up the reports."""
    session.config.pluginmanager.register(_Tally(session.config.stash[_totals]), "plsync-tally")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the totals, and the unused calls and recordings."""
    totals = config.stash[_totals]
    if not totals["tests"] and not totals["stale"]:
        return
    pruned = config.getoption("--plsync-prune")
    counts = [f"{totals[name]} {name}" for name in ("recorded", "replayed", "missed")]
    terminalreporter.write_line(f"plsync: {', '.join(counts)}, {len(totals['unused'])} unused")
    stale = "recordings of removed tests, deleted" if pruned else "recordings of removed tests"
    for label, found in (("recorded calls that no test used", totals["unused"]), (stale, totals["stale"])):
        if found:
            more = f" and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
            terminalreporter.write_line(f"  {label}: {visible_line(', '.join(found[:_MAX_SHOWN]))}{more}")
    if (totals["unused"] or totals["stale"]) and not pruned:
        terminalreporter.write_line("  --plsync-prune removes them")


def _shown(config: pytest.Config, path: Path) -> str:
    return str(path.relative_to(config.rootpath)) if path.is_relative_to(config.rootpath) else str(path)
