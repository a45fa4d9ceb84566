"""The file of a recording: its content, the redaction of secrets, and damaged files."""

from __future__ import annotations

import json
import re
import stat
from collections import OrderedDict
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage

from plsync.errors import NoRecording, RecordingFormatError, ReplayError
from plsync.replay import Recording, with_recording
from tests.support.models import Chat, StreamingChat
from tests.support.replaying import lines, recorded, replayed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


# --- content ---


def test_a_call_is_a_line_that_people_can_read(path: Path) -> None:
    recorded(Chat(), path).invoke([HumanMessage("Where?", id="drawn")], stop=["x"])
    head, line = path.read_text().splitlines()
    assert head == '{"plsync":"recording","format":1}'
    message_id = re.search(r"lc_run--[0-9a-f-]+", line)[0]  # type: ignore[index]
    assert re.sub(r'"ms":\[\d+\]', '"ms":[0]', line).replace(message_id, "ID") == (
        '{"key":"752c984021568dfe","kind":"chat","model":null,"class":"Chat",'
        '"request":{"messages":[{"type":"human","content":"Where?"}],"stop":["x"]},'
        '"answer":{"generations":[{"$":"ChatGeneration","v":{"message":{"$":"AIMessage","v":{"content":"yes","id":"ID"}}}}]},'
        '"ms":[0]}'
    )


def test_a_stream_is_stored_as_its_words(path: Path) -> None:
    list(recorded(StreamingChat(), path).stream("Where?"))
    first, *others = lines(path)[0]["answer"]["chunks"]
    assert first["v"]["message"]["v"]["content"] == "a "
    assert others == ["b ", "c"]


def test_only_the_user_can_read_a_recording(path: Path) -> None:
    recorded(Chat(), path).invoke("hi")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_missing_directories_are_created(tmp_path: Path) -> None:
    path = tmp_path / "recordings" / "deep" / "calls.jsonl"
    recorded(Chat(), path).invoke("hi")
    assert replayed(Chat(), path).invoke("hi").content == "yes"


# --- redaction ---


def test_response_headers_lose_credentials_and_accounts(path: Path) -> None:
    headers = {
        **{"set-cookie": "session=1", "x-request-id": "req_1", "openai-organization": "org-1"},
        **{"authorization": "Bearer x", "content-type": "application/json"},
    }
    reply = AIMessage("yes", response_metadata={"headers": headers, "base": "http://ann:secret@host/"})
    recorded(Chat(reply=lambda _: reply), path).invoke("hi")
    metadata = replayed(Chat(), path).invoke("hi").response_metadata
    assert metadata["headers"] == {
        "x-request-id": "req_1",
        "content-type": "application/json",
        "authorization": "[redacted]",
    }
    assert metadata["base"] == "http://[redacted]@host/"


def test_the_content_of_a_response_is_not_redacted(path: Path) -> None:
    args = {"headers": {"Authorization": "Bearer made-up"}, "url": "http://ann:secret@host/"}
    call = {"name": "http", "args": args, "id": "c1", "type": "tool_call"}
    reply = AIMessage("Use http://ann:secret@host/", tool_calls=[call])
    recorded(Chat(reply=lambda _: reply), path).invoke("hi")
    again = replayed(Chat(), path).invoke("hi")
    assert (again.content, again.tool_calls) == (reply.content, [call])


def test_a_request_matches_without_the_passwords_in_its_links(path: Path) -> None:
    recorded(Chat(), path).invoke("Fetch http://ann:secret@host/x")
    assert "secret" not in path.read_text()
    assert replayed(Chat(), path).invoke("Fetch http://bob:another@host/x").content == "yes"


@pytest.mark.parametrize(
    "parameter",
    ["api_key=SECRET", "access_token=SECRET", "key=AIzaSECRET-of-some-length", "X-Amz-Signature=SECRET", "sig=SECRET"],
)
def test_a_request_matches_without_the_keys_in_its_links(parameter: str, path: Path) -> None:
    recorded(Chat(), path).invoke(f"Fetch <https://host/x?page=2&{parameter}&z=3>, please.")
    assert "SECRET" not in path.read_text()
    assert "page=2" in path.read_text()
    another = parameter.replace("SECRET", "ANOTHER")
    assert replayed(Chat(), path).invoke(f"Fetch <https://host/x?page=2&{another}&z=3>, please.").content == "yes"
    with pytest.raises(NoRecording):
        replayed(Chat(), path).invoke(f"Fetch <https://host/x?page=3&{parameter}&z=3>, please.")


