"""Answers that a provider blocked, and values that have no text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.request_log import LoggedCall, answer, tagged


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"response_metadata": {"prompt_feedback": {"block_reason": "SAFETY"}}}, "safety"),
        (
            {"response_metadata": {"prompt_feedback": {"block_reason": "BlockedReason.PROHIBITED_CONTENT"}}},
            "prohibited_content",
        ),
        ({"response_metadata": {"prompt_feedback": {"block_reason": 1}}}, "blocked"),
        ({"response_metadata": {"finish_reason": "FinishReason.SAFETY"}}, "safety"),
        ({"response_metadata": {"finish_reason": "content_filter"}}, "content_filter"),
        ({"response_metadata": {"finish_reason": "sensitive"}}, "sensitive"),
        ({"response_metadata": {"stop_reason": "refusal"}}, "refusal"),
        ({"response_metadata": {"stopReason": "guardrail_intervened"}}, "guardrail_intervened"),
        ({"response_metadata": {"amazon-bedrock-guardrailAction": "INTERVENED"}}, "guardrail_intervened"),
        ({"additional_kwargs": {"refusal": "I can't."}}, "refusal"),
        ({"content": [{"type": "refusal", "refusal": "I can't."}]}, "refusal"),
    ],
    ids=str,
)
def test_a_blocked_answer_is_a_warning_with_its_reason(fields: dict[str, Any], reason: str) -> None:
    log = LoggedCall(end={"generations": [answer(**{"content": "", **fields})]}).log()
    assert (log["status"], log["error_type"]) == ("WARNING", "PROVIDER_PARTIAL_RESPONSE")
    assert log["error_message"] == f"The provider blocked the answer: {reason}."


@pytest.mark.parametrize("reason", ["OTHER", "NO_IMAGE", "IMAGE_OTHER", "MISSING_THOUGHT_SIGNATURE"])
def test_an_answer_that_google_ended_early_is_a_warning(reason: str) -> None:
    log = LoggedCall(end={"generations": [answer("", response_metadata={"finish_reason": reason})]}).log()
    assert log["error_message"] == f"The model stopped early: {reason.lower()}."


def test_a_prompt_that_was_blocked_before_any_candidate_is_a_warning() -> None:
    end = {"generations": [], "llm_output": {"prompt_feedback": {"block_reason": "SAFETY"}}}
    assert LoggedCall(end=end).log()["status"] == "WARNING"
    generation = tagged("Generation", text="", generation_info={"prompt_feedback": {"block_reason": "OTHER"}})
    text = LoggedCall(start={"kind": "llm", "messages": None, "prompts": ["x"]}, end={"generations": [generation]})
    assert text.log()["error_message"] == "The provider blocked the answer: other."


@pytest.mark.parametrize(
    "feedback", [{"block_reason": 0}, {"block_reason": "BLOCKED_REASON_UNSPECIFIED"}, {}, None, "no"]
)
def test_feedback_without_a_reason_is_no_block(feedback: Any) -> None:
    log = LoggedCall(end={"generations": [answer(response_metadata={"prompt_feedback": feedback})]}).log()
    assert log["status"] == "SUCCESS"


def test_metadata_without_a_value_is_left_out() -> None:
    metadata = {"ls_temperature": None, "score": {"$": "float", "v": "nan"}, "kept": 0, "deep": {"a": None}}
    sent = LoggedCall(start={"metadata": metadata}).log()["metadata"]
    assert not {"ls_temperature", "score"} & sent.keys()
    assert (sent["kept"], sent["deep"]) == ("0", '{"a":null}')
