"""Maps citations of LangChain and of providers to the annotations of a blueprint's text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plsync.promptlayer.mapping.content.blocks import Block
from plsync.promptlayer.mapping.json_values import as_dict, as_list, first_string, integer, string

__all__ = ["citations", "grounding"]


def citations(items: Iterable[Any], content: str) -> list[Block]:
    """Map the citations of a text. A citation that has no URL, no file and no title is left out.

    >>> citations([{"type": "citation", "url": "http://t", "title": "T"}], "abc")
    [{'type': 'url_citation', 'title': 'T', 'url': 'http://t', 'start_index': 0, 'end_index': 3}]
    """
    found = (_annotation(as_dict(item), content) for item in items)
    return [annotation for annotation in found if annotation is not None]


def grounding(metadata: Any) -> list[Block]:
    """Convert Google's grounding, which is in ``response_metadata``, to citations in LangChain's format."""
    chunks = as_list(as_dict(metadata).get("grounding_chunks"))
    found: list[Block] = []
    for support in map(as_dict, as_list(as_dict(metadata).get("grounding_supports"))):
        segment = as_dict(support.get("segment"))
        for number in as_list(support.get("grounding_chunk_indices")):
            if integer(number) is not None and 0 <= number < len(chunks):
                chunk = as_dict(chunks[number])
                place = as_dict(chunk.get("maps"))
                source = {**as_dict(chunk.get("web")), **place}
                ids = {"place_id": source.get("placeId")} if place else {}
                cited = {"url": source.get("uri"), "title": source.get("title"), "cited_text": segment.get("text")}
                found.append({**segment, **cited, **ids})
    return found


def _annotation(item: Block, content: str) -> Block | None:
    if item.get("type") == "non_standard_annotation":
        return _annotation(as_dict(item.get("value")), content)
    if isinstance(item.get("url_citation"), dict):
        item = item["url_citation"]
    extras = as_dict(item.get("extras"))
    file_id = first_string(item.get("file_id"), extras.get("file_id"))
    container_id = string(item.get("container_id"))
    if container_id is not None:
        return {"type": "container_file_citation", "container_id": container_id, **_present(item, _CONTAINER)}
    url = first_string(item.get("url"), item.get("source"))
    if url is not None:
        return _of_url(item, url, content, first_string(item.get("place_id"), extras.get("place_id")))
    name = first_string(item.get("filename"), item.get("document_title"), item.get("title"))
    if file_id is None and name is None:
        return None
    index = _first_integer(
        item.get("index"), item.get("document_index"), extras.get("document_index"), extras.get("index")
    )
    return {"type": "file_citation", "index": index, "file_id": file_id or "", "filename": name or ""}


def _of_url(item: Block, url: str, content: str, place_id: str | None) -> Block:
    """A citation of a URL. Anthropic's citations have no position, so they span the whole text."""
    start, end = integer(item.get("start_index")), integer(item.get("end_index"))
    found = {
        "type": "url_citation",
        "title": string(item.get("title")) or url,
        "url": url,
        "start_index": start or 0,
        "end_index": len(content) if end is None else end,
    }
    cited = string(item.get("cited_text"))
    if cited is not None:
        found["cited_text"] = cited
    if place_id is not None or item.get("type") == "map_citation":
        return {**found, "type": "map_citation", "place_id": place_id}
    encrypted = first_string(item.get("encrypted_index"), as_dict(item.get("extras")).get("encrypted_index"))
    return found if encrypted is None else {**found, "encrypted_index": encrypted}


_CONTAINER = {"start_index": integer, "end_index": integer, "filename": string, "file_id": string}


def _present(item: Block, readers: dict[str, Any]) -> Block:
    read = ((key, reader(item.get(key))) for key, reader in readers.items())
    return {key: value for key, value in read if value is not None}


def _first_integer(*candidates: Any) -> int:
    return next((number for number in map(integer, candidates) if number is not None), 0)
