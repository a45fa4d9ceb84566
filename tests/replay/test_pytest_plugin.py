"""The pytest plugin, through whole runs of pytest over the tests in this file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.pytest_runs import live, questions, recordings, run, summary
from tests.support.terminal import hidden_characters

PLAIN = """
import pytest
from app import model, ANSWER

def test_one(plsync_recording):
    assert model().invoke("one").content == "Paris"

@pytest.mark.plsync_recording
def test_two():
    assert model().invoke("two").content == "Paris"
    assert model().invoke("two again").content == "Paris"

def test_without():
    assert model().invoke("three").content == ANSWER
"""


# --- modes ---


def test_calls_are_recorded_once_and_served_from_then_on(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=PLAIN)
    result = run(tests, "--plsync-record=once")
    result.assert_outcomes(passed=3)
    assert summary(result) == "3 recorded, 0 replayed, 0 missed, 0 unused"
    assert recordings(tests) == ["recordings/test_app/test_one.jsonl", "recordings/test_app/test_two.jsonl"]
    live(tests, "Rome")
    result = run(tests)
    result.assert_outcomes(passed=3)
    assert summary(result) == "0 recorded, 3 replayed, 0 missed, 0 unused"


def test_by_default_no_model_is_called_and_a_missing_call_fails_the_test(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=PLAIN)
    result = run(tests)
    result.assert_outcomes(passed=1, failed=2)
    assert summary(result) == "0 recorded, 0 replayed, 2 missed, 0 unused"
    result.stdout.fnmatch_lines(["*NoRecording: no recorded call in *test_one.jsonl matches this request*"])
    assert recordings(tests) == []


def test_a_missing_call_is_reported_in_the_code_of_the_test(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=PLAIN)
    shown = run(tests, "-k", "test_one").stdout.str()
    assert ">   " in shown
    assert not [line for line in shown.splitlines() if "langchain_core/" in line or "plsync/replay/" in line]
    assert "plsync/replay/" in run(tests, "-k", "test_one", "--full-trace").stdout.str()


def test_new_episodes_adds_calls_and_all_replaces_them(tests: pytest.Pytester) -> None:
    def case(*questions: str) -> None:
        calls = "\n".join(f"    model().invoke({question!r})" for question in questions)
        tests.makepyfile(test_app=f"from app import model\ndef test_it(plsync_recording):\n{calls}\n")

    path = tests.path / "recordings/test_app/test_it.jsonl"
    case("a", "b")
    run(tests, "--plsync-record=all").assert_outcomes(passed=1)
    case("a", "c")
    assert summary(run(tests, "--plsync-record=new_episodes")) == "1 recorded, 1 replayed, 0 missed, 1 unused"
    assert questions(path) == ["a", "b", "c"]
    assert summary(run(tests, "--plsync-record=all")) == "2 recorded, 0 replayed, 0 missed, 0 unused"
    assert questions(path) == ["a", "c"]


def test_a_failed_test_keeps_its_recorded_calls(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="from app import model\ndef test_it(plsync_recording):\n    model().invoke('a')\n    assert 0\n"
    )
    run(tests, "--plsync-record=all").assert_outcomes(failed=1)
    assert questions(tests.path / "recordings/test_app/test_it.jsonl") == ["a"]


# --- kinds of tests ---


def test_parametrised_tests_have_a_recording_each(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.mark.parametrize("city", ["Paris", "a/b c", "a/b_c", "x" * 300, "x" * 301])
        @pytest.mark.plsync_recording
        def test_city(city):
            model().invoke(city)

        @pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.plsync_recording)])
        def test_only_two(n, request):
            assert ("plsync_recording" in request.fixturenames) == (n == 2)
        """
    )
    run(tests, "--plsync-record=once").assert_outcomes(passed=7)
    result = run(tests)
    result.assert_outcomes(passed=7)
    assert summary(result) == "0 recorded, 5 replayed, 0 missed, 0 unused"
    assert "recordings/test_app/test_city[Paris].jsonl" in recordings(tests)
    assert len(recordings(tests)) == 5


