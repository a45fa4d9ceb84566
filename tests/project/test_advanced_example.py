"""The longest example of the old handler's guide: with PromptLayer out of reach first, and synced later."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync import PromptLayerCallbackHandler
from plsync.journal import Journal
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.commands import run
from tests.support.openai_server import OpenAIServer
from tests.support.root import ROOT
from tests.support.sending import send_once
from tests.support.snippets import snippets_of

NAME = "What would be a good name for a company that makes {product}?"


@pytest.fixture
def server() -> Iterator[PromptLayerServer]:
    with PromptLayerServer() as server:
        server.add_prompt("example", {"type": "completion", "content": [{"type": "text", "text": NAME}]})
        yield server


@pytest.fixture
def environment(server: PromptLayerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    with OpenAIServer("Toast & Co") as openai:
        variables = {
            "OPENAI_BASE_URL": openai.url,
            "OPENAI_API_KEY": "none",
            "PROMPTLAYER_BASE_URL": server.url,
            "PROMPTLAYER_API_KEY": server.api_key,
            "PLSYNC_JOURNAL": str(tmp_path / "journal"),
            "PLSYNC_PROMPTS": str(tmp_path / "prompts"),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield variables


def snippets(page: str, heading: str) -> list[str]:
    """The Python of a page below a heading."""
    section = (ROOT / page).read_text(encoding="utf-8").split(heading, 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def readme_files() -> dict[str, str]:
    return snippets_of(ROOT / "README.md")[1]


def assert_all_arrived(server: PromptLayerServer) -> None:
    (log,) = server.request_logs
    question = NAME.format(product="toasters")
    assert log["input"]["content"] == [{"type": "text", "text": question}]
    assert log["output"]["content"] == [{"type": "text", "text": "Toast & Co"}]
    assert server.scores == {log["id"]: {"default": 100}}
    assert server.metadata[log["id"]]["foo"] == "bar"
    link = {"prompt_name": "example", "version": 1, "input_variables": {"product": "toasters"}}
    assert server.prompt_links == {log["id"]: link}


def test_the_published_example_runs_with_its_imports_changed(
    server: PromptLayerServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """In a program that lives on, as a server does: it calls the function itself."""
    (example,) = snippets("docs/start/migrating.md", "## The old guide")
    assert example.startswith("import plsync as promptlayer\nfrom langchain_openai import OpenAI\nfrom plsync import")
    path = tmp_path / "journal"
    assert run(path, "prompts", "pull", **environment).returncode == 0
    with server.offline():
        program = programs.Popen(
            # Unbuffered: the example prints from its callback, and does not flush.
            [sys.executable, "-u", "-c", f"{example}\nprint('asked')\nimport sys\nsys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        assert program.stdout.readline() == "asked\n"
    with program:
        sent, _ = send_once(path, server)
        assert sent.acked == 1
        assert program.stdout.readline() == f"prompt layer id  {server.request_logs[0]['id']}\n"
        wait_for_follow_ups(path, 3)
        _, report = send_once(path, server)
        program.communicate()
    assert report.sent == 3
    assert_all_arrived(server)


def test_the_readmes_example_runs_in_a_program_that_is_gone_when_the_id_comes(
    server: PromptLayerServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """The function is in a module, and `plsync run` calls it."""
    for name in ("feedback.py", "scored.py"):
        (tmp_path / name).write_text(readme_files()[name])
    path = tmp_path / "journal"
    assert run(path, "prompts", "pull", "example", "--version", "1", **environment).returncode == 0
    with server.offline():
        programs.run([sys.executable, "scored.py"], cwd=tmp_path, check=True)
    deliver = [*programs.PLSYNC_IN_PYTHON, "run", "--once"]
    done = programs.run(deliver, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert f"prompt layer id  {server.request_logs[0]['id']}" in done.stdout
    send_once(path, server)
    assert_all_arrived(server)


def test_nothing_of_it_needs_promptlayers_sdk() -> None:
    program = readme_files()["feedback.py"] + readme_files()["scored.py"]
    (example,) = snippets("docs/start/migrating.md", "## The old guide")
    imported = re.findall(r"^(?:import|from) (\w+)", program + example, re.MULTILINE)
    assert set(imported) == {"plsync", "langchain_openai", "feedback"}


def wait_for_follow_ups(path: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    with Journal.open(path) as journal:
        while journal.stats().followups < number:
            assert time.monotonic() < deadline, "the callback was not called"
            time.sleep(0.01)


def test_the_arguments_stand_where_the_old_handler_had_them() -> None:
    old = pytest.importorskip("langchain_community.callbacks.promptlayer_callback").PromptLayerCallbackHandler
    ours, theirs = (
        list(inspect.signature(handler).parameters.values()) for handler in (PromptLayerCallbackHandler, old)
    )
    for parameter, its_old in zip(ours, theirs, strict=False):
        assert (parameter.name, parameter.kind, parameter.default) == (its_old.name, its_old.kind, its_old.default)
    # New parameters are keyword-only, so that no existing call changes its meaning.
    assert {parameter.kind for parameter in ours[len(theirs) :]} == {inspect.Parameter.KEYWORD_ONLY}
