"""The mapping of a record to a span with its request log, in PromptLayer's documented format."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from plsync.promptlayer.mapping.blueprint import span, span_json
from plsync.testing.schema import check
from tests.support.request_log import AT, RECORD_ID, LoggedCall, StoredRow, answer, human, tagged


def test_ids_come_from_the_record_id() -> None:
    context = LoggedCall().span()["context"]
    assert context == {"trace_id": RECORD_ID.hex(), "span_id": RECORD_ID[8:].hex(), "trace_state": ""}


def test_times_start_with_the_call_and_last_for_its_monotonic_duration() -> None:
    built = LoggedCall().span()
    assert (built["start_time"], built["end_time"]) == (AT, AT + 2_000_000_000)
    assert built["log_request"]["request_start_time"] == "2026-11-22T20:14:39.779262Z"


def test_times_are_kept_to_the_microsecond() -> None:
    log = LoggedCall(start={"t": 1_700_000_000_000_001_999}, end={"elapsed": 1_000}).log()
    times = (log["request_start_time"], log["request_end_time"])
    assert times == ("2023-11-14T22:13:20.000001Z", "2023-11-14T22:13:20.000002Z")


def test_a_span_has_no_parent_field() -> None:
    assert "parent_id" not in LoggedCall().span()


def test_a_log_has_no_prompt_name() -> None:
    start = {"metadata": {"prompt_name": "greeting", "prompt_id": 7}, "params": {"model": "m", "prompt_name": "x"}}
    assert not {key for key in LoggedCall(start=start).log() if key.startswith("prompt")}


def test_span_json_is_the_span_as_json() -> None:
    start = orjson.dumps({"kind": "chat", "t": AT, "messages": [human("hi")], "metadata": {"größe": "é"}})
    record = StoredRow(start, None, 5).record()
    assert orjson.loads(span_json(record)) == span(record)


def test_every_candidate_is_in_the_output_and_their_number_in_the_metadata() -> None:
    log = LoggedCall(end={"generations": [answer("a"), answer("b")]}).log()
    assert [message["content"][0]["text"] for message in log["output"]["messages"]] == ["a", "b"]
    assert log["metadata"]["candidates"] == "2"
    assert "candidates" not in LoggedCall(end={"generations": [answer("a")]}).log()["metadata"]


def test_every_candidate_of_a_text_model_is_in_the_output() -> None:
    generations = [tagged("Generation", text=text, generation_info=None) for text in ("a", "b")]
    log = LoggedCall(start={"kind": "llm", "messages": None, "prompts": ["x"]}, end={"generations": generations}).log()
    assert [block["text"] for block in log["output"]["content"]] == ["a", "b"]
    assert log["metadata"]["candidates"] == "2"


def test_a_decision_is_mapped_to_a_message_and_an_answer() -> None:
    start = {"messages": None, "inputs": {"state": "down", "questions": {"urgent": "?"}}}
    log = LoggedCall(start=start, end={"outputs": {"answers": {"urgent": 0.75}}}).log()
    (question,), (reply,) = log["input"]["messages"], log["output"]["messages"]
    assert question["content"][0]["text"] == '{"state":"down","questions":{"urgent":"?"}}'
    assert (reply["role"], reply["content"][0]["text"]) == ("assistant", '{"answers":{"urgent":0.75}}')


def test_an_answer_without_its_start_event_is_a_chat() -> None:
    end = orjson.dumps({"t": AT, "generations": [answer("", tool_calls=[{"name": "f", "args": {}, "id": "c"}])]})
    log = span(StoredRow(None, end, 1, damage="checksum").record())["log_request"]
    assert (log["input"], log["metadata"]["damage"]) == ({"type": "chat", "messages": []}, "checksum")
    assert log["output"]["messages"][0]["tool_calls"][0]["id"] == "c"


def test_a_text_call_is_a_completion() -> None:
    generation = tagged("Generation", text="world", generation_info=None)
    call = LoggedCall(
        start={"kind": "llm", "messages": None, "prompts": ["hello {x}"]}, end={"generations": [generation]}
    )
    assert call.log()["input"]["content"] == [{"type": "text", "text": "hello {x}"}]
    assert call.log()["output"]["content"] == [{"type": "text", "text": "world"}]


def test_usage_becomes_token_counts_and_its_details_become_metadata() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "input_token_details": {"cached": 2}}
    log = LoggedCall(end={"generations": [answer(usage_metadata=usage)]}).log()
    assert (log["input_tokens"], log["output_tokens"]) == (3, 4)
    assert log["metadata"].items() >= {"input_token_details.cached": "2"}.items()


def test_a_total_above_the_sum_of_its_parts_is_in_the_metadata() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 9}
    assert LoggedCall(end={"generations": [answer(usage_metadata=usage)]}).log()["metadata"]["total_tokens"] == "9"


def test_negative_or_huge_counts_are_left_out() -> None:
    usage = {"input_tokens": -1, "output_tokens": 2**63, "total_tokens": 0}
    log = LoggedCall(end={"generations": [answer(usage_metadata=usage)]}).log()
    assert not {"input_tokens", "output_tokens"} & log.keys()


@pytest.mark.parametrize(("flags", "note"), [(1, "cached"), (2, "lossy"), (4, "redacted"), (8, "pruned")])
def test_the_flags_of_a_record_are_in_the_metadata(flags: int, note: str) -> None:
    assert LoggedCall(flags=flags).log()["metadata"][note] == "true"
    assert note not in LoggedCall().log()["metadata"]


def test_the_callers_metadata_wins_over_added_facts() -> None:
    assert LoggedCall(flags=1, start={"metadata": {"cached": "mine"}}).log()["metadata"]["cached"] == "mine"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "RateLimitError", "message": "slow"}, "PROVIDER_RATE_LIMIT"),
        ({"type": "APIStatusError", "message": "", "status_code": 429}, "PROVIDER_RATE_LIMIT"),
        ({"type": "RateLimitError", "message": "insufficient_quota"}, "PROVIDER_QUOTA_LIMIT"),
        ({"type": "APIStatusError", "message": "", "status_code": 402}, "PROVIDER_QUOTA_LIMIT"),
        ({"type": "APITimeoutError", "message": ""}, "PROVIDER_TIMEOUT"),
        ({"type": "ReadTimeout", "message": ""}, "PROVIDER_TIMEOUT"),
        ({"type": "AuthenticationError", "message": ""}, "PROVIDER_AUTH_ERROR"),
        ({"type": "InternalServerError", "module": "openai", "message": ""}, "PROVIDER_ERROR"),
        ({"type": "OpenAIConnectionError", "module": "langchain_openai.chat_models.base"}, "PROVIDER_ERROR"),
        ({"type": "ValueError", "module": "builtins", "message": "no"}, "UNKNOWN_ERROR"),
    ],
)
def test_errors_have_the_category_of_promptlayers_sdk(error: dict[str, Any], expected: str) -> None:
    log = LoggedCall(end={"error": error}, status="error").log()
    assert (log["status"], log["error_type"]) == ("ERROR", expected)


def test_an_error_keeps_the_partial_answer_and_a_shortened_message() -> None:
    error = {"type": "ValueError", "message": "x" * 2000}
    log = LoggedCall(end={"generations": [answer("par")], "error": error}, status="error").log()
    assert log["output"]["messages"][0]["content"][0]["text"] == "par"
    assert len(log["error_message"]) == 1024
    assert log["metadata"]["plsync_cut"] == "error_message"


def test_the_status_code_of_an_error_is_in_the_metadata() -> None:
    error = {"type": "RateLimitError", "message": "slow", "status_code": 429}
    assert LoggedCall(end={"error": error}, status="error").log()["metadata"]["error_status_code"] == "429"


@pytest.mark.parametrize("status", ["partial", "cancelled"])
def test_a_call_that_the_caller_ended_is_a_warning(status: str) -> None:
    log = LoggedCall(end={"generations": [answer("par")]}, status=status).log()
    assert (log["status"], log["error_type"]) == ("WARNING", "PROVIDER_PARTIAL_RESPONSE")


@pytest.mark.parametrize(
    "metadata",
    [
        {"finish_reason": "length"},
        {"finish_reason": "content_filter"},
        {"finish_reason": "MAX_TOKENS"},
        {"stop_reason": "max_tokens"},
        {"stop_reason": "refusal"},
        {"done_reason": "length"},
        {"stopReason": "guardrail_intervened"},
        {"finish_reason": "abort"},
        {"finish_reason": "token_limit"},
        {"finish_reason": "", "stop_reason": "max_tokens"},
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    ],
)
def test_an_incomplete_answer_is_a_warning(metadata: dict[str, Any]) -> None:
    log = LoggedCall(end={"generations": [answer(response_metadata=metadata)]}).log()
    assert (log["status"], log["error_type"]) == ("WARNING", "PROVIDER_PARTIAL_RESPONSE")


@pytest.mark.parametrize("metadata", [{"finish_reason": "stop"}, {"stop_reason": "end_turn"}, {"finish_reason": 1}, {}])
def test_a_complete_answer_is_a_success(metadata: dict[str, Any]) -> None:
    assert LoggedCall(end={"generations": [answer(response_metadata=metadata)]}).log()["status"] == "SUCCESS"


def test_an_incomplete_text_is_a_warning() -> None:
    generation = tagged("Generation", text="wor", generation_info={"finish_reason": "length"})
    call = LoggedCall(start={"kind": "llm", "messages": None, "prompts": ["x"]}, end={"generations": [generation]})
    assert call.log()["status"] == "WARNING"


def test_an_abandoned_call_is_an_error_without_output() -> None:
    start = orjson.dumps({"kind": "chat", "t": AT, "messages": [human("hi")]})
    built = span(StoredRow(start, None, 5).record())
    check("Span", built)
    assert built["log_request"]["status"] == "ERROR"
    assert built["log_request"]["output"]["messages"] == []
    assert built["end_time"] == built["start_time"] == AT


@pytest.mark.parametrize(
    ("langchain_name", "expected"),
    [
        ("azure", "openai.azure"),
        ("google_genai", "google"),
        ("google_vertexai", "vertexai"),
        ("amazon_bedrock", "amazon.bedrock"),
        ("mistralai", "mistral"),
        ("anthropic", "anthropic"),
        ("gpt4all", "gpt4all"),
    ],
)
def test_providers_get_promptlayers_names(langchain_name: str, expected: str) -> None:
    assert LoggedCall(start={"metadata": {"ls_provider": langchain_name}}).log()["provider"] == expected


def test_the_model_is_never_empty() -> None:
    call = LoggedCall(start={"params": {}, "metadata": {}, "class": ["x", "FakeChat"]})
    assert (call.log()["model"], call.log()["provider"]) == ("FakeChat", "fakechat")
    assert LoggedCall(start={"params": {}, "metadata": {}, "class": None}).log()["model"] == "unknown"


@pytest.mark.parametrize(
    "path", ["/home/me/models/tiny.gguf", "C:\\models\\tiny.gguf", "./tiny.gguf", "models/tiny.gguf"]
)
def test_a_model_file_is_reduced_to_its_name(path: str) -> None:
    assert LoggedCall(start={"params": {"model": path}}).log()["model"] == "tiny.gguf"


def test_metadata_is_text_and_has_the_keys_of_the_community_handler() -> None:
    start = {"metadata": {"user": 7, "deep": {"a": 1}}, "tags": ["lc"], "pl_tags": ["pl"], "parent_run_id": None}
    metadata = LoggedCall(start=start).log()["metadata"]
    assert (metadata["user"], metadata["deep"]) == ("7", '{"a":1}')
    assert metadata["plsync_id"] == "0193aaaa-bbbb-7ccc-8ddd-eeeeffff0001"
    assert metadata["_langchain_run_id"] == "019a0000-0000-7000-8000-000000000001"
    assert (metadata["_langchain_parent_run_id"], metadata["_langchain_tags"]) == ("None", "['lc', 'pl']")


def test_long_tags_are_cut_with_a_mark_in_the_metadata() -> None:
    log = LoggedCall(start={"tags": ["x" * 600], "pl_tags": ["p"]}).log()
    assert (log["tags"], log["metadata"]["plsync_cut"]) == (["x" * 512, "p"], "tags")


def test_long_metadata_keys_are_cut_with_a_mark_in_the_metadata() -> None:
    metadata = LoggedCall(start={"metadata": {"k" * 2000: "v"}}).log()["metadata"]
    assert (metadata["k" * 1024], metadata["plsync_cut"]) == ("v", "metadata keys")


def test_without_a_cut_the_metadata_has_no_mark() -> None:
    assert "plsync_cut" not in LoggedCall(start={"tags": ["x" * 512], "metadata": {"k" * 1024: "v"}}).log()["metadata"]


@pytest.mark.parametrize("name", ["openai.OpenAI", "anthropic.Anthropic"])
def test_a_span_avoids_names_that_promptlayer_skips(name: str) -> None:
    assert LoggedCall(start={"name": name}).span()["name"] != name


def test_a_log_of_openai_names_the_interface() -> None:
    assert LoggedCall().log()["api_type"] == "chat-completions"
    assert (
        LoggedCall(end={"generations": [answer(response_metadata={"id": "resp_1"})]}).log()["api_type"] == "responses"
    )
    assert "api_type" not in LoggedCall(start={"metadata": {"ls_provider": "ollama"}}).log()
