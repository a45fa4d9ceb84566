"""``plsync.prompts``: templates from PromptLayer, and from the cache when it does not respond."""

from __future__ import annotations

import json
import os
import stat
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
from plsync.prompts import cache as cache_module
from plsync.prompts.pull import pull
from plsync.testing import PromptLayerServer
from tests.support import programs


def text(content: str) -> dict[str, Any]:
    return {"type": "completion", "content": [{"type": "text", "text": content}], "input_variables": []}


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


def text_of(template: prompts.Template) -> str:
    found: str = template["prompt_template"]["content"][0]["text"]
    return found


def query_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plsync.prompts.fetch._RETRY_AFTER", 0.0)


def test_a_template_is_fetched_by_version_by_label_and_newest(server: PromptLayerServer) -> None:
    newest, first, labelled = prompts.get("example"), prompts.get("example", 1), prompts.get("example", label="prod")
    assert (newest["version"], text_of(newest)) == (2, "A name for {product}, please.")
    assert first == labelled
    assert (first["version"], text_of(first), first.from_cache, first.stale) == (1, "Name {product}.", False, False)


@pytest.mark.parametrize("name", ["team/greeting", "50 % off?", "über #1", "a&b=c", "..", "%2F"])
def test_a_name_may_hold_any_character(server: PromptLayerServer, name: str) -> None:
    server.add_prompt(name, text("hi"), labels=["a/b c&d"])
    assert prompts.get(name)["prompt_name"] == name
    assert prompts.get(name, label="a/b c&d")["prompt_name"] == name
    with server.offline(), pytest.warns(StalePrompt):
        assert prompts.get(name)["prompt_name"] == name


def test_offline_the_cached_copy_is_returned_with_a_warning(server: PromptLayerServer) -> None:
    online = prompts.get("example")
    with (
        server.offline(),
        pytest.warns(StalePrompt, match=r"'example' .*no connection.* the cached copy is version 2, .* UTC"),
    ):
        offline = prompts.get("example")
    assert (dict(offline), offline.from_cache, offline.stale) == (
        {key: value for key, value in online.items() if key not in {"success", "llm_kwargs"}},
        True,
        True,
    )


def test_offline_a_numbered_version_is_not_stale(server: PromptLayerServer) -> None:
    prompts.get("example", version=1)
    with server.offline(), warnings.catch_warnings():
        warnings.simplefilter("error")
        offline = prompts.get("example", version=1)
    assert (offline.from_cache, offline.stale) == (True, False)


def test_a_fetched_label_is_cached_by_its_version_too(server: PromptLayerServer) -> None:
    prompts.get("example", label="prod")
    with server.offline():
        assert text_of(prompts.get("example", version=1)) == "Name {product}."


def test_the_cache_survives_the_process(server: PromptLayerServer) -> None:
    prompts.get("example", version=1)
    program = "from plsync import prompts; print(prompts.get('example', version=1)['version'])"
    with server.offline():
        done = programs.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_the_error_of_a_missing_copy_lists_the_cached_versions(server: PromptLayerServer) -> None:
    prompts.get("example", label="prod")
    with server.offline(), pytest.raises(PromptUnavailable) as raised:
        prompts.get("example")
    message = str(raised.value)
    assert "was never fetched" in message
    assert "'example' with label 'prod', version 1 of 'example'" in message
    assert "plsync prompts pull" in message


@pytest.mark.parametrize(
    "arguments", [{"name": "other"}, {"name": "example", "version": 9}, {"name": "example", "label": "x"}]
)
def test_an_unknown_template_version_or_label_is_not_found(
    server: PromptLayerServer, arguments: dict[str, Any]
) -> None:
    with pytest.raises(PromptNotFound) as raised:
        prompts.get(**arguments)
    assert isinstance(raised.value, PlsyncError)


