"""OpenAI's own LangChain class with a recording: what is bound, what is raised, and that its key is kept nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI

from openai_server import OpenAIServer
from plsync.replay import with_recording
from replaying import recorded, replayed

KEY = "sk-a-key-that-is-nobodys"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def test_tools_and_structured_output_are_bound_as_the_live_class_binds_them(path: Path) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    live = ChatOpenAI(model="gpt-4o-mini", api_key="none")
    grafted = with_recording(live, path)
    assert grafted.bind_tools([weather]).kwargs == live.bind_tools([weather]).kwargs
    assert grafted.profile == live.profile
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}, "description": "One."}
    ours, theirs = (model.with_structured_output(schema).first.kwargs for model in (grafted, live))
    assert ours["response_format"] == theirs["response_format"]


def test_what_openai_raises_comes_back_with_the_response(path: Path) -> None:
    headers = {"retry-after": "7", "set-cookie": "session=whose", "openai-organization": "whose-org"}
    with OpenAIServer() as server:
        server.failure = (429, headers, {"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"})
        model = ChatOpenAI(base_url=server.url, api_key="sk-a-key-that-is-nobodys", max_retries=0)
        with pytest.raises(openai.RateLimitError) as live:
            recorded(model, path).invoke("hi")
    with pytest.raises(openai.RateLimitError) as replay:
        replayed(model, path).invoke("hi")
    one, other = live.value, replay.value
    assert str(other) == str(one)
    assert (other.status_code, other.code, other.body) == (429, "rate_limit_exceeded", one.body)
    assert other.response.headers["retry-after"] == "7"
    assert other.response.json() == one.response.json()
    assert other.request.url == one.request.url
    assert not any(secret in path.read_text() for secret in ("whose", "nobodys"))


def test_keys_and_headers_of_a_model_are_not_recorded(path: Path) -> None:
    with OpenAIServer() as server:
        model = ChatOpenAI(
            base_url=server.url.replace("://", "://user:password-in-link@"),
            api_key=KEY,
            default_headers={"X-Api-Key": "gateway-secret-1", "Authorization": "Bearer header-secret"},
        )
        recorded(model, path).invoke("hi", extra_headers={"X-Api-Key": "call-secret-12345"})
    written = path.read_text()
    assert "Paris is it." in written
    for secret in (KEY, "password-in-link", "gateway-secret", "header-secret", "call-secret"):
        assert secret not in written


def test_a_key_is_not_recorded_wherever_it_turns_up(path: Path) -> None:
    class Leaky(ChatOpenAI):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            answer = AIMessage(f"my key is {KEY}", response_metadata={"request": {"auth": KEY}})
            return ChatResult(generations=[ChatGeneration(message=answer)])

    model = Leaky(api_key=KEY)
    recorded(model, path).invoke(f"What is {KEY}?", user=KEY)
    assert KEY not in path.read_text()
    assert replayed(model, path).invoke(f"What is {KEY}?").content == "my key is [redacted]"
