"""Prompt templates cross an air gap with the request ids, and are served from a cache without a network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from plsync import prompts
from plsync.errors import AuthenticationError, StalePrompt
from plsync.promptlayer.settings import DEFAULT_BASE_URL
from plsync.prompts.cache import TemplateCache
from plsync.prompts.template_key import TemplateKey
from tests.support.gap import Gap


def response(name: str, version: int, text: str) -> dict[str, Any]:
    template = {"type": "completion", "content": [{"type": "text", "text": text}], "input_variables": []}
    return {"success": True, "id": version, "prompt_name": name, "version": version, "prompt_template": template}


def cache_of_hub(gap: Gap) -> TemplateCache:
    return TemplateCache.for_account(gap.hub / "prompts", gap.server.url, gap.server.api_key)


def fetched(gap: Gap, name: str, version: int, text: str, *labels: str) -> None:
    """The hub has fetched a template: its newest version, with labels."""
    cache = cache_of_hub(gap)
    for key in (TemplateKey(name), *(TemplateKey(name, label=label) for label in labels)):
        cache.put(key, response(name, version, text))


def text_at_lab(gap: Gap, monkeypatch: pytest.MonkeyPatch, name: str, **arguments: Any) -> str:
    """The text that a program at the origin gets, without a key and without a network."""
    with monkeypatch.context() as patched:
        patched.setenv("PLSYNC_PROMPTS", str(gap.lab / "prompts"))
        patched.delenv("PROMPTLAYER_API_KEY", raising=False)
        patched.delenv("PROMPTLAYER_BASE_URL", raising=False)
        found = prompts.get(name, **arguments)
    return str(found["prompt_template"]["content"][0]["text"])


def out_and_in(gap: Gap) -> None:
    gap.empty_stick()
    gap.out()
    gap.into_hub()


def test_templates_come_back_and_are_served_without_a_key(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    fetched(gap, "greeting", 3, "Hello", "prod")
    fetched(gap, "farewell", 1, "Bye")
    out_and_in(gap)
    [back] = gap.back()
    assert back["templates"] == 2
    [imported] = gap.into_lab()
    assert (imported["templates"], imported["new_templates"], imported["older_templates"]) == (2, 2, False)
    for arguments in ({}, {"version": 3}, {"label": "prod"}):
        assert text_at_lab(gap, monkeypatch, "greeting", **arguments) == "Hello"
    assert text_at_lab(gap, monkeypatch, "farewell") == "Bye"
    with pytest.raises(AuthenticationError):
        text_at_lab(gap, monkeypatch, "greeting", version=2)
    listed = gap.at(gap.lab, "prompts", "list")
    assert {(entry["name"], entry["hub"], entry["base_url"]) for entry in listed} == {
        ("greeting", "hub-nord", DEFAULT_BASE_URL),
        ("farewell", "hub-nord", DEFAULT_BASE_URL),
    }


def test_a_set_goes_again_until_the_origin_states_it(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    out_and_in(gap)
    assert gap.back()[0]["templates"] == 1
    # The stick is lost.
    gap.empty_stick()
    assert gap.back()[0]["templates"] == 1
    gap.into_lab()
    gap.record(1)
    out_and_in(gap)
    assert gap.back()[0]["templates"] == 0
    assert gap.back("--again")[0]["templates"] == 1
    # Fetched again without a change, nothing travels; another version does.
    fetched(gap, "greeting", 1, "Hello")
    assert gap.back()[0]["templates"] == 0
    fetched(gap, "greeting", 2, "Good day")
    assert gap.back("--no-templates")[0]["templates"] == 0
    assert gap.back()[0]["templates"] == 2
    assert sum(fields["new_templates"] for fields in gap.into_lab()) >= 1
    assert text_at_lab(gap, monkeypatch, "greeting") == "Good day"
    # The origin has lost its cache, and states none.
    [kept] = [path for path in (gap.lab / "prompts").iterdir() if path.is_dir()]
    for path in kept.iterdir():
        path.unlink()
    gap.record(1)
    out_and_in(gap)
    assert gap.back()[0]["templates"] == 2


def test_an_older_set_is_ignored(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    out_and_in(gap)
    gap.back()
    [late] = [path for path in gap.stick.iterdir() if path.name.endswith(".tar")]
    held = {path: path.read_bytes() for path in (late, late.with_name(f"{late.name}.minisig"))}
    gap.empty_stick()
    fetched(gap, "greeting", 2, "Good day")
    gap.back()
    gap.into_lab()
    gap.empty_stick()
    for path, content in held.items():
        path.write_bytes(content)
    [imported] = gap.into_lab()
    assert (imported["templates"], imported["new_templates"], imported["older_templates"]) == (1, 0, True)
    assert text_at_lab(gap, monkeypatch, "greeting") == "Good day"


def held_back(gap: Gap) -> dict[Path, bytes]:
    """The files of the hub on the stick, which leave it."""
    files = {path: path.read_bytes() for path in gap.stick.iterdir() if path.name.startswith("plsync-hub")}
    gap.empty_stick()
    return files


def arrive(gap: Gap, files: dict[Path, bytes]) -> dict[str, Any]:
    """The files reach the origin, and nothing else."""
    gap.empty_stick()
    for path, content in files.items():
        path.write_bytes(content)
    [imported] = gap.into_lab()
    return imported


def test_a_set_of_a_hub_that_was_put_back_is_newer_than_a_late_one(
    gap: Gap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    out_and_in(gap)
    shutil.copytree(gap.journals, tmp_path / "copy")
    # The log grows, and its file is late. Then the hub's journals are put back, and their log is shorter.
    gap.deliver()
    gap.back()
    late = held_back(gap)
    shutil.rmtree(gap.journals)
    shutil.copytree(tmp_path / "copy", gap.journals)
    fetched(gap, "greeting", 2, "Good day")
    gap.back()
    arrive(gap, held_back(gap))
    assert arrive(gap, late)["older_templates"]
    assert text_at_lab(gap, monkeypatch, "greeting") == "Good day"


def test_a_set_of_an_earlier_log_stays_older_when_the_journal_is_put_back(
    gap: Gap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    out_and_in(gap)
    gap.back()
    late = held_back(gap)
    arrive(gap, late)
    gap.writer.close()
    shutil.copytree(gap.journal, tmp_path / "copy")
    # The hub begins anew, and its log with it.
    shutil.rmtree(gap.journals)
    fetched(gap, "greeting", 2, "Good day")
    out_and_in(gap)
    gap.back()
    arrive(gap, held_back(gap))
    shutil.rmtree(gap.journal)
    shutil.copytree(tmp_path / "copy", gap.journal)
    assert arrive(gap, late)["older_templates"]
    assert text_at_lab(gap, monkeypatch, "greeting") == "Good day"


def test_an_origin_without_calls_states_its_set_once(gap: Gap) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    gap.trip()
    assert "acked" in gap.states().values()
    # Nothing waits, and the hub does not know yet that the set has arrived.
    first = held_back(gap)
    [report] = gap.out()
    assert (report["records"], len(report["files"])) == (0, 1)
    gap.into_hub()
    assert gap.back()[0]["templates"] == 0
    gap.into_lab()
    gap.empty_stick()
    assert gap.out()[0]["files"] == []
    # A file that stays on the stick is read again, and is no new set.
    assert arrive(gap, first)["new_templates"] == 0
    assert gap.out()[0]["files"] == []


def test_a_template_that_is_lost_makes_the_hub_send_the_set_again(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    fetched(gap, "farewell", 1, "Bye")
    gap.trip()
    lost, *_ = (path for path in (gap.lab / "prompts").glob("*/*.json") if path.name != "about.json")
    lost.unlink()
    gap.record(1)
    out_and_in(gap)
    assert gap.back()[0]["templates"] == 2
    gap.into_lab()
    assert text_at_lab(gap, monkeypatch, "farewell") == "Bye"
    assert text_at_lab(gap, monkeypatch, "greeting") == "Hello"


def test_a_template_that_the_hub_no_longer_has_goes(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    fetched(gap, "farewell", 1, "Bye")
    out_and_in(gap)
    gap.back()
    gap.into_lab()
    cache_of_hub(gap).keep_only([TemplateKey("greeting"), TemplateKey("greeting", 1)])
    gap.back()
    gap.into_lab()
    assert text_at_lab(gap, monkeypatch, "greeting") == "Hello"
    with pytest.raises(AuthenticationError):
        text_at_lab(gap, monkeypatch, "farewell")


def test_the_archive_shows_templates_as_text_unless_it_is_encrypted(gap: Gap) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    out_and_in(gap)
    gap.back()
    [path] = gap.stick.glob("plsync-hub*.tar")
    command = ["tar", "-xOf", str(path), "--wildcards", "prompts/*"]
    content = orjson.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (content["name"], content["keys"]) == ("greeting", [{}, {"version": 1}])
    assert content["response"]["prompt_template"]["content"][0]["text"] == "Hello"
    [shown] = gap.at(gap.lab, "bundle", "show", str(path))
    assert (shown["templates"], shown["encrypted"]) == (1, False)
    gap.empty_stick()
    gap.back("--encrypt")
    [path] = gap.stick.glob("plsync-hub*.tar.age")
    assert b"Hello" not in path.read_bytes()
    [imported] = gap.into_lab()
    assert (imported["encrypted"], imported["new_templates"]) == (True, 1)


def test_each_origin_gets_the_templates_of_one_workspace(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    other = TemplateCache.for_account(gap.hub / "prompts", gap.server.url, "pl_of_another_workspace")
    other.put(TemplateKey("secret"), response("secret", 1, "of another tenant"))
    out_and_in(gap)
    assert gap.back()[0]["templates"] == 0
    fetched(gap, "greeting", 1, "Hello")
    assert gap.back()[0]["templates"] == 1
    # Without the key of the origin, no workspace is guessed.
    monkeypatch.setattr(gap.server, "api_key", "")
    [back] = gap.back("--again")
    assert back["templates"] == 0
    assert "berlin-lab gets no prompt templates: PROMPTLAYER_API_KEY is not set" in gap.errors


def test_the_copy_that_was_fetched_last_is_served_when_promptlayer_is_out_of_reach(
    gap: Gap, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap.record(1)
    own = TemplateCache.for_account(gap.lab / "prompts", "http://127.0.0.1:1", "pl_key")
    own.put(TemplateKey("greeting"), response("greeting", 1, "old"))
    fetched(gap, "greeting", 2, "new")
    monkeypatch.setenv("PLSYNC_PROMPTS", str(gap.lab / "prompts"))
    with monkeypatch.context() as patched:
        patched.setenv("PROMPTLAYER_BASE_URL", "http://127.0.0.1:1")
        out_and_in(gap)
        gap.back()
        patched.setattr("plsync.cli.bundle_templates.base_url_of", lambda _: "http://127.0.0.1:1")
        gap.into_lab()
        patched.setenv("PROMPTLAYER_API_KEY", "pl_key")
        with pytest.warns(StalePrompt, match="is version 2"):
            assert prompts.get("greeting")["version"] == 2


def test_a_hub_that_is_distrusted_leaves_no_template(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    out_and_in(gap)
    gap.back()
    gap.into_lab()
    gap.at(gap.lab, "keys", "distrust", "hub-nord")
    with pytest.raises(AuthenticationError):
        text_at_lab(gap, monkeypatch, "greeting")


def test_a_full_disk_refuses_the_bundle_and_keeps_its_log_for_later(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    out_and_in(gap)
    gap.deliver()
    gap.back()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("plsync.prompts.cache._write", fail)
        gap.into_lab(code=1)
    assert "its prompt templates cannot be stored" in gap.errors
    assert gap.request_ids() == []
    [imported] = gap.into_lab()
    assert (imported["new"], imported["new_templates"]) == (1, 1)


def test_a_directory_of_templates_that_others_control_is_refused(gap: Gap) -> None:
    gap.record(1)
    fetched(gap, "greeting", 1, "Hello")
    out_and_in(gap)
    gap.back()
    (gap.lab / "prompts").mkdir()
    Path(gap.lab / "prompts").chmod(0o777)
    gap.into_lab(code=1)
    assert "no template was read or written" in gap.errors
    assert gap.states() != {}
