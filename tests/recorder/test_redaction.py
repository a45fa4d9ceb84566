"""The journal holds no credentials, and no content where the user excludes it."""

from __future__ import annotations

import dataclasses
import stat
import uuid
from collections import OrderedDict, defaultdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import Generation, LLMResult
from pydantic import BaseModel

from plsync import PromptLayerCallbackHandler
from tests.support.models import Chat, FailingLLM, StreamingChat, records, texts

SECRET = "xyzzy"  # noqa: S105 - must not be in any file


def everything(path: Path) -> bytes:
    """The bytes of all files that the recording process wrote."""
    return b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())


def test_files_are_for_their_owner_only(path: Path) -> None:
    Chat().invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]})
    modes = {stat.S_IMODE(entry.stat().st_mode) for entry in [path, *path.rglob("*")]}
    assert modes == {0o600, 0o700}


class Provider(Chat):
    """Has credentials in its constructor, like the models of providers."""

    default_headers: dict[str, str] = {"Authorization": SECRET}  # noqa: RUF012 - pydantic copies defaults
    base_url: str = f"https://user:{SECRET}@example.invalid"

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True


class Refused(Exception):
    """A provider's error with response headers, in the form that LangChain reads."""

    class response:
        status_code = 401
        headers = {"Set-Cookie": SECRET, "x-api-key": SECRET, "retry-after": "7"}  # noqa: RUF012

        @staticmethod
        def json() -> dict[str, str]:
            return {"detail": "refused"}


def test_credentials_of_the_model_are_not_kept(path: Path) -> None:
    Provider().invoke(
        "hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]}, extra_headers={"api-key": SECRET}
    )
    assert SECRET.encode() not in everything(path)
    assert b"hi" in everything(path)


class Settings(Chat):
    """Reports credentials among its settings, each at a place where a provider's model has them."""

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "openai_api_key": SECRET,
            "model_kwargs": {"access_token": SECRET, "eos_token": "</s>"},
            "client_kwargs": {"headers": {"Authorization": SECRET}},
        }


def test_credentials_among_the_settings_are_not_kept(path: Path) -> None:
    config: Any = {"callbacks": [PromptLayerCallbackHandler(journal=path)], "metadata": {"client_secret": SECRET}}
    tool = {"type": "mcp", "server_url": "https://example.invalid", "authorization": SECRET}
    Settings().invoke("hi", config, tools=[tool])
    assert SECRET.encode() not in everything(path)
    (record,) = records(path)
    assert record.params["model_kwargs"] == {"access_token": "[redacted]", "eos_token": "</s>"}
    assert record.params["tools"][0]["server_url"] == "https://example.invalid"


@dataclasses.dataclass
class Options:
    api_key: str
    timeout: int = 3


class OptionsModel(BaseModel):
    token: str
    timeout: int = 3


class Login(NamedTuple):
    user: str
    password: str


class Shown:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Shown({self.text})"


class Opaque:
    def __repr__(self) -> str:
        return f"Opaque(api_key={SECRET!r})"


