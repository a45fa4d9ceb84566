"""The settings of a suite, the marker's mistakes, the network's exceptions, and the reports that help people."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from plsync.errors import NetworkBlocked
from plsync.replay.network_block import block_network
from tests.support.pytest_runs import live, questions, recordings, run, summary

ONE = """
import pytest
from app import model

@pytest.mark.plsync_recording
def test_one():
    assert model().invoke("one").content == "Paris"
"""


BASIC = 'asyncio_default_fixture_loop_scope = "function"\npythonpath = ["."]\n'


def configure(tests: pytest.Pytester, *lines: str) -> None:
    ini = tests.path / "tox.ini"
    ini.write_text("\n".join([ini.read_text(), *lines]) + "\n")


# --- pytest's configuration ---


def test_the_configuration_sets_defaults_for_the_suite(tests: pytest.Pytester) -> None:
    configure(
        tests,
        "plsync_mode = once",
        "plsync_directory = cassettes",
        "plsync_match = messages",
        "plsync_redact = privacy:without_names",
        "plsync_exhausted = repeat",
    )
    tests.makepyfile(
        privacy="""
        import json

        def without_names(part):
            return json.loads(json.dumps(part).replace("Ann", "NAME"))
        """,
        test_app="""
        import pytest
        from app import model

        @pytest.mark.plsync_recording
        def test_one(plsync_recording):
            for stop in (None, ["x"]):
                assert model().invoke("I am Ann", stop=stop).content == "Paris"

        @pytest.mark.plsync_recording(match=["messages", "stop"])
        def test_the_marker_decides():
            model().invoke("two")
        """,
    )
    run(tests).assert_outcomes(passed=2)
    assert recordings(tests) == [
        "cassettes/test_app/test_one.jsonl",
        "cassettes/test_app/test_the_marker_decides.jsonl",
    ]
    assert questions(tests.path / recordings(tests)[0]) == ["I am NAME"] * 2
    live(tests, "Rome")
    run(tests).assert_outcomes(passed=2)
    tests.makepyfile(test_app=ONE.replace("invoke", "bind(stop=['y']).invoke").replace('"one"', '"I am Ann"'))
    run(tests, "--plsync-record=none").assert_outcomes(passed=1)


def test_pyproject_sets_them_too_and_the_command_line_decides(tests: pytest.Pytester) -> None:
    (tests.path / "tox.ini").unlink()
    (tests.path / "pyproject.toml").write_text(
        f'[tool.pytest.ini_options]\n{BASIC}plsync_mode = "all"\n'
        'plsync_match = ["messages", "tools"]\nplsync_directory = "./cassettes"\nplsync_record_errors = false\n'
    )
    (tests.path / "sub").mkdir()
    (tests.path / "sub" / "test_deep.py").write_text(ONE)
    run(tests).assert_outcomes(passed=1)
    assert recordings(tests) == ["cassettes/sub/test_deep/test_one.jsonl"]
    live(tests, "Rome")
    run(tests, "--plsync-record=none").assert_outcomes(passed=1)
    (tests.path / "sub" / "test_deep.py").rename(tests.path / "sub" / "test_renamed.py")
    result = run(tests, "--plsync-record=once")
    result.stdout.fnmatch_lines(["*recordings of removed tests: cassettes/sub/test_deep/test_one.jsonl"])


def test_a_setting_that_cannot_be_used_is_named(tests: pytest.Pytester) -> None:
    for line, message in (
        ("plsync_mode = sometimes", "*'sometimes' is not a mode*"),
        ("plsync_match = message", "*no part of a request is called message*"),
        ("plsync_redact = nowhere:hook", "*plsync_redact names 'nowhere:hook', which cannot be imported*"),
    ):
        with pytest.MonkeyPatch.context():
            before = (tests.path / "tox.ini").read_text()
            configure(tests, line)
            tests.makepyfile(test_app=ONE)
            run(tests).stdout.fnmatch_lines([message])
            (tests.path / "tox.ini").write_text(before)


def test_errors_are_kept_out(tests: pytest.Pytester) -> None:
    configure(tests, "plsync_record_errors = false")
    tests.makepyfile(
        test_app="""
        import pytest
        from langchain_core.language_models import FakeListChatModel
        from app import ANSWER

        class Limited(FakeListChatModel):
            def _generate(self, *args, **kwargs):
                if ANSWER == "429":
                    raise RuntimeError("rate limited")
                return super()._generate(*args, **kwargs)

        @pytest.mark.plsync_recording
        def test_one():
            try:
                assert Limited(responses=[ANSWER]).invoke("one").content == "Paris"
            except RuntimeError:
                pass
        """
    )
    live(tests, "429")
    assert summary(run(tests, "--plsync-record=once")).startswith("0 recorded")
    assert recordings(tests) == []
    live(tests, "Paris")
    assert summary(run(tests, "--plsync-record=once")).startswith("1 recorded")
    live(tests, "429")
    run(tests).assert_outcomes(passed=1)


# --- the marker ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ('match_on=["body"]', "has no argument 'match_on'; did you mean match?*There are path, scope, mode*"),
        ('"a.jsonl", "b.jsonl"', "takes one positional argument, the path, not 2: ('a.jsonl', 'b.jsonl')"),
        ('"a.jsonl", path="b.jsonl"', "got two paths: 'a.jsonl' and 'b.jsonl'"),
        ('scope="function"', "has no scope 'function': there are test, class, module, package, session"),
        ("redcat=None", "has no argument 'redcat'; did you mean redact?*"),
    ],
)
def test_a_wrong_marker_is_explained(tests: pytest.Pytester, arguments: str, message: str) -> None:
    tests.makepyfile(test_app=ONE.replace("plsync_recording", f"plsync_recording({arguments})"))
    result = run(tests)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*the marker plsync_recording {message.replace('[', '[[]')}"])
    assert "pytest_plugin" not in result.stdout.str()  # no traceback


def test_a_match_function_with_a_bad_value_fails_before_the_model_is_called(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=ONE.replace("plsync_recording", "plsync_recording(match=lambda request: set(request))"))
    for mode in ("once", "all", "new_episodes"):
        result = run(tests, f"--plsync-record={mode}")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*TypeError: the match function returned a set, which JSON cannot hold*"])
    assert recordings(tests) == []


def test_several_recordings_serve_one_test_and_are_not_changed(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import pytest
        from app import model

        @pytest.mark.plsync_recording("shared/a.jsonl")
        def test_a():
            model().invoke("a")

        @pytest.mark.plsync_recording("shared/b.jsonl")
        def test_b():
            model().invoke("b")

        @pytest.mark.plsync_recording(also=["shared/a.jsonl", "shared/b.jsonl"])
        def test_all():
            assert [model().invoke(q).content for q in "abc"] == ["Paris", "Paris", "Paris"]
        """
    )
    run(tests, "--plsync-record=once", "-k", "not all")
    shared = {path: (tests.path / path).read_bytes() for path in recordings(tests)}
    run(tests, "--plsync-record=once", "-k", "all").assert_outcomes(passed=1, deselected=2)
    assert questions(tests.path / "recordings/test_app/test_all.jsonl") == ["c"]
    live(tests, "Rome")
    run(tests, "--plsync-prune").assert_outcomes(passed=3)
    assert {path: (tests.path / path).read_bytes() for path in shared} == shared