@pytest.mark.parametrize(
    "arguments",
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
def test_invalid_arguments_are_refused_without_a_request(server: PromptLayerServer, arguments: dict[str, Any]) -> None:
    with pytest.raises(PromptError):
        prompts.get(**arguments)
    if isinstance(arguments["name"], str):
        with pytest.raises(PromptError):
            pull([arguments["name"]], version=arguments.get("version"), label=arguments.get("label"))
    assert server.requests == []


def test_without_a_key_the_cached_copy_is_returned_without_a_request(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts.get("example")
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    requests = len(server.requests)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        template = prompts.get("example")
    assert (template.from_cache, template.stale, len(server.requests)) == (True, True, requests)


def test_without_a_key_and_a_cached_copy_the_error_names_the_variable(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    with pytest.raises(AuthenticationError, match="never fetched, and PROMPTLAYER_API_KEY is not set"):
        prompts.get("example")


def test_a_refused_key_cannot_read_the_cache_of_another_key(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts.get("example")
    use(monkeypatch, server, "pl_wrong")
    with pytest.raises(AuthenticationError, match="refused the API key"):
        prompts.get("example")


def test_a_key_that_is_refused_later_still_reads_its_cache(server: PromptLayerServer) -> None:
    prompts.get("example")
    server.fail(401, path="/prompt-templates/")
    with pytest.warns(StalePrompt, match="401"):
        assert prompts.get("example").stale


def test_each_workspace_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    with PromptLayerServer() as first, PromptLayerServer() as second:
        first.add_prompt("example", text("first"))
        second.add_prompt("example", text("second"))
        for server in (first, second):
            use(monkeypatch, server)
            prompts.get("example")
        for server, expected in ((first, "first"), (second, "second")):
            use(monkeypatch, server)
            with server.offline(), pytest.warns(StalePrompt):
                assert text_of(prompts.get("example")) == expected


def test_without_a_key_and_with_two_caches_none_is_chosen(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts.get("example")
    server.api_key = "pl_another"
    use(monkeypatch, server)
    prompts.get("example")
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    with pytest.raises(AuthenticationError, match="2 API keys"):
        prompts.get("example")


def test_the_cache_is_private_and_holds_no_key(
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


def test_after_a_failed_query_there_is_no_query_for_a_while(
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
    query_again_at_once(monkeypatch)
    assert not prompts.get("example", version=1).from_cache


def test_a_hanging_server_costs_at_most_the_timeout(server: PromptLayerServer) -> None:
    prompts.get("example", version=1)
    server.hang(60)
    began = time.monotonic()
    assert prompts.get("example", version=1, timeout=0.2).from_cache
    assert time.monotonic() - began < 20


def test_a_response_ends_the_time_without_queries(server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts.get("example")
    with server.offline(), pytest.warns(StalePrompt):
        prompts.get("example")
    with monkeypatch.context() as patch:
        query_again_at_once(patch)
        prompts.get("example")
    assert not prompts.get("example").from_cache


def test_queries_go_on_after_the_clock_was_set_back(
    server: PromptLayerServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.offline(), pytest.raises(PromptUnavailable):
        prompts.get("example")
    (marker,) = cache.rglob("unreachable")
    os.utime(marker, (4_000_000_000, 4_000_000_000))
    assert not prompts.get("example").from_cache


@pytest.mark.parametrize("status", [500, 503, 429, 302, 404])
def test_a_response_of_another_server_falls_back_to_the_cache(server: PromptLayerServer, status: int) -> None:
    prompts.get("example")
    server.fail(status, body=b"<html>sign in</html>", path="/prompt-templates/")
    with pytest.warns(StalePrompt):
        assert prompts.get("example").from_cache


def test_a_copy_younger_than_max_age_is_used_without_a_query(server: PromptLayerServer) -> None:
    prompts.get("example", max_age=60)
    template = prompts.get("example", max_age=60)
    assert (template.from_cache, template.stale, len(server.requests)) == (True, False, 1)
    prompts.get("example", max_age=0.0)
    assert len(server.requests) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"v": 1, "name": "other", "answer": {}}', b'{"v": 2}'])
def test_a_damaged_copy_counts_as_missing_and_is_fetched_again(
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


def test_a_cache_that_cannot_be_written_is_a_warning(server: PromptLayerServer, cache: Path) -> None:
    cache.write_text("a file where the directory should be")
    with pytest.warns(PlsyncWarning) as shown:
        assert prompts.get("example")["version"] == 2
    assert any("could not be cached" in str(warning.message) for warning in shown)
    with server.offline(), pytest.warns(PlsyncWarning), pytest.raises(PromptUnavailable, match="was never fetched"):
        prompts.get("example")


def test_the_cache_drops_its_oldest_templates_beyond_its_limit(
    server: PromptLayerServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_MAX_TEMPLATES", 6)
    monkeypatch.setattr(cache_module, "_CHECK_EVERY", 1)
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


def test_a_template_beyond_the_size_limit_is_returned_but_not_cached(
    server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_MAX_TEMPLATE_BYTES", 1000)
    server.add_prompt("long", text("x" * 2000))
    with pytest.warns(PlsyncWarning, match="could not be cached"):
        assert text_of(prompts.get("long")) == "x" * 2000
    with server.offline(), pytest.raises(PromptUnavailable):
        prompts.get("long")


def test_several_processes_can_write_the_same_template(server: PromptLayerServer, cache: Path) -> None:
    program = "from plsync import prompts\nfor _ in range(10): prompts.get('example')"
    running = [programs.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert all(json.loads(path.read_bytes()) for path in cache.rglob("*.json"))
    assert not [path for path in cache.rglob(".*")]


def test_the_package_is_an_attribute_of_plsync(server: PromptLayerServer) -> None:
    assert plsync.prompts is prompts


def test_without_a_key_no_http_client_is_imported(server: PromptLayerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts.get("example")
    monkeypatch.delenv("PROMPTLAYER_API_KEY")
    program = (
        "import sys; from plsync import prompts; prompts.get('example')\n"
        "print({'httpx', 'promptlayer', 'langchain_core'} & set(sys.modules))"
    )
    done = programs.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
