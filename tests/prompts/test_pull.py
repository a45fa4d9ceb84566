"""``plsync prompts``: filling the cache before going offline, and seeing what is in it."""

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
from plsync.prompts.pulling import Pulled, pull
from plsync.testing import PromptLayerServer
from tests.support.commands import run

LIST = "/prompt-templates"
_A_SECOND = timedelta(seconds=1)


def text(words: str) -> dict[str, Any]:
    return {"type": "completion", "content": [{"type": "text", "text": words}]}


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


def kept(name: str, **asked: Any) -> str | None:
    """What the template says offline, if it is there."""
    try:
        template = prompts.get(name, **asked)
    except PromptUnavailable:
        return None
    found: str = template["prompt_template"]["content"][0]["text"]
    return found


@pytest.mark.filterwarnings("ignore::plsync.errors.StalePrompt")
def test_a_pull_fetches_every_template_newest_and_labelled(server: PromptLayerServer) -> None:
    assert pull() == Pulled(templates=2, versions=4)
    with server.offline():
        assert [kept("example", label=label) for label in ("prod", "staging", "dev")] == ["one", "two", "two"]
        assert [kept("example", version=version) for version in (1, 2, 3)] == ["one", "two", "three"]
        assert (kept("example"), kept("team/other")) == ("three", "other")


@pytest.mark.filterwarnings("ignore::plsync.errors.StalePrompt")
def test_names_a_label_or_a_version_choose_what_is_fetched(server: PromptLayerServer) -> None:
    assert pull(["team/other"]) == Pulled(templates=1, versions=1)
    assert pull(["example"], version=2) == Pulled(templates=1, versions=1)
    assert pull(label="prod") == Pulled(templates=1, versions=1)
    with server.offline():
        assert (kept("team/other"), kept("example"), kept("example", label="dev")) == ("other", None, None)
        assert (kept("example", version=2), kept("example", label="prod")) == ("two", "one")


def test_more_than_a_page_of_templates_is_fetched_whole(server: PromptLayerServer) -> None:
    for number in range(230):
        server.add_prompt(f"template {number}", text("hi"))
    assert pull().templates == 232
    pages = [request for request in server.requests if request.path == LIST]
    assert len(pages) == 3


def test_only_what_was_changed_since_is_fetched_again(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plsync.prompts.pulling._OVERLAP", -_A_SECOND)
    pull()
    assert pull(changed=True) == Pulled()
    monkeypatch.setattr("plsync.prompts.pulling._OVERLAP", _A_SECOND)
    pull()
    assert pull(changed=True).templates == 2


def test_before_everything_was_pulled_once_everything_has_changed(server: PromptLayerServer) -> None:
    pull(["example"])
    assert pull(changed=True).templates == 2


def test_what_promptlayer_does_not_have_is_named_and_the_rest_fetched(server: PromptLayerServer) -> None:
    assert pull(["nothing", "example"]).missing == ["'nothing'"]
    assert pull(["example"], label="nowhere") == Pulled(missing=["'example' with label 'nowhere'"])
    assert pull(["example"], version=9).missing == ["version 9 of 'example'"]


def test_a_version_takes_a_name() -> None:
    with pytest.raises(PromptError, match="give its name"):
        pull(version=1)


def test_offline_a_pull_says_so_and_keeps_what_is_there(server: PromptLayerServer) -> None:
    pull()
    with server.offline():
        with pytest.raises(Offline, match="what was fetched before is kept"):
            pull()
        assert kept("example", version=1) == "one"


@pytest.mark.parametrize(
    ("status", "error"), [(401, AuthenticationError), (422, Rejected), (500, SyncError), (302, SyncError)]
)
def test_a_pull_that_fails_says_why(server: PromptLayerServer, status: int, error: type[Exception]) -> None:
    server.fail(status, path=LIST)
    with pytest.raises(error, match=str(status)):
        pull()


def test_a_pull_waits_when_it_is_asked_to(server: PromptLayerServer) -> None:
    server.fail(429, headers={"Retry-After": "0"}, times=2, path=LIST)
    assert pull().templates == 2


def test_without_a_key_nothing_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    with pytest.raises(AuthenticationError, match="PROMPTLAYER_API_KEY is not set"):
        pull()


def test_a_pull_ends_the_time_of_not_asking(server: PromptLayerServer) -> None:
    with server.offline(), pytest.raises(PromptUnavailable):
        prompts.get("example")
    pull()
    assert not prompts.get("example").from_cache


def test_the_command_says_what_it_fetched(command: Any, tmp_path: Path) -> None:
    done = command("pull")
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == sorted(
        ["example", "team/other", f"2 templates in 4 versions fetched into {tmp_path / 'prompts'}"]
    )
    printed = json.loads(command("pull", "example", "--json").stdout)
    assert printed == {"cache": str(tmp_path / "prompts"), "templates": 1, "versions": 3, "missing": []}


def test_the_command_exits_with_1_when_something_is_missing_or_cannot_be_fetched(
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


def test_the_list_shows_what_is_kept_without_a_network(command: Any, server: PromptLayerServer) -> None:
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