def test_async_tests_are_recorded_and_served(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import asyncio
        import pytest
        from app import model

        async def test_it(plsync_recording):
            answers = await asyncio.gather(*(model().ainvoke(str(n)) for n in range(5)))
            assert [answer.content for answer in answers] == ["Paris"] * 5

        @pytest.mark.plsync_recording
        async def test_stream():
            assert "".join([chunk.content async for chunk in model().astream("s")]) == "Paris"
        """
    )
    run(tests, "--plsync-record=once").assert_outcomes(passed=2)
    live(tests, "Rome")
    result = run(tests)
    result.assert_outcomes(passed=2)
    assert summary(result) == "0 recorded, 6 replayed, 0 missed, 0 unused"


def test_unittest_classes_are_recorded_and_served(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import unittest
        import pytest
        from app import model

        @pytest.mark.plsync_recording
        class TestMarked(unittest.TestCase):
            def setUp(self):
                self.city = model().invoke("in setUp").content

            def test_it(self):
                self.assertEqual(self.city + model().invoke("in the test").content, "ParisParis")

        class TestAsync(unittest.IsolatedAsyncioTestCase):
            @pytest.mark.plsync_recording
            async def test_it(self):
                self.assertEqual((await model().ainvoke("async")).content, "Paris")

        @pytest.mark.usefixtures("plsync_recording")
        class TestPlain:
            def test_it(self):
                assert model().invoke("plain").content == "Paris"
        """
    )
    run(tests, "--plsync-record=once").assert_outcomes(passed=3)
    live(tests, "Rome")
    result = run(tests)
    result.assert_outcomes(passed=3)
    assert summary(result) == "0 recorded, 4 replayed, 0 missed, 0 unused"
    assert "recordings/test_app/TestMarked.test_it.jsonl" in recordings(tests)


def test_workers_of_xdist_share_a_recording(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.mark.parametrize("n", range(12))
        def test_own(n, plsync_recording):
            assert model().invoke(f"own {n}").content == "Paris"

        @pytest.mark.parametrize("n", range(12))
        @pytest.mark.plsync_recording("shared.jsonl")
        def test_shared(n):
            assert model().invoke(f"shared {n}").content == "Paris"
        """
    )
    (tests.path / "recordings" / "test_app").mkdir(parents=True)
    (tests.path / "recordings" / "test_app" / "test_gone.jsonl").write_text('{"plsync":"recording","format":1}\n')
    result = tests.runpytest_subprocess("-n", "2", "--plsync-record=new_episodes")
    result.assert_outcomes(passed=24)
    assert summary(result) == "24 recorded, 0 replayed, 0 missed, 0 unused"
    result.stdout.fnmatch_lines(["*recordings of removed tests: recordings/test_app/test_gone.jsonl"])
    assert sorted(questions(tests.path / "shared.jsonl")) == sorted(f"shared {n}" for n in range(12))
    live(tests, "Rome")
    result = tests.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=24)
    assert summary(result) == "0 recorded, 24 replayed, 0 missed, 0 unused"


# --- the marker ---


def test_the_marker_configures_the_recording(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.mark.plsync_recording(path="cities/all.jsonl", mode="once", match=["messages"], exhausted="repeat")
        def test_it(plsync_recording):
            assert plsync_recording.path.name == "all.jsonl"
            assert model().invoke("a", stop=["x"]).content == "Paris"

        @pytest.mark.plsync_recording("cities/all.jsonl", match=["messages"], exhausted="repeat")
        def test_again():
            assert [model().invoke("a").content for _ in range(3)] == ["Paris"] * 3
        """
    )
    run(tests).assert_outcomes(passed=2)
    assert questions(tests.path / "cities" / "all.jsonl") == ["a"]
    result = run(tests, "--plsync-record=none")
    result.assert_outcomes(passed=2)
    assert summary(result) == "0 recorded, 4 replayed, 0 missed, 0 unused"


def test_with_recording_takes_the_recording_of_the_fixture(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        from app import model
        from plsync.replay import with_recording

        def test_it(plsync_recording):
            assert with_recording(model(), plsync_recording).invoke("a").content == "Paris"
        """
    )
    run(tests, "--plsync-record=once").assert_outcomes(passed=1)
    assert summary(run(tests)) == "0 recorded, 1 replayed, 0 missed, 0 unused"


# --- reports ---


def test_a_caught_mismatch_fails_the_test(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        def careless():
            try:
                model().invoke("a")
            except BaseException:
                return "sorry"

        def test_it(plsync_recording):
            assert careless() == "sorry"

        @pytest.mark.plsync_recording(allow_misses=True)
        def test_on_purpose():
            assert careless() == "sorry"
        """
    )
    result = run(tests)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*the test passed, but a model call had no response: no recorded call in *"])


