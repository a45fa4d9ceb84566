"""``plsync prompts``: fill the cache before a time without a network, and list it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from plsync import prompts
from plsync.errors import AuthenticationError, Offline, PromptError, PromptUnavailable, Rejected, SyncError
from plsync.prompts.pull import PullReport, pull
from plsync.testing import PromptLayerServer
from tests.support.commands import run

LIST = "/prompt-templates"
_A_SECOND = timedelta(seconds=1)


def text(content: str) -> dict[str, Any]:
    return {"type": "completion", "content": [{"type": "text", "text": content}]}


@pytest.fixture
def server() -> Iterator[PromptLayerServer]:
    with PromptLayerServer() as server:
        server.add_prompt("example", text("one"), labels=["prod"])
        server.add_prompt("example", text("two"), labels=["staging", "dev"])
        server.add_prompt("example", text("three"))
        server.add_prompt("team/other", text("other"))
        yield server


@pytest.fixture(autouse=True)
def environment(server: PromptLayerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = {
        "PROMPTLAYER_BASE_URL": server.url,
        "PROMPTLAYER_API_KEY": server.api_key,
        "PLSYNC_PROMPTS": str(tmp_path / "prompts"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def command(tmp_path: Path, environment: dict[str, str]) -> Any:
    def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run(tmp_path / "journal", "prompts", *arguments, **(environment | variables))

    return command


def cached(name: str, **options: Any) -> str | None:
    """The text of a template; None if PromptLayer does not respond and there is no copy."""
    try:
        template = prompts.get(name, **options)
    except PromptUnavailable:
        return None
    found: str = template["prompt_template"]["content"][0]["text"]
    return found


@pytest.mark.filterwarnings("ignore::plsync.errors.StalePrompt")
def test_a_pull_fetches_the_newest_and_the_labelled_versions_of_each_template(server: PromptLayerServer) -> None:
    assert pull() == PullReport(templates=2, versions=4)
    with server.offline():
        assert [cached("example", label=label) for label in ("prod", "staging", "dev")] == ["one", "two", "two"]
        assert [cached("example", version=version) for version in (1, 2, 3)] == ["one", "two", "three"]
        assert (cached("example"), cached("team/other")) == ("three", "other")


@pytest.mark.filterwarnings("ignore::plsync.errors.StalePrompt")
def test_names_a_label_or_a_version_limit_the_pull(server: PromptLayerServer) -> None:
    assert pull(["team/other"]) == PullReport(templates=1, versions=1)
    assert pull(["example"], version=2) == PullReport(templates=1, versions=1)
    assert pull(label="prod") == PullReport(templates=1, versions=1)
    with server.offline():
        assert (cached("team/other"), cached("example"), cached("example", label="dev")) == ("other", None, None)
        assert (cached("example", version=2), cached("example", label="prod")) == ("two", "one")


def test_all_pages_of_templates_are_fetched(server: PromptLayerServer) -> None:
    for number in range(230):
        server.add_prompt(f"template {number}", text("hi"))
    assert pull().templates == 232
    pages = [request for request in server.requests if request.path == LIST]
    assert len(pages) == 3


def test_changed_fetches_only_templates_that_changed_since_the_last_pull(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plsync.prompts.pull._OVERLAP", -_A_SECOND)
    pull()
    assert pull(changed=True) == PullReport()
    monkeypatch.setattr("plsync.prompts.pull._OVERLAP", _A_SECOND)
    pull()
    assert pull(changed=True).templates == 2


def test_changed_fetches_all_templates_before_the_first_complete_pull(server: PromptLayerServer) -> None:
    pull(["example"])
    assert pull(changed=True).templates == 2


def test_missing_templates_are_listed_and_the_rest_is_fetched(server: PromptLayerServer) -> None:
    assert pull(["nothing", "example"]).missing == ["'nothing'"]
    assert pull(["example"], label="nowhere") == PullReport(missing=["'example' with label 'nowhere'"])
    assert pull(["example"], version=9).missing == ["version 9 of 'example'"]


def test_a_version_needs_a_name() -> None:
    with pytest.raises(PromptError, match="needs the name"):
        pull(version=1)


def test_an_offline_pull_is_an_error_and_keeps_the_cache(server: PromptLayerServer) -> None:
    pull()
    with server.offline():
        with pytest.raises(Offline, match="templates that were fetched before are kept"):
            pull()
        assert cached("example", version=1) == "one"


@pytest.mark.parametrize(
    ("status", "error"), [(401, AuthenticationError), (422, Rejected), (500, SyncError), (302, SyncError)]
)
def test_the_error_of_a_pull_has_the_reason(server: PromptLayerServer, status: int, error: type[Exception]) -> None:
    server.fail(status, path=LIST)
    with pytest.raises(error, match=str(status)):
        pull()


def test_a_throttled_pull_waits_and_retries(server: PromptLayerServer) -> None:
    server.fail(429, headers={"Retry-After": "0"}, times=2, path=LIST)
    assert pull().templates == 2


def test_a_pull_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    with pytest.raises(AuthenticationError, match="PROMPTLAYER_API_KEY is not set"):
        pull()


def test_a_pull_ends_the_time_without_queries(server: PromptLayerServer) -> None:
    with server.offline(), pytest.raises(PromptUnavailable):
        prompts.get("example")
    pull()
    assert not prompts.get("example").from_cache


def test_the_command_prints_the_fetched_templates(command: Any, tmp_path: Path) -> None:
    done = command("pull")
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == sorted(
        ["example", "team/other", f"2 templates in 4 versions fetched into {tmp_path / 'prompts'}"]
    )
    printed = json.loads(command("pull", "example", "--json").stdout)
    assert printed == {"cache": str(tmp_path / "prompts"), "templates": 1, "versions": 3, "missing": []}


def test_the_command_exits_with_1_when_a_template_is_missing_or_cannot_be_fetched(
    command: Any, server: PromptLayerServer
) -> None:
    done = command("pull", "nothing", "example")
    assert (done.returncode, "PromptLayer has no prompt template 'nothing'" in done.stdout) == (1, True)
    assert "1 template in 3 versions fetched" in done.stdout
    with server.offline():
        done = command("pull")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("plsync: PromptLayer cannot be reached")
    assert command("pull", "--version", "0").returncode == 2
    done = command("pull", PROMPTLAYER_API_KEY="")
    assert (done.returncode, "export PROMPTLAYER_API_KEY" in done.stderr) == (1, True)


def test_the_list_shows_the_cache_without_a_network(command: Any, server: PromptLayerServer) -> None:
    done = command("list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "`plsync prompts pull` fetches them" in done.stderr
    command("pull")
    with server.offline():
        lines = command("list").stdout.splitlines()
        entries = [json.loads(line) for line in command("list", "--json").stdout.splitlines()]
    assert [line.rpartition("  ")[0] for line in lines] == [
        "example  version 1",
        "example  label prod: version 1",
        "example  version 2",
        "example  label dev: version 2",
        "example  label staging: version 2",
        "example  version 3",
        "example  newest: version 3",
        "team/other  version 1",
        "team/other  newest: version 1",
    ]
    assert {entry["base_url"] for entry in entries} == {server.url}
    assert entries[1].items() >= {"asked_label": "prod", "asked_version": None, "version": 1, "name": "example"}.items()
