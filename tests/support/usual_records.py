"""Records of usual forms, drawn at random: the messages, tools, counts and settings of chat and text models.

Not by hypothesis, which takes a hundred times as long for records of this size.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final

import orjson

from plsync import Record
from tests.support.request_log import AT, StoredRow

__all__ = ["usual_record"]

# With characters that JSON escapes, beside letters of several lengths in UTF-8.
_LETTERS: Final = 'aaaab  "\\\n\t\x01\x7fé漢🦜/'
_NUMBERS: Final = (0, 7, -5, 2**60, 0.0, 0.5, -1.25, 0.1, 99.99) * 4 + (1e20, 1e-7)
_WORDS: Final = ("search", "fetch", "a b", 'q"') * 4 + ("",)
_IDS: Final = ("c1", "c2")
_ARGUMENTS: Final = ('{"a": 1, "b": ["x y", 2]}', '{"a":{}}', "") * 4 + ("{x", '{"a": 1 2}')
_ADDED: Final[Sequence[Any]] = ({}, None, {"refusal": None}, {"parsed": {"a": 1}}) * 5 + ({"reasoning_content": "hm"},)
_FINISHED: Final[Sequence[Any]] = (
    {},
    {"finish_reason": "stop"},
    {"stop_reason": "tool_use", "model_name": "m-1"},
    {"finish_reason": "MAX_TOKENS"},
    {"done_reason": "unusual"},
) * 4 + ({"finish_reason": "FinishReason.STOP"}, {"token_usage": {"prompt_tokens": 3, "completion_tokens": 4}})
_METADATA: Final = ("ls_provider", "ls_temperature", "thread_id", "user_id", "rerun_of", "x y", "ls_stop", "a") * 2 + (
    "ls_model_name",
)
_CLASSES: Final = (
    None,
    ["langchain_openai", "chat_models", "base", "ChatOpenAI"],
    ["langchain", "chat_models", "fake", "Fake"],
    ["langchain_core", "Fake"],
    ["mine", "Own"],
) * 3 + (["mine", "Ünlü"],)


def usual_record(chance: Random) -> Record:
    """A record of a usual form."""
    start, ended = _start(chance), chance.choice((0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5))
    end = _end(chance, failed=ended == 2) if ended and chance.random() < 0.9 else None
    flags = chance.choice((0, 0, 0, 1, 2, 4, 7, 16))
    request_id = chance.choice((None, None, 5, 2**63, 2**64 - 1))
    row = StoredRow(orjson.dumps(start), None if end is None else orjson.dumps(end), ended, flags)
    row.state, row.request_id = chance.randrange(6), request_id
    row.acked_at_ns = None if request_id is None else AT + 1
    return row.record()


def _start(chance: Random) -> dict[str, Any]:
    request = (
        {"kind": "chat", "messages": [_message(chance) for _ in range(chance.randrange(5))]}
        if chance.random() < 0.8
        else {"kind": "llm", "prompts": [_text(chance)]}
    )
    return request | _some(
        chance,
        v=1,
        t=AT,
        run_id=chance.choice(_IDS),
        parent_run_id=chance.choice((None, "p")),
        name=chance.choice((None, "ChatOpenAI", "")),
        params=_params(chance),
        options=chance.choice(
            (None, {"stop": ["x"]}, {"ls_structured_output_format": {"schema": {"title": 'T"', "properties": {}}}})
        ),
        tags=[_word(chance) for _ in range(chance.randrange(3))],
        pl_tags=chance.choice((None, ["search"])),
        metadata={key: _json(chance) for key in chance.sample(_METADATA, chance.randrange(4))},
        root=chance.choice((None, "0193aaaabbbb7ccc8dddeeeeffff0000")),
        parent=chance.choice((None, "0193aaaabbbb7ccc8dddeeeeffff00aa")),
        **{"class": chance.choice(_CLASSES)},
    )


def _end(chance: Random, *, failed: bool) -> dict[str, Any]:
    error = {"type": chance.choice(("RateLimitError", "")), "message": _text(chance)} if failed else None
    return {"generations": [_generation(chance) for _ in range(chance.choice((0, 1, 1, 1, 2)))]} | _some(
        chance,
        v=1,
        t=AT + 5,
        elapsed=chance.choice((None, 0, 10**9)),
        first_token=chance.choice((None, 12_345_678)),
        llm_output=chance.choice((None, None, *_FINISHED)),
        error=error,
    )


def _generation(chance: Random) -> dict[str, Any]:
    made = {"text": _text(chance), "generation_info": chance.choice((None, {"logprobs": [0.1 + 0.2]}, *_FINISHED))}
    return _tagged(chance, "ChatGeneration", {**made, "message": _answer(chance)}) if chance.random() < 0.8 else made


def _message(chance: Random) -> dict[str, Any]:
    kind = chance.choice(("human", "human", "system", "ai", "ai", "tool"))
    if kind == "ai":
        return _answer(chance)
    fields: dict[str, Any] = {"content": _content(chance, ()), "type": kind}
    if kind == "tool":
        fields |= {"tool_call_id": chance.choice(_IDS), "status": chance.choice(("success", "error"))}
    beside = _some(chance, additional_kwargs=chance.choice(_ADDED), response_metadata={}, name=_word(chance), id=None)
    return _tagged(chance, f"{kind.title()}Message", fields | beside)


def _answer(chance: Random) -> dict[str, Any]:
    calls = [
        {"name": _word(chance), "args": _object(chance), "id": chance.choice((*_IDS, None)), "type": "tool_call"}
        for _ in range(chance.choice((0, 0, 1, 2)))
    ]
    counts = {
        name: chance.choice((5, 900, 0) if chance.random() < 0.1 else (5, 900))
        for name in ("input_tokens", "output_tokens", "total_tokens")
    }
    details = {
        "input_token_details": {"audio": 0, "cache_read": chance.choice((0, 3, None))},
        "output_token_details": {"reasoning": 2} if chance.random() < 0.95 else {"reasoning_tokens": 2},
    }
    is_chunk = chance.random() < 0.3
    fields = {
        "content": _content(chance, calls),
        "type": "AIMessageChunk" if is_chunk else "ai",
        "tool_calls": calls,
        "usage_metadata": chance.choice((None, counts, counts | details)),
    }
    fields |= _some(
        chance,
        additional_kwargs=chance.choice(_ADDED),
        response_metadata=chance.choice(_FINISHED),
        name=chance.choice((None, "Bob")),
        invalid_tool_calls=[],
        tool_call_chunks=[{"args": chance.choice(_ARGUMENTS), "id": call["id"]} for call in calls if is_chunk],
    )
    return _tagged(chance, "AIMessageChunk" if is_chunk else "AIMessage", fields)


def _content(chance: Random, calls: Any) -> Any:
    if chance.random() < 0.6:
        return _text(chance)
    blocks: list[Any] = [
        chance.choice(
            (
                {"type": chance.choice(("text", "output_text")), "text": _text(chance), "index": 0},
                {"text": _text(chance)},
                {"type": "thinking", "thinking": _text(chance), "signature": "s"},
                _text(chance),
            )
            if chance.random() < 0.95
            else ({"type": "image_url", "image_url": {"url": "http://a/b.png"}},)
        )
        for _ in range(chance.randrange(3))
    ]
    return blocks + [{"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}} for call in calls]


def _params(chance: Random) -> dict[str, Any]:
    schema = {"type": "object", "title": "S", "properties": _object(chance)}
    function = {"name": _word(chance), "description": _text(chance), "parameters": schema} | _some(chance, strict=True)
    tools: list[Any] = [{"type": "function", "function": function}, {"name": "fetch", "input_schema": schema}]
    return _some(
        chance,
        model="m-1" if chance.random() < 0.05 else "gpt-4o",
        model_name="gpt-4o",
        temperature=chance.choice((0.0, 0.7, 1, None)),
        stop=chance.choice((None, [_text(chance)])),
        tools=chance.choice(([], tools, tools[:1])) if chance.random() < 0.9 else [{"type": "web_search_preview"}],
        tool_choice="auto",
        response_format=chance.choice((schema, {"type": "json_object"}, {"$": "class", "c": "m:C", "v": schema})),
        model_kwargs={"top_p": 0.5, "api_key": "x", "Headers": {}},
        extra_headers={"a": "b"},
        openai_api_key="x",
        _type="openai-chat",
    )


def _tagged(chance: Random, tag: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"$": tag, "v": fields} if chance.random() < 0.8 else fields


def _some(chance: Random, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if chance.random() < 0.8}


def _text(chance: Random) -> str:
    return "".join(chance.choices(_LETTERS, k=chance.randrange(6)))


def _word(chance: Random) -> str:
    return chance.choice(_WORDS)


def _object(chance: Random, depth: int = 0) -> dict[str, Any]:
    return {chance.choice(("a", "b", "é\n")): _json(chance, depth + 1) for _ in range(chance.randrange(3))}


def _json(chance: Random, depth: int = 0) -> Any:
    kind = chance.randrange(7 if depth < 2 else 5)
    if kind < 2:
        return _text(chance)
    if kind == 2:
        return chance.choice((None, True, False))
    if kind < 5:
        return chance.choice(_NUMBERS)
    return _object(chance, depth) if kind == 5 else [_json(chance, depth + 1) for _ in range(chance.randrange(3))]