def test_unused_calls_and_recordings_of_removed_tests_are_shown_and_pruned(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=PLAIN, test_other="def test_nothing():\n    pass\n")
    run(tests, "--plsync-record=once")
    directory = tests.path / "recordings"
    (directory / "test_app" / "test_two.jsonl").rename(directory / "test_app" / "test_gone.jsonl")
    one = directory / "test_app" / "test_one.jsonl"
    lines = one.read_text().splitlines()
    one.write_text("\n".join([*lines, lines[1].replace("one", "never asked")]) + "\n")
    (directory / "elsewhere").mkdir()
    (directory / "elsewhere" / "kept.jsonl").write_text(one.read_text())
    result = run(tests, "--deselect=test_app.py::test_two")
    assert "recordings of removed tests" not in result.stdout.str()  # not every test was run
    tests.makepyfile(test_app=PLAIN.replace("def test_two", "def no_test_two"))
    live(tests, "Paris")
    result = run(tests)
    assert summary(result) == "0 recorded, 1 replayed, 0 missed, 1 unused"
    result.stdout.fnmatch_lines(
        [
            "  recorded calls that no test used: recordings/test_app/test_one.jsonl: line 3",
            "  recordings of removed tests: recordings/test_app/test_gone.jsonl",
            "  --plsync-prune removes them",
        ]
    )
    assert questions(one) == ["one", "never asked"]
    result = run(tests, "--plsync-prune")
    assert questions(one) == ["one"]
    assert recordings(tests) == ["recordings/elsewhere/kept.jsonl", "recordings/test_app/test_one.jsonl"]
    assert summary(run(tests)) == "0 recorded, 1 replayed, 0 missed, 0 unused"


NAMED = """
import pytest
from app import model, ANSWER

@pytest.mark.plsync_recording(path="recordings/test_app/named.jsonl")
def test_one():
    assert model().invoke("one").content == ANSWER

@pytest.mark.plsync_recording("../{directory}/recordings/test_app/first.jsonl")
def test_two():
    assert model().invoke("two").content == ANSWER

@pytest.mark.plsync_recording(path="recordings/test_app/skipped.jsonl")
@pytest.mark.skipif("ANSWER == 'Rome'")
def test_three():
    assert model().invoke("three").content == ANSWER
"""


def test_a_recording_that_a_marker_names_is_not_stale(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=NAMED.format(directory=tests.path.name))
    run(tests, "--plsync-record=once").assert_outcomes(passed=3)
    live(tests, "Rome")
    result = run(tests, "--plsync-record=all", "--plsync-prune")
    result.assert_outcomes(passed=2, skipped=1)
    assert "recordings of removed tests" not in result.stdout.str()
    assert recordings(tests) == [f"recordings/test_app/{name}.jsonl" for name in ("first", "named", "skipped")]


SHARES = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items[:] = items[:1]  # like a plugin that distributes tests among machines
"""


@pytest.mark.parametrize("way", ["--last-failed", "a plugin's"])
def test_a_partial_run_prunes_no_recording_of_other_tests(tests: pytest.Pytester, way: str) -> None:
    tests.makepyfile(test_app=PLAIN)
    run(tests, "--plsync-record=once")
    before = recordings(tests)
    if way == "--last-failed":
        ini = tests.path / "tox.ini"
        ini.write_text(ini.read_text().replace("-p no:cacheprovider", ""))
        tests.makepyfile(test_app=PLAIN.replace("def test_two():", "def test_two():\n    assert 0"))
        run(tests).assert_outcomes(passed=2, failed=1)
        tests.makepyfile(test_app=PLAIN)
        result = run(tests, "--last-failed", "--plsync-prune")
    else:
        tests.makeconftest(SHARES)
        result = run(tests, "--plsync-prune")
    result.assert_outcomes(passed=1)
    assert recordings(tests) == before
    assert "recordings of removed tests" not in result.stdout.str()


def test_a_failed_test_prunes_nothing(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=PLAIN)
    run(tests, "--plsync-record=once")
    tests.makepyfile(test_app=PLAIN.replace('"two again").content ==', '"two").content !='))
    run(tests, "--plsync-prune").assert_outcomes(passed=2, failed=1)
    assert questions(tests.path / "recordings/test_app/test_two.jsonl") == ["two", "two again"]


# --- the network ---


NETWORK = """
import asyncio, socket, urllib.request
import httpx, pytest
from openai import OpenAI

def test_loopback():
    server = socket.create_server(("127.0.0.1", 0))
    socket.create_connection(server.getsockname()).close()
    socket.getaddrinfo("localhost", 80)
    socket.socketpair()