class Unreadable(dict[str, str]):
    """A dict whose methods raise, which a program may define."""

    def __repr__(self) -> str:
        raise RuntimeError("not now")

    items = keys = copy = __iter__ = __repr__  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value",
    [
        OrderedDict(api_key=SECRET),
        defaultdict(str, {"X-Api-Key": SECRET}),
        MappingProxyType({"token": SECRET}),
        ({"password": SECRET},),
        {1: "not all keys are strings", "password": SECRET},
        {b"authorization": SECRET},
        [("Authorization", SECRET), ("accept", "*/*")],
        [["Authorization", SECRET]],
        [(b"authorization", SECRET)],
        Login("me", SECRET),
        f"https://me:{SECRET}@example.invalid/v1",
        [f"see https://example.invalid/v1?page=1&api_key={SECRET}"],
        Shown(f"https://me:{SECRET}@example.invalid/v1"),
        Options(SECRET),
        OptionsModel(token=SECRET),
        Opaque(),
        Unreadable(api_key=SECRET),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("redact", [None, lambda event: event], ids=["no hook", "hook"])
def test_credentials_in_any_container_are_not_kept(path: Path, value: object, redact: Any) -> None:
    handler = PromptLayerCallbackHandler(journal=path, redact=redact)
    Chat().invoke("hi", {"callbacks": [handler], "metadata": {"beside": value}}, client=value)
    assert SECRET.encode() not in everything(path)
    (record,) = records(path)
    assert texts(record) == ["yes"]
    assert record.input[0]["content"] == "hi"
    assert {"client", "beside"} <= record.params.keys() | record.metadata.keys()


@pytest.mark.parametrize(
    "name",
    [
        *("clientSecret", "openaiApiKey", "awsSecretAccessKey", "accessToken", "openai.api_key", "API Key", "api_keys"),
        *("passwd", "passphrase", "hf_token", "GITHUB_TOKEN", "id_token", "auth", "proxy_auth"),
    ],
)
@pytest.mark.parametrize("redact", [None, lambda event: event], ids=["no hook", "hook"])
def test_credentials_are_recognised_in_each_spelling_of_their_name(path: Path, name: str, redact: Any) -> None:
    handler = PromptLayerCallbackHandler(journal=path, redact=redact)
    Chat().invoke("hi", {"callbacks": [handler], "metadata": {name: SECRET}}, client={name: ("me", SECRET)})
    assert SECRET.encode() not in everything(path)


def test_settings_with_similar_names_are_kept(path: Path) -> None:
    settings: dict[str, Any] = {
        **{"max_tokens": 9, "eosToken": "</s>", "stop_token": "<", "keyword": "a", "secretary": "b", "author": "c"},
        **{"topics": ["secret", "garden"], "turns": [("user", "hi")], "oauth": "d", "compass": "e"},
        **{"base_url": "https://example.invalid/v1?page=1", "contact": "me@example.invalid"},
    }
    Chat().invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]}, **settings)
    (record,) = records(path)
    assert {name: record.params[name] for name in settings} == {**settings, "turns": [["user", "hi"]]}


def test_a_setting_of_none_is_not_redacted(path: Path) -> None:
    Chat().invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]}, api_key=None, client={"token": None})
    (record,) = records(path)
    assert (record.params["api_key"], record.params["client"]) == (None, {"token": None})


def test_the_schema_of_a_tool_is_kept_whole(path: Path) -> None:
    schema = {"type": "object", "properties": {"password": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "log_in", "parameters": schema}}]
    handler = PromptLayerCallbackHandler(journal=path)
    Chat().invoke("hi", {"callbacks": [handler]}, tools=tools, extra_headers={"api-key": SECRET})
    (record,) = records(path)
    assert record.params["tools"] == tools
    assert SECRET.encode() not in everything(path)


def test_credentials_in_response_headers_are_not_kept(path: Path) -> None:
    def refuse(_: Any) -> AIMessage:
        raise Refused("no")

    with pytest.raises(Refused):
        Chat(reply=refuse).invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]})
    written = everything(path)
    assert SECRET.encode() not in written
    assert b"retry-after" in written
    (record,) = records(path)
    assert record.error is not None
    assert record.error["status_code"] == 401


def test_credentials_in_the_link_of_an_error_are_not_kept(path: Path) -> None:
    key = SECRET * 5

    def refuse(_: Any) -> AIMessage:
        # The text of an exception of requests.
        raise ConnectionError(f"401 Client Error: Unauthorized for url: https://example.invalid/v1?key={key}")

    with pytest.raises(ConnectionError, match=key):
        Chat(reply=refuse).invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]})
    assert key.encode() not in everything(path)
    (record,) = records(path)
    assert record.error is not None
    assert record.error["message"].endswith("for url: https://example.invalid/v1?key=[redacted]")


