"""Token counts, in every place and under every name that clients use."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plsync.journal.events.usage import usage
from tests.support.request_log import LoggedCall, answer, tagged


def counts(found: Any) -> tuple[int, int, int]:
    return found["input_tokens"], found["output_tokens"], found["total_tokens"]


@pytest.mark.parametrize(
    "reported",
    [
        {"input_tokens": 11, "output_tokens": 3},
        {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        {"promptTokens": 11, "completionTokens": 3},
        {"inputTokens": 11, "outputTokens": 3, "totalTokens": 14},
        {"prompt_token_count": 11, "candidates_token_count": 3, "total_token_count": 14},
        {"prompt_eval_count": 11, "eval_count": 3},
        {"inputTokenCount": 11, "outputTokenCount": 3},
        {"input_token_count": 11, "generated_token_count": 3},
        {"num_input_tokens": 11, "num_output_tokens": 3},
        {"tokens_evaluated": 11, "tokens_predicted": 3},
        {"inputTextTokens": "11", "completionTokens": "3"},
        {"input_tokens": 11.0, "output_tokens": 3.0},
        {"input_tokens": "11", "output_tokens": "3"},
        {"input_tokens": "np.int64(11)", "output_tokens": "np.float64(3.0)"},
    ],
    ids=str,
)
@pytest.mark.parametrize("holder", [None, "usage", "token_usage", "usage_metadata", "token_count", "billed_units"])
def test_counts_are_found_under_every_name_in_every_place(reported: dict[str, Any], holder: str | None) -> None:
    place = reported if holder is None else {holder: reported, "model": "m"}
    for message, info, end in (
        ({"response_metadata": place}, {}, {}),
        ({"additional_kwargs": place}, {}, {}),
        ({}, place, {}),
        ({}, {}, {"llm_output": place}),
    ):
        assert counts(usage(message, info, end)) == (11, 3, 14)


def test_the_message_wins_over_other_places() -> None:
    message = {
        "usage_metadata": {"input_tokens": 1, "output_tokens": 2},
        "response_metadata": {"usage": {"input_tokens": 9}},
    }
    assert counts(usage(message, {"eval_count": 7}, {})) == (1, 2, 3)


@pytest.mark.parametrize(
    "other",
    [
        {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
        {"input_tokens": -1, "output_tokens": -1, "total_tokens": -2},
        {"total_tokens": 14},
        {"output_tokens": 3},
    ],
    ids=str,
)
def test_incomplete_counts_do_not_hide_complete_ones(other: dict[str, Any]) -> None:
    complete = {"token_usage": {"prompt_tokens": 11, "completion_tokens": 3}}
    assert counts(usage({"usage_metadata": other, "response_metadata": complete}, {}, {})) == (11, 3, 14)
    assert counts(usage({}, {}, {"llm_output": {**other, **complete}})) == (11, 3, 14)


def test_zeros_are_counts_when_nothing_else_is_reported() -> None:
    assert counts(usage({"usage_metadata": {"input_tokens": 0, "output_tokens": 0}}, {}, {})) == (0, 0, 0)


def test_the_counts_of_a_later_candidate_are_read() -> None:
    later = answer(usage_metadata={"input_tokens": 11, "output_tokens": 3, "total_tokens": 14})
    log = LoggedCall(end={"generations": [answer(), later]}).log()
    assert (log["input_tokens"], log["output_tokens"]) == (11, 3)


def test_details_have_langchains_names() -> None:
    reported = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1, "text_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": 3, "accepted_prediction_tokens": 2},
    }
    found = usage({}, {}, {"llm_output": {"token_usage": reported}})
    assert found is not None
    assert found["input_token_details"] == {"cache_read": 4, "audio": 1}
    assert found["output_token_details"] == {"reasoning": 3, "accepted_prediction_tokens": 2}


@pytest.mark.parametrize(
    ("reported", "expected", "details"),
    [
        (
            {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1},
            (10, 1, 11),
            {"cache_read": 3, "cache_creation": 2},
        ),
        (
            {"inputTokens": 5, "cacheReadInputTokens": 3, "outputTokens": 1, "totalTokens": 9},
            (8, 1, 9),
            {"cache_read": 3},
        ),
        # LiteLLM repeats counts of the cache beside a count that includes them.
        (
            {"prompt_tokens": 8, "cache_read_input_tokens": 3, "completion_tokens": 1, "total_tokens": 9},
            (8, 1, 9),
            {"cache_read": 3},
        ),
        ({"prompt_tokens": 8, "completion_tokens": 1, "prompt_cache_hit_tokens": 6}, (8, 1, 9), {"cache_read": 6}),
    ],
)
def test_the_cache_counts_as_input_once(reported: Any, expected: Any, details: Any) -> None:
    found = usage({"response_metadata": {"usage": reported}}, {}, {})
    assert found is not None
    assert (counts(found), found["input_token_details"]) == (expected, details)


def test_googles_thoughts_are_output() -> None:
    reported = {
        "prompt_token_count": 5,
        "candidates_token_count": 2,
        "thoughts_token_count": 7,
        "total_token_count": 14,
    }
    modalities = [{"modality": "AUDIO", "token_count": 4}]
    found = usage({}, {"usage_metadata": {**reported, "prompt_tokens_details": modalities}}, {})
    assert found is not None
    assert counts(found) == (5, 9, 14)
    assert (found["input_token_details"], found["output_token_details"]) == ({"audio": 4}, {"reasoning": 7})


def test_an_answer_without_counts_has_no_usage() -> None:
    message = {"usage_metadata": {"total_cost": 0}, "response_metadata": {"stop_tokens": ["x"], "usage": "much"}}
    assert usage(message, {"input_tokens": True, "eval_count": None}, {"llm_output": None}) is None
    assert usage({}, {}, {"outputs": {"input_tokens": 3}}) is None


def test_a_text_models_counts_reach_the_request_log() -> None:
    generation = tagged("Generation", text="Paris", generation_info={"prompt_eval_count": 9, "eval_count": 4})
    log = LoggedCall(start={"kind": "llm", "messages": None, "prompts": ["x"]}, end={"generations": [generation]}).log()
    assert (log["input_tokens"], log["output_tokens"]) == (9, 4)


def test_details_of_openai_are_in_the_metadata() -> None:
    reported = {"prompt_tokens": 8, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
    log = LoggedCall(end={"generations": [answer()], "llm_output": {"token_usage": reported}}).log()
    assert log["metadata"].items() >= {("input_token_details.cache_read", "3")}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["usage", "input_tokens", "prompt_tokens_details", "tokens", "x"]), inner)
    ),
    max_leaves=10,
)


@given(JSON, JSON, JSON)
def test_any_answer_can_be_searched(message: Any, info: Any, output: Any) -> None:
    found = usage(
        {"usage_metadata": message, "response_metadata": info},
        info if isinstance(info, dict) else {},
        {"llm_output": output},
    )
    assert found is None or orjson.loads(orjson.dumps(found))["input_tokens"] == found["input_tokens"]