def test_address():
    socket.create_connection(("203.0.113.1", 80), timeout=1)

def test_name():
    urllib.request.urlopen("http://nowhere.invalid/")

def test_datagram():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("203.0.113.1", 53))

def test_httpx():
    httpx.get("http://203.0.113.1/", timeout=1)

async def test_async():
    await asyncio.wait_for(httpx.AsyncClient().get("http://nowhere.invalid/"), 5)

def test_sdk_does_not_retry():
    OpenAI(api_key="none", base_url="http://nowhere.invalid/", max_retries=5).models.list()

def test_caught():
    with pytest.raises(Exception):
        httpx.get("http://203.0.113.1/", timeout=1)
"""


def test_the_network_can_be_blocked(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=NETWORK)
    result = tests.runpytest_subprocess("--plsync-block-network", "--timeout=20")
    result.assert_outcomes(passed=1, failed=7)
    found = result.stdout.str()
    assert found.count("NetworkBlocked: a test tried to reach '203.0.113.1'") >= 4
    assert found.count("NetworkBlocked: a test tried to reach 'nowhere.invalid'") >= 3


# --- runs without the plugin ---


def test_the_plugin_does_not_affect_other_runs(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_plain="def test_it():\n    pass\n")
    result = run(tests)
    result.assert_outcomes(passed=1)
    assert "plsync:" not in result.stdout.str()
    assert not list(tests.path.glob("recordings"))


def test_the_plugin_imports_nothing_until_a_test_uses_it() -> None:
    program = (
        "import sys; import pytest; before = set(sys.modules); import plsync.replay.pytest_plugin; "
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert set(eval(done.stdout)) <= {  # noqa: S307 - a list of names, from the line above
        *(
            "plsync",
            "plsync._common",
            "plsync._common.lazy",
            "plsync.replay",
            "plsync.replay.recording_paths",
            "plsync.replay.pytest_plugin",
            *(f"plsync.replay.pytest_plugin.{name}" for name in ("outcomes", "recordings", "settings")),
        ),
        *("hashlib", "_hashlib", "_blake2"),
    }


def test_recording_into_a_journal_loads_nothing_of_replay(tmp_path: Path) -> None:
    program = (
        "import plsync, sys; assert not [name for name in sys.modules if name.startswith('langchain')]\n"
        f"plsync.PromptLayerCallbackHandler(journal={str(tmp_path)!r})\n"
        "heavy = ('plsync.replay', 'langchain_core.language_models')\n"
        "found = [name for name in sys.modules if name.startswith(heavy)]\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_plugin_never_sends_records(tests: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLAYER_API_KEY", "pl_nobodys")
    tests.makepyfile(
        test_app="""
        import sys
        from app import model

        def test_it(plsync_recording):
            model().invoke("a")
            heavy = ("plsync.delivery", "plsync.promptlayer", "promptlayer")
            assert not [name for name in sys.modules if name.startswith(heavy)]
        """
    )
    result = tests.runpytest_subprocess("--plsync-record=once", "--plsync-block-network")
    result.assert_outcomes(passed=1)


# --- reports ---


def test_no_recorded_text_steers_the_terminal_of_a_report(tests: pytest.Pytester) -> None:
    live(tests, "q\\x1b]0;owned\\x07\\x1b[31mRED\\u202e\\u200b")
    tests.makepyfile("""
    import openai
    import pytest
    from app import model, ANSWER

    class Broken(Exception):
        pass

    def test_answer(plsync_recording):
        answer = model().invoke("one").content
        raise Broken(answer)

    def test_missed(plsync_recording):
        model().invoke(model().invoke("two " + ANSWER).content)

    def test_skipped(plsync_recording):
        pytest.skip(model().invoke("three").content)
    """)
    run(tests, "--plsync-record=once")
    for file in tests.path.rglob("*.jsonl"):
        file.write_text(file.read_text().replace("two ", "2 "))
    for arguments in (["-rA"], ["-rA", "--tb=short"], ["-rA", "--tb=line"], ["-rA", "--tb=native", "--showlocals"]):
        done = run_as_program(tests, *arguments)
        assert "RED" in done
        assert not hidden_characters(done), arguments


def run_as_program(tests: pytest.Pytester, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "--color=no", *arguments]
    return str(programs.run(command, cwd=tests.path, capture_output=True, text=True, timeout=60).stdout)