@pytest.mark.parametrize("redact", [None, lambda event: event], ids=["no hook", "hook"])
@pytest.mark.parametrize("beside", [None, object()], ids=["plain", "not plain"])
def test_credentials_in_the_headers_of_an_answer_are_not_kept(path: Path, beside: object, redact: Any) -> None:
    # The form of ChatOpenAI(include_response_headers=True). Later turns contain the answer.
    headers = {"set-cookie": SECRET, "x-request-id": "req_1"}
    call = {"name": "fetch", "args": {"headers": {"Authorization": "the model's own"}}, "id": "1"}
    logprobs = {"content": [{"token": "yes", "logprob": -0.1}]}
    metadata = {"headers": headers, "logprobs": logprobs, "beside": beside}
    answer = AIMessage("yes", tool_calls=[call], response_metadata=metadata)
    handler = PromptLayerCallbackHandler(journal=path, redact=redact)
    model = Chat(reply=lambda _: answer)
    for _ in range(3):  # the second use of a name caches it
        model.invoke([HumanMessage("hi"), answer], {"callbacks": [handler]})
    assert SECRET.encode() not in everything(path)
    assert headers["set-cookie"] == SECRET
    for record in records(path):
        question, answered = record.input[1], record.output[0]["message"]
        assert answered is not None
        for kept in (question["response_metadata"], answered["response_metadata"]):
            assert kept["headers"] == {"set-cookie": "[redacted]", "x-request-id": "req_1"}
            assert kept["logprobs"] == logprobs
        assert record.tool_calls[0]["args"] == call["args"]


@pytest.mark.parametrize("redact", [None, lambda event: event], ids=["no hook", "hook"])
@pytest.mark.parametrize("beside", [None, object()], ids=["plain", "not plain"])
def test_a_value_is_a_credential_by_the_name_beside_it(path: Path, beside: object, redact: Any) -> None:
    secret = "Zq01-planted-104729"  # noqa: S105 - an example
    metadata = {
        "headers": [{"name": "X-Api-Key", "value": secret}],
        "arguments": ["curl", "--api-key", secret],
        "nested": {f"https://ann:{secret}@example.invalid": 1},
        "beside": beside,
        "note": {"name": "colour", "value": "red"},
    }
    handler = PromptLayerCallbackHandler(journal=path, redact=redact)
    for _ in range(3):  # the second use of a name caches it
        Chat(reply=lambda _: AIMessage("yes")).invoke("hi", {"callbacks": [handler], "metadata": metadata})
    assert secret.encode() not in everything(path)
    for record in records(path):
        assert record.metadata["note"] == {"name": "colour", "value": "red"}


@pytest.mark.parametrize("redact", [None, lambda event: event], ids=["no hook", "hook"])
def test_credentials_in_the_headers_of_an_output_are_not_kept(path: Path, redact: Any) -> None:
    run_id = uuid.uuid4()
    handler = PromptLayerCallbackHandler(journal=path, redact=redact)
    handler.on_llm_start({"name": "m"}, ["hi"], run_id=run_id)
    output = {"headers": {"x-api-key": SECRET, "x-request-id": "req_1"}, "token": "yes"}
    handler.on_llm_end(LLMResult(generations=[[Generation(text="yes")]], llm_output=output), run_id=run_id)
    assert SECRET.encode() not in everything(path)
    assert b"req_1" in everything(path)


def test_without_content_no_text_is_kept(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path, content=False, pl_tags=["mine"])
    usage: Any = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    answer = AIMessage(f"a {SECRET}", usage_metadata=usage, response_metadata={"model_name": "m", "raw": SECRET})
    config: Any = {"callbacks": [handler], "metadata": {"customer": SECRET}}
    Chat(reply=lambda _: answer).invoke(f"a {SECRET}", config, temperature=0.5, user=SECRET)
    list(StreamingChat(words=(SECRET,)).stream(SECRET, config))
    with pytest.raises(ZeroDivisionError):
        Chat(reply=lambda _: 1 / 0).invoke(SECRET, config)
    with pytest.raises(ValueError, match="out of order"):
        FailingLLM().invoke(SECRET, config)
    assert SECRET.encode() not in everything(path)
    assert b"out of order" not in everything(path)
    called, streamed, failed, _ = records(path)
    assert [called.status, streamed.status, failed.status] == ["ok", "ok", "error"]
    assert called.usage is not None
    assert called.usage["total_tokens"] == 8
    assert called.params["temperature"] == 0.5
    assert called.tags == ["mine"]
    assert called.redacted


