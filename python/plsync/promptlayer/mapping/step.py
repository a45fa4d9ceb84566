"""Maps the steps of a tree to attributes of spans: chains, tools, retrievers, prompts and parsers."""

from __future__ import annotations

from typing import Any, Final

from plsync.promptlayer.mapping.json_values import JSON, as_dict, as_list, first_string, json_text, string, text

__all__ = ["CONTENT_LIMIT", "is_agent", "step_attributes", "step_name"]

CONTENT_LIMIT: Final = 32 << 10
"""Bytes of an input or an output in a span, at most."""

_NODE_TYPES: Final = {
    "chain": "WORKFLOW",
    "tool": "CODE_EXECUTION",
    "retriever": "CODE_EXECUTION",
    "prompt": "PROMPT_TEMPLATE",
    "parser": "CODE_EXECUTION",
}
_OPERATIONS: Final = {"tool": "execute_tool", "retriever": "retrieval"}
# The inputs of chains name the user's question by one of these keys.
_QUESTIONS: Final = ("input", "question", "query", "prompt", "text")
# LangSmith and LangGraph name a conversation by one of these keys.
_CONVERSATIONS: Final = ("thread_id", "session_id", "conversation_id")
_NO_CONTENT: Final[tuple[Any, ...]] = (None, "", [], {})


def step_name(start: JSON) -> str:
    """The name of a step's span. A tool has PromptLayer's prefix.

    >>> step_name({"kind": "tool", "name": "add"}), step_name({"kind": "chain", "name": "model"})
    ('Tool: add', 'model')
    """
    kind, name = start.get("kind"), string(start.get("name"))
    if kind == "tool":
        return f"Tool: {name or 'tool'}"
    return name or string(kind) or "run"


def step_attributes(start: JSON, end: JSON, status: str, *, is_root: bool) -> JSON:
    """The attributes of a step's span.

    Args:
        start: the start event, in plain form.
        end: the end event, in plain form; empty for a step that has not ended.
        status: the status of the record.
        is_root: whether the step is the root of its tree.
    """
    kind = string(start.get("kind")) or "chain"
    sent, received = _input(start, end), end.get("output")
    found: JSON = {"node_type": _NODE_TYPES.get(kind, "WORKFLOW"), "plsync_status": status}
    cut: list[str] = []
    if kind == "chain" and is_root:
        found |= _root(start, sent, received)
    elif kind in _OPERATIONS:
        found["gen_ai.operation.name"] = _OPERATIONS[kind]
    if kind == "tool":
        name = string(start.get("name")) or "tool"
        found |= {"tool_name": name, "tool.name": name, "function_name": name, "gen_ai.tool.name": name}
        received = _tool_answer(received)
        if (call_id := string(start.get("tool_call_id"))) is not None:
            found["gen_ai.tool.call.id"] = call_id
    for key, content in (("function_input", sent), ("function_output", received)):
        if content not in _NO_CONTENT:
            found[key] = _limited(text(content), key, cut)
    for key in ("input.value", "output.value"):
        if key in found:
            found[key] = _limited(found[key], key, cut)
    if (names := as_list(start.get("input_keys"))) and sent in _NO_CONTENT:
        found["input_keys"] = ", ".join(map(text, names))
    found |= _labels(start)
    if cut:
        found["plsync_cut"] = ", ".join(cut)
    return found


def _input(start: JSON, end: JSON) -> Any:
    """The input of a step. A step that reads a stream has it in its end."""
    sent = start.get("input")
    return end.get("input", sent) if sent in _NO_CONTENT else sent


def _root(start: JSON, sent: Any, received: Any) -> JSON:
    found: JSON = {}
    if is_agent(start, sent):
        found |= {"node_type": "LLM_SESSION", "gen_ai.operation.name": "invoke_agent"}
        found["gen_ai.agent.name"] = step_name(start)
    if (question := _question(sent)) is not None:
        found["input.value"] = question
    if (answer := _last_text(received, "ai", "AIMessageChunk", "assistant")) is not None:
        found["output.value"] = answer
    return found


def is_agent(start: JSON, sent: Any) -> bool:
    """Whether a chain is an agent or a graph, by the facts that LangChain and LangGraph report at its start."""
    metadata = as_dict(start.get("metadata"))
    is_named = any(key in metadata for key in ("lc_agent_name", "ls_integration", "langgraph_step"))
    return is_named or start.get("name") == "LangGraph" or "messages" in as_dict(sent)


def _question(sent: Any) -> str | None:
    """The last text of a person in the input of a root."""
    if isinstance(sent, str):
        return sent or None
    question = _last_text(sent, "human", "HumanMessageChunk", "user")
    return question or first_string(*(as_dict(sent).get(key) for key in _QUESTIONS))


def _last_text(state: Any, *roles: str) -> str | None:
    """The text of the last message with one of the roles, in a list of messages or in a state that has one.

    LangChain accepts messages in several forms: as objects, as dicts with a role, and as pairs.
    """
    if isinstance(state, str):
        return state or None
    found = as_dict(state).get("messages", state)
    for message in reversed(found if isinstance(found, list) else [found]):
        if isinstance(message, dict):
            role, content = message.get("type") or message.get("role"), message.get("content")
        elif isinstance(message, list) and len(message) == 2:
            role, content = message
        else:
            role, content = roles[0], message
        if role in roles and (words := _text_of(content)):
            return words
    return None


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    blocks = [as_dict(block).get("text", block) for block in as_list(content)]
    return "\n".join(block for block in blocks if isinstance(block, str) and block)


def _tool_answer(received: Any) -> Any:
    """The content of a tool's message. Other outputs stay."""
    message = as_dict(received)
    return message["content"] if message.get("type") == "tool" and "content" in message else received


def _labels(start: JSON) -> JSON:
    """Tags and metadata, under PromptLayer's names."""
    found: JSON = {}
    metadata = as_dict(start.get("metadata"))
    for key, value in metadata.items():
        if value is not None:
            found[f"promptlayer.metadata.{key}"] = text(value)
    conversation = next((metadata[key] for key in _CONVERSATIONS if metadata.get(key) is not None), None)
    if conversation is not None:
        found["gen_ai.conversation.id"] = text(conversation)
    tags = [text(tag) for key in ("tags", "pl_tags") for tag in as_list(start.get(key))]
    if tags:
        found["tags"] = json_text(list(dict.fromkeys(tags)))
    return found


def _limited(words: str, name: str, cut: list[str]) -> str:
    """A text of at most :data:`CONTENT_LIMIT` bytes. Appends ``name`` to ``cut`` when it was longer."""
    if len(words) * 4 <= CONTENT_LIMIT:
        return words
    encoded = words.encode("utf-8", "replace")
    if len(encoded) <= CONTENT_LIMIT:
        return words
    cut.append(name)
    return encoded[:CONTENT_LIMIT].decode("utf-8", "ignore")
