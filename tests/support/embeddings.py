"""Embeddings for tests of replay."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import BaseModel


def vector_of(text: str, size: int = 4) -> list[float]:
    """A vector that 32-bit floats hold."""
    raw = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(size)
    return [byte / 256 + 1 / 512 for byte in raw]


class Plain(Embeddings):
    """A class without pydantic, as a program writes it. Its calls are noted."""

    def __init__(self, size: int = 4, model: str = "plain-1") -> None:
        self.size, self.model = size, model
        self.calls: list[Any] = []
        self.failure: Exception | None = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(list(texts))
        if self.failure is not None:
            raise self.failure
        return [vector_of(text, self.size) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.calls.append(text)
        if self.failure is not None:
            raise self.failure
        return vector_of(f"query: {text}", self.size)


class HuggingFaceLike(BaseModel, Embeddings):
    """The form of ``HuggingFaceEmbeddings``: it runs in the process, and computes with numpy."""

    model_name: str = "sentence-transformers/all-mpnet-base-v2"
    encode_kwargs: dict[str, Any] = {}

    def _encode(self, texts: list[str]) -> Any:
        return np.array([vector_of(text, 8) for text in texts], dtype=np.float32)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._encode([text.replace("\n", " ") for text in texts]).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class Returning(Embeddings):
    """Returns the results of a function, of any type."""

    def __init__(self, make: Callable[[list[str]], Any]) -> None:
        self._make = make

    def embed_documents(self, texts: list[str]) -> Any:
        return self._make(texts)

    def embed_query(self, text: str) -> Any:
        return self._make([text])[0]
