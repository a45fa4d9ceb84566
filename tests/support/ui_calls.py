"""A journal with calls of every kind, as tests and pictures of the page in the browser show it."""

from __future__ import annotations

import base64
import random
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.hostile import TEXTS
from tests.support.spooling import SpoolWriter
from tests.support.trees import agent_model, graph

SECOND = 1_000_000_000
MODELS = (
    ("gpt-4o-mini", "openai", "ChatOpenAI"),
    ("gpt-4o", "openai", "ChatOpenAI"),
    ("tiny.gguf", "gpt4all", "GPT4All"),
)
QUESTIONS = (
    (
        "Summarise this contract: § 1. The party of the first part …",
        "Two parties agree to share the costs of the bridge.",
    ),
    ("My invoice 2026-118 shows 19 % VAT twice.", "A corrected invoice is on its way to you."),
    ("How warm is it in Paris?", "It is 21 °C in Paris, with a light wind from the west."),
    ("Write a title for a page on lighthouses.", "Keepers of the Light: a short history"),
    ('Return JSON: {"a": [1, 2, 3]}', '{"a": [1, 2, 3]}'),
    ("Translate to French: The ferry leaves at nine.", "Le ferry part à neuf heures."),
)
MARKDOWN = """## Three steps

1. **Stop** the sender with `plsync run --once`.
2. Copy the folder, *never* single files.
3. Start it again.

| day | calls | errors |
| --- | ---: | ---: |
| Monday | 1,204 | 3 |
| Tuesday | 980 | 0 |

```python
with Journal.open("copy") as journal:
    print(journal.stats())
```

> A copy holds prompts: keep it like one.

See [the guide](https://docs.example/backup) and <script>alert(1)</script>.
"""