# --- the command line ---


def test_the_record_option_without_a_value_means_once(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=ONE)
    run(tests, "--plsync-record").assert_outcomes(passed=1)
    assert recordings(tests) == ["recordings/test_app/test_one.jsonl"]
    result = tests.runpytest_subprocess("--plsync-record", "test_app.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'test_app.py' is not a mode*write --plsync-record=once test_app.py*"])


def test_a_miss_is_short_and_the_first_hint_is_once(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=ONE)
    result = run(tests)
    text = result.stdout.str()
    assert "pytest --plsync-record=once" in text
    for source in ("playback.py", "recording.py", "intercept.py", "proxy/chat.py", "patch.py"):
        assert source not in text
    run(tests, "--plsync-record=once")
    tests.makepyfile(test_app=ONE.replace('"one"', '"two"'))
    assert "pytest --plsync-record=new_episodes" in run(tests).stdout.str()


def test_a_test_without_a_call_is_named(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_app=ONE + "\n@pytest.mark.plsync_recording\ndef test_silent():\n    pass\n")
    for arguments in ((), ("-n", "2")):
        result = tests.runpytest_subprocess("--plsync-record=once", *arguments)
        result.stdout.fnmatch_lines(["  tests with a recording that called no model: test_app.py::test_silent"])


def test_a_replayed_error_is_reported_with_its_line(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import asyncio
        import pytest
        from langchain_core.language_models import FakeListChatModel

        class Limited(FakeListChatModel):
            def _generate(self, *args, **kwargs):
                raise RuntimeError("429 rate limited")

        @pytest.mark.plsync_recording
        def test_one():
            Limited(responses=["x"]).invoke("one")

        @pytest.mark.plsync_recording
        def test_wrapped():
            try:
                asyncio.run(Limited(responses=["x"]).ainvoke("one"))
            except RuntimeError as error:
                raise ValueError("it failed") from error

        @pytest.mark.plsync_recording
        def test_expected():
            with pytest.raises(RuntimeError, match="^429 rate limited$"):
                Limited(responses=["x"]).invoke("one")
        """
    )
    result = run(tests, "--plsync-record=once")
    result.assert_outcomes(failed=2, passed=1)
    assert "replayed from" not in result.stdout.str()
    result = run(tests)
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            f"RuntimeError was recorded, and replayed from *test_{name}.jsonl, line 2; no model was called"
            for name in ("one", "wrapped")
        ]
    )


# --- removed modules ---


def test_recordings_of_removed_modules_are_found_and_pruned(tests: pytest.Pytester) -> None:
    tests.makepyfile(test_old=ONE, test_kept=ONE)
    configure(tests, "python_files = test_*.py check_*.py")
    run(tests, "--plsync-record=once").assert_outcomes(passed=2)
    directory = tests.path / "recordings"
    (directory / "test_module.jsonl").write_text('{"plsync":"recording","format":1}\n')
    (directory / "test_notes.jsonl").write_text('{"not": "a recording"}\n')
    (tests.path / "test_old.py").rename(tests.path / "test_new.py")
    result = run(tests, "test_kept.py")
    assert "recordings of removed tests" not in result.stdout.str()  # not the whole folder was collected
    result = run(tests, "--plsync-record=once")
    result.stdout.fnmatch_lines(
        ["  recordings of removed tests: recordings/test_module.jsonl, recordings/test_old/test_one.jsonl"]
    )
    run(tests, "--plsync-prune").assert_outcomes(passed=2)
    assert recordings(tests) == [
        "recordings/test_kept/test_one.jsonl",
        "recordings/test_new/test_one.jsonl",
        "recordings/test_notes.jsonl",
    ]
    assert not (directory / "test_old").exists()


@pytest.mark.parametrize(("setting", "kept"), [("", "recordings"), ("plsync_directory = ./cassettes", "cassettes")])
def test_recordings_of_a_folder_without_tests_are_found_in_a_run_of_the_whole_suite(
    setting: str, kept: str, tests: pytest.Pytester
) -> None:
    configure(tests, setting)
    tests.makeconftest("")  # puts the root directory on the path
    tests.makepyfile(test_kept=ONE)
    (tests.path / "sub").mkdir()
    (tests.path / "sub" / "test_deep.py").write_text(ONE)
    run(tests, "--plsync-record=once").assert_outcomes(passed=2)
    (tests.path / "sub" / "test_deep.py").unlink()
    deep = "cassettes/sub/test_deep/test_one.jsonl" if setting else "sub/recordings/test_deep/test_one.jsonl"
    for partial in (["test_kept.py"], ["-k", "one"]):
        assert "recordings of removed tests" not in run(tests, *partial).stdout.str()
    run(tests).stdout.fnmatch_lines([f"  recordings of removed tests: {deep}"])
    run(tests, "--plsync-prune").assert_outcomes(passed=1)
    assert recordings(tests) == [f"{kept}/test_kept/test_one.jsonl"]


# --- the network ---


def test_allowed_hosts_can_be_reached(tests: pytest.Pytester) -> None:
    configure(tests, "plsync_block_network = true", "plsync_allowed_hosts = *.allowed.invalid")
    tests.makepyfile(
        test_app="""
        import socket
        import pytest

        def reach(host):
            try:
                socket.create_connection((host, 9), timeout=0.01)
            except OSError:
                pass

        @pytest.mark.parametrize("host", ["a.allowed.invalid", "203.0.113.7", "198.51.100.2"])
        def test_allowed(host):
            reach(host)

        @pytest.mark.parametrize("host", ["allowed.example.invalid", "203.0.114.7"])
        def test_blocked(host):
            reach(host)
        """
    )
    result = tests.runpytest_subprocess("--plsync-allowed-hosts=203.0.113.0/24, 198.51.100.2")
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(
        ["*NetworkBlocked: a test tried to reach '203.0.114.7'*--plsync-allowed-hosts=203.0.114.7"]
    )


def test_the_addresses_of_an_allowed_name_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(host: object, port: object, *args: object, **kwargs: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.9", port))]

    def connect() -> None:
        sys.audit("socket.connect", None, ("203.0.113.9", 9))

    monkeypatch.setattr("plsync.replay.network_block._find_addresses", found)
    monkeypatch.setattr(socket, "getaddrinfo", found)
    with block_network(["api.example.com"]):
        with pytest.raises(NetworkBlocked):
            connect()
        socket.getaddrinfo("api.example.com", 9)
        connect()
    with block_network(), pytest.raises(NetworkBlocked):
        connect()
    assert socket.getaddrinfo is found


def test_the_configuration_files_of_the_docs_are_valid(tests: pytest.Pytester) -> None:
    page = (Path(__file__).parents[2] / "docs/replay/pytest.md").read_text(encoding="utf-8")
    block = page.partition("```toml\n")[2].partition("```")[0]
    (tests.path / "tox.ini").unlink()
    (tests.path / "pyproject.toml").write_text(f"{block}{BASIC}")
    (tests.path / "tests").mkdir()
    (tests.path / "tests" / "privacy.py").write_text("def without_names(part):\n    return part\n")
    tests.makepyfile(test_app=ONE)
    tests.runpytest_subprocess("--strict-config", "--plsync-record=once").assert_outcomes(passed=1)
    assert json.loads((tests.path / recordings(tests)[0]).read_text().splitlines()[0])["plsync"] == "recording"