def test_without_content_only_fixed_facts_are_kept(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path, content=False)
    number = 123_456_789_012_345
    usage: Any = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8, "input_token_details": {SECRET: number}}
    token_usage = {"prompt_tokens": 3, SECRET: 1, "note": SECRET, "completion_tokens_details": {"reasoning_tokens": 4}}
    facts = {"model_name": "m", "finish_reason": "stop", "token_usage": token_usage, "eval_count": 7, SECRET: number}
    answer = AIMessage(f"a {SECRET}", usage_metadata=usage, response_metadata=facts)
    metadata = {
        **{"ls_temperature": 0.5, "thread_id": "t1", "langgraph_step": 2},
        **{
            "card": number,
            SECRET: 1,
            f"ls_{SECRET}": "x",
            "ls_note": SECRET,
            "ls_provider": SECRET * 100,
            "customer": SECRET,
        },
    }
    config: Any = {"callbacks": [handler], "metadata": metadata, "run_name": SECRET}
    options: dict[str, Any] = {"user": SECRET, "seed": 7, "logit_bias": {SECRET: 1}, "extra_body": {SECRET: SECRET}}
    Chat(reply=lambda _: answer).invoke(f"a {SECRET}", config, stop=[SECRET], **options)
    kept = everything(path)
    assert SECRET.encode() not in kept
    assert str(number).encode() not in kept
    (record,) = records(path)
    found = {name: record.metadata.get(name) for name in ("ls_temperature", "thread_id", "langgraph_step")}
    assert found == {"ls_temperature": 0.5, "thread_id": "t1", "langgraph_step": 2}
    assert record.params["seed"] == 7
    assert record.usage is not None
    assert record.usage["total_tokens"] == 8
    message = record.output[0]["message"]
    assert message is not None
    counts = {"prompt_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 4}}
    assert message["response_metadata"]["token_usage"] == counts
    assert message["response_metadata"]["eval_count"] == 7


def test_the_event_of_a_redact_hook_is_kept(path: Path) -> None:
    def shorten(event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "prompts": ["..."], "messages": [], "tags": None} if "params" in event else event

    handler = PromptLayerCallbackHandler(journal=path, redact=shorten)
    answer = Chat().invoke(SECRET, {"callbacks": [handler], "tags": [SECRET]})
    (record,) = records(path)
    assert SECRET.encode() not in everything(path)
    assert (answer.content, texts(record), record.input, record.redacted) == ("yes", ["yes"], [], True)


def test_a_redact_hook_that_returns_none_leaves_ids_and_times(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path, redact=lambda _: None)
    Chat().invoke(SECRET, {"callbacks": [handler]})
    (record,) = records(path)
    assert (record.status, record.input, record.output, record.redacted) == ("ok", [], [], True)
    assert record.run_id is not None
    assert SECRET.encode() not in everything(path)


@pytest.mark.parametrize("result", [SystemExit(SECRET), KeyError(SECRET), "not a dict"], ids=repr)
def test_a_redact_hook_that_fails_keeps_the_content_out(path: Path, result: object) -> None:
    def fail(_: Any) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    handler = PromptLayerCallbackHandler(journal=path, redact=fail)
    failures = handler.failures
    assert Chat().invoke(SECRET, {"callbacks": [handler]}).content == "yes"
    (record,) = records(path)
    assert (record.status, record.input, record.redacted) == ("ok", [], True)
    assert handler.failures == failures + 2
    assert SECRET.encode() not in everything(path)
