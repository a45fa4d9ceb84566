"""Recordings of a test, a class, a module, a package and a session, with fixtures of every scope in any order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pytest_runs import live, questions, recordings, run, summary

FIXTURES = """
import pytest
from app import model, ANSWER

def call(question):
    return model().invoke(question).content

@pytest.fixture
def greeting():
    yield call("Greet")
    call("Say goodbye")

@pytest.fixture(scope="class")
def of_class():
    yield call("Class begins")
    call("Class ends")

@pytest.fixture(scope="module")
def of_module():
    yield call("Module begins")
    call("Module ends")

@pytest.fixture(scope="session")
def of_session(of_package):
    yield call("Session begins")
    call("Session ends")

@pytest.fixture(scope="session")
def of_package():
    return call("Another of the session")

def test_first(greeting, of_module, plsync_recording):
    assert greeting == of_module == call("first") == "Paris"

class TestClass:
    @pytest.mark.plsync_recording
    def test_second(self, of_class, greeting, of_session):
        assert call("second") == of_class == of_session == "Paris"

    @pytest.mark.plsync_recording
    def test_third(self, of_module, of_class):
        assert call("third") == of_module == of_class == "Paris"

@pytest.mark.usefixtures("plsync_recording", "of_session")
def test_fourth():
    assert call("fourth") == "Paris"

def test_not_marked():
    assert call("not recorded") == ANSWER
"""

RANDOM_ORDER = """
import os, random, pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    random.Random(os.environ.get("SEED")).shuffle(items)
"""


def recorded_fixtures(tests: pytest.Pytester, *arguments: str) -> dict[str, list[str]]:
    tests.makepyfile(test_app=FIXTURES)
    tests.runpytest_subprocess("--plsync-record=once", *arguments).assert_outcomes(passed=5)
    live(tests, "Rome")
    return {path: questions(tests.path / path) for path in recordings(tests)}


def test_each_fixture_is_recorded_in_its_scope(tests: pytest.Pytester) -> None:
    assert recorded_fixtures(tests) == {
        "recordings/pytest-session.jsonl": ["Another of the session", "Session begins", "Session ends"],
        "recordings/test_app.jsonl": ["Module begins", "Module ends"],
        "recordings/test_app/TestClass.jsonl": ["Class begins", "Class ends"],
        "recordings/test_app/TestClass.test_second.jsonl": ["Greet", "second", "Say goodbye"],
        "recordings/test_app/TestClass.test_third.jsonl": ["third"],
        "recordings/test_app/test_first.jsonl": ["Greet", "first", "Say goodbye"],
        "recordings/test_app/test_fourth.jsonl": ["fourth"],
    }


@pytest.mark.parametrize("way", ["alone", "in random order", "in two processes", "what failed last"])
def test_tests_are_served_in_any_selection_and_order(tests: pytest.Pytester, way: str) -> None:
    recorded_fixtures(tests, *(("-n", "2") if way != "alone" else ()))
    if way == "alone":
        for name in ("first", "second", "third", "fourth"):
            result = run(tests, "-k", name)
            result.assert_outcomes(passed=1, deselected=4)
            assert summary(result).startswith("0 recorded,")
            assert ", 0 missed," in summary(result)
    elif way == "in random order":
        tests.makeconftest(RANDOM_ORDER)
        for seed in "123":
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SEED", seed)
                run(tests).assert_outcomes(passed=5)
    elif way == "in two processes":
        tests.runpytest_subprocess("-n", "2").assert_outcomes(passed=5)
    else:
        ini = tests.path / "tox.ini"
        ini.write_text(ini.read_text().replace("-p no:cacheprovider", ""))
        tests.makepyfile(test_app=FIXTURES.replace('call("third") ==', "0 =="))
        run(tests).assert_outcomes(passed=4, failed=1)
        tests.makepyfile(test_app=FIXTURES)
        run(tests, "--last-failed").assert_outcomes(passed=1)
    result = run(tests)
    result.assert_outcomes(passed=5)
    assert ", 0 missed, 0 unused" in summary(result)


def test_a_module_fixture_with_its_own_block_leaves_the_test_its_recording(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_mix="""
        import pytest
        from app import model
        from plsync.replay import record_all

        def call(question):
            return model().invoke(question).content

        @pytest.fixture(scope="module")
        def summary():
            with record_all("./module.jsonl", "once"):
                yield call("Summarise")

        @pytest.mark.plsync_recording
        def test_marked(summary):
            call("in the test")

        def test_not_marked():
            call("after the test, inside the block of the fixture")
        """,
        test_other="""
        from test_mix import call

        def test_elsewhere():
            call("in another module, not marked")
        """,
    )
    run(tests, "--plsync-record=once").assert_outcomes(passed=3)
    assert questions(tests.path / "module.jsonl") == ["Summarise", "after the test, inside the block of the fixture"]
    assert questions(tests.path / "recordings/test_mix/test_marked.jsonl") == ["in the test"]
    assert len(recordings(tests)) == 2


SHARED = """
import pytest
from app import model

