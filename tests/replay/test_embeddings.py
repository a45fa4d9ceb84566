"""Embeddings are recorded text by text, and served in any batch, any number of times."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import BaseModel

from plsync.errors import NoRecording
from plsync.replay import Recording, load, record_all, with_recording
from tests.support.embeddings import HuggingFaceLike, Plain, vector_of
from tests.support.replaying import lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.jsonl"


def silent() -> Plain:
    """Embeddings that must not be called."""
    model = Plain()
    model.failure = AssertionError("a live call")
    return model


def texts(path: Path) -> list[dict[str, str]]:
    return [line["request"]["input"] for line in lines(path)]


# --- with_recording ---


def test_any_batch_of_recorded_texts_is_served_any_number_of_times(path: Path) -> None:
    recorded = with_recording(Plain(), path, mode="once")
    live = recorded.embed_documents(["a", "b", "c", "a"])
    query = recorded.embed_query("a")
    assert texts(path) == [{"document": "a"}, {"document": "b"}, {"document": "c"}, {"query": "a"}]
    replayed = with_recording(silent(), path)
    for _ in range(3):
        assert replayed.embed_documents(["c", "a"]) == [live[2], live[0]]
        assert replayed.embed_documents(["b"]) == [live[1]]
        assert replayed.embed_query("a") == query
    assert query != live[0]
    assert replayed.embed_documents([]) == []


def test_a_copy_is_of_the_same_class_and_shares_no_state(path: Path) -> None:
    model = Plain()
    recorded = with_recording(model, path, mode="all")
    recorded.embed_query("a")
    recorded.size = 8
    assert isinstance(recorded, Plain)
    assert type(recorded).__name__ == "Plain"
    assert model.size == 4
    assert Plain.embed_query is type(model).embed_query


def test_async_calls_are_recorded_and_served(path: Path) -> None:
    async def run(model: Embeddings) -> Any:
        return await model.aembed_documents(["a", "b"]), await model.aembed_query("q")

    live = asyncio.run(run(with_recording(Plain(), path, mode="once")))
    assert asyncio.run(run(with_recording(silent(), path))) == live
    # A text is recorded for both forms of the call.
    assert with_recording(silent(), path).embed_documents(["b"]) == [live[0][1]]


def test_only_missing_texts_of_a_batch_are_embedded(path: Path) -> None:
    first = with_recording(Plain(), path, mode="once").embed_documents(["a", "c"])
    model = Plain()
    recording = Recording(path, "new_episodes")
    again = with_recording(model, recording).embed_documents(["a", "b", "c", "d"])
    assert again == [first[0], vector_of("b"), first[1], vector_of("d")]
    assert model.calls == [["b", "d"]]
    assert (recording.counts.replayed, recording.counts.recorded) == (2, 2)
    assert len(lines(path)) == 4


def test_all_replaces_the_vector_of_a_text_and_prunes_the_texts_that_are_gone(path: Path) -> None:
    with_recording(Plain(), path, mode="once").embed_documents(["a", "b"])
    with Recording(path, "all") as recording:
        with_recording(Plain(size=6), recording).embed_documents(["b"])
        assert [call.request.body["input"] for call in recording.unused()] == [{"document": "a"}]
        assert recording.prune() == 1
    assert with_recording(silent(), path).embed_documents(["b"]) == [vector_of("b", 6)]
    assert len(lines(path)) == 1


def test_unused_texts_are_listed_and_pruned(path: Path) -> None:
    with_recording(Plain(), path, mode="once").embed_documents(["a", "b", "c"])
    with Recording(path) as recording:
        with_recording(silent(), recording).embed_documents(["b", "b"])
        assert recording.counts.replayed == 2
        assert [call.location for call in recording.unused()] == ["line 2", "line 4"]
        assert recording.prune() == 2
    assert texts(path) == [{"document": "b"}]


def test_a_text_that_is_not_recorded_is_shown_beside_the_nearest_one(path: Path) -> None:
    with_recording(Plain(), path, mode="once").embed_documents(["A cat has 4 legs.", "Tables have 4 legs."])
    with pytest.raises(NoRecording) as missed:
        with_recording(silent(), path).embed_documents(["A cat has 4 legs.", "A bat has 2 legs."])
    assert "-input.document: A cat has 4 legs." in str(missed.value)
    assert "+input.document: A bat has 2 legs." in str(missed.value)
    with pytest.raises(NoRecording, match=r"input\.query: A cat has 4 legs"):
        with_recording(silent(), path).embed_query("A cat has 4 legs.")


def test_two_models_embed_the_same_text(path: Path) -> None:
    with Recording(path, "once") as recording:
        models = [Plain(4), Plain(6), Plain(4, "plain-2"), HuggingFaceLike()]
        live = [with_recording(model, recording).embed_query("a") for model in models]
    assert len(lines(path)) == 4
    recording = Recording(path)
    for _ in range(2):
        served = [with_recording(model, recording).embed_query("a") for model in models]
        assert served == live


# --- ends of calls ---


def test_an_error_is_raised_once_for_the_batch_and_then_the_retry_succeeds(path: Path) -> None:
    model = Plain()
    model.failure = ValueError("429 slow down")
    recorded = with_recording(model, path, mode="once")

    def run(model: Plain) -> Any:
        with pytest.raises(ValueError, match="429 slow down"):
            model.embed_documents(["a", "b"])
        recorded.failure = None
        return model.embed_documents(["a", "b"])

    live = run(recorded)
    assert len(lines(path)) == 4
    replayed = with_recording(silent(), path)
    assert run(replayed) == live
    assert replayed.embed_documents(["b"]) == [live[1]]


def test_errors_are_left_out_on_request(path: Path) -> None:
    model = Plain()
    model.failure = ValueError("429 slow down")
    with pytest.raises(ValueError, match="slow down"):
        with_recording(model, path, mode="all", record_errors=False).embed_query("a")
    assert not path.exists()


class Slow(Plain):
    async def aembed_query(self, text: str) -> list[float]:
        await asyncio.sleep(30)
        return []


def test_a_cancelled_call_is_served_by_waiting(path: Path) -> None:
    async def run(model: Embeddings) -> str:
        try:
            await asyncio.wait_for(model.aembed_query("a"), 0.05)
        except asyncio.TimeoutError:
            return "given up"
        return "answered"

    assert asyncio.run(run(with_recording(Slow(), path, mode="once"))) == "given up"
    assert lines(path)[0]["answer"] == {"stopped": True, "given_up": True}
    assert asyncio.run(run(with_recording(Slow(), path))) == "given up"


def test_concurrent_calls_end_in_the_recorded_order(path: Path) -> None:
    with_recording(Plain(), path, mode="once").embed_query("1")
    with_recording(Plain(), path, mode="new_episodes").embed_query("2")
    with_recording(Plain(), path, mode="new_episodes").embed_query("3")
    header, *recorded = path.read_text(encoding="utf-8").splitlines()
    timed = [re.sub(r'"ms":\[\d+\]', f'"ms":[{ms}]', line) for ms, line in zip((10, 20, 30), recorded, strict=True)]
    path.write_text("\n".join([header, *timed, ""]), encoding="utf-8")

    async def run(model: Embeddings) -> list[int]:
        ended: list[int] = []

        async def embed(number: int) -> None:
            await model.aembed_query(str(number))
            ended.append(number)

        await asyncio.gather(*map(embed, (3, 1, 2)))
        return ended

    assert asyncio.run(run(with_recording(silent(), path))) == [1, 2, 3]


def test_a_model_that_returns_another_number_of_vectors_is_reported_and_not_recorded(path: Path) -> None:
    class Short(Plain):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[1.0]]

    with pytest.warns(UserWarning, match="1 vectors for 2 texts"):
        assert with_recording(Short(), path, mode="all").embed_documents(["a", "b"]) == [[1.0]]
    assert not path.exists()


# --- the file ---


def test_a_long_vector_is_in_a_separate_file_and_the_text_stays_readable(path: Path) -> None:
    live = with_recording(Plain(1536), path, mode="once").embed_query("Where?")
    assert len(path.read_bytes()) < 500
    assert '{"query":"Where?"}' in path.read_text(encoding="utf-8")
    (blob,) = (path.parent / "blobs").iterdir()
    assert blob.stat().st_size == 4 * 1536
    assert with_recording(Plain(1536), path).embed_query("Where?") == live
    with Recording(path) as recording:
        assert recording.prune() == 1
    assert not list((path.parent / "blobs").iterdir())


def test_redact_receives_the_texts_and_keys_are_removed(path: Path) -> None:
    seen: list[Any] = []

    def redact(part: dict[str, Any]) -> dict[str, Any]:
        seen.append(part)
        text = part.get("input", {}).get("query", "")
        return {"input": {"query": text.replace("Ann", "NAME").replace("Bob", "NAME")}} if text else part

    class Keyed(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.api_key = "sk-secret-0123456789"

    with_recording(Keyed(), path, mode="once", redact=redact).embed_query("Ann has sk-secret-0123456789")
    assert "Ann" not in path.read_text(encoding="utf-8")
    assert "sk-secret" not in path.read_text(encoding="utf-8")
    assert seen[1].keys() == {"vector"}
    served = with_recording(Keyed(), path, redact=redact).embed_query("Bob has sk-secret-0123456789")
    assert served == vector_of("query: Ann has sk-secret-0123456789")


def test_match_compares_the_model_and_its_settings_on_request(path: Path) -> None:
    match = ["messages", "model", "model_settings"]
    with_recording(Plain(), path, mode="once", match=match).embed_query("a")
    assert with_recording(silent(), path, match=match).embed_query("a")
    for other in (Plain(6), Plain(model="plain-2")):
        with pytest.raises(NoRecording):
            with_recording(other, path, match=match).embed_query("a")
    # By default another model is served, as for chat models.
    assert with_recording(Plain(6), path).embed_query("a") == vector_of("query: a")


def test_options_of_a_call_choose_among_equal_texts(path: Path) -> None:
    class Tasked(Plain):
        def embed_documents(self, texts: list[str], task: str = "x", chunk_size: int = 0) -> list[list[float]]:
            return [vector_of(task + text) for text in texts]

    recorded = with_recording(Tasked(), path, mode="once")
    live = [recorded.embed_documents(["a"], "y"), recorded.embed_documents(texts=["a"], task="z", chunk_size=3)]
    assert [line["settings"]["task"] for line in lines(path)] == ["y", "z"]
    assert "chunk_size" not in lines(path)[1]["settings"]
    replayed = with_recording(Tasked(), path)
    served = [replayed.embed_documents(["a"], task="y"), replayed.embed_documents(["a"], task="z", chunk_size=9)]
    assert served == live


def test_a_recorded_model_is_copied_and_pickled(path: Path) -> None:
    live = with_recording(HuggingFaceLike(), path, mode="once").embed_query("a")
    plain = with_recording(Plain(), path, mode="new_episodes").embed_query("b")
    for model, text, vector in ((HuggingFaceLike(), "a", live), (silent(), "b", plain)):
        replayed = with_recording(model, path)
        for again in (copy.copy(replayed), copy.deepcopy(replayed), pickle.loads(pickle.dumps(replayed))):  # noqa: S301
            assert again.embed_query(text) == vector
            assert type(again).__name__ == type(model).__name__


def test_two_sizes_of_a_fake_are_two_models(path: Path) -> None:
    with record_all(path, mode="once"):
        live = [DeterministicFakeEmbedding(size=size).embed_query("a") for size in (4, 6)]
    with record_all(path):
        assert [DeterministicFakeEmbedding(size=size).embed_query("a") for size in (6, 4)] == live[::-1]


def test_methods_that_are_no_functions_are_recorded(path: Path) -> None:
    class Decorated:
        """A method as a compiler or a decorator makes it: without a signature."""

        __signature__ = "none"

        def __get__(self, model: Any, owner: type) -> Any:
            return lambda texts: [vector_of(text) for text in texts]

    class Compiled(Plain):
        embed_documents = Decorated()

    with record_all(path, mode="once"):
        Compiled().embed_documents(["a"])
        Compiled().embed_documents(texts=["b"])
    assert texts(path) == [{"document": "a"}, {"document": "b"}]
    with pytest.raises(TypeError, match="misses its argument"):
        with_recording(Compiled(), path).embed_documents()


def test_a_class_with_slots_is_recorded(path: Path) -> None:
    class Slotted(Embeddings):
        __slots__ = ("__private", "unset", "words")

        def __init__(self) -> None:
            self.words, self.__private = ["a"], 1.0

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[float(len(self.words)), self.__private] for _ in texts]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    assert with_recording(Slotted(), path, mode="once").embed_query("a") == [1.0, 1.0]
    assert with_recording(Slotted(), path).embed_query("a") == [1.0, 1.0]


# --- load ---


def test_load_makes_embeddings_of_a_recording(path: Path) -> None:
    live = with_recording(HuggingFaceLike(), path, mode="once").embed_documents(["a", "b"])
    loaded = load(path)
    assert isinstance(loaded, Embeddings)
    assert loaded.embed_documents(["b", "a"]) == live[::-1]
    assert load(path, HuggingFaceLike).embed_documents(["a"]) == live[:1]
    assert load(path, Plain, size=9).embed_documents(["a"]) == live[:1]
    with pytest.raises(NoRecording):
        loaded.embed_query("a")


# --- record_all ---


def test_record_all_reaches_classes_that_exist_and_classes_that_are_defined_later(path: Path) -> None:
    early = Plain()
    before = dict(vars(Plain)), dict(vars(Embeddings)), dict(vars(HuggingFaceLike))
    with record_all(path, mode="once") as recording:

        class Late(Embeddings):
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return [vector_of(f"late {text}") for text in texts]

            def embed_query(self, text: str) -> list[float]:
                return self.embed_documents([text])[0]

            async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
                return self.embed_documents(texts)

        class LateModel(BaseModel, Embeddings):
            async def aembed_query(self, text: str) -> list[float]:
                return vector_of(f"model {text}")

            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return []

            def embed_query(self, text: str) -> list[float]:
                return []

        class Child(Late):
            def embed_query(self, text: str) -> list[float]:
                return super().embed_query(f"child {text}")

        def run() -> list[Any]:
            return [
                early.embed_query("1"),
                HuggingFaceLike().embed_documents(["2"]),
                DeterministicFakeEmbedding(size=4).embed_query("3"),
                Late().embed_query("4"),
                asyncio.run(Late().aembed_documents(["5"])),
                asyncio.run(LateModel().aembed_query("6")),
                Child().embed_query("7"),
            ]

        live = run()
        assert recording.counts.recorded == 7
    assert (dict(vars(Plain)), dict(vars(Embeddings)), dict(vars(HuggingFaceLike))) == before
    assert "__wrapped__" not in vars(Late.embed_query)
    early.failure = AssertionError("a live call")
    with record_all(path) as recording:
        assert run() == live
        assert (recording.counts.replayed, recording.unused()) == (7, [])


def test_a_thread_of_the_model_adds_no_calls(path: Path) -> None:
    class Threaded(Plain):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            found: dict[str, list[float]] = {}

            def one(text: str) -> None:
                found[text] = self.embed_query(text)

            threads = [threading.Thread(target=one, args=[text]) for text in texts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return [found[text] for text in texts]

    with record_all(path, mode="once"):
        Threaded().embed_documents(["a", "b"])
    assert texts(path) == [{"document": "a"}, {"document": "b"}]


def test_a_model_with_its_own_recording_keeps_it(path: Path, tmp_path: Path) -> None:
    with record_all(tmp_path / "all.jsonl", mode="once"):
        with_recording(Plain(), path, mode="once").embed_query("a")
    assert texts(path) == [{"query": "a"}]
    assert not (tmp_path / "all.jsonl").exists()


def test_a_vector_store_is_filled_and_searched_from_a_recording(path: Path) -> None:
    def search(model: Embeddings) -> list[str]:
        store = InMemoryVectorStore(model)
        store.add_texts(["A cat has 4 legs.", "A bird has 2 wings."])
        return [found.page_content for found in store.similarity_search("legs", k=2)]

    with record_all(path, mode="once"):
        live = search(Plain())
    with record_all(path):
        assert search(silent()) == live


class OnClass(Embeddings):
    """Its methods need no object."""

    calls: ClassVar[list[Any]] = []

    @staticmethod
    def embed_documents(texts: list[str], size: int = 4) -> list[list[float]]:
        OnClass.calls.append(texts)
        return [vector_of(text, size) for text in texts]

    @classmethod
    def embed_query(cls, text: str) -> list[float]:
        return cls.embed_documents([text])[0]


class OnClassOfPydantic(BaseModel, OnClass):
    model: str = "m-1"


@pytest.mark.parametrize("cls", [OnClass, OnClassOfPydantic])
def test_methods_of_a_class_are_recorded_and_served_without_an_object(path: Path, cls: Any) -> None:
    methods = [vars(OnClass)[name] for name in ("embed_documents", "embed_query")]
    found = []
    for mode in ("once", "none"):
        OnClass.calls.clear()
        with record_all(path, mode):
            found.append([cls.embed_documents(["a", "b"], 5), cls.embed_query("c"), cls().embed_query(text="c")])
            found[-1].append(cls.embed_documents(texts=["a"], size=5))
            assert cls.embed_query.__name__ == "embed_query"
    assert (found[0], OnClass.calls) == (found[1], [])
    assert [line.get("settings") or None for line in lines(path)] == [{"size": 5}, {"size": 5}, None]
    assert [vars(OnClass)[name] for name in ("embed_documents", "embed_query")] == methods
    assert cls.embed_query("c") == vector_of("c")


class Abstract(Embeddings):
    @staticmethod
    def embed_query(text: str) -> list[float]:
        return vector_of(text)


def test_a_class_without_objects_is_called_live(path: Path) -> None:
    with record_all(path, "all"):
        assert Abstract.embed_query("a") == vector_of("a")