def png(width: int = 320, height: int = 180) -> bytes:
    """A picture with a gradient."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in (48 + x // 3, 87 + y // 2, 201 - y // 3))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def human(content: Any) -> dict[str, Any]:
    return {"$": "HumanMessage", "v": {"type": "human", "content": content}}


def system(content: str) -> dict[str, Any]:
    return {"$": "SystemMessage", "v": {"type": "system", "content": content}}


def ai(content: Any = "", *, tokens: tuple[int, int] | None = None, **fields: Any) -> dict[str, Any]:
    used = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)} if tokens else None
    return {"$": "AIMessage", "v": {"type": "ai", "content": content, "usage_metadata": used, **fields}}


def tool_answer(content: str, call_id: str) -> dict[str, Any]:
    return {"$": "ToolMessage", "v": {"type": "tool", "content": content, "tool_call_id": call_id}}


def calls_tool(name: str, call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "args": arguments, "id": call_id, "type": "tool_call"}


@dataclass
class UiJournal:
    """The journal, and the ids of its special calls by a short name."""

    path: Path
    ids: dict[str, str] = field(default_factory=dict)
    bulk: list[str] = field(default_factory=list)


class _Writer:
    def __init__(self, writer: SpoolWriter) -> None:
        self.writer = writer

    def start(self, messages: list[dict[str, Any]], *, at: int, model: int = 0, **more: Any) -> str:
        name, provider, client = MODELS[model]
        metadata = {"ls_model_name": name, "ls_provider": provider, "ls_model_type": "chat", **more.pop("metadata", {})}
        params = {
            "model": name,
            "temperature": 0.2,
            "max_tokens": 512,
            "_type": "openai-chat",
            **more.pop("params", {}),
        }
        body = {
            "kind": "chat",
            "run_id": f"{random.getrandbits(128):032x}",
            "class": ["langchain_openai", "chat_models", "base", client]
            if provider == "openai"
            else ["plsync_tests", client],
            "messages": messages,
            "params": params,
            "metadata": metadata,
        }
        return self.writer.start({**body, **more.pop("body", {})}, at=at, tags=more.pop("tags", None))

    def end(
        self, record_id: str, *answers: dict[str, Any], took: float = 0.4, finish: str = "stop", **more: Any
    ) -> None:
        generations = [
            {
                "$": "ChatGeneration",
                "v": {
                    "text": answer["v"]["content"] if isinstance(answer["v"]["content"], str) else "",
                    "generation_info": {"finish_reason": finish},
                    "message": answer,
                },
            }
            for answer in answers
        ]
        ended = more.pop("ended", "ok")
        self.writer.end(record_id, {"generations": generations, "elapsed": int(took * SECOND), **more}, ended=ended)


def _bulk(journal: UiJournal, writer: _Writer, number: int, now: int) -> None:
    chance = random.Random(7)  # noqa: S311
    for index in range(number):
        question, answer = QUESTIONS[chance.randrange(len(QUESTIONS))]
        at = now - int((number - index) * 20 * 3_600_000 / number * (0.75 + chance.random() / 2)) - 600_000
        tags = ["prod"] if index % 3 else ["prod", "agent"]
        record = writer.start(
            [system("You are a terse assistant."), human(question)],
            at=at,
            model=chance.choice((0, 0, 0, 1, 1, 2)),
            tags=tags,
            metadata={"user_id": f"user-{index % 9}"},
        )
        took = chance.lognormvariate(-0.4, 0.8)
        if index % 17 == 5:
            error = {
                "type": "APITimeoutError",
                "module": "openai",
                "message": "Request timed out.",
                "status_code": None,
            }
            writer.end(record, took=took, ended="error", error=error)
        else:
            tokens = (chance.randrange(20, 1400), chance.randrange(8, 420))
            writer.end(record, ai(answer, tokens=tokens), took=took, first_token=int(took * 0.3 * SECOND))
        journal.bulk.append(record)


def _special(journal: UiJournal, writer: _Writer, now: int) -> None:
    ids = journal.ids
    at = iter(range(now - 500_000, now, 9_000))
    thread = {"thread_id": "support-2026-118"}
    history = [
        system("You are a terse support agent.\nAnswer in one sentence."),
        human("My invoice 2026-118 shows 19 % VAT twice. What should I do?"),
        ai("", tool_calls=[calls_tool("lookup_invoice", "call_1", number="2026-118", lines=[6, 7])]),
        tool_answer(
            '{"number": "2026-118", "vat": ["19 %", "19 %"], "lines": [{"line": 7, "net": 120.5}]}',
            "call_1",
        ),
    ]
    tools = [
        {
            "type": "function",
            "function": {
                "name": "lookup_invoice",
                "description": "The lines of an invoice.",
                "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
            },
        }
    ]
    ids["tools"] = writer.start(
        history, at=next(at), tags=["prod", "support"], metadata=thread, params={"tools": tools}
    )
    answer = ai("Please ignore line 7; a corrected invoice is on its way.", tokens=(412, 21))
    writer.end(ids["tools"], answer, took=0.431, first_token=52_000_000)

    longer = [*history, answer, human("Thanks. When does it arrive?")]
    ids["later"] = writer.start(longer, at=next(at), tags=["prod", "support"], metadata=thread, params={"tools": tools})
    writer.end(ids["later"], ai("By post on Thursday, and by mail today.", tokens=(455, 17)), took=0.6)

    ids["stream"] = writer.start([human("Stream me a poem about a lighthouse, please")], at=next(at), model=1)
    chance = random.Random(3)  # noqa: S311
    times = sorted(chance.randrange(340_000, 2_300_000) for _ in range(90))
    times = [time + 700_000 if time > 1_400_000 else time for time in times]
    poem = "A lamp above the water turns,\nand every ship that sees it learns\nthe shape of stone, the place of sand."
    writer.end(ids["stream"], ai(poem, tokens=(14, 96)), took=3.1, first_token=times[0] * 1000, chunks=times)

    picture = base64.b64encode(png()).decode()
    parts = [
        {"type": "text", "text": "What is in this picture?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
    ]
    ids["image"] = writer.start([human(parts)], at=next(at), model=1, tags=["vision"])
    writer.end(ids["image"], ai("A blue gradient, darker at the top.", tokens=(1105, 11)), took=1.25)

    ids["thinking"] = writer.start([human("Is 2027 a prime number?")], at=next(at), model=1)
    blocks = [
        {
            "type": "thinking",
            "thinking": "2027 is odd. The digits sum to 11. Try 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43.",
        },
        {"type": "text", "text": "Yes: 2027 is prime."},
    ]
    writer.end(ids["thinking"], ai(blocks, tokens=(15, 88)), took=2.4)

    ids["limited"] = writer.start(
        [human("Summarise the report of the third quarter.")], at=next(at), model=1, tags=["prod"]
    )
    error = {
        "type": "RateLimitError",
        "module": "openai",
        "message": "Error code: 429 - Rate limit reached for gpt-4o: 30000 tokens per minute. Try again in 2 s.",
        "status_code": 429,
        "response": {
            "body": '{"error": {"code": "rate_limit_exceeded", "type": "tokens"}}',
            "headers": {"retry-after": "2"},
            "status_code": 429,
            "request_id": "req_71",
        },
    }
    writer.end(ids["limited"], took=0.044, ended="error", error=error)

    ids["invalid"] = writer.start([human("Book the 9 o'clock ferry")], at=next(at))
    wrong = ai(
        "",
        invalid_tool_calls=[
            {"name": "book", "args": '{"at": "9:0', "id": "call_7", "error": "no JSON", "type": "invalid_tool_call"}
        ],
        tokens=(30, 12),
    )
    writer.end(ids["invalid"], wrong, took=0.5, finish="tool_calls")

    ids["candidates"] = writer.start([human("A name for a small harbour?")], at=next(at), params={"n": 2})
    writer.end(ids["candidates"], ai("Stillwater", tokens=(12, 8)), ai("Northmole"), took=0.7)

    ids["markdown"] = writer.start([human("How do I back up a journal?")], at=next(at), model=1)
    writer.end(ids["markdown"], ai(MARKDOWN, tokens=(17, 160)), took=2.9)

    ids["cjk"] = writer.start([human("東京の天気は?")], at=next(at))
    writer.end(ids["cjk"], ai("晴れ、気温は21度です。", tokens=(9, 12)), took=0.8)
    ids["rtl"] = writer.start([human("מה מזג האוויר בתל אביב? (Tel Aviv)")], at=next(at))
    writer.end(ids["rtl"], ai("שמשי, 24 מעלות.", tokens=(19, 9)), took=0.8)

    ids["long"] = writer.start(
        [human("Read this log:\n" + "2026-11-30 12:00:00 INFO the sender is idle\n" * 9000)], at=next(at)
    )
    writer.end(ids["long"], ai("The sender is idle.", tokens=(98_000, 6)), took=12.4)

    ids["refused"] = writer.start([human("Read the whole library to me.")], at=next(at), model=2)
    writer.end(ids["refused"], ai("Once upon a time …", tokens=(8, 30)), took=5.0)
    ids["refused2"] = writer.start([human("And now the next library.")], at=next(at), model=2)
    writer.end(ids["refused2"], ai("Twice upon a time …", tokens=(8, 30)), took=5.2)

    ids["running"] = writer.start([human("Count to a million.")], at=now - 20_000, model=2)


def _hostile(journal: UiJournal, writer: _Writer, now: int) -> None:
    """Each text of the corpus in every field of a call."""
    for index, (name, text) in enumerate(TEXTS.items()):
        safe = text.encode("utf-8", "replace").decode()
        coded = (
            {"$": "str", "v": base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()}
            if safe != text
            else text
        )
        link = {
            "type": "image_url",
            "image_url": {"url": "javascript:alert(1)" if index % 2 else "https://evil.invalid/x.png"},
        }
        record = writer.start(
            [system(safe[:5000]), human([{"type": "text", "text": coded}, link])],
            at=now - 590_000 + index,
            metadata={"hostile": safe[:200], safe[:40] or "empty": 1, "thread_id": safe[:200]},
            tags=["hostile", safe.encode()[:60].decode(errors="ignore")],
            params={"stop": [safe[:2000]], "user": safe[:2000]},
            body={"name": safe[:100]},
        )
        wrong = {"type": safe[:100], "module": "m", "message": safe[:5000], "status_code": None}
        if index % 3 == 1:
            writer.end(record, took=0.1, ended="error", error=wrong)
        else:
            called = [calls_tool(safe[:100], safe[:50], **{safe[:30] or "a": safe[:2000]})]
            writer.end(record, ai(coded, tool_calls=called), took=0.1, finish=safe[:60])
        journal.ids[f"hostile {name}"] = record


@tool
def temperature(city: str) -> str:
    """The temperature of a city."""
    return f"21 degrees in {city}"


def _tree(journal: UiJournal) -> None:
    """A graph that calls a model, a tool and the model again."""
    model = agent_model(
        AIMessage(
            "", tool_calls=[{"name": "temperature", "args": {"city": "Paris"}, "id": "call_1", "type": "tool_call"}]
        ),
        AIMessage("It is 21 degrees in Paris."),
    )

    def think(state: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    def act(state: dict[str, Any]) -> dict[str, Any]:
        call = state["messages"][-1].tool_calls[0]
        return {"messages": [ToolMessage(temperature.invoke(call["args"]), tool_call_id=call["id"])]}

    agent = graph(("think", think), ("act", act), ("answer", think))
    handler = PromptLayerCallbackHandler(journal=journal.path, runs="tree")
    agent.invoke(
        {"messages": [HumanMessage("How warm is it in Paris?")]}, {"callbacks": [handler], "run_name": "weather agent"}
    )
    with Journal.open(journal.path) as opened:
        root = next(opened.trees()).id
        journal.ids["tree"] = root


def _deliver(journal: UiJournal) -> None:
    """Most calls are sent; some are refused, one is unclear, and the newest wait."""
    refused = [journal.ids[name] for name in ("refused", "refused2")]
    with Journal.open(journal.path) as opened:
        opened.ingest()
        now = time.time_ns() // 1_000_000
        waiting = {journal.ids[name] for name in ("later", "limited", "invalid")}
        leased = opened.outbox.lease(10_000, 60_000, now, 1 << 30)
        opened.outbox.park([one.seq for one in leased if one.id in refused], "dead", "422 the prompt is too long")
        opened.outbox.park([one.seq for one in leased if one.id == journal.bulk[3]], "held", "held by hand")
        kept = {*refused, journal.bulk[3]}
        opened.outbox.release([one.seq for one in leased if one.id in waiting and one.id not in kept], 0, "no network")
        acks = [(one.seq, None if one.is_run else 1000 + one.seq) for one in leased if one.id not in waiting | kept]
        opened.outbox.ack(acks)
        opened.track.score(journal.ids["tools"], 90)
        opened.track.metadata(journal.ids["tools"], {"reviewer": "kim"})


@contextmanager
def ui_journal(path: Path, *, bulk: int = 140, hostile: bool = True) -> Iterator[UiJournal]:
    """The journal, while a program with a running call has it open."""
    journal = UiJournal(path)
    now = time.time_ns() // 1_000_000
    opened = SpoolWriter(path)
    try:
        writer = _Writer(opened)
        _bulk(journal, writer, bulk, now)
        if hostile:
            _hostile(journal, writer, now)
        _special(journal, writer, now)
        gone = SpoolWriter(path)
        journal.ids["died"] = _Writer(gone).start([human("I die in the middle.")], at=now - 60_000, model=2)
        gone.close()
        _tree(journal)
        _deliver(journal)
        yield journal
    finally:
        opened.close()