def call(question):
    return model().invoke(question).content

@pytest.mark.plsync_recording(scope="class")
class TestClass:
    @pytest.mark.parametrize("n", range(3))
    def test_it(self, n):
        assert call("the same") == call(f"class {n}") == "Paris"

@pytest.fixture(scope="module")
def index(plsync_module_recording):
    assert plsync_module_recording.path.name == "test_app.jsonl"
    return call("index")

@pytest.mark.plsync_recording(scope="module")
def test_marked(plsync_recording):
    assert call("the same") == "Paris"
    assert plsync_recording.path.name == "test_app.jsonl"
    assert plsync_recording.counts.missed == 0

def test_by_a_fixture(index):
    assert call("the same") == index == "Paris"

@pytest.mark.plsync_recording(scope="session")
def test_of_the_session():
    assert call("the same") == "Paris"

@pytest.mark.plsync_recording(scope="package")
def test_of_the_package():
    assert call("the same") == "Paris"
"""


@pytest.mark.parametrize("processes", [(), ("-n", "2")])
def test_tests_share_the_recording_of_their_scope(tests: pytest.Pytester, processes: tuple[str, ...]) -> None:
    package = tests.mkpydir("package")
    (package / "test_app.py").write_text(SHARED)
    tests.runpytest_subprocess("--plsync-record=once", *processes).assert_outcomes(passed=7)
    found = {path: set(questions(tests.path / path)) for path in recordings(tests)}
    assert found == {
        "recordings/pytest-session.jsonl": {"the same"},
        "package/recordings/pytest-package.jsonl": {"the same"},
        "package/recordings/test_app.jsonl": {"the same", "index"},
        "package/recordings/test_app/TestClass.jsonl": {"the same", "class 0", "class 1", "class 2"},
    }
    live(tests, "Rome")
    for selection in (["-k", "class or fixture"], ["-k", "2"], [], processes):
        result = tests.runpytest_subprocess(*selection) if processes else run(tests, *selection)
        assert result.ret == 0
        assert ", 0 missed, 0 unused" in summary(result)


@pytest.mark.parametrize(
    ("processes", "option"), [((), "--plsync-prune"), (("-n", "2"), "--plsync-record=all")], ids=["prune", "all"]
)
def test_a_shared_recording_is_pruned_when_all_its_tests_passed(
    tests: pytest.Pytester, processes: tuple[str, ...], option: str
) -> None:
    tests.makepyfile(test_app=SHARED)
    run(tests, "--plsync-record=once").assert_outcomes(passed=7)
    path = tests.path / "recordings/test_app/TestClass.jsonl"
    without = SHARED.replace("range(3)", "range(2)")
    tests.makepyfile(test_app=without.replace("== call(f", "!= call(f"))
    tests.runpytest_subprocess(option, *processes).assert_outcomes(passed=4, failed=2)
    assert "class 2" in questions(path)
    tests.makepyfile(test_app=without)
    tests.runpytest_subprocess(option, *processes, "-k", "TestClass").assert_outcomes(passed=2)
    assert "class 2" in questions(path)  # other tests of the module did not run
    result = tests.runpytest_subprocess(*processes)
    assert summary(result).endswith("1 unused")
    tests.runpytest_subprocess(option, *processes).assert_outcomes(passed=6)
    assert set(questions(path)) == {"the same", "class 0", "class 1"}
    assert summary(run(tests)).endswith("0 missed, 0 unused")


@pytest.mark.parametrize("option", ["--plsync-prune", "--plsync-record=all"])
def test_unused_calls_of_a_module_fixture_are_pruned(tests: pytest.Pytester, option: str) -> None:
    program = FIXTURES.replace('call("Module begins")', "begins()").replace(
        "@pytest.fixture", "def begins():\n    return call('OLD')\n\n@pytest.fixture", 1
    )
    tests.makepyfile(test_app=program)
    run(tests, "--plsync-record=once").assert_outcomes(passed=5)
    path = tests.path / "recordings/test_app.jsonl"
    assert questions(path) == ["OLD", "Module ends"]
    program = program.replace("OLD", "NEW")
    tests.makepyfile(test_app=program)
    run(tests, "--plsync-record=new_episodes", "-k", "first").assert_outcomes(passed=1, deselected=4)
    assert questions(path) == ["OLD", "Module ends", "NEW"]
    result = run(tests)
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["  recorded calls that no test used: recordings/test_app.jsonl: line 2"])
    tests.makepyfile(test_app=program.replace('call("third") ==', "0 =="))
    run(tests, option).assert_outcomes(passed=4, failed=1)
    assert "OLD" in questions(path)
    tests.makepyfile(test_app=program)
    run(tests, option).assert_outcomes(passed=5)
    assert sorted(questions(path)) == ["Module ends", "NEW"]
    assert summary(run(tests)).endswith("0 missed, 0 unused")


def test_a_class_fixture_of_a_function_shares_the_recording_of_the_test(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.fixture(scope="class")
        def of_class():
            yield model().invoke("begins").content
            model().invoke("ends")

        def test_it(of_class, plsync_recording):
            assert model().invoke("it").content == of_class
        """
    )
    path = tests.path / "recordings/test_app/test_it.jsonl"
    assert summary(run(tests, "--plsync-record=once")) == "3 recorded, 0 replayed, 0 missed, 0 unused"
    assert sorted(questions(path)) == ["begins", "ends", "it"]
    for option in ("--plsync-prune", "--plsync-record=all", "--plsync-record=new_episodes", "--plsync-record=none"):
        result = run(tests, option)
        result.assert_outcomes(passed=1)
        assert summary(result).endswith("0 missed, 0 unused")
        assert sorted(questions(path)) == ["begins", "ends", "it"]


