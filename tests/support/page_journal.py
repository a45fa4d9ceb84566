"""A journal with each thing that the page shows, of which a part is delivered."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.outputs import ChatGenerationChunk

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.models import Chat, StreamingChat
from tests.support.trees import agent_model, graph, tool_call

PNG = base64.b64encode(bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")).decode()
QUESTION = "My invoice 2026-118 shows 19 % VAT twice. What should I do?"


class RateLimitError(Exception):
    """As a client's: with a status code and the body of the response."""

    status_code = 429
    body: ClassVar = {"error": {"message": "FAIL429 please", "code": "rate_limit"}}


class _Streaming(StreamingChat):
    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        for word in self.words:
            yield ChatGenerationChunk(message=AIMessageChunk(content=word, id="run-1"))
        counts = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
        yield ChatGenerationChunk(message=AIMessageChunk(content="", id="run-1", usage_metadata=counts))


@dataclass
class PageJournal:
    """The journal, and the ids of its records by their subjects."""

    path: Path
    ids: dict[str, str] = field(default_factory=dict)


def _answer(text: str, **more: Any) -> AIMessage:
    counts = {"input_tokens": 21, "output_tokens": 17, "total_tokens": 38, "input_token_details": {"cache_read": 5}}
    return AIMessage(text, usage_metadata=counts, response_metadata={"finish_reason": "stop"}, **more)


def page_journal(path: Path) -> PageJournal:
    """Make the journal."""
    made = PageJournal(path)

    def record(name: str, model: Any, messages: Any, *, tags: list[str] | None = None, **metadata: Any) -> None:
        handler = PromptLayerCallbackHandler(pl_tags=tags or ["prod"], journal=path)
        config = {"callbacks": [handler], "metadata": {"ls_provider": "openai", **metadata}, "run_name": name}
        try:
            for _ in model.stream(messages, config):
                pass
        except RateLimitError:
            pass
        with Journal.open(path) as journal:
            made.ids[name] = next(journal.records()).id

    def chat(answer: AIMessage, model: str = "gpt-4o-mini") -> Any:
        return _named(Chat(reply=lambda _: answer), model)

    lookup = {"name": "lookup_invoice", "args": {"number": "2026-118"}, "id": "call_1", "type": "tool_call"}
    invoice = [SystemMessage("You are a terse support agent."), HumanMessage(QUESTION)]
    record("plain", chat(_answer("Please ignore line 7.")), invoice, thread_id="t1", user_id=42)
    used = [*invoice, AIMessage("", tool_calls=[lookup]), ToolMessage('{"vat": ["19 %"]}', tool_call_id="call_1")]
    record("tools", chat(_answer("A corrected invoice is on its way.")), used, thread_id="t1", user_id=42)
    broken = invalid_tool_call(name="lookup", args="{no json", id="call_2", error="not valid JSON")
    record("broken call", chat(_answer("", invalid_tool_calls=[broken])), [HumanMessage("call it")])
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    linked = {"type": "image_url", "image_url": {"url": "https://tracker.invalid/pixel.png"}}
    svg = {"type": "image", "source_type": "base64", "mime_type": "image/svg+xml", "data": "PHN2Zz48L3N2Zz4="}
    seen = [HumanMessage([{"type": "text", "text": "What is in this picture?"}, image, linked, svg])]
    record("picture", chat(_answer("A red pixel"), "gpt-4o"), seen, tags=["prod", "vision"])
    thoughts: list[str | dict[Any, Any]] = [
        {"type": "thinking", "thinking": "19 % once is right."},
        {"type": "text", "text": "Pay once."},
    ]
    record("thinking", chat(AIMessage(thoughts), "claude"), [HumanMessage("Think.")])
    record("streamed", _named(_Streaming(), "gpt-4o"), [HumanMessage("Stream me a poem")])

    def fail(_: Any) -> AIMessage:
        raise RateLimitError("Error code: 429 - FAIL429 please")

    record("failed", _named(Chat(reply=fail), "gpt-4o"), [HumanMessage("Too often")])
    record("refused", chat(_answer("Refused by PromptLayer")), [HumanMessage("too long")])
    handler = PromptLayerCallbackHandler(journal=path, runs="tree")
    model = agent_model(tool_call("weather", city="Paris"), "Sunny.")

    def agent(state: Any) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    graph(("agent", agent), ("again", agent)).invoke(
        {"messages": [HumanMessage("How warm is it in Paris?")]}, {"callbacks": [handler], "run_name": "weather agent"}
    )
    with Journal.open(path) as journal:
        made.ids["tree"] = next(journal.trees()).id
        made.ids["in tree"] = journal.tree(made.ids["tree"]).calls[-1].id
        records = {name: journal.get(one) for name, one in made.ids.items()}
        journal.outbox.bind("https://api.promptlayer.com", b"1" * 16)
        journal.outbox.ack([(records["plain"].seq, 1007), (records["picture"].seq, 1008)])
        reason = "PromptLayer refused it: 422 prompt too long (3f2a9b1c)"
        journal.outbox.park([records["refused"].seq], "dead", reason)
        journal.track.score(records["plain"].id, 100)
        journal.track.metadata(records["plain"].id, {"checked": "yes"})
        journal.digests.fill()
        journal.followups.done(journal.followups.claim(10, 60_000, 1 << 50))
    return made


def _named(model: Any, name: str) -> Any:
    """The model under a name, as clients pass it."""
    return model.bind(model=name)
