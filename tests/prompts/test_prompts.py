"""``plsync.prompts``: templates from PromptLayer while it can be asked, from disk when it cannot."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import plsync
from plsync import prompts
from plsync.errors import (
    AuthenticationError,
    PlsyncError,
    PlsyncWarning,
    PromptError,
    PromptNotFound,
    PromptUnavailable,
    StalePrompt,
)
from plsync.prompts import cache as kept
from plsync.prompts.pulling import pull
from plsync.testing import PromptLayerServer


def text(words: str) -> dict[str, Any]:
    return {"type": "completion", "content": [{"type": "text", "text": words}], "input_variables": []}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PromptLayerServer]:
    with PromptLayerServer() as server:
        server.add_prompt("example", text("Name {product}."), labels=["prod"])
        server.add_prompt("example", text("A name for {product}, please."))
        use(monkeypatch, server)
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "prompts"
    monkeypatch.setenv("PLSYNC_PROMPTS", str(path))
    return path


def use(monkeypatch: pytest.MonkeyPatch, server: PromptLayerServer, key: str | None = None) -> None:
    monkeypatch.setenv("PROMPTLAYER_BASE_URL", server.url)
    monkeypatch.setenv("PROMPTLAYER_API_KEY", key or server.api_key)


def words(template: prompts.Template) -> str:
    found: str = template["prompt_template"]["content"][0]["text"]
    return found


def ask_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "_LEAVE_ALONE", 0.0)


def test_a_template_comes_from_promptlayer_by_version_by_label_and_newest(server: PromptLayerServer) -> None:
    newest, first, labelled = prompts.get("example"), prompts.get("example", 1), prompts.get("example", label="prod")
    assert (newest["version"], words(newest)) == (2, "A name for {product}, please.")
    assert first == labelled
    assert (first["version"], words(first), first.from_cache, first.stale) == (1, "Name {product}.", False, False)


@pytest.mark.parametrize("name", ["team/greeting", "50 % off?", "über #1", "a&b=c", "..", "%2F"])
def test_a_name_may_be_anything(server: PromptLayerServer, name: str) -> None:
    server.add_prompt(name, text("hi"), labels=["a/b c&d"])
    assert prompts.get(name)["prompt_name"] == name
    assert prompts.get(name, label="a/b c&d")["prompt_name"] == name
    with server.offline(), pytest.warns(StalePrompt):
        assert prompts.get(name)["prompt_name"] == name


def test_offline_the_template_is_the_one_of_before_and_says_so(server: PromptLayerServer) -> None:
    online = prompts.get("example")
    with server.offline(), pytest.warns(StalePrompt, match=r"'example' .*no connection.* this is version 2, .* UTC"):
        offline = prompts.get("example")
    assert (dict(offline), offline.from_cache, offline.stale) == (
        {key: value for key, value in online.items() if key not in {"success", "llm_kwargs"}},
        True,
        True,
    )


def test_a_version_does_not_change_so_offline_it_is_not_stale(server: PromptLayerServer) -> None:
    prompts.get("example", version=1)
    with server.offline(), warnings.catch_warnings():
        warnings.simplefilter("error")
        offline = prompts.get("example", version=1)
    assert (offline.from_cache, offline.stale) == (True, False)


def test_whatever_was_fetched_is_there_by_its_version_too(server: PromptLayerServer) -> None:
    prompts.get("example", label="prod")
    with server.offline():
        assert words(prompts.get("example", version=1)) == "Name {product}."


def test_the_cache_survives_the_process(server: PromptLayerServer) -> None:
    prompts.get("example", version=1)
    program = "from plsync import prompts; print(prompts.get('example', version=1)['version'])"
    with server.offline():
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_a_template_never_fetched_is_an_error_that_names_what_is_there(server: PromptLayerServer) -> None:
    prompts.get("example", label="prod")
    with server.offline(), pytest.raises(PromptUnavailable) as raised:
        prompts.get("example")
    said = str(raised.value)
    assert "was never fetched" in said
    assert "'example' with label 'prod', version 1 of 'example'" in said
    assert "plsync prompts pull" in said


@pytest.mark.parametrize(
    "asked", [{"name": "other"}, {"name": "example", "version": 9}, {"name": "example", "label": "x"}]
)
def test_what_promptlayer_does_not_have_is_not_found(server: PromptLayerServer, asked: dict[str, Any]) -> None:
    with pytest.raises(PromptNotFound) as raised:
        prompts.get(**asked)
    assert isinstance(raised.value, PlsyncError)


@pytest.mark.parametrize(
    "asked",
    [
        {"name": ""},
        {"name": None},
        {"name": "a", "version": 0},
        {"name": "a", "version": True},
        {"name": "a", "version": "1"},
        {"name": "a", "version": 1, "label": "prod"},
        {"name": "cut \ud83d"},
        {"name": "a", "version": 1 << 70},
        {"name": "a", "label": 5},
        {"name": "a", "label": ""},
        {"name": "a", "label": "cut \ud83d"},
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(
    server: PromptLayerServer, asked: dict[str, Any]
) -> None:
    with pytest.raises(PromptError):
        prompts.get(**asked)
    if isinstance(asked["name"], str):
        with pytest.raises(PromptError):
            pull([asked["name"]], version=asked.get("version"), label=asked.get("label"))
    assert server.requests == []


def test_without_a_key_the_cache_answers_and_nobody_is_asked(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts.get("example")
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    asked = len(server.requests)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        template = prompts.get("example")
    assert (template.from_cache, template.stale, len(server.requests)) == (True, True, asked)


def test_without_a_key_a_template_never_fetched_is_an_error_that_says_what_to_do(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    with pytest.raises(AuthenticationError, match="never fetched, and PROMPTLAYER_API_KEY is not set"):
        prompts.get("example")


def test_a_refused_key_is_told_and_the_cache_of_a_good_one_is_not_opened_to_it(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts.get("example")
    use(monkeypatch, server, "pl_wrong")
    with pytest.raises(AuthenticationError, match="refused the API key"):
        prompts.get("example")


def test_a_key_that_is_refused_later_still_has_what_it_fetched(server: PromptLayerServer) -> None:
    prompts.get("example")
    server.fail(401, path="/prompt-templates/")
    with pytest.warns(StalePrompt, match="401"):
        assert prompts.get("example").stale


def test_each_workspace_has_its_own_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    with PromptLayerServer() as one, PromptLayerServer() as other:
        one.add_prompt("example", text("one's"))
        other.add_prompt("example", text("other's"))
        for server in (one, other):
            use(monkeypatch, server)
            prompts.get("example")
        for server, expected in ((one, "one's"), (other, "other's")):
            use(monkeypatch, server)
            with server.offline(), pytest.warns(StalePrompt):
                assert words(prompts.get("example")) == expected


def test_with_the_templates_of_two_keys_and_none_set_nobody_guesses(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts.get("example")
    server.api_key = "pl_another"
    use(monkeypatch, server)
    prompts.get("example")
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    with pytest.raises(AuthenticationError, match="2 keys"):
        prompts.get("example")


def test_the_cache_is_this_users_alone_and_holds_no_key(
    server: PromptLayerServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTLAYER_BASE_URL", server.url.replace("http://", "http://user:secret@"))
    prompts.get("example")
    found = [path for path in cache.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in [cache, *found] if path.is_dir()} == {0o700}
    content = b"".join(path.read_bytes() for path in found if path.is_file())
    assert b"Name" in content or b"name" in content
    for secret in (server.api_key, "secret"):
        assert secret.encode() not in content
        assert all(secret not in str(path) for path in found)


def test_offline_is_asked_once_in_a_while_and_not_each_time(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts.get("example", version=1)
    server.drop_reply(times=100)
    for _ in range(5):
        assert prompts.get("example", version=1).from_cache
    with pytest.raises(PromptUnavailable, match=r"could not be reached \d+ s ago"):
        prompts.get("other")
    assert len(server.requests) == 1 + 1
    server.clear()
    ask_again_at_once(monkeypatch)
    assert not prompts.get("example", version=1).from_cache


def test_a_server_that_hangs_costs_the_timeout_and_no_more(server: PromptLayerServer) -> None:
    prompts.get("example", version=1)
    server.hang(60)
    began = time.monotonic()
    assert prompts.get("example", version=1, timeout=0.2).from_cache
    assert time.monotonic() - began < 20


def test_an_answer_ends_the_time_of_not_asking(server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts.get("example")
    with server.offline(), pytest.warns(StalePrompt):
        prompts.get("example")
    with monkeypatch.context() as patch:
        ask_again_at_once(patch)
        prompts.get("example")
    assert not prompts.get("example").from_cache


def test_a_clock_that_was_set_back_does_not_keep_from_asking(
    server: PromptLayerServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.offline(), pytest.raises(PromptUnavailable):
        prompts.get("example")
    (marker,) = cache.rglob("unreachable")
    os.utime(marker, (4_000_000_000, 4_000_000_000))
    assert not prompts.get("example").from_cache


@pytest.mark.parametrize("status", [500, 503, 429, 302, 404])
def test_an_answer_that_is_none_of_promptlayers_is_no_reason_to_fail(server: PromptLayerServer, status: int) -> None:
    prompts.get("example")
    server.fail(status, body=b"<html>sign in</html>", path="/prompt-templates/")
    with pytest.warns(StalePrompt):
        assert prompts.get("example").from_cache


def test_a_template_young_enough_is_not_asked_for_again(server: PromptLayerServer) -> None:
    prompts.get("example", max_age=60)
    template = prompts.get("example", max_age=60)
    assert (template.from_cache, template.stale, len(server.requests)) == (True, False, 1)
    prompts.get("example", max_age=0.0)
    assert len(server.requests) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"v": 1, "name": "other", "answer": {}}', b'{"v": 2}'])
def test_a_damaged_entry_is_fetched_again_and_offline_it_is_none(
    server: PromptLayerServer, cache: Path, damage: bytes
) -> None:
    prompts.get("example")
    for path in cache.rglob("*.json"):
        path.write_bytes(damage)
    with server.offline(), pytest.raises(PromptUnavailable):
        prompts.get("example")
    for path in cache.rglob("unreachable"):
        path.unlink()
    assert prompts.get("example")["version"] == 2
    with server.offline(), pytest.warns(StalePrompt):
        assert prompts.get("example")["version"] == 2


def test_a_cache_that_cannot_be_written_costs_a_warning_and_not_the_template(
    server: PromptLayerServer, cache: Path
) -> None:
    cache.write_text("a file where the directory should be")
    with pytest.warns(PlsyncWarning) as shown:
        assert prompts.get("example")["version"] == 2
    assert any("could not be kept" in str(one.message) for one in shown)
    with server.offline(), pytest.warns(PlsyncWarning), pytest.raises(PromptUnavailable, match="was never fetched"):
        prompts.get("example")


def test_the_cache_is_bounded_and_the_oldest_go(
    server: PromptLayerServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_MOST_ENTRIES", 6)
    monkeypatch.setattr(kept, "_LOOK_EVERY", 1)
    for number in range(10):
        server.add_prompt(f"template {number}", text("hi"))
        prompts.get(f"template {number}")
        for path in cache.rglob("*.json"):
            status = path.stat()
            os.utime(path, (status.st_atime, status.st_mtime - 10))
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    assert prompts.get("template 9")["version"] == 1
    with pytest.raises(AuthenticationError):
        prompts.get("template 0")
    assert len(list(cache.rglob("*.json"))) <= 6 + 2 + 1


def test_a_template_beyond_all_measure_is_given_and_not_kept(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_MOST_BYTES", 1000)
    server.add_prompt("long", text("x" * 2000))
    with pytest.warns(PlsyncWarning, match="could not be kept"):
        assert words(prompts.get("long")) == "x" * 2000
    with server.offline(), pytest.raises(PromptUnavailable):
        prompts.get("long")


def test_processes_write_the_same_template_side_by_side(server: PromptLayerServer, cache: Path) -> None:
    program = "from plsync import prompts\nfor _ in range(10): prompts.get('example')"
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [one.wait(60) for one in running] == [0, 0, 0]
    assert all(json.loads(path.read_bytes()) for path in cache.rglob("*.json"))
    assert not [path for path in cache.rglob(".*")]


def test_the_old_name_for_the_package_gives_the_same_function(server: PromptLayerServer) -> None:
    assert plsync.prompts is prompts


def test_from_the_cache_no_http_client_is_imported(server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts.get("example")
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    program = (
        "import sys; from plsync import prompts; prompts.get('example')\n"
        "print({'httpx', 'promptlayer', 'langchain_core'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
