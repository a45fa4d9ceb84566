"""LangChain content blocks, of its own and of providers' kinds, as blueprint content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from plsync.promptlayer import media
from plsync.promptlayer.safe import as_dict, as_list, json_text, string, text, whole

Block = dict[str, Any]

CALL_TYPES = frozenset(
    {"tool_call", "tool_call_chunk", "tool_use", "function_call", "invalid_tool_call", "input_json_delta"}
)
"""Blocks that repeat what ``tool_calls`` says; an assistant's message carries them there."""


def contents(content: Any, *, output: bool = False) -> list[Block]:
    """The content of a message, or a prompt's text, as a list of blueprint blocks; ``[]`` when it says nothing.

    A block of an unknown kind becomes its JSON as text. ``output``: the model made it, so media is output media.

    >>> contents("hi")
    [{'type': 'text', 'text': 'hi'}]
    >>> contents("")
    []
    """
    blocks: list[Block] = []
    for item in content if isinstance(content, list) else [content]:
        block = _block(item, output)
        if block is not None:
            blocks.append(block)
    return blocks


def thinking(reasoning: str, signature: Any = None) -> Block:
    """A model's reasoning."""
    block: Block = {"type": "thinking", "thinking": text(reasoning)}
    if string(signature):
        block["signature"] = text(signature)
    return block


def _block(item: Any, output: bool) -> Block | None:
    if not isinstance(item, dict):
        return _plain(text(item))
    kind = item.get("type")
    convert = _CONVERTERS.get(kind) if isinstance(kind, str) else None
    if convert is not None:
        return convert(item)
    if kind in media.TYPES:
        return media.block(item, output=output) or _plain(json_text(item))
    return _plain(json_text(item))


def _plain(words: str) -> Block | None:
    return {"type": "text", "text": words} if words else None


def _text(item: Block) -> Block | None:
    block = _plain(text(item.get("text")))
    citations = [_citation(annotation) for annotation in as_list(item.get("annotations"))]
    known = [citation for citation in citations if citation is not None]
    if block is not None and known:
        block["annotations"] = known
    return block


def _citation(annotation: Any) -> Block | None:
    """PromptLayer takes a citation only when it has a title, a URL and a place in the text."""
    found = as_dict(annotation)
    title, url = string(found.get("title")), string(found.get("url"))
    start, end = whole(found.get("start_index")), whole(found.get("end_index"))
    if title is None or url is None or start is None or end is None:
        return None
    citation = {"type": "url_citation", "title": title, "url": url, "start_index": start, "end_index": end}
    if string(found.get("cited_text")):
        citation["cited_text"] = text(found["cited_text"])
    return citation


def _reasoning(item: Block) -> Block | None:
    signature = item.get("signature") or as_dict(item.get("extras")).get("signature")
    words = item.get("reasoning") or item.get("thinking")
    if not isinstance(words, str):
        # OpenAI's Responses API gives a list of summaries in place of the reasoning itself.
        summaries = [text(as_dict(part).get("text")) for part in as_list(item.get("summary"))]
        words = "\n\n".join(summary for summary in summaries if summary)
    return thinking(words, signature) if words or signature else None


def _image_url(item: Block) -> Block | None:
    source = item.get("image_url")
    url = source if isinstance(source, str) else as_dict(source).get("url")
    if not isinstance(url, str):
        return _plain(json_text(item))
    image: Block = {"url": text(url)}
    detail = string(as_dict(source).get("detail"))
    return {"type": "image_url", "image_url": image if detail is None else {**image, "detail": detail}}


def _server_tool_call(item: Block) -> Block | None:
    arguments = item.get("args", item.get("input"))
    block = {"type": "server_tool_use", "id": text(item.get("id")), "name": text(item.get("name"))}
    if not isinstance(arguments, dict):
        return _plain(json_text(item))
    return {**block, "input": arguments}


_CONVERTERS: Mapping[str, Callable[[Block], Block | None]] = {
    "text": _text,
    "output_text": _text,
    "input_text": _text,
    "text-plain": lambda item: _plain(text(item.get("text"))) or _plain(json_text(item)),
    "reasoning": _reasoning,
    "thinking": _reasoning,
    "image_url": _image_url,
    "server_tool_call": _server_tool_call,
    "server_tool_use": _server_tool_call,
    "non_standard": lambda item: _plain(json_text(item.get("value"))),
}
