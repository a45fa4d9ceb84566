"""Joins the parts of an answer that arrived before its call was cancelled or failed."""

from __future__ import annotations

from typing import Any

__all__ = ["joined"]


def joined(pieces: list[Any]) -> list[Any]:
    """The parts of one answer as a list with one generation, like the answer of a call that ended.

    Args:
        pieces: the chunks of ``on_llm_new_token``. A model that passes no chunk passes texts.
    """
    # A model that streams has loaded these classes.
    from langchain_core.outputs import Generation, GenerationChunk  # noqa: PLC0415

    chunks = [piece for piece in pieces if isinstance(piece, Generation)]
    if not chunks:
        return [Generation(text="".join(piece for piece in pieces if isinstance(piece, str)))]
    first, *others = chunks
    try:
        if not others:
            return [first]
        if hasattr(first, "message"):
            merged: Any = first
            return [merged + others]  # one merge; a sum would copy the text for each chunk
        return [GenerationChunk(text="".join(chunk.text for chunk in chunks), generation_info=first.generation_info)]
    except (TypeError, ValueError):  # parts that LangChain cannot merge
        return chunks
