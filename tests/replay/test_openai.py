"""OpenAI's LangChain class with a recording: bindings, exceptions, and the redaction of its key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableBinding, RunnableSequence
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator

from plsync.replay import with_recording
from tests.support import programs
from tests.support.openai_server import OpenAIServer
from tests.support.replaying import recorded, replayed

KEY = "sk-a-key-that-is-nobodys"


class City(BaseModel):
    """A city."""

    name: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def kwargs_of(bound: Any) -> Any:
    """The arguments that a runnable binds to its model."""
    assert isinstance(bound, RunnableBinding)
    return bound.kwargs


def test_tools_and_structured_output_have_the_bindings_of_the_live_class(path: Path) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    live = ChatOpenAI(model="gpt-4o-mini", api_key="none")
    proxied = with_recording(live, path)
    bound = [model.bind_tools([weather]) for model in (proxied, live)]
    assert kwargs_of(bound[0]) == kwargs_of(bound[1])
    assert proxied.profile == live.profile
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}, "description": "One."}
    structured = [model.with_structured_output(schema) for model in (proxied, live)]
    assert all(isinstance(one, RunnableSequence) for one in structured)
    ours, theirs = (kwargs_of(one.first) for one in structured if isinstance(one, RunnableSequence))
    assert ours["response_format"] == theirs["response_format"]


def test_an_openai_error_comes_back_with_its_response(path: Path) -> None:
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


def test_a_key_is_not_recorded_in_any_place(path: Path) -> None:
    class Leaky(ChatOpenAI):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            answer = AIMessage(f"my key is {KEY}", response_metadata={"request": {"auth": KEY}})
            return ChatResult(generations=[ChatGeneration(message=answer)])

    model = Leaky(api_key=KEY)
    recorded(model, path).invoke(f"What is {KEY}?", user=KEY)
    assert KEY not in path.read_text()
    assert replayed(model, path).invoke(f"What is {KEY}?").content == "my key is [redacted]"


def test_a_key_in_a_header_is_not_recorded_without_its_scheme_either(path: Path) -> None:
    with OpenAIServer("You sent token-of-the-gateway.") as server:
        headers = {"Authorization": "Bearer token-of-the-gateway"}
        recorded(ChatOpenAI(base_url=server.url, api_key="none", default_headers=headers), path).invoke("hi")
    assert "token-of-the-gateway" not in path.read_text()


WITHOUT_SDK = """
import sys
sys.modules |= dict.fromkeys(("openai", "langchain_openai"))  # as if they were not installed
from langchain_core.exceptions import ModelRateLimitError
from plsync.errors import RecordedError
from plsync.replay import load
try:
    load(sys.argv[1]).invoke("hi")
except ModelRateLimitError as error:
    assert isinstance(error, RecordedError)
    print(type(error).__name__, error.status_code, error.code, error.response.headers["retry-after"], error)
"""


def test_an_openai_error_is_raised_without_its_sdk(path: Path) -> None:
    with OpenAIServer() as server:
        server.failure = (429, {"retry-after": "7"}, {"message": "Slow down.", "type": "requests", "code": "busy"})
        with pytest.raises(openai.RateLimitError) as live:
            recorded(ChatOpenAI(base_url=server.url, api_key=KEY, max_retries=0), path).invoke("hi")
    command = [sys.executable, "-c", WITHOUT_SDK, str(path)]
    done = programs.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"{type(live.value).__name__} 429 busy 7 {live.value}", done.stderr


def test_a_proxied_model_sends_the_requests_of_the_live_class(path: Path) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    def sent(model: Any) -> list[Any]:
        server.requests.clear()
        model.invoke("hi")
        list(model.stream("hi", stop=["x"]))
        model.bind_tools([weather], tool_choice="weather").invoke("'Paris'")
        model.with_structured_output(City).invoke("'Paris'")
        model.with_structured_output(City, method="json_mode").invoke("'name'")
        return list(server.requests)

    with OpenAIServer() as server:
        live = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key=KEY, temperature=0.5, stream_usage=True)
        first = sent(live)
        assert sent(recorded(live, path)) == first
    assert len(first) == 5


def test_structured_output_of_a_class_made_in_a_function_comes_back_as_that_class(path: Path) -> None:
    class River(BaseModel):
        name: str

    class Country(BaseModel):
        name: str
        rivers: list[River] | None = None

    class Answers(ChatOpenAI):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            parsed = Country(name="France", rivers=[River(name="Seine")])
            message = AIMessage(parsed.model_dump_json(), additional_kwargs={"parsed": parsed})
            return ChatResult(generations=[ChatGeneration(message=message)])

    def structured_output(model: Any) -> Any:
        return model.with_structured_output(Country, include_raw=True).invoke("Where?")

    live = Answers(model="gpt-4o-mini", api_key="none")
    first = structured_output(recorded(live, path))  # without a warning about an inexact object
    assert isinstance(first["parsed"], Country)
    assert structured_output(replayed(live, path)) == first


def test_a_requested_class_validates_a_replayed_answer_again(path: Path) -> None:
    def answer(model: Any, cls: type[BaseModel]) -> Any:
        return model.with_structured_output(cls).invoke("Say 'paris'")

    class Place(BaseModel):
        name: str
        _seen: list[str] = PrivateAttr(default_factory=list)

    earlier = Place

    class Place(BaseModel):  # type: ignore[no-redef]
        name: str
        _seen: list[str] = PrivateAttr(default_factory=list)

        @field_validator("name")
        @classmethod
        def capital(cls, name: str) -> str:
            return name.upper()

    class Strict(BaseModel):
        name: str = Field(description="Long.")

        @field_validator("name")
        @classmethod
        def long(cls, name: str) -> str:
            if len(name) < 9:
                raise ValueError("too short")
            return name

    Strict.__name__ = "Place"
    Strict.model_rebuild(force=True)
    with OpenAIServer() as server:
        live = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key=KEY)
        assert answer(recorded(live, path), earlier).name == "paris"
        again = answer(replayed(live, path), Place)
        assert (type(again), again.name, again._seen) == (Place, "PARIS", [])
        refusing = replayed(live, path, match=["messages"])
        with pytest.raises(ValidationError, match="too short"):
            answer(refusing, Strict)


def test_only_a_requested_class_runs_code(path: Path) -> None:
    class Place(BaseModel):
        name: str

    ran: list[str] = []

    class Other(BaseModel):
        name: str

        def model_post_init(self, context: Any) -> None:
            ran.append("ran")

    with OpenAIServer() as server:
        live = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key=KEY)
        recorded(live, path).with_structured_output(Place).invoke("Say 'paris'")
        path.write_text(path.read_text().replace("<locals>.Place", "<locals>.Other"))
        globals()["Other"] = Other
        message = replayed(live, path, match=["messages"]).invoke("Say 'paris'")
    del globals()["Other"]
    assert "parsed" in message.additional_kwargs
    assert ran == []
