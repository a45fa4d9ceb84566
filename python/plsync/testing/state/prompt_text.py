"""The text of prompts and outputs, for searches and assertions."""

from __future__ import annotations

from plsync.testing.state.storage import JSON

__all__ = ["prompt_text"]


def prompt_text(prompt: JSON | None) -> str:
    """The text of a prompt or an output, one line for each block and each tool call.

    >>> prompt_text({"type": "completion", "content": [{"type": "text", "text": "hi"}]})
    'hi'
    """
    if not prompt:
        return ""
    lines: list[str] = []
    for message in prompt.get("messages") or [{"content": prompt.get("content")}]:
        lines += [block.get("text") or block.get("thinking") or "" for block in message.get("content") or []]
        for call in message.get("tool_calls") or []:
            lines.append(f"{call['function']['name']}({call['function']['arguments']})")
    return "\n".join(filter(None, lines))
