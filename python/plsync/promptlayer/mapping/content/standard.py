"""Maps LangChain's standard blocks without media: text, reasoning, and tools that the provider runs."""

from __future__ import annotations

from collections.abc import Mapping

from plsync.promptlayer.mapping.content import anthropic, media
from plsync.promptlayer.mapping.content.blocks import Block, Converter, plain_text, thinking
from plsync.promptlayer.mapping.content.citations import citations
from plsync.promptlayer.mapping.content.server_tools import arguments
from plsync.promptlayer.mapping.json_values import as_dict, as_list, json_text, string, text

__all__ = ["CONVERTERS"]


def _text(item: Block, _output: bool) -> list[Block] | None:
    if not item.get("text") and string(item.get("name")) and "args" in item:
        # LangChain adds an empty text to the pieces of a tool call that comes first in a stream.
        return _server_tool_call(item, _output)
    blocks = plain_text(text(item.get("text")))
    if blocks and len(item) > 2:
        block = blocks[0]
        cited = citations(as_list(item.get("annotations")) + as_list(item.get("citations")), block["text"])
        if cited:
            block["annotations"] = cited
        signature = string(as_dict(item.get("extras")).get("signature"))
        if signature is not None:
            block["thought_signature"] = signature
    return blocks


def _text_plain(item: Block, output: bool) -> list[Block] | None:
    content = string(item.get("text"))
    return plain_text(content) if content else media.block({"mime_type": "text/plain", **item, "type": "file"}, output)


def _reasoning(item: Block, _output: bool) -> list[Block] | None:
    """Reasoning of LangChain, Anthropic, Google or Mistral, or the summary of OpenAI's Responses API."""
    signature = item.get("signature") or as_dict(item.get("extras")).get("signature")
    reasoning = item.get("reasoning") or item.get("thinking")
    if not isinstance(reasoning, str):
        parts = as_list(reasoning) or as_list(item.get("summary")) or as_list(item.get("content"))
        reasoning = "\n\n".join(filter(None, (text(as_dict(part).get("text")) for part in parts)))
    return thinking(reasoning, signature)


def _server_tool_call(item: Block, _output: bool) -> list[Block] | None:
    name, args, extras = text(item.get("name")), arguments(item, "args"), as_dict(item.get("extras"))
    if name == "code_interpreter" and string(args.get("code")):
        return [{"type": "code", "code": args["code"], "id": string(item.get("id"))}]
    if name == "remote_mcp":
        called = {
            "name": text(extras.get("tool_name")),
            "server_label": text(extras.get("server_label", extras.get("server_name"))),
        }
        written = text(item.get("args")) or text(extras.get("arguments"))
        return [{"type": "mcp_call", "id": string(item.get("id")), **called, "arguments": written}]
    return [{"type": "server_tool_use", "id": text(item.get("id")), "name": name, "input": args}]


def _server_tool_result(item: Block, output: bool) -> list[Block] | None:
    output_value, extras = item.get("output"), as_dict(item.get("extras"))
    kind = extras.get("block_type")
    if kind == "code_execution_result":
        outcome = "OUTCOME_OK" if item.get("status") != "error" else "OUTCOME_FAILED"
        return [{"type": "code_execution_result", "output": text(output_value), "outcome": outcome}]
    if not isinstance(kind, str):
        return plain_text(json_text(item)) if output_value else []
    own = {"content": output_value, "tool_use_id": item.get("tool_call_id"), "type": kind}
    converter = anthropic.CONVERTERS.get(kind)
    converted = converter and converter({**own, "is_error": item.get("status") == "error"}, output)
    return plain_text(json_text(own)) if converted is None else converted


CONVERTERS: Mapping[str, Converter] = {
    "text": _text,
    "output_text": _text,
    "input_text": _text,
    "text-plain": _text_plain,
    "reasoning": _reasoning,
    "thinking": _reasoning,
    "server_tool_call": _server_tool_call,
    # A stream that was cut leaves a call in pieces.
    "server_tool_call_chunk": _server_tool_call,
    "server_tool_result": _server_tool_result,
}
