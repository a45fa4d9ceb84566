"""Train the dictionary that the journal compresses bodies with.

    python benches/python/train_dictionary.py rust/journal/dict/3.zdict

The handler writes the events, for calls of common models with text of ``training_text.py``. The same versions of
LangChain and zstandard return the same bytes. A released dictionary is never changed or removed, because journals name
it by its number. A better dictionary has the next number.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import zstandard
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from plsync import PromptLayerCallbackHandler
from plsync._common.native import Store
from training_text import answer, question, system_prompt

# At this size the compressor's table of the dictionary fits into a core's cache, which saves more than a larger one.
SIZE = 16 << 10
CALLS = 4000
# The dictionary's number, which zstd also writes into each frame.
NUMBER = 3
# The journal compresses bodies with zstd's fastest search (rust/journal/src/store/records/compressor.rs). A dictionary
# of the same level has a Huffman table for the literals of this search. So no body contains one.
LEVEL = -20

_MODELS = (
    ("openai", "gpt-4o", ["langchain_openai", "chat_models", "base", "ChatOpenAI"], "openai-chat"),
    ("openai", "gpt-4o-mini", ["langchain_openai", "chat_models", "base", "ChatOpenAI"], "openai-chat"),
    ("anthropic", "claude-sonnet-4-5", ["langchain_anthropic", "chat_models", "ChatAnthropic"], "anthropic-chat"),
    ("ollama", "llama3.1", ["langchain_ollama", "chat_models", "ChatOllama"], "chat-ollama"),
    ("google_genai", "gemini-2.5-pro", ["langchain_google_genai", "chat_models", "ChatGoogleGenerativeAI"], "google"),
    ("llamacpp", "mistral-7b.gguf", ["langchain_community", "chat_models", "llamacpp", "ChatLlamaCpp"], "llama-cpp"),
)  # fmt: skip
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Useful for when you need to {use}.",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string", "description": "the text to search for"}},
                "required": ["query"],
            },
        },
    }
    for name, use in (("search", "answer questions about current events"), ("get_weather", "get the weather of a city"))
]


def events(random: Random) -> Iterator[bytes]:
    """The bodies of the events of many calls. Drawn numbers replace clocks, so that each run yields the same bytes."""
    with tempfile.TemporaryDirectory() as directory:
        handler = PromptLayerCallbackHandler(journal=directory, pl_tags=["langchain"])
        for _ in range(CALLS):
            drawn = random.random()
            (_tree if drawn < 0.15 else _chat if drawn < 0.85 else _text)(handler, random)
        store = Store(directory)
        store.ingest(wait=True)
        seq = 0
        while rows := store.follow(seq, 500):
            seq = rows[-1].seq
            for row in rows:
                yield from (_steady(body, random) for body in (row.start, row.end) if body is not None)


def _steady(body: bytes, random: Random) -> bytes:
    body = re.sub(rb'"t":\d+', b'"t":%d' % random.randrange(17 * 10**17, 19 * 10**17), body)
    return re.sub(rb'"elapsed":\d+', b'"elapsed":%d' % random.randrange(10**8, 10**10), body)


def _uuid(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)


def _chat(handler: PromptLayerCallbackHandler, random: Random, node: Mapping[str, Any] | None = None) -> None:
    provider, model, path, kind = random.choice(_MODELS)
    conversation: list[BaseMessage] = [SystemMessage(system_prompt(random))] if random.random() < 0.7 else []
    for _ in range(random.randint(0, 2)):
        conversation += [HumanMessage(question(random)), _reply(random, model, answer(random, random.randint(80, 700)))]
    conversation.append(HumanMessage(question(random)))
    if random.random() < 0.25:
        call_id = f"call_{random.getrandbits(96):024x}"
        call = {"name": "search", "args": {"query": question(random)}, "id": call_id, "type": "tool_call"}
        conversation.append(_reply(random, model, "", tool_calls=[call]))
        conversation.append(ToolMessage(answer(random, 300), tool_call_id=call_id, name="search"))
    options = {"stop": None} | ({"tools": _TOOLS} if random.random() < 0.2 else {})
    run_id = _uuid(random)
    handler.on_chat_model_start(
        {"id": path},
        [conversation],
        run_id=run_id,
        parent_run_id=node["run_id"] if node else _uuid(random) if random.random() < 0.6 else None,
        tags=random.choice([[], ["seq:step:1"], ["seq:step:2"], ["production"]]),
        metadata={**(node["metadata"] if node else {}), **_metadata(random, provider, model, in_graph=node is None)},
        invocation_params={"model": model, "model_name": model, "stream": False, "temperature": 0.7, "_type": kind}
        | options,
        options=options,
        name=path[-1],
        batch_size=1,
    )
    message = _reply(random, model, answer(random, random.randint(80, 1500)))
    generation = ChatGeneration(message=message, generation_info={"finish_reason": "stop", "logprobs": None})
    usage = {"prompt_tokens": 212, "completion_tokens": 97, "total_tokens": 309}
    output = {"token_usage": usage, "model_name": model, "system_fingerprint": "fp_44709d6fcb", "id": "chatcmpl-"}
    handler.on_llm_end(LLMResult(generations=[[generation]], llm_output=output), run_id=run_id)


def _reply(random: Random, model: str, text: str, **more: Any) -> AIMessage:
    tokens_in, tokens_out = random.randint(10, 2000), random.randint(5, 500)
    return AIMessage(
        text,
        id=f"run--{_uuid(random)}-0",
        response_metadata={
            "token_usage": {"completion_tokens": tokens_out, "prompt_tokens": tokens_in, "total_tokens": tokens_in},
            "model_name": model,
            "model_provider": "openai",
            "finish_reason": "stop",
            "logprobs": None,
        },
        usage_metadata={
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "input_token_details": {"audio": 0, "cache_read": 0},
            "output_token_details": {"audio": 0, "reasoning": 0},
        },
        **more,
    )


def _metadata(random: Random, provider: str, model: str, *, in_graph: bool = True) -> dict[str, Any]:
    standard = {"ls_provider": provider, "ls_model_name": model, "ls_model_type": "chat", "ls_temperature": 0.7}
    return standard | (_graph_metadata(random, "agent") if in_graph and random.random() < 0.4 else {})


def _graph_metadata(random: Random, node: str) -> dict[str, Any]:
    return {
        "thread_id": str(_uuid(random)),
        "langgraph_step": random.randint(1, 9),
        "langgraph_node": node,
        "langgraph_triggers": (f"branch:to:{node}",) if node != "tools" else ("__pregel_push",),
        "langgraph_path": ("__pregel_pull", node) if node != "tools" else ("__pregel_push", 0, False),
        "langgraph_checkpoint_ns": f"{node}:{_uuid(random)}",
    }


def _tree(handler: PromptLayerCallbackHandler, random: Random) -> None:
    """A run of an agent of two turns."""
    root, thread = _uuid(random), str(_uuid(random))
    history: list[BaseMessage] = [HumanMessage(question(random))]
    inherited = {"ls_integration": "langchain_create_agent", "lc_agent_name": "agent", "thread_id": thread}
    handler.on_chain_start(None, {"messages": history}, run_id=root, metadata=inherited, tags=[], name="LangGraph")
    for step, name in enumerate(("model", "tools", "model"), 1):
        metadata = {**inherited, **_graph_metadata(random, name), "langgraph_step": step}
        metadata["thread_id"] = inherited["thread_id"]
        node: dict[str, Any] = {"run_id": _uuid(random), "metadata": metadata}
        tags = [f"graph:step:{step}"]
        handler.on_chain_start(None, {"messages": history}, parent_run_id=root, name=name, tags=tags, **node)
        if name == "model":
            _chat(handler, random, node)
        else:
            _use_of_tool(handler, random, node)
        handler.on_chain_end({}, run_id=node["run_id"])
    answered = [*history, _reply(random, "gpt-4o", answer(random, random.randint(80, 700)))]
    handler.on_chain_end({"messages": answered}, run_id=root)


def _use_of_tool(handler: PromptLayerCallbackHandler, random: Random, node: Mapping[str, Any]) -> None:
    run_id, call_id = _uuid(random), f"call_{random.getrandbits(96):024x}"
    handler.on_tool_start(
        {"name": "search"},
        "",
        run_id=run_id,
        parent_run_id=node["run_id"],
        tags=["seq:step:1"],
        metadata={**node["metadata"], "checkpoint_ns": node["metadata"]["langgraph_checkpoint_ns"]},
        inputs={"query": question(random)},
        tool_call_id=call_id,
    )
    output = ToolMessage(answer(random, 300), tool_call_id=call_id, name="search")
    handler.on_tool_end(output, run_id=run_id)


def _text(handler: PromptLayerCallbackHandler, random: Random) -> None:
    run_id = _uuid(random)
    handler.on_llm_start(
        {"id": ["langchain_community", "llms", "gpt4all", "GPT4All"]},
        [system_prompt(random) + "\n\nHuman: " + question(random) + "\nAssistant: Let's think step by step."],
        run_id=run_id,
        tags=[],
        metadata={"ls_provider": "gpt4all", "ls_model_type": "llm"},
        invocation_params={"model": "mistral-7b.gguf", "max_tokens": 200, "temp": 0.7, "top_k": 40, "n_predict": 256},
        options={"stop": None},
        name="GPT4All",
        batch_size=1,
    )
    handler.on_llm_end(LLMResult(generations=[[Generation(text=answer(random, 700))]], llm_output=None), run_id=run_id)


def main() -> None:
    """Train on four fifths of the events, and print the ratio to which the dictionary compresses the rest."""
    samples: list[bytes | bytearray | memoryview[int]] = list(events(Random(20)))  # noqa: S311 - reproducible, not secret
    held_back = samples[len(samples) * 4 // 5 :]
    trained = zstandard.train_dictionary(
        SIZE, samples[: len(samples) * 4 // 5], dict_id=NUMBER, level=LEVEL, k=2048, d=8
    )
    Path(sys.argv[1]).write_bytes(trained.as_bytes())
    compressor = zstandard.ZstdCompressor(level=1, dict_data=trained)
    raw, stored = sum(map(len, held_back)), sum(len(compressor.compress(sample)) for sample in held_back)
    print(json.dumps({"bytes": len(trained.as_bytes()), "events": len(samples), "held_back_ratio": stored / raw}))


if __name__ == "__main__":
    main()