def test_a_shared_file_is_recorded_once_by_several_tests(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.mark.parametrize("n", range(4))
        @pytest.mark.plsync_recording("shared.jsonl")
        def test_it(n):
            assert model().invoke(str(n)).content == model().invoke("again").content == "Paris"
        """
    )
    for processes in ((), ("-n", "2")):
        (tests.path / "shared.jsonl").unlink(missing_ok=True)
        live(tests, "Paris")
        tests.runpytest_subprocess("--plsync-record=once", *processes).assert_outcomes(passed=4)
        live(tests, "Rome")
        run(tests).assert_outcomes(passed=4)
        run(tests, "--plsync-record=once").assert_outcomes(passed=4)


def test_calls_of_a_module_fixture_in_an_earlier_recording_are_served(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.fixture(scope="module")
        def summary():
            return model().invoke("Summarise").content

        @pytest.mark.plsync_recording
        def test_it(summary):
            assert model().invoke("it").content == summary == "Paris"
        """
    )
    # As plsync recorded before recordings had scopes.
    run(tests, "--plsync-record=once").assert_outcomes(passed=1)
    module = tests.path / "recordings/test_app.jsonl"
    test = tests.path / "recordings/test_app/test_it.jsonl"
    test.write_text(test.read_text() + module.read_text().splitlines()[1] + "\n")
    module.unlink()
    live(tests, "Rome")
    for option in ((), ("--plsync-record=once",), ("--plsync-prune",), ()):
        result = run(tests, *option)
        result.assert_outcomes(passed=1)
        assert summary(result) == "0 recorded, 2 replayed, 0 missed, 0 unused"
    assert sorted(questions(test)) == ["Summarise", "it"]


