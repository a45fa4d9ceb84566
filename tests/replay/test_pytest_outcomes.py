"""The outcome of a test is read when it is final: a test that failed in any way removes no recorded call."""

from __future__ import annotations

import os

import pytest

from tests.support.pytest_runs import live, questions, recordings, run, summary

SUBTESTS = """
import os, unittest, pytest
from app import model

@pytest.mark.plsync_recording
def test_all(subtests):
    for q in ("a", "b"):
        with subtests.test(q=q):
            assert not (os.environ.get("BREAK") and q == "b")
            model().invoke(q)
"""

UNITTEST = """
import os, unittest, pytest
from app import model

@pytest.mark.plsync_recording
class TestUnit(unittest.TestCase):
    def test_all(self):
        for q in ("a", "b"):
            with self.subTest(q=q):
                assert not (os.environ.get("BREAK") and q == "b")
                model().invoke(q)
"""

TEARDOWN = """
import os, pytest
from app import model

@pytest.fixture
def resource():
    yield
    assert not os.environ.get("BREAK")

@pytest.mark.plsync_recording
def test_all(resource):
    model().invoke("a")
    if not os.environ.get("BREAK"):
        model().invoke("b")
"""

STRICT = """
import os, pytest
from app import model

@pytest.mark.plsync_recording
@pytest.mark.xfail("os.environ.get('BREAK')", strict=True)
def test_all():
    model().invoke("a")
    if not os.environ.get("BREAK"):
        model().invoke("b")
"""

EXPECTED = """
import os, pytest
from app import model

@pytest.mark.plsync_recording
@pytest.mark.xfail("os.environ.get('BREAK')")
def test_all():
    model().invoke("a")
    assert not os.environ.get("BREAK")
    model().invoke("b")
"""

SKIPPED = """
import os, pytest
from app import model

@pytest.mark.plsync_recording
def test_all():
    model().invoke("a")
    if os.environ.get("BREAK"):
        pytest.skip("enough")
    model().invoke("b")
"""

CASES = {
    "subtests": SUBTESTS,
    "unittest": UNITTEST,
    "teardown": TEARDOWN,
    "xfail strict": STRICT,
    "xfail": EXPECTED,
    "skip": SKIPPED,
}


@pytest.mark.parametrize("name", CASES)
def test_a_test_that_did_not_pass_removes_nothing(
    tests: pytest.Pytester, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in ("subtests", "unittest") and int(pytest.__version__.split(".")[0]) < 9:
        pytest.skip("pytest 9 has subtests")
    tests.makepyfile(test_app=CASES[name])
    assert run(tests, "--plsync-record=once").ret == 0
    [path] = [tests.path / path for path in recordings(tests)]
    monkeypatch.setenv("BREAK", "1")
    for option in ("--plsync-prune", "--plsync-record=all"):
        result = run(tests, option)
        assert (result.ret != 0) == (name not in ("xfail", "skip"))
        assert summary(result).endswith("0 unused")
        assert questions(path) == ["a", "b"]


def test_a_failed_subtest_in_a_worker_of_xdist_removes_nothing(
    tests: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests.makepyfile(test_app=TEARDOWN)
    run(tests, "--plsync-record=once")
    monkeypatch.setenv("BREAK", "1")
    tests.runpytest_subprocess("-n", "1", "--plsync-prune").assert_outcomes(passed=1, errors=1)
    assert questions(tests.path / recordings(tests)[0]) == ["a", "b"]


FLAKY = """
import os

import pytest
from pathlib import Path
from app import model

@pytest.mark.plsync_recording
def test_flaky():
    model().invoke("a")
    count = Path("count")
    count.write_text(count.read_text() + "x" if count.exists() else "x")
    assert len(count.read_text()) % 2 == 0, "fails in each first attempt"
    model().invoke("b")

@pytest.mark.plsync_recording
def test_never():
    model().invoke("a")
    assert 0
"""


def test_the_last_of_several_attempts_decides(tests: pytest.Pytester) -> None:
    pytest.importorskip("pytest_rerunfailures")
    tests.makepyfile(test_app=FLAKY)
    result = run(tests, "--plsync-record=once", "--reruns=1")
    result.assert_outcomes(passed=1, failed=1)
    path = tests.path / "recordings/test_app/test_flaky.jsonl"
    assert questions(path) == ["a", "b"]
    never = tests.path / "recordings/test_app/test_never.jsonl"
    assert questions(never) == ["a"]
    live(tests, "Rome")
    for file in (path, never):
        lines = file.read_text().splitlines()
        file.write_text("\n".join([*lines, lines[1].replace('"a"', '"never"')]) + "\n")
    result = run(tests, "--plsync-prune", "--reruns=1")
    result.assert_outcomes(passed=1, failed=1)
    assert questions(path) == ["a", "b"]
    assert questions(never) == ["a", "never"]


def test_a_caught_miss_fails_beside_subtests(tests: pytest.Pytester) -> None:
    if int(pytest.__version__.split(".")[0]) < 9:
        pytest.skip("pytest 9 has subtests")
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.mark.plsync_recording
        def test_all(subtests):
            for q in ("a", "b"):
                with subtests.test(q=q):
                    try:
                        model().invoke(q)
                    except BaseException:
                        pass
        """
    )
    result = run(tests)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*the test passed, but a model call had no response*"])


def test_a_recording_that_cannot_be_pruned_fails_the_run_at_its_end(
    tests: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests.makepyfile(test_app=SKIPPED.replace("if os.environ", "if not os.environ"))
    monkeypatch.setenv("BREAK", "1")
    run(tests, "--plsync-record=once").assert_outcomes(passed=1)
    tests.makepyfile(test_app=SKIPPED.replace('model().invoke("b")', "").replace("if os.environ", "if not os.environ"))
    tests.makeconftest(
        """
        import pytest
        from plsync.errors import ReplayError
        from plsync.replay import Recording

        @pytest.fixture(autouse=True)
        def full_disk(monkeypatch):
            def prune(self):
                raise ReplayError("the disk is full")
            Recording.prune = prune
        """
    )
    result = tests.runpytest_subprocess("--plsync-prune")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*errors: the disk is full"])


FORKING = """
import multiprocessing, pytest
from app import model

def ask(text):
    return model().invoke(text).content

@pytest.mark.plsync_recording
def test_forks():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(ask, ["a", "b"]) == ["yes", "yes"]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_calls_of_forked_processes_are_counted_and_never_pruned(pytester: pytest.Pytester) -> None:
    live(pytester, "yes")
    pytester.makepyfile(test_forking=FORKING)
    for arguments, counts in (
        (["--plsync-record=once", "--plsync-prune"], "2 recorded, 0 replayed, 0 missed, 0 unused"),
        (["--plsync-prune"], "0 recorded, 2 replayed, 0 missed, 0 unused"),
        (["--plsync-record=all"], "2 recorded, 0 replayed, 0 missed, 0 unused"),
        ([], "0 recorded, 2 replayed, 0 missed, 0 unused"),
    ):
        result = run(pytester, *arguments)
        result.assert_outcomes(passed=1)
        assert summary(result) == counts
        assert "called no model" not in result.stdout.str()
        assert sorted(questions(pytester.path / "recordings/test_forking/test_forks.jsonl")) == ["a", "b"]
