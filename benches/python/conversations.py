"""Chat calls for the benches: prose that no two calls share, as the real handler records it."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.utils.uuid import uuid7

from ingest import ANSWER_METADATA, CLASS, METADATA, PARAMS, USAGE, docstrings
from plsync import PromptLayerCallbackHandler

__all__ = ["prose", "record"]

SYSTEMS = 8
"""System prompts of the program, which its calls share."""


def prose(chance: random.Random, sentences: int) -> list[str]:
    """Sentences of a Markov chain over the words of the standard library's docstrings."""
    following: dict[str, list[str]] = defaultdict(list)
    starts = []
    for text in docstrings():
        words = text.split()
        starts += [word for word in words if word[:1].isupper()]
        for word, next_word in itertools.pairwise(words):
            following[word].append(next_word)
    found = []
    for _ in range(sentences):
        sentence = [chance.choice(starts)]
        while len(sentence) < 18 and (after := following.get(sentence[-1])):
            sentence.append(chance.choice(after))
        found.append(" ".join(sentence))
    return found


def record(path: Path, count: int, sentences: list[str], chance: random.Random) -> None:
    """Record ``count`` chat calls of about 4 KB, each a system prompt, three messages and an answer."""
    handler = PromptLayerCallbackHandler(pl_tags=["bench"], journal=path)
    systems = [" ".join(chance.choices(sentences, k=6)) for _ in range(SYSTEMS)]
    for number in range(count):
        run_id = uuid7()
        texts = _texts(sentences, chance)
        messages: list[BaseMessage] = [
            SystemMessage(systems[number % SYSTEMS]),
            HumanMessage(next(texts)),
            AIMessage(next(texts)),
            HumanMessage(next(texts)),
        ]
        metadata = {**METADATA, "thread_id": f"thread {number // 4}"}
        handler.on_chat_model_start(
            CLASS,
            [messages],
            run_id=run_id,
            tags=["docs"],
            metadata=metadata,
            invocation_params=PARAMS,
            name="ChatOpenAI",
        )
        answer = AIMessage(next(texts), usage_metadata=USAGE, response_metadata=ANSWER_METADATA)
        handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]), run_id=run_id)


def _texts(sentences: list[str], chance: random.Random) -> Iterator[str]:
    while True:
        yield " ".join(chance.choices(sentences, k=chance.randint(3, 6)))
