"""A handler that names a workspace records in its journal, also without or with a wrong configuration file."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel

from plsync import Journal, PlsyncWarning, PromptLayerCallbackHandler, track
from plsync.recorder import handler as recorder
from tests.support.users import in_child


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLSYNC_JOURNAL", str(tmp_path / "journal"))
    monkeypatch.setenv("PLSYNC_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "config.toml"


def call(handler: PromptLayerCallbackHandler, answer: str = "yes") -> None:
    FakeListChatModel(responses=[answer]).invoke("?", {"callbacks": [handler]})


def answers(path: Path | None = None, workspace: str | None = None) -> list[str]:
    with Journal.open(path, workspace=workspace) as journal:
        return [record.output[0]["text"] for record in journal.records()]


def test_each_workspace_has_its_own_journal(config: Path, tmp_path: Path) -> None:
    config.write_text("[workspaces.a]\njournal = 'of-a'\n")
    for name in ("a", "b"):
        call(PromptLayerCallbackHandler(workspace=name), f"to {name}")
    call(PromptLayerCallbackHandler(), "to the default")
    assert answers(tmp_path / "of-a") == answers(workspace="a") == ["to a"]
    assert answers(tmp_path / "journal-b") == answers(workspace="b") == ["to b"]
    assert answers() == ["to the default"]


def test_a_workspace_needs_no_configuration_file(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLSYNC_CONFIG")
    handler = PromptLayerCallbackHandler(workspace="a")
    call(handler)
    assert answers(tmp_path / "journal-a") == ["yes"]
    assert handler.failures == 0


@pytest.mark.parametrize("text", [None, "[workspaces.a", "[workspaces.a]\nkey = 'pl_secret'"])
def test_a_wrong_configuration_file_is_a_warning_and_the_call_is_recorded(
    config: Path, tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        config.write_text(text)

    def failures() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PlsyncWarning)
            handler = PromptLayerCallbackHandler(workspace="a")
            call(handler)
        return handler.failures

    # A process warns once, and other tests count the warnings of theirs.
    assert in_child(failures) == 1
    assert answers(tmp_path / "journal-a") == ["yes"]
    with Journal.open(tmp_path / "journal-a") as journal:
        reason = journal.stats().last_failure or ""
    assert str(config) in reason
    assert "secret" not in reason


@pytest.mark.parametrize("wrong", ["", "A", "../a", 7])
def test_a_wrong_name_is_a_wrong_argument(config: Path, wrong: object) -> None:
    with pytest.raises(ValueError, match="no name of a workspace"):
        PromptLayerCallbackHandler(workspace=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="exclude each other"):
        PromptLayerCallbackHandler(workspace="a", journal="x")


def test_a_pickled_handler_keeps_its_workspace(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("")
    handler = pickle.loads(pickle.dumps(PromptLayerCallbackHandler(workspace="a")))  # noqa: S301
    call(handler)
    assert answers(workspace="a") == ["yes"]


def test_follow_ups_go_to_the_workspace_of_the_request(config: Path) -> None:
    config.write_text("")
    for name in ("a", "b"):
        call(PromptLayerCallbackHandler(workspace=name))
    with Journal.open(workspace="b") as journal:
        (record,) = journal.records()
    track.score(record.id, 90, workspace="b")
    with track.using(workspace="b"):
        track.metadata(record.id, {"user": "u1"})
    with Journal.open(workspace="b") as journal:
        assert journal.stats().followups == 2
    with pytest.raises(ValueError, match="exclude each other"):
        track.score(record.id, 90, journal="x", workspace="b")


def test_the_handler_does_not_import_the_configuration() -> None:
    source = Path(recorder.__file__).read_text(encoding="utf-8")
    assert "\nfrom plsync.config" not in source