def test_xunit_and_unittest_setups_are_recorded_in_their_scope(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import unittest
        import pytest
        from app import model

        pytestmark = pytest.mark.plsync_recording

        def setup_module():
            model().invoke("module")

        class TestPlain:
            @classmethod
            def setup_class(cls):
                model().invoke("class")

            def setup_method(self):
                model().invoke("method")

            def test_it(self):
                pass

        class TestUnit(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                assert model().invoke("unittest's class").content == "Paris"

            def test_it(self):
                pass
        """
    )
    run(tests, "--plsync-record=once").assert_outcomes(passed=2)
    assert {path.removeprefix("recordings/"): questions(tests.path / path) for path in recordings(tests)} == {
        "test_app.jsonl": ["module"],
        "test_app/TestPlain.jsonl": ["class"],
        "test_app/TestPlain.test_it.jsonl": ["method"],
        "test_app/TestUnit.jsonl": ["unittest's class"],
    }
    live(tests, "Rome")
    for name in ("TestPlain", "TestUnit", "Test"):
        assert ", 0 missed, 0 unused" in summary(run(tests, "-k", name))


def test_async_fixtures_of_every_scope_are_recorded(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest, pytest_asyncio
        from app import model

        @pytest_asyncio.fixture(scope="module", loop_scope="module")
        async def summary():
            yield (await model().ainvoke("Summarise")).content
            await model().ainvoke("Goodbye")

        @pytest_asyncio.fixture
        async def greeting():
            return (await model().ainvoke("Greet")).content

        @pytest.mark.asyncio(loop_scope="module")
        async def test_before(plsync_recording, summary):
            assert (await model().ainvoke("before")).content == "Paris"

        @pytest.mark.asyncio(loop_scope="module")
        async def test_it(summary, greeting, plsync_recording):
            assert (await model().ainvoke("it")).content == summary == greeting == "Paris"
        """
    )
    run(tests, "--plsync-record=once").assert_outcomes(passed=2)
    assert {path.removeprefix("recordings/"): questions(tests.path / path) for path in recordings(tests)} == {
        "test_app.jsonl": ["Summarise", "Goodbye"],
        "test_app/test_before.jsonl": ["before"],
        "test_app/test_it.jsonl": ["Greet", "it"],
    }
    live(tests, "Rome")
    run(tests).assert_outcomes(passed=2)
    run(tests, "-k", "test_it").assert_outcomes(passed=1, deselected=1)


def test_a_miss_in_a_module_fixture_fails_the_test_that_caught_it(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.fixture(scope="module")
        def summary():
            try:
                return model().invoke("Summarise")
            except BaseException:
                return "sorry"

        @pytest.mark.plsync_recording
        def test_it(summary):
            assert summary == "sorry"
        """
    )
    result = run(tests)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the test passed, but a model call had no response*test_app.jsonl*"])


def test_fixtures_of_unmarked_modules_are_left_alone(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model, ANSWER

        @pytest.fixture(scope="module", autouse=True)
        def summary():
            assert model().invoke("Summarise").content == ANSWER

        def test_it():
            pass
        """
    )
    run(tests).assert_outcomes(passed=1)
    assert recordings(tests) == []


def test_a_fixture_that_an_unmarked_test_sets_up_first_is_recorded(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.fixture(scope="module")
        def summary():
            return model().invoke("Summarise").content

        def test_not_marked(summary):
            assert summary == "Paris"

        @pytest.mark.plsync_recording
        def test_marked(summary):
            assert summary == "Paris"
        """
    )
    run(tests, "--plsync-record=once").assert_outcomes(passed=2)
    live(tests, "Rome")
    run(tests).assert_outcomes(passed=2)
    run(tests, "-k", "not not_marked").assert_outcomes(passed=1, deselected=1)
    assert recordings(tests) == ["recordings/test_app.jsonl"]
    assert Path(tests.path / recordings(tests)[0]).exists()


def test_a_fixture_that_fetches_another_one_keeps_its_recording(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        def call(question):
            assert model().invoke(question).content == "Paris"

        @pytest.fixture(scope="session")
        def inner():
            call("inner")

        @pytest.fixture(scope="module")
        def outer(request):
            call("before")
            request.getfixturevalue("inner")
            call("after")

        @pytest.mark.plsync_recording
        def test_it(outer):
            call("it")
        """
    )
    run(tests, "--plsync-record=once").assert_outcomes(passed=1)
    assert {path.removeprefix("recordings/"): questions(tests.path / path) for path in recordings(tests)} == {
        "pytest-session.jsonl": ["inner"],
        "test_app.jsonl": ["before", "after"],
        "test_app/test_it.jsonl": ["it"],
    }


WIDE = """
import pytest
from app import model

def call(question):
    return model().invoke(question).content

pytestmark = pytest.mark.plsync_recording

@pytest.fixture(scope="session")
def whole():
    return call("session")

@pytest.mark.plsync_recording(path="../shared.jsonl")
def test_named():
    assert call("named") == "Paris"

def test_one(whole, package):
    assert whole == package == call("one") == "Paris"
"""


PACKAGE = """
import pytest
from app import model

@pytest.fixture(scope="package")
def package():
    return model().invoke("package").content
"""


@pytest.mark.parametrize("option", ["--plsync-prune", "--plsync-record=all"])
def test_recordings_of_several_modules_are_pruned_in_a_run_of_the_whole_suite(
    tests: pytest.Pytester, option: str
) -> None:
    package = tests.mkpydir("package")
    (package / "test_wide.py").write_text(WIDE)
    (package / "conftest.py").write_text(PACKAGE)
    tests.makepyfile(test_other="def test_other(): pass")
    run(tests, "--plsync-record=once").assert_outcomes(passed=3)
    wide = ["recordings/pytest-session.jsonl", "package/recordings/pytest-package.jsonl", "shared.jsonl"]
    (package / "test_wide.py").write_text(
        WIDE.replace('call("session")', 'call("new session")').replace('"named"', '"new named"')
    )
    (package / "conftest.py").write_text(PACKAGE.replace('invoke("', 'invoke("new '))
    run(tests, "--plsync-record=new_episodes").assert_outcomes(passed=3)
    assert [len(questions(tests.path / name)) for name in wide] == [2, 2, 2]
    for arguments in (["package/test_wide.py"], ["-k", "one or named or other"], ["--ignore=test_other.py"]):
        run(tests, option, *arguments).assert_outcomes(passed=3 if "-k" in arguments else 2)
        assert [len(questions(tests.path / name)) for name in wide] == [2, 2, 2]
    result = run(tests)
    assert summary(result).endswith("0 missed, 3 unused")
    run(tests, option).assert_outcomes(passed=3)
    assert [questions(tests.path / name) for name in wide] == [["new session"], ["new package"], ["new named"]]
    assert summary(run(tests)).endswith("0 missed, 0 unused")
