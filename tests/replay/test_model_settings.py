"""Settings of a model are compared if ``match`` names ``model_settings``, wherever the program sets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import SecretStr

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import NoRecording
from plsync.replay import export, load, record_all, with_recording
from tests.support.models import Chat
from tests.support.openai_server import OpenAIServer
from tests.support.pytest_runs import run, summary
from tests.support.replaying import lines, recorded, replayed

MATCH = ["messages", "model_settings"]
KEY = "sk-a-key-that-is-nobodys"


class Warm(Chat):
    temperature: float = 0
    limit: int | None = None
    api_key: SecretStr = SecretStr(KEY)
    base_url: str = "http://127.0.0.1:9"


def warm(**settings: Any) -> Warm:
    return Warm(reply=lambda _: AIMessage(f"t={settings.get('temperature', 0)}"), **settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


def test_a_setting_of_the_model_chooses_the_answer(path: Path) -> None:
    with record_all(path, "once", match=MATCH):
        for temperature in (0, 1):
            warm(temperature=temperature).invoke("x")
    with record_all(path, match=MATCH):
        assert [Warm(temperature=value).invoke("x").content for value in (1, 0)] == ["t=1", "t=0"]
        with pytest.raises(NoRecording, match=r"\+model_settings.temperature: 0.5"):
            Warm(temperature=0.5).invoke("x")
    assert [line.get("model_settings") for line in lines(path)] == [None, {"temperature": 1.0}]


def test_settings_are_not_compared_or_stored_by_default(path: Path) -> None:
    recorded(warm(temperature=1), path).invoke("x")
    assert "model_settings" not in lines(path)[0]
    assert replayed(Warm(temperature=0), path).invoke("x").content == "t=1"


def test_a_setting_counts_the_same_on_the_model_and_on_the_call(path: Path) -> None:
    recorded(warm(temperature=0.5), path, match=MATCH).invoke("x")
    assert replayed(Warm(), path, match=MATCH).bind(temperature=0.5).invoke("x").content == "t=0.5"


def test_where_a_request_is_sent_is_no_setting(path: Path) -> None:
    recorded(warm(temperature=1), path, match=MATCH).invoke("x")
    elsewhere = Warm(temperature=1, base_url="https://elsewhere.example", api_key=SecretStr("sk-another-key-of-nobody"))
    assert replayed(elsewhere, path, match=MATCH).invoke("x").content == "t=1"
    assert KEY not in path.read_text()


SETTINGS: list[dict[str, Any]] = [
    {"temperature": 0.5},
    {"seed": 7},
    {"max_tokens": 5},
    {"n": 2},
    {"reasoning_effort": "low"},
    {"top_p": 0.9},
    {"model_kwargs": {"user": "ann"}},
    {"extra_body": {"min_p": 0.1}},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings)))
def test_each_setting_of_openais_class_is_compared(path: Path, server: OpenAIServer, settings: dict[str, Any]) -> None:
    def model(**more: Any) -> ChatOpenAI:
        return ChatOpenAI(model="m", base_url=server.url, api_key=KEY, **more)

    with_recording(model(**settings), path, "all", match=MATCH).invoke("x")
    sent = len(server.requests)
    assert with_recording(model(**settings, max_retries=5, timeout=3), path, match=MATCH).invoke("x").text
    with pytest.raises(NoRecording):
        with_recording(model(), path, match=MATCH).invoke("x")
    assert len(server.requests) == sent


def test_the_settings_of_a_text_model_are_compared(path: Path, server: OpenAIServer) -> None:
    def model(**more: Any) -> OpenAI:
        return OpenAI(base_url=server.url, api_key=KEY, **more)

    with_recording(model(temperature=0.5), path, "all", match=MATCH).invoke("x")
    assert with_recording(model(temperature=0.5), path, match=MATCH).invoke("x")
    with pytest.raises(NoRecording):
        with_recording(model(temperature=0.1), path, match=MATCH).invoke("x")


def test_the_settings_of_a_record_are_compared(path: Path, server: OpenAIServer, tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    for seed in (1, 2):
        server.text = f"seed {seed}"
        ChatOpenAI(model="m", base_url=server.url, api_key=KEY, seed=seed, callbacks=[handler]).invoke("x")
    with Journal.open(tmp_path / "journal") as journal:
        export(journal.records(oldest_first=True), path)
    for source in (tmp_path / "journal", path):
        model = with_recording(ChatOpenAI(model="m", api_key="none", seed=2), source, match=MATCH)
        assert model.invoke("x").text == "seed 2"
    assert load(path).invoke("x").text == "seed 1"


def test_a_function_receives_the_same_request_of_a_record_and_of_a_call(tmp_path: Path, server: OpenAIServer) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    ChatOpenAI(model="m", base_url=server.url, api_key=KEY, seed=1, callbacks=[handler]).invoke("x")
    requests: list[dict[str, Any]] = []

    def by_messages(request: dict[str, Any]) -> str:
        requests.append(request)
        return str(request["messages"])

    model = ChatOpenAI(model="m", api_key="none", seed=1)
    assert with_recording(model, tmp_path / "journal", match=by_messages).invoke("x").text == server.text
    assert all("messages" in request and "model_settings" not in request for request in requests)


def test_pytests_configuration_compares_the_settings(tests: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    tests.makepyfile(
        test_settings="""
        import os
        import pytest
        from langchain_core.language_models import FakeListChatModel

        @pytest.mark.plsync_recording
        def test_both():
            for answer in os.environ["ANSWERS"]:
                assert FakeListChatModel(responses=[answer]).invoke("x").content == answer
        """
    )
    options = ("-o", "plsync_match=messages model_settings")
    monkeypatch.setenv("ANSWERS", "ab")
    assert summary(run(tests, *options, "--plsync-record=once")).startswith("2 recorded")
    monkeypatch.setenv("ANSWERS", "ba")
    assert summary(run(tests, *options)).startswith("0 recorded, 2 replayed")
