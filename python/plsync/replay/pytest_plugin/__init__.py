"""The pytest plugin: one recording per test, class, module or session, beside the file of the test.

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

from plsync.replay import recording_paths
from plsync.replay.pytest_plugin import recordings
from plsync.replay.pytest_plugin.outcomes import Outcomes, expected_users, is_whole_run
from plsync.replay.pytest_plugin.settings import MARKER, add_options, named_path

if TYPE_CHECKING:
    from plsync.replay.recording import Recording

__all__ = [
    "plsync_class_recording",
    "plsync_module_recording",
    "plsync_recording",
    "plsync_session_recording",
]

_outcomes = pytest.StashKey[Outcomes]()
_collected = pytest.StashKey[recording_paths.CollectedTests]()
_expected = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", MARKER)
    config.stash[_outcomes] = Outcomes(config)
    config.stash[_collected] = recording_paths.CollectedTests(file_patterns=tuple(config.getini("python_files")))
    config.stash[_expected] = {}
    config.stash[recordings.existed] = {}
    config.stash[recordings.current_item] = None
    config.stash[recordings.users] = []
    config.stash[recordings.open_covers] = []
    config.stash[recordings.with_calls] = set()


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def plsync_recording(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """The recording of the test. Until the test ends, it serves or records the calls of every model."""
    yield from recordings.test_recording(request)
    use = request.node.stash[recordings.use_of_item]
    passed = request.node.stash.get(_called, False) and not request.config.stash[_outcomes].has_failed(
        request.node.nodeid
    )
    if use.first_miss is not None and not use.allow_misses and passed:
        # The program caught even NoRecording, so the test passed without testing its subject.
        pytest.fail(f"the test passed, but a model call had no response: {use.first_miss}", pytrace=False)


@pytest.fixture(scope="class")
def plsync_class_recording(request: pytest.FixtureRequest) -> Recording:
    """The recording of the class. The tests and class fixtures that use it share its file."""
    return recordings.wide_recording(request, "class")


@pytest.fixture(scope="module")
def plsync_module_recording(request: pytest.FixtureRequest) -> Recording:
    """The recording of the module. The tests and module fixtures that use it share its file."""
    return recordings.wide_recording(request, "module")


@pytest.fixture(scope="session")
def plsync_session_recording(request: pytest.FixtureRequest) -> Recording:
    """The recording of the session. The tests and session fixtures that use it share its file."""
    return recordings.wide_recording(request, "session")


_called = pytest.StashKey[bool]()


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[None]:
    """Record the calls of a fixture of a wider scope and of its teardown in the recording of that scope."""
    cover = recordings.cover_fixture(fixturedef, request)
    if cover is None:
        yield
        return
    # Finalizers run in reverse: ``close`` after the teardown of the fixture, and ``open`` before it.
    cover.open()
    fixturedef.addfinalizer(cover.close)
    try:
        yield
    finally:
        cover.close()
        fixturedef.addfinalizer(cover.open)


# --- one test ---------------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Set the recording of the test up before its other fixtures."""
    recordings.put_first(item)