def test_other_parameters_of_a_link_are_compared(path: Path) -> None:
    recorded(Chat(), path).invoke("Fetch https://host/x?key=france&tokens=3")
    with pytest.raises(NoRecording):
        replayed(Chat(), path).invoke("Fetch https://host/x?key=spain&tokens=3")


def test_servers_among_the_tools_are_stored_without_credentials(path: Path) -> None:
    def server(secret: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {secret}"}
        url = f"https://tools.example/mcp?api_key={secret}"
        return {"type": "mcp", "server_label": "x", "server_url": url, "headers": headers, "authorization": secret}

    recorded(Chat(), path).invoke("hi", tools=[server("SECRET")])
    assert "SECRET" not in path.read_text()
    assert replayed(Chat(), path).invoke("hi", tools=[server("ANOTHER")]).content == "yes"


class Client:
    """Its repr shows a key."""

    def __repr__(self) -> str:
        return "Client(api_key='SECRET')"


def test_settings_are_stored_without_credentials_in_any_container(path: Path) -> None:
    recorded(Chat(), path).invoke("hi", client=Client(), headers=OrderedDict(Authorization="SECRET"), seed=3)
    assert "SECRET" not in path.read_text()
    assert '"seed":3' in path.read_text()
    assert replayed(Chat(), path).invoke("hi", client=Client()).content == "yes"


def test_links_of_an_error_are_stored_without_credentials(path: Path) -> None:
    request = httpx.Request("POST", "https://host/chat?api-version=1&sig=SECRET&api-key=SECRET")
    response = httpx.Response(307, headers={"location": "https://ann:SECRET@host/"}, request=request)

    def fail(_: Any) -> AIMessage:
        raise httpx.HTTPStatusError("moved to https://host/?access_token=SECRET", request=request, response=response)

    with pytest.raises(httpx.HTTPStatusError):
        recorded(Chat(reply=fail), path).invoke("hi")
    assert "SECRET" not in path.read_text()
    with pytest.raises(httpx.HTTPStatusError) as replay:
        replayed(Chat(), path).invoke("hi")
    assert replay.value.request.url.params["api-version"] == "1"
    assert replay.value.response.status_code == 307


def test_a_hook_removes_the_rest(path: Path) -> None:
    def without_names(part: dict[str, Any]) -> dict[str, Any]:
        return dict(json.loads(json.dumps(part).replace("Ann", "NAME").replace("Bob", "NAME")))

    model = Chat(reply=lambda messages: AIMessage(f"Hello {messages[-1].content}"))
    assert recorded(model, path, redact=without_names).invoke("Ann").content == "Hello Ann"
    assert "Ann" not in path.read_text()
    assert replayed(model, path, redact=without_names).invoke("Bob").content == "Hello NAME"


@pytest.mark.parametrize("part_name", ["messages", "generations"])
def test_a_hook_may_exclude_a_call(part_name: str, path: Path) -> None:
    def without_secret(part: dict[str, Any]) -> dict[str, Any] | None:
        return None if part_name in part and "secret" in json.dumps(part) else part

    model = recorded(Chat(reply=lambda messages: AIMessage(messages[-1].content)), path, redact=without_secret)
    assert [model.invoke(question).content for question in ("secret", "open")] == ["secret", "open"]
    assert len(lines(path)) == 1
    replay = replayed(Chat(), path, redact=without_secret)
    assert replay.invoke("open").content == "open"
    with pytest.raises(NoRecording):
        replay.invoke("secret")


def test_an_object_that_cannot_be_restored_exactly_is_reported(path: Path) -> None:
    reply = AIMessage("yes", additional_kwargs={"socket": object()})
    with pytest.warns(UserWarning, match="restore an object of this response only approximately: builtins:object"):
        recorded(Chat(reply=lambda _: reply), path).invoke("hi")
    assert replayed(Chat(), path).invoke("hi").content == "yes"


# --- damage ---


def test_a_file_that_is_not_a_recording_is_not_changed(path: Path) -> None:
    path.write_text("my notes\n")
    for mode in ("none", "once", "new_episodes", "all"):
        with pytest.raises(RecordingFormatError, match="is not a recording; nothing was changed"):
            with_recording(Chat(), path, mode=mode).invoke("hi")
    assert path.read_text() == "my notes\n"


def test_a_newer_format_is_refused(path: Path) -> None:
    path.write_text('{"plsync":"recording","format":2}\n')
    with pytest.raises(RecordingFormatError, match="has format 2, and this plsync reads format 1"):
        replayed(Chat(), path).invoke("hi")


@pytest.mark.parametrize("line", ["<<<<<<< HEAD", "{}", "[]", '{"key":"0123456789abcdef","kind":"chat"}', "\x00"])
def test_a_line_that_holds_no_call_is_reported_by_its_number(line: str, path: Path) -> None:
    with Recording(path, mode="all") as recording:
        with_recording(Chat(), recording).invoke("hi")
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RecordingFormatError, match=rf"line 3 of {path} holds no recorded call"):
        replayed(Chat(), path).invoke("other")


