"""The store of ``CacheBackedEmbeddings`` hides no text from a recording, and keeps no replayed vector."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import Embeddings
from langchain_core.stores import InMemoryByteStore

from plsync.replay import record_all, with_recording
from tests.support import programs
from tests.support.embeddings import Plain, vector_of
from tests.support.replaying import lines


def stored(model: Embeddings) -> tuple[CacheBackedEmbeddings, InMemoryByteStore]:
    """The model behind a store that also keeps queries."""
    store = InMemoryByteStore()
    namespace = {"namespace": "n", "key_encoder": "sha256", "query_embedding_cache": True}
    return CacheBackedEmbeddings.from_bytes_store(model, store, batch_size=2, **namespace), store  # type: ignore[arg-type]


def run(model: Embeddings) -> Any:
    async def in_a_loop() -> Any:
        return await model.aembed_documents(["d"]), await model.aembed_query("e")

    return model.embed_documents(["a", "b", "c"]), model.embed_query("q"), asyncio.run(in_a_loop())


def by_record_all(model: Plain, path: Path, mode: Any) -> tuple[Any, InMemoryByteStore]:
    cached, store = stored(model)
    with record_all(path, mode=mode):
        return run(cached), store


def by_the_outer_model(model: Plain, path: Path, mode: Any) -> tuple[Any, InMemoryByteStore]:
    cached, store = stored(model)
    return run(with_recording(cached, path, mode=mode)), store


def by_the_inner_model(model: Plain, path: Path, mode: Any) -> tuple[Any, InMemoryByteStore]:
    cached, store = stored(with_recording(model, path, mode=mode))
    return run(cached), store


@pytest.mark.parametrize("way", [by_record_all, by_the_outer_model, by_the_inner_model])
def test_every_text_is_recorded_and_no_vector_is_stored(
    way: Callable[[Plain, Path, Any], tuple[Any, InMemoryByteStore]], tmp_path: Path
) -> None:
    path = tmp_path / "vectors.jsonl"
    live, store = way(Plain(), path, "once")
    assert {line["class"] for line in lines(path)} == {"Plain"}
    assert len(lines(path)) == 6
    assert list(store.yield_keys()) == []
    dead = Plain()
    dead.failure = AssertionError("a live call")
    replayed, store = way(dead, path, "none")
    assert replayed == live
    assert list(store.yield_keys()) == []


def test_a_store_that_has_the_text_is_not_used_in_a_block_and_used_after_it(tmp_path: Path) -> None:
    cached, store = stored(Plain())
    cached.embed_documents(["a"])
    (key,) = store.yield_keys()
    store.mset([(key, b"[9.0]")])
    with record_all(tmp_path / "vectors.jsonl", mode="once") as recording:
        assert cached.embed_documents(["a"]) == [vector_of("a")]
        assert recording.counts.recorded == 1
    assert cached.embed_documents(["a"]) == [[9.0]]


def test_a_store_around_a_recorded_model_is_bypassed_if_langchain_is_imported_later(tmp_path: Path) -> None:
    program = """
from plsync.replay import with_recording
from tests.support.embeddings import Plain
recorded = with_recording(Plain(), "vectors.jsonl", mode="once")
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.stores import InMemoryByteStore
store = InMemoryByteStore()
CacheBackedEmbeddings.from_bytes_store(recorded, store, key_encoder="sha256").embed_documents(["a"])
assert list(store.yield_keys()) == []
"""
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{root}:{root / 'python'}", "PATH": ""}
    programs.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