# Not ``wrapper``: pytest 7 knows only ``hookwrapper``, and loads this plugin wherever plsync is installed.
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Block the network during a test if the command line demands it, and read the outcome when it is final."""
    config = item.config
    config.stash[recordings.current_item] = item
    if not (config.getoption("--plsync-block-network") or config.getini("plsync_block_network")):
        yield
    else:
        from plsync.replay.network_block import block_network  # noqa: PLC0415 - its audit hook stays installed

        named = ",".join(config.getoption("--plsync-allowed-hosts") or ()).split(",")
        with block_network([host.strip() for host in (*named, *config.getini("plsync_allowed_hosts"))]):
            yield
    config.stash[recordings.current_item] = None
    config.stash[_outcomes].finish(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Attach the usage of a recording to the report of its test: xdist sends reports to the main process."""
    if call.excinfo is not None and "plsync.errors" in sys.modules and not item.config.getoption("fulltrace"):
        from plsync.replay.pytest_plugin.traceback_end import end_in_own_code  # noqa: PLC0415 - as below

        end_in_own_code(call.excinfo.value)
    outcome: Any = yield
    report = outcome.get_result()
    if call.when == "call":
        item.stash[_called] = report.passed
    use = item.stash.get(recordings.use_of_item, None)
    if call.when == "teardown" and use is not None:
        report.plsync = dict(use.counts)
    if call.excinfo is not None and use is not None:
        report.sections += recordings.sections_of_error(call.excinfo.value)
    if report.longrepr is not None and "plsync.replay.recording" in sys.modules:
        # The report quotes prompts, answers and exceptions of a recording, which may come from a stranger.
        from plsync.replay.report_text import make_visible  # noqa: PLC0415 - only a failed test needs it

        report.longrepr = make_visible(report.longrepr)


# --- the run ----------------------------------------------------------------------------------------------------------


def pytest_itemcollected(item: pytest.Item) -> None:
    """Count every test of a module, also a test that will not run."""
    item.config.stash[_collected].found[item.path] += 1
    if recordings.uses(item):
        item.config.stash[recordings.users].append(item)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which recordings the tests need. A module whose tests do not all run cannot have stale recordings."""
    config = session.config
    collected = config.stash[_collected]
    arguments = [Path(arg.partition("::")[0]).resolve() for arg in config.args]
    collected.partial |= {path for path, arg in zip(arguments, config.args, strict=True) if "::" in arg}
    collected.whole_folders = {
        folder
        for folder in {path.parent for path in collected.found}
        if any(path.is_dir() and folder.is_relative_to(path) for path in arguments)
    }
    nodes = {
        node for item in session.items for node in item.listchain() if isinstance(node, (pytest.Class, pytest.Item))
    }
    collected.tests |= {(node.path, node.nodeid) for node in nodes}
    collected.named |= {path for path in map(named_path, session.items) if path is not None}
    # Counted here, because plugins that distribute tests drop items without reporting them as deselected.
    run = Counter(item.path for item in session.items)
    collected.partial |= {path for path, number in collected.found.items() if run[path] < number}
    # With --last-failed, pytest skips passed tests before it collects them.
    if config.getoption("lf", False):
        collected.partial |= set(run)
    collected.is_whole = is_whole_run(session, arguments, collected)
    # A walk through the folders is only worth its time in a suite that uses recordings.
    if collected.is_whole and config.stash[recordings.users]:
        collected.whole_roots = {path for path in arguments if path.is_dir()}
    config.stash[_expected] = expected_users(session.items, collected)
    existed = config.stash[recordings.existed]
    for item in filter(recordings.uses, session.items):
        existed.update({path: path.exists() for path in recordings.paths_of_item(item) if path not in existed})


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Prune shared recordings, and find recordings of removed tests; with xdist, in the controller and one worker."""
    config = session.config
    outcomes = config.stash[_outcomes]
    worker = getattr(config, "workerinput", None)
    if not config.getoption("collectonly") and (worker is None or worker["workerid"] == "gw0"):
        outcomes.find_stale(config.stash[_collected])
    if worker is None:
        outcomes.finish_shared(config.stash[_expected])
        if outcomes.problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    else:
        found = {**outcomes.for_controller(), "expected": config.stash[_expected]}
        config.workeroutput["plsync"] = found  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Add the results of an xdist worker that has ended."""
    found = getattr(node, "workeroutput", {}).get("plsync", {})
    node.config.stash[_outcomes].add_worker(found)
    node.config.stash[_expected].update(found.get("expected", {}))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Register the object that collects the outcomes."""
    session.config.pluginmanager.register(session.config.stash[_outcomes], "plsync-outcomes")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the totals, and the unused calls and recordings."""
    config.stash[_outcomes].print_summary(terminalreporter)
