"""Vectors come back with the same numbers of the same types, from any split into batches."""

from __future__ import annotations

import itertools
import math
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import Embeddings

from plsync.replay import with_recording
from plsync.replay.response.vectors import pack_vector
from tests.support.embeddings import Returning, vector_of
from tests.support.examples import examples
from tests.support.replaying import lines

THOROUGHLY = settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
NUMBERS = st.floats(width=32) | st.floats() | st.integers() | st.booleans()
VECTORS = (
    st.lists(st.floats(width=32), max_size=40)
    | st.lists(st.floats(), max_size=40)
    | st.lists(st.integers(-128, 127), max_size=40)
    | st.lists(NUMBERS, max_size=12)
    | st.lists(st.lists(st.floats(), max_size=6), min_size=1, max_size=3)
    | st.dictionaries(st.text(max_size=3), st.floats(), max_size=3)
)


def same(one: Any, other: Any) -> bool:
    """Whether two vectors have the same bits and types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def dead(path: Path) -> Embeddings:
    return with_recording(Returning(lambda _: pytest.fail("a live call")), path)


@given(vector=VECTORS)
@THOROUGHLY
def test_a_vector_comes_back_equal(vector: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "vectors.jsonl"
        with_recording(Returning(lambda _: [vector]), path, mode="once").embed_query("a")
        assert same(dead(path).embed_query("a"), vector)


@given(texts=st.lists(st.text(max_size=5), min_size=1, max_size=12), cuts=st.lists(st.integers(0, 12), max_size=4))
@THOROUGHLY
def test_any_split_into_batches_is_served(texts: list[str], cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "vectors.jsonl"
        live = Returning(lambda texts: [vector_of(text) for text in texts])
        with_recording(live, path, mode="once").embed_documents(texts)
        assert len(lines(path)) == len(set(texts))
        places = [0, *sorted(min(cut, len(texts)) for cut in cuts), len(texts)]
        replayed = dead(path)
        for start, end in itertools.pairwise(places):
            assert replayed.embed_documents(texts[start:end]) == [vector_of(text) for text in texts[start:end]]


@pytest.mark.parametrize(
    "vectors",
    [
        np.array([[0.5, 0.25], [1.5, 2.5]], dtype=np.float32),
        np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.int8),
        np.array([[0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4]]),
        [np.array([0.1, 0.2], dtype=np.float16), np.array([0.3, 0.4], dtype=np.float16)],
        [[np.float32(0.1), np.float32(0.2)], [np.float32(0.3), np.float32(0.4)]],
        [[np.float64(0.1)], [np.float64(0.2)]],
        ([0.5, 1.0], [2.0, 0.25]),
        [(0.5, 1.0), (2.0, 0.25)],
        [[1, 0, -5, 127], [1, 2, 3, 4]],
        [[0, 0.5, 1e300, -0.0], [0.1, 0.2, 0.3, 0]],
        [[1 << 60, 1, 2, 3], [1, 2, 3, 1 << 70]],
    ],
    ids=str,
)
def test_numbers_and_containers_keep_their_types(vectors: Any, tmp_path: Path) -> None:
    path = tmp_path / "vectors.jsonl"
    with_recording(Returning(lambda _: vectors), path, mode="once").embed_documents(["a", "b"])
    assert same(dead(path).embed_documents(["a", "b"]), vectors)


def test_an_iterator_of_vectors_reaches_the_program_as_a_list(tmp_path: Path) -> None:
    model: Any = Returning(lambda texts: (vector_of(text) for text in texts))
    found = with_recording(model, tmp_path / "vectors.jsonl", mode="once").embed_documents(["a", "b"])
    assert found == [vector_of("a"), vector_of("b")]


def test_four_bytes_hold_a_number_where_that_is_exact() -> None:
    assert pack_vector([0.5] * 8)["$"] == "f32"
    assert pack_vector([0.1] * 8)["$"] == "f64"
    assert pack_vector([1e300] * 8)["$"] == "f64"
    assert pack_vector([float("nan"), float("inf"), -0.0, 1.0])["$"] == "f32"