def test_a_line_that_a_killed_process_cut_short_is_skipped_and_kept(path: Path) -> None:
    model = recorded(Chat(), path)
    model.invoke("one")
    model.invoke("two")
    path.write_bytes(path.read_bytes()[:-20])
    assert replayed(Chat(), path).invoke("one").content == "yes"
    with_recording(Chat(), path, mode="new_episodes").invoke("three")
    assert path.read_text().count("\n") == 4
    assert replayed(Chat(), path).invoke("three").content == "yes"


def test_a_last_line_without_a_line_end_is_a_call(path: Path) -> None:
    def remove_line_end() -> None:
        path.write_bytes(path.read_bytes().removesuffix(b"\n"))

    with Recording(path, mode="all") as recording:
        model = with_recording(Chat(), recording)
        model.invoke("one")
        model.invoke("two")
    remove_line_end()
    for match in (None, ("messages", "model")):
        assert replayed(Chat(), path, match=match).invoke("two").content == "yes"
    with Recording(path) as recording:
        with_recording(Chat(), recording).invoke("two")
        assert [call.location for call in recording.unused()] == ["line 2"]
        assert recording.prune() == 1
    assert [line["request"]["messages"][0]["content"] for line in lines(path)] == ["two"]
    remove_line_end()
    with Recording(path, mode="new_episodes") as recording:
        model = with_recording(Chat(), recording)
        model.invoke("two")
        model.invoke("three")
        assert (recording.counts.replayed, recording.counts.recorded) == (1, 1)
    assert [line["request"]["messages"][0]["content"] for line in lines(path)] == ["two", "three"]


@pytest.mark.parametrize("broken", [b'"messages', b"\xff"])
def test_a_damaged_line_is_replaced_when_the_call_is_recorded_again(broken: bytes, path: Path) -> None:
    recorded(Chat(), path).invoke("hi")
    path.write_bytes(path.read_bytes().replace(b'"messages"', broken))
    with pytest.raises(RecordingFormatError, match=r"repair the line .* or record the call again"):
        replayed(Chat(), path).invoke("hi")
    with Recording(path, mode="all") as recording:
        with_recording(Chat(), recording).invoke("hi")
    assert len(lines(path)) == 1
    assert replayed(Chat(), path).invoke("hi").content == "yes"


def test_a_recording_that_cannot_be_written_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReplayError, match=r"cannot be written: .*; its earlier content is kept"):
        with_recording(Chat(), tmp_path / "file" / "calls.jsonl", mode="once").invoke("hi")


@pytest.mark.parametrize("match", [None, ["messages"]])
@pytest.mark.parametrize("question", ["a", "c", "never"])
def test_a_broken_line_raises_the_same_error_at_each_call(path: Path, match: Any, question: str) -> None:
    with Recording(path, mode="all") as recording:
        for known in "abc":
            with_recording(Chat(), recording).invoke(known)
    head, first, second, third = path.read_text().splitlines()
    path.write_text("\n".join([head, first, second, "<<<<<<< HEAD", third, ""]))
    replay = replayed(Chat(), path, match=match)
    found: set[str] = set()
    for one in (replay, replay, replay.with_retry(stop_after_attempt=3, wait_exponential_jitter=False), replay):
        with pytest.raises(RecordingFormatError) as raised:
            one.invoke(question)
        found.add(str(raised.value))
    assert len(found) == 1
    assert "line 4" in found.pop()


def test_a_match_function_that_fails_raises_the_same_error_at_each_call(path: Path) -> None:
    recorded(Chat(), path).invoke("hi")
    replay = replayed(Chat(), path, match=lambda request: request["messages"][0]["content"].missing)
    for _ in range(3):
        with pytest.raises(AttributeError):
            replay.invoke("hi")
