"""The calls of a journal: served by replay, and exported into a recording."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import JournalNotFound, NoRecording, ReplayError
from plsync.journal import scan
from plsync.replay import Recording, export, load, with_recording
from tests.support import programs
from tests.support.commands import json_lines, printed, run
from tests.support.models import Chat, StreamingChat
from tests.support.openai_server import OpenAIServer
from tests.support.replaying import lines, poisoned, replayed
from tests.support.spooling import SpoolWriter

KEY = "sk-a-key-that-is-nobodys"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def handler(journal: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=journal)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def weather(city: str) -> str:
    """The weather in a city."""
    return city


# --- served ---


def test_a_call_of_a_journal_is_served_with_its_id(journal: Path, handler: PromptLayerCallbackHandler) -> None:
    first = Chat(callbacks=[handler]).invoke("The capital of France?")
    for source in (journal, str(journal), Journal.open(journal)):
        replay = with_recording(poisoned(Chat()), source)
        assert replay.invoke("The capital of France?") == first
        with pytest.raises(NoRecording, match=rf"no recorded call in {journal} matches this request"):
            replay.invoke("The capital of Spain?")


def test_a_stream_of_a_journal_is_served_whole_and_as_one_chunk(
    journal: Path, handler: PromptLayerCallbackHandler
) -> None:
    list(StreamingChat(callbacks=[handler]).stream("Where?"))
    assert with_recording(poisoned(StreamingChat()), journal).invoke("Where?").text == "a b c"
    assert (
        "".join(chunk.text for chunk in with_recording(poisoned(StreamingChat()), journal).stream("Where?")) == "a b c"
    )


def test_a_call_of_a_text_model_is_served(journal: Path, handler: PromptLayerCallbackHandler) -> None:
    FakeListLLM(responses=["Paris"], callbacks=[handler]).invoke("Where?")
    assert with_recording(FakeListLLM(responses=["no"]), journal).invoke("Where?") == "Paris"
    assert load(journal).invoke("Where?") == "Paris"


def test_requests_to_openai_match_the_recorded_events(
    journal: Path, handler: PromptLayerCallbackHandler, server: OpenAIServer
) -> None:
    model = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key=KEY, callbacks=[handler])
    picture = {"type": "image", "base64": "AAEC", "mime_type": "image/png"}
    call = {"name": "weather", "args": {"city": "Paris"}, "id": "call_9"}
    messages: list[Any] = [
        SystemMessage("Be brief."),
        HumanMessage([{"type": "text", "text": "And this?"}, picture]),
        AIMessage("", tool_calls=[call]),
        ToolMessage("sunny", tool_call_id="call_9"),
    ]
    requests: list[Any] = [
        lambda model: model.invoke(messages),
        lambda model: model.bind_tools([weather], tool_choice="any").invoke("The weather?"),
        lambda model: model.with_structured_output({"title": "City", "type": "object", "properties": {}}).invoke(
            "Say it"
        ),
        lambda model: model.invoke("Stop?", stop=["x"]),
    ]
    first = [request(model) for request in requests]
    replay = with_recording(poisoned(ChatOpenAI(model="gpt-4o-mini", api_key="none")), journal)
    assert [request(replay) for request in requests] == first


def test_repeated_requests_are_served_in_their_recorded_order(
    journal: Path, handler: PromptLayerCallbackHandler
) -> None:
    number = iter(range(10))
    model = Chat(reply=lambda _: AIMessage(str(next(number))), callbacks=[handler])
    for _ in range(3):
        model.invoke("again")
        model.invoke("other")
    replay = with_recording(Chat(), journal)
    assert [replay.invoke("again").content for _ in range(3)] == ["0", "2", "4"]
    with pytest.raises(NoRecording, match="recorded 3 times"):
        replay.invoke("again")
    repeating = with_recording(Chat(), journal, exhausted="repeat")
    answers = [repeating.invoke("again") for _ in range(5)]
    assert [answer.content for answer in answers] == ["0", "2", "4", "4", "4"]
    assert len({answer.id for answer in answers}) == 5


def test_stop_words_in_a_tuple_are_stop_words(journal: Path, handler: PromptLayerCallbackHandler, path: Path) -> None:
    Chat(callbacks=[handler]).bind(stop=("a", "b")).invoke("hi")
    for stop in (("a", "b"), ["a", "b"]):
        assert with_recording(poisoned(Chat()), journal).bind(stop=stop).invoke("hi").content == "yes"
    with Journal.open(journal) as opened:
        export(opened.records(), path)
    assert lines(path)[0]["request"]["stop"] == ["a", "b"]


def test_an_invalid_stop_word_does_not_prevent_an_export(journal: Path, path: Path) -> None:
    writer = SpoolWriter(journal)
    writer.call("hi", "yes", at=1_760_000_000_000, params={"model": "m", "stop": 5})
    writer.close()
    with Journal.open(journal) as opened:
        assert export(opened.records(), path).calls == 1


def test_an_error_of_a_journal_is_raised_again(
    journal: Path, handler: PromptLayerCallbackHandler, server: OpenAIServer
) -> None:
    server.failure = (429, {"retry-after": "7"}, {"message": "Slow down.", "code": "rate_limit_exceeded"})
    model = ChatOpenAI(base_url=server.url, api_key=KEY, max_retries=0, callbacks=[handler])
    with pytest.raises(openai.RateLimitError) as live:
        model.invoke("hi")
    with pytest.raises(openai.RateLimitError) as replay:
        with_recording(poisoned(ChatOpenAI(api_key="none")), journal).invoke("hi")
    assert str(replay.value) == str(live.value)
    assert replay.value.status_code == 429
    assert replay.value.response.headers["retry-after"] == "7"


def test_calls_without_a_complete_response_are_skipped(journal: Path) -> None:
    writer = SpoolWriter(journal)
    start = {"kind": "chat", "messages": [{"$": "HumanMessage", "v": {"type": "human", "content": "hi"}}]}
    reply = {"$": "ChatGeneration", "v": {"text": "part", "message": {"$": "AIMessage", "v": {"content": "part"}}}}
    writer.start(start, at=1_790_000_000_000)
    for number, ended in enumerate(("partial", "cancelled")):
        writer.end(writer.start(start, at=1_790_000_000_001 + number), {"generations": [reply]}, ended=ended)
    writer.call("hi", "whole", at=1_790_000_000_005)
    writer.close()
    replay = with_recording(Chat(), journal)
    assert replay.invoke("hi").content == "whole"
    with pytest.raises(NoRecording):
        replay.invoke("hi")


def test_filters_choose_the_records_that_are_served(journal: Path) -> None:
    for tag in ("old", "new"):
        handler = PromptLayerCallbackHandler(journal=journal, pl_tags=[tag])
        Chat(reply=lambda _, tag=tag: AIMessage(tag), callbacks=[handler]).invoke("hi")
    assert with_recording(Chat(), journal, filters={"tag": "new"}).invoke("hi").content == "new"
    assert load(journal, filters={"tag": "new"}).invoke("hi").content == "new"


def test_calls_of_the_same_model_come_first(journal: Path) -> None:
    writer = SpoolWriter(journal)
    for number, model in enumerate(("small", "large")):
        writer.call("hi", model, at=1_790_000_000_000 + number, params={"model": model})
    writer.close()
    replay = with_recording(ChatOpenAI(model="large", api_key="none"), journal)
    assert [replay.invoke("hi").content for _ in range(2)] == ["large", "small"]


def test_prompts_that_are_hard_to_search_for_are_found(journal: Path, handler: PromptLayerCallbackHandler) -> None:
    prompts = [
        '"quoted" \\ and\nlines',
        "a\tb",
        "ÄÖÜ ß 🦜",
        "",
        "  ",
        "<x at 0x7f0011223344>",
        "http://a:b@c/",
        "\x00\x1f",
    ]
    model = Chat(reply=lambda messages: AIMessage(messages[-1].content), callbacks=[handler])
    for prompt in prompts:
        model.invoke(prompt)
    replay = with_recording(Chat(), journal)
    assert [replay.invoke(prompt).content for prompt in prompts] == prompts


def test_recording_into_a_journal_is_refused(journal: Path, handler: PromptLayerCallbackHandler) -> None:
    Chat(callbacks=[handler]).invoke("hi")
    with pytest.raises(ValueError, match="PromptLayerCallbackHandler records into a journal"):
        with_recording(Chat(), journal, mode="once")
    (journal.parent / "empty").mkdir()
    with pytest.raises(JournalNotFound):
        with_recording(Chat(), journal.parent / "empty")


def test_a_journal_has_no_unused_calls(journal: Path, handler: PromptLayerCallbackHandler) -> None:
    Chat(callbacks=[handler]).invoke("hi")
    with Recording(journal) as recording:
        assert (recording.unused(), recording.prune()) == ([], 0)


# --- the search cache ---


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "plsync" / "replay"


def test_a_cached_call_is_not_searched_again(
    cache: Path, journal: Path, handler: PromptLayerCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Chat(reply=lambda messages: AIMessage(f"{messages[-1].content}!"), callbacks=[handler])
    first = [model.invoke(question) for question in ("a", "secret", "a")]
    replay = with_recording(Chat(), journal)
    assert [replay.invoke(question) for question in ("a", "secret", "a")] == first
    [cache_file] = cache.iterdir()
    assert (cache_file.stat().st_mode & 0o777, b"secret" in cache_file.read_bytes()) == (0o600, False)

    def search(*_: Any) -> Any:
        raise AssertionError("searched")

    monkeypatch.setattr(scan, "oldest_first", search)
    replay = with_recording(Chat(), journal)
    assert [replay.invoke(question) for question in ("a", "secret", "a")] == first


@pytest.mark.parametrize("wrong", ["junk\n", '["x",0,"y"]\n[1]\n{}\n', "other records"])
def test_a_wrong_cache_entry_is_not_used(
    wrong: str, cache: Path, journal: Path, handler: PromptLayerCallbackHandler
) -> None:
    model = Chat(reply=lambda messages: AIMessage(f"{messages[-1].content}!"), callbacks=[handler])
    for question in ("a", "b"):
        model.invoke(question)
        with_recording(Chat(), journal).invoke(question)
    [cache_file] = cache.iterdir()
    if wrong == "other records":
        (name, _, one), (other_name, _, other) = map(json.loads, cache_file.read_text().splitlines())
        wrong = f"{json.dumps([name, 0, other])}\n{json.dumps([other_name, 0, one])}\n"
    cache_file.write_text(wrong)
    assert [with_recording(Chat(), journal).invoke(question).content for question in ("a", "b")] == ["a!", "b!"]


def test_a_cache_that_cannot_be_written_is_ignored(
    cache: Path, journal: Path, handler: PromptLayerCallbackHandler
) -> None:
    cache.parent.parent.write_text("in the way")
    Chat(callbacks=[handler]).invoke("hi")
    assert with_recording(Chat(), journal).invoke("hi").content == "yes"


# --- exported ---


def test_records_become_a_recording(journal: Path, handler: PromptLayerCallbackHandler, path: Path) -> None:
    model = Chat(reply=lambda messages: AIMessage(f"{messages[-1].content}!"), callbacks=[handler])
    first = [model.invoke(question) for question in ("a", "b", "a")]
    with Journal.open(journal) as opened:
        report = export(opened.records(oldest_first=True), path)
    assert (report.calls, report.skipped) == (3, 0)
    replay = replayed(Chat(), path)
    assert [replay.invoke(question) for question in ("a", "b", "a")] == first


def test_an_export_has_the_format_of_a_recording(
    journal: Path, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    Chat(callbacks=[handler]).invoke("Where?")
    with Journal.open(journal) as opened:
        export(opened.records(), path)
    [line] = lines(path)
    del line["ms"], line["answer"]["generations"][0]["v"]["message"]["v"]["id"]
    assert line == {
        "key": line["key"],
        "kind": "chat",
        "model": None,
        "class": "Chat",
        "request": {"messages": [{"type": "human", "content": "Where?"}]},
        "answer": {
            "generations": [{"$": "ChatGeneration", "v": {"message": {"$": "AIMessage", "v": {"content": "yes"}}}}]
        },
    }


def test_an_export_changes_an_existing_file_only_with_append(
    journal: Path, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    Chat(callbacks=[handler]).invoke("hi")
    with Journal.open(journal) as opened:
        export(opened.records(), path)
        with pytest.raises(ReplayError, match="exists and was not changed"):
            export(opened.records(), path)
        export(opened.records(), path, append=True)
    assert len(lines(path)) == 2


def test_an_export_is_redacted(journal: Path, handler: PromptLayerCallbackHandler, path: Path) -> None:
    def without_names(part: dict[str, Any]) -> dict[str, Any]:
        return dict(json.loads(json.dumps(part).replace("Ann", "NAME")))

    Chat(reply=lambda _: AIMessage("Hello Ann"), callbacks=[handler]).invoke("I am Ann")
    with Journal.open(journal) as opened:
        export(opened.records(), path, redact=without_names)
    assert "Ann" not in path.read_text()
    assert replayed(Chat(), path, redact=without_names).invoke("I am Ann").content == "Hello NAME"


def test_the_command_exports_by_filters_and_by_ids(journal: Path, path: Path) -> None:
    for tag in ("one", "two"):
        handler = PromptLayerCallbackHandler(journal=journal, pl_tags=[tag])
        Chat(reply=lambda _, tag=tag: AIMessage(tag), callbacks=[handler]).invoke("hi")
    output = printed(journal, "export", "--recording", str(path), "--tag", "two")
    assert output == f"1 call written to {path}: replay it with plsync.replay.load() or with_recording()\n"
    assert load(path).invoke("hi").content == "two"
    [one, two] = [record["id"] for record in json_lines(journal, "list", "--oldest-first")]
    [report] = json_lines(journal, "export", two, one, "--recording", str(path), "--append")
    assert report == {"recording": str(path), "calls": 2, "skipped": 0}
    loaded = load(path)
    assert [loaded.invoke("hi").content for _ in range(3)] == ["two", "two", "one"]


def test_the_newest_records_are_exported_oldest_first(
    journal: Path, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    for number in range(3):
        Chat(callbacks=[handler]).invoke(str(number))
    printed(journal, "export", "--recording", str(path), "-n", "2")
    assert [line["request"]["messages"][0]["content"] for line in lines(path)] == ["1", "2"]


def test_the_command_reports_skipped_records_and_refusals(journal: Path, path: Path) -> None:
    writer = SpoolWriter(journal)
    writer.call("hi", "yes", at=1_790_000_000_000, tags=["a"])
    writer.start({"kind": "chat", "messages": []}, at=1_790_000_000_001, tags=["a"])
    writer.close()
    done = run(journal, "export", "--recording", str(path))
    assert done.returncode == 0
    assert "1 record skipped: unfinished, cancelled, or without content" in done.stderr
    again = run(journal, "export", "--recording", str(path))
    assert again.returncode == 1
    assert "exists and was not changed: choose another path, or append to it" in again.stderr
    nothing = run(journal, "export", "--recording", str(path.with_name("n.jsonl")), "--tag", "none")
    assert (nothing.returncode, "nothing was written" in nothing.stderr) == (1, True)
    both = run(journal, "export", "0199", "--recording", str(path), "--tag", "a")
    assert (both.returncode, "ids and filters exclude each other" in both.stderr) == (2, True)


def test_exporting_does_not_import_langchain(journal: Path, handler: PromptLayerCallbackHandler, path: Path) -> None:
    Chat(callbacks=[handler]).invoke("hi")
    program = (
        "import sys; from plsync import Journal; from plsync.replay import export\n"
        f"with Journal.open({str(journal)!r}) as journal: export(journal.records(), {str(path)!r})\n"
        "assert not [name for name in sys.modules if name.startswith('langchain')], 'imported'"
    )
    programs.run([sys.executable, "-c", program], check=True)
    assert load(path).invoke("hi").content == "yes"


def test_the_duration_of_a_call_is_exported(journal: Path, path: Path) -> None:
    writer = SpoolWriter(journal)
    record_id = writer.start({"kind": "llm", "prompts": ["hi"]}, at=1_790_000_000_000)
    reply = {"$": "Generation", "v": {"text": "yes"}}
    duration = timedelta(seconds=2)
    writer.end(record_id, {"generations": [reply], "elapsed": duration // timedelta(microseconds=1) * 1000})
    writer.close()
    printed(journal, "export", "--recording", str(path))
    assert lines(path)[0]["ms"] == [2000]


# --- a large journal is searched by two threads ---


def test_a_large_journal_is_searched_from_its_oldest_record_on(
    journal: Path, monkeypatch: pytest.MonkeyPatch, caches: None
) -> None:
    monkeypatch.setattr(scan, "_SMALL", 0)
    writer = SpoolWriter(journal)
    # Unevenly in time: most within a second, some in one millisecond, one long before and one long after.
    moments = [1_780_000_000_000, *(1_790_000_000_000 + 10 * number for number in range(60)), 1_799_000_000_000]
    moments += [1_790_000_000_000] * 20
    for number, at in enumerate(moments):
        writer.call("again" if number % 3 else f"question {number}", str(number), at=at)
    writer.close()
    with Journal.open(journal) as opened:
        calls = [(record.input[0]["content"], record.output[0]["text"]) for record in opened.records(oldest_first=True)]
    expected = [answer for question, answer in calls if question == "again"]
    replay = with_recording(Chat(), journal)
    assert [replay.invoke("again").content for _ in expected] == expected
    with pytest.raises(NoRecording):
        replay.invoke("again")
    assert replay.invoke("question 0").content == "0"
    assert replay.invoke("question 60").content == "60"
