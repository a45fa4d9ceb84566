"""The pytest plugin: one recording a test, beside the test's file.

pytest loads it in every run in which plsync is installed, so it imports nothing until a test uses it, and does nothing
to tests that do not. ``docs/replay/pytest.md`` says how it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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
_MOST_SHOWN = 10

_passed = pytest.StashKey[bool]()
_usage = pytest.StashKey[dict[str, Any]]()
_totals = pytest.StashKey[dict[str, Any]]()
_collected = pytest.StashKey[recording_paths.Collected]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The command line."""
    group = parser.getgroup("plsync", "recorded model calls (plsync)")
    group.addoption(
        "--plsync-record",
        choices=_MODES,
        default=None,
        help="What becomes of model calls in tests with a recording: none (serve it; the default), once (record where "
        "there is none), new_episodes (record what is missing), all (record everything anew).",
    )
    group.addoption(
        "--plsync-block-network",
        action="store_true",
        help="Fail tests that reach for the network; this machine and Unix sockets are not it.",
    )
    group.addoption(
        "--plsync-prune",
        action="store_true",
        help="Remove recorded calls that a passed test did not use, and recordings of tests that are gone.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", _MARKER)
    config.stash[_totals] = {"tests": 0, "recorded": 0, "replayed": 0, "missed": 0, "unused": [], "stale": []}
    config.stash[_collected] = recording_paths.Collected()


# --- one test ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def plsync_recording(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """The test's recording. While it lasts, every model's calls are served from it or recorded into it."""
    from plsync.replay.proxy.patch import record_all  # noqa: PLC0415 - it imports LangChain
    from plsync.replay.recording import Recording  # noqa: PLC0415

    marker = request.node.get_closest_marker(_FIXTURE)
    settings = dict(marker.kwargs) if marker else {}
    settings.pop("path", None)
    path = _named(request.node) or recording_paths.of_test(request.path, request.node.nodeid)
    allow_misses = settings.pop("allow_misses", False)
    mode = request.config.getoption("--plsync-record") or settings.get("mode") or "none"
    with record_all(Recording(path, **{**settings, "mode": mode})) as recording:
        yield recording
    _used(request, recording)
    if recording.first_miss is not None and not allow_misses and request.node.stash.get(_passed, False):
        # Something caught even this; a test that passes all the same has not tested what it says.
        pytest.fail(f"the test passed, but a call was not answered: {recording.first_miss}", pytrace=False)


def _named(item: pytest.Item) -> Path | None:
    """The recording that a test names itself."""
    marker = item.get_closest_marker(_FIXTURE)
    given = (marker.kwargs.get("path") or next(iter(marker.args), None)) if marker else None
    return recording_paths.given(item.path, given) if given else None


def _used(request: pytest.FixtureRequest, recording: Recording) -> None:
    passed = request.node.stash.get(_passed, False)
    unused = [f"{_shown(request.config, recording.path)}: {call.where}" for call in recording.unused()]
    # A recording may belong to several tests if it was named; then nobody knows here what the others use.
    own = recording.path == recording_paths.of_test(request.path, request.node.nodeid)
    if passed and own and (recording.mode == "all" or request.config.getoption("--plsync-prune")):
        recording.prune()
        unused = []
    counts = recording.counts
    request.node.stash[_usage] = {
        **{"recorded": counts.recorded, "replayed": counts.replayed, "missed": counts.missed},
        "unused": unused if passed and own else [],
    }


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that is marked has the fixture, without naming it."""
    names = getattr(item, "fixturenames", None)
    if names is not None and _FIXTURE not in names and item.get_closest_marker(_FIXTURE):
        # Not in place: tests of one function share the list.
        item.fixturenames = [_FIXTURE, *names]  # type: ignore[attr-defined]


# Wrappers in the old way: pytest loads this plugin wherever plsync is installed, and pytest 7 knows no other.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The network, where it is to be kept out."""
    if not item.config.getoption("--plsync-block-network"):
        yield
        return
    from plsync.replay.network_block import blocked  # noqa: PLC0415 - it stays in the interpreter once it is used

    with blocked():
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """What a test used goes with its report, from a worker of xdist to where the summary is written."""
    outcome: Any = yield
    report = outcome.get_result()
    if call.when == "call":
        item.stash[_passed] = report.passed
    if call.when == "teardown" and _usage in item.stash:
        report.plsync = item.stash[_usage]


# --- all of them ------------------------------------------------------------------------------------------------------


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test there is, whether or not it will be run."""
    item.config.stash[_collected].found[item.path] += 1


def pytest_collection_finish(session: pytest.Session) -> None:
    """Which recordings there may be. Modules of which not every test is run say nothing about what is stale."""
    collected = session.config.stash[_collected]
    collected.partly |= {Path(arg.partition("::")[0]).resolve() for arg in session.config.args if "::" in arg}
    collected.tests |= {(item.path, item.nodeid) for item in session.items}
    collected.named |= {path for path in map(_named, session.items) if path is not None}
    # Not by what is reported as deselected: plugins that share tests out take them away without a word.
    run = Counter(item.path for item in session.items)
    collected.partly |= {path for path, number in collected.found.items() if run[path] < number}
    # Where only tests that failed are run, pytest itself passes over the others before anybody is told.
    if session.config.getoption("lf", False):
        collected.partly |= set(run)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Recordings that no test has any more; with xdist, one worker looks for them."""
    config = session.config
    worker = getattr(config, "workerinput", None)
    if config.getoption("collectonly") or (worker is not None and worker["workerid"] != "gw0"):
        return
    stale = recording_paths.stale(config.stash[_collected])
    if config.getoption("--plsync-prune"):
        for path in stale:
            path.unlink(missing_ok=True)
    shown = [_shown(config, path) for path in stale]
    config.stash[_totals]["stale"] += shown
    if worker is not None:
        config.workeroutput["plsync_stale"] = shown  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker of xdist is done."""
    node.config.stash[_totals]["stale"] += getattr(node, "workeroutput", {}).get("plsync_stale", [])


class _Tally:
    """Adds up the reports; it needs the config, which a report does not have."""

    def __init__(self, totals: dict[str, Any]) -> None:
        self.totals = totals

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        usage = getattr(report, "plsync", None)
        if usage is not None:
            self.totals["tests"] += 1
            for name in ("recorded", "replayed", "missed", "unused"):
                self.totals[name] += usage[name]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to add up."""
    session.config.pluginmanager.register(_Tally(session.config.stash[_totals]), "plsync-tally")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line, and what to look after."""
    totals = config.stash[_totals]
    if not totals["tests"] and not totals["stale"]:
        return
    pruned = config.getoption("--plsync-prune")
    counts = [f"{totals[name]} {name}" for name in ("recorded", "replayed", "missed")]
    terminalreporter.write_line(f"plsync: {', '.join(counts)}, {len(totals['unused'])} unused")
    removed = "recordings of tests that are gone, removed" if pruned else "recordings of tests that are gone"
    for what, found in (("recorded calls no test used", totals["unused"]), (removed, totals["stale"])):
        if found:
            more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
            terminalreporter.write_line(f"  {what}: {', '.join(found[:_MOST_SHOWN])}{more}")
    if (totals["unused"] or totals["stale"]) and not pruned:
        terminalreporter.write_line("  --plsync-prune removes them")


def _shown(config: pytest.Config, path: Path) -> str:
    return str(path.relative_to(config.rootpath)) if path.is_relative_to(config.rootpath) else str(path)
