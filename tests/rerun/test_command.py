"""``plsync rerun`` as a user runs it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plsync import Journal, PromptLayerCallbackHandler
from plsync.cli import main
from plsync.testing.tiny_model import write_tiny_model
from tests.rerun.conftest import OTHER
from tests.support import programs
from tests.support.commands import PLSYNC, environment, run
from tests.support.openai_server import OpenAIServer


def sent(server: OpenAIServer) -> Counter[str]:
    """How often each prompt was sent to the other model."""
    found = [request for request in server.requests if request["model"] == "other-model"]
    return Counter(request["messages"][-1]["content"] for request in found)


@pytest.fixture
def variables(provider: OpenAIServer, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "measures.py").write_text(
        "def shorter(recorded, rerun):\n    return len(rerun.output[0]['text']) < len(recorded.output[0]['text'])\n"
    )
    return {
        "OPENAI_BASE_URL": provider.url,
        "OPENAI_API_KEY": "sk-loopback",
        "PYTHONPATH": str(tmp_path),
        # Packages of models warn about each other.
        "PYTHONWARNINGS": "ignore",
    }


def test_send_and_compare(
    model: Any, source: Path, into: Path, provider: OpenAIServer, variables: dict[str, str]
) -> None:
    model.invoke("one")
    model.invoke("two")
    provider.text = "Paris."
    send = ("rerun", "--model", OTHER, "--into", str(into), "--set", "temperature=0.5")
    done = run(source, *send, "--compare", "--judge", "measures:shorter", "--json", **variables)
    assert done.returncode == 0, done.stderr
    *compared, sums, report = map(json.loads, done.stdout.splitlines())
    assert [item["judgement"] for item in compared] == [True, True]
    assert (sums["sums"]["compared"], sums["sums"]["judgement"]) == (2, 1.0)
    assert report["rerun"] | {"skipped": 0} == {
        "sent": 2,
        "answered": 2,
        "refused": 0,
        "sent_before": 0,
        "unanswered": 0,
        "skipped": 0,
        "left": 0,
        "errors": {},
        "unrecorded": 0,
    }
    assert provider.requests[-1]["temperature"] == 0.5
    shown = run(source, "rerun", "--into", str(into), "--compare", **variables)
    assert shown.returncode == 0, shown.stderr
    assert OTHER in shown.stdout and "2 requests compared" in shown.stdout
    # A call of the loopback server takes a few milliseconds.
    assert re.search(r"median time \d\S* m?s → \d\S* m?s", shown.stdout)
    assert sent(provider) == {"one": 1, "two": 1}


InProcess = Callable[..., tuple[int, str]]


@pytest.fixture
def in_process(
    source: Path,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> InProcess:
    """Runs the command in this process, which has LangChain imported. Returns the exit code and standard error."""
    monkeypatch.setenv("PLSYNC_JOURNAL", str(source))
    monkeypatch.syspath_prepend(variables["PYTHONPATH"])
    # main() replaces them.
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def rerun(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["plsync", "rerun", *arguments])
        with pytest.raises(SystemExit) as ended, warnings.catch_warnings():
            warnings.simplefilter("default")
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return rerun


@contextlib.contextmanager
def blocking(server: OpenAIServer, after: int) -> Iterator[threading.Event]:
    """The server answers this many requests, and lets each further one wait. The event is set when one waits."""
    waits, goes_on = threading.Event(), threading.Event()
    answer, left = server.chat, [after]

    def chat(request: dict[str, Any]) -> Any:
        left[0] -= 1
        if left[0] < 0:
            waits.set()
            goes_on.wait(30)
        return answer(request)

    server.chat = chat  # type: ignore[method-assign]
    try:
        yield waits
    finally:
        server.chat = answer  # type: ignore[method-assign]
        goes_on.set()


def test_a_killed_rerun_goes_on_and_sends_no_request_twice(
    model: Any, source: Path, into: Path, provider: OpenAIServer, variables: dict[str, str]
) -> None:
    prompts = [f"question {number}" for number in range(8)]
    for prompt in prompts:
        model.invoke(prompt)
    command = ("rerun", "--model", OTHER, "--into", str(into), "--at-once", "2")
    with blocking(provider, after=3) as waits:
        process = programs.Popen([str(PLSYNC), *command], env=environment(source, **variables))
        assert waits.wait(30)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    done = run(source, *command, **variables)
    assert done.returncode == 0, done.stderr
    # At most two were open. One of them may have been recorded, and not sent yet.
    assert len(sent(provider)) >= len(prompts) - 1
    assert set(sent(provider).values()) == {1}
    with Journal.open(into) as journal:
        assert journal.count() == len(prompts)
        unanswered = journal.count(status="error") or 0
    assert 1 <= unanswered <= 2
    assert f"{unanswered} of them have no answer" in done.stderr and "--retry" in done.stderr
    retried = run(source, *command, "--retry", **variables)
    assert retried.returncode == 0, retried.stderr
    with Journal.open(into) as journal:
        assert journal.count(status="ok") == len(prompts)


def test_ctrl_c_ends_after_the_open_requests(
    model: Any, source: Path, into: Path, provider: OpenAIServer, variables: dict[str, str]
) -> None:
    for number in range(4):
        model.invoke(f"question {number}")
    command = [str(PLSYNC), "rerun", "--model", OTHER, "--into", str(into), "--at-once", "1"]
    with blocking(provider, after=1) as waits:
        process = programs.Popen(
            command, env=environment(source, **variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert waits.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "finishing open requests" in process.stderr.readline()
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "2 requests left: run the same command again" in errors
    assert "Sent 2 requests; 2 answered" in output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--into", "x"], "pass --model PROVIDER:MODEL"),
        (["--model", OTHER], "--into: needs a value, JOURNAL"),
        (["--model", "gpt-4o", "--into", "x"], "choose PROVIDER:MODEL"),
        (["--model", OTHER, "--into", "x", "--set", "temperature"], "choose NAME=VALUE"),
        (["--model", OTHER, "--into", "x", "--at-once", "0"], "choose a whole number"),
        (["--model", OTHER, "--into", "x", "--judge", "measures:shorter"], "--judge: needs --compare"),
        (["--into", "x", "--compare", "--judge", "shorter"], "choose MODULE:FUNCTION"),
        (["--into", "x", "--compare", "--judge", "measures:missing"], "has no such function"),
        (["--model", OTHER, "--into", "x", "--recording", "y", "--tag", "z"], "leave them out with --recording"),
        (["--model", OTHER, "--into", "x", "--recording", "nowhere.jsonl"], "no recording at"),
        (["--model", OTHER, "--into", "x", "--recording", "{file}"], "is not a recording"),
        (["--model", OTHER, "--into", "{file}"], "is not a journal: it is a file"),
        (["--model", OTHER, "--into", "{source}"], "choose another directory"),
        (["--into", "{nowhere}", "--compare"], "no journal"),
    ],
)
def test_wrong_use_is_one_line_and_sends_nothing(
    source: Path, provider: OpenAIServer, in_process: InProcess, arguments: list[str], reason: str
) -> None:
    Journal.open(source, create=True).close()
    places = {"source": source, "nowhere": source.parent / "nowhere", "file": source.parent / "measures.py"}
    filled = [item.format(**places) for item in arguments]
    code, errors = in_process(*filled)
    assert code in (1, 2)
    assert reason in errors
    assert len(errors.splitlines()) == 1
    assert provider.requests == []
    assert not os.path.exists("x")


def test_many_requests_need_a_confirmation(
    model: Any, into: Path, provider: OpenAIServer, in_process: InProcess
) -> None:
    for number in range(101):
        model.invoke(f"question {number}")
    code, errors = in_process("--model", OTHER, "--into", str(into))
    assert code == 2
    assert "101 requests would be sent to openai:other-model: pass --yes" in errors
    assert sent(provider) == {}
    assert not into.exists()
    assert in_process("--model", OTHER, "--into", str(into), "--yes") == (0, "")
    assert len(sent(provider)) == 101


def test_an_answer_that_cannot_be_recorded_stops_the_rerun(
    model: Any, source: Path, into: Path, provider: OpenAIServer, variables: dict[str, str]
) -> None:
    resource = pytest.importorskip("resource")
    for number in range(3):
        model.invoke(f"question {number}" + " again" * 500_000)
    with Journal.open(source) as journal:
        journal.ingest(wait=True)
    done = programs.run(
        [str(PLSYNC), "rerun", "--model", OTHER, "--into", str(into), "--at-once", "1"],
        env=environment(source, **variables),
        # No request fits into a file of the spool.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "could not be recorded" in done.stderr and "2 requests left" in done.stderr
    assert len(sent(provider)) == 1


def test_without_the_extra_the_error_names_it(
    model: Any, into: Path, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.invoke("one")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, errors = in_process("--model", OTHER, "--into", str(into))
    assert code == 1
    assert "pip install 'plsync[rerun]'" in errors


def test_two_local_models_are_compared_without_a_network(
    tmp_path: Path, source: Path, into: Path, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gpt4all")
    from langchain_community.llms import GPT4All  # noqa: PLC0415

    first = write_tiny_model(tmp_path / "first.gguf", answers={"weather": "It is sunny."})
    second = write_tiny_model(tmp_path / "second.gguf", answers={"weather": "It is cold."})
    local = GPT4All(model=str(first), n_threads=1, callbacks=[PromptLayerCallbackHandler(journal=source)])
    local.invoke("How is the weather?")
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    code, errors = in_process("--model", f"gpt4all:{second}", "--into", str(into), "--set", "n_threads=1")
    assert (code, errors) == (0, "")
    with Journal.open(into) as journal:
        [record] = journal.records()
    assert record.output[0]["text"] == " It is cold."
    assert record.model == str(second)


def test_a_filter_by_model_that_is_given_twice_is_an_error(source: Path, into: Path) -> None:
    filters = ("--recorded-model", "gpt-4o", "--recorded-model", "gpt-4o-mini")
    done = run(source, "rerun", "--model", OTHER, "--into", str(into), *filters)
    assert done.returncode == 2
    assert "--recorded-model: given more than once, and it takes one value" in done.stderr
