"""LangChain's and LangGraph's caches neither hide calls from a recording nor keep replayed responses."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from langchain_community.cache import SQLiteCache
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListChatModel
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter
from langgraph.cache.memory import InMemoryCache as NodeCache
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy

from plsync.replay import Recording, load, record_all, with_recording
from tests.support.replaying import lines


class App(FakeListChatModel):
    """Its parameters do not hold its answers, like the parameters of a provider's model."""

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"a": 1}


class Text(FakeListLLM):
    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"a": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture(autouse=True)
def no_global_cache() -> Iterator[None]:
    yield
    set_llm_cache(None)


def stored(cache: BaseCache) -> bool:
    return bool(getattr(cache, "_cache", None))


@pytest.mark.parametrize("model_class", [App, Text])
@pytest.mark.parametrize("place", ["global", "global, named by the model", "the model's own"])
@pytest.mark.parametrize("way", ["record_all", "with_recording"])
async def test_a_cache_is_not_used(path: Path, model_class: Any, place: str, way: str) -> None:
    cache = InMemoryCache()
    if place != "the model's own":
        set_llm_cache(cache)
    field = {"global": None, "global, named by the model": True, "the model's own": cache}[place]

    async def call(mode: Literal["all", "none"], answer: str) -> list[str]:
        model = model_class(responses=[answer], cache=field)
        with record_all(path, mode) if way == "record_all" else Recording(path, mode) as recording:
            if way == "with_recording":
                model = with_recording(model, recording)
            answers = [model.invoke("q"), await model.ainvoke("r"), *model.batch(["s"])]
        return [getattr(found, "content", found) for found in answers]

    assert await call("all", "first") == ["first"] * 3
    assert await call("all", "second") == ["second"] * 3
    assert len(lines(path)) == 3
    assert await call("none", "live") == ["second"] * 3
    assert not stored(cache)
    # Outside of a recording the cache works as before.
    model = model_class(responses=["a", "b"], cache=field)
    assert str(model.invoke("q")) != ""
    assert stored(cache)


def test_answers_in_a_persistent_cache_do_not_hide_calls(path: Path, tmp_path: Path) -> None:
    set_llm_cache(SQLiteCache(str(tmp_path / "cache.db")))
    assert App(responses=["cached"]).invoke("q").content == "cached"
    with record_all(path, "once") as recording:
        assert App(responses=["live"]).invoke("q").content == "live"
    assert recording.counts.recorded == 1
    assert "cached" in App(responses=["-"]).invoke("q").content


def test_a_loaded_model_stores_nothing_in_a_cache(path: Path) -> None:
    with record_all(path, "once"):
        App(responses=["a"]).invoke("q")
    cache = InMemoryCache()
    set_llm_cache(cache)
    assert load(path).invoke("q").content == "a"
    assert not stored(cache)


# --- LangGraph ---


class State(TypedDict):
    answer: str


def graph(cache: Any, answer: str) -> Any:
    def node(state: State) -> State:
        return {"answer": str(App(responses=[answer]).invoke("q").content)}

    builder = StateGraph(State)
    builder.add_node("node", node, cache_policy=CachePolicy())
    builder.add_edge(START, "node")
    return builder.compile(cache=cache)


async def test_the_cache_of_nodes_is_not_used(path: Path) -> None:
    cache: Any = NodeCache()
    assert graph(cache, "cached").invoke({"answer": ""}) == {"answer": "cached"}
    with record_all(path, "once"):
        assert graph(cache, "live").invoke({"answer": ""}) == {"answer": "live"}
        assert await graph(cache, "live").ainvoke({"answer": ""}) == {"answer": "live"}
    assert len(lines(path)) == 2
    with record_all(path) as recording:
        assert await graph(cache, "-").ainvoke({"answer": ""}) == {"answer": "live"}
        assert graph(cache, "-").invoke({"answer": ""}) == {"answer": "live"}
        assert recording.counts.replayed == 2
    assert graph(cache, "-").invoke({"answer": ""}) == {"answer": "cached"}


def test_a_graph_clears_its_own_cache_inside_a_block(path: Path) -> None:
    cache: Any = NodeCache()
    app = graph(cache, "live")
    app.invoke({"answer": ""})
    with record_all(path, "once"):
        app.clear_cache()
        with pytest.raises(ValueError, match="No cache is set"):
            graph(None, "live").clear_cache()
    assert app.invoke({"answer": ""}) == {"answer": "live"}
    assert not lines(path) if path.exists() else True


def test_the_cache_of_tasks_is_not_used(path: Path) -> None:
    cache: Any = NodeCache()
    answers = ["cached"]

    def work(question: str) -> str:
        return str(App(responses=answers[-1:]).invoke(question).content)

    decorator: Any = task(cache_policy=CachePolicy())
    cached = decorator(work)

    @entrypoint(cache=cache)
    def program(question: str) -> str:
        return str(cached(question).result())

    assert program.invoke("q") == program.invoke("q") == "cached"
    answers.append("live")
    with record_all(path, "once"):
        assert [program.invoke("q"), program.invoke("q")] == ["live", "live"]
    answers.append("-")
    with record_all(path) as replay:
        assert [program.invoke("q"), program.invoke("q")] == ["live", "live"]
        assert replay.unused() == []
    assert program.invoke("q") == "cached"


LATE_IMPORT = """
import sys
from plsync.replay import record_all
with record_all(sys.argv[1], "once"):
    assert "langgraph.pregel.main" not in sys.modules
    from langgraph.graph import START, StateGraph
    from langgraph.types import CachePolicy
    from langgraph.cache.memory import InMemoryCache
    from langchain_core.language_models import FakeListChatModel
    builder = StateGraph(dict)
    model = FakeListChatModel(responses=["x"])
    builder.add_node("n", lambda state: model.invoke("q") and {}, cache_policy=CachePolicy())
    builder.add_edge(START, "n")
    graph = builder.compile(cache=InMemoryCache())
    graph.invoke({"a": 1}), graph.invoke({"a": 1})
from langgraph.pregel import Pregel
assert vars(Pregel)["cache"] is None
"""


def test_the_cache_of_nodes_is_hidden_when_langgraph_is_imported_inside_a_block(path: Path) -> None:
    subprocess.run([sys.executable, "-c", LATE_IMPORT, str(path)], check=True)
    assert len(lines(path)) == 2


# --- the rate limiter ---


class Limiter(BaseRateLimiter):
    """Counts the calls that wait for it."""

    waited: int = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.waited += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.waited += 1
        return True


@pytest.mark.parametrize("way", ["record_all", "with_recording"])
async def test_only_live_calls_wait_for_the_rate_limiter(path: Path, way: str) -> None:
    async def call(mode: Any, *more: str) -> int:
        limiter = Limiter()
        model = App(responses=["a"], rate_limiter=limiter)
        block = record_all(path, mode)
        if way == "with_recording":
            model = with_recording(model, path, mode)
            block = record_all(path.with_name("unused.jsonl"), mode)
        with block:
            model.invoke("a")
            await model.ainvoke("b")
            list(model.stream("c"))
            [chunk async for chunk in model.astream("d")]
            for question in more:
                model.invoke(question)
        return limiter.waited

    assert await call("once") == 4
    assert await call("once") == 0
    assert await call("none") == 0
    assert await call("new_episodes", "e") == 1
    assert await call("all") == 4


def test_a_suite_does_not_wait_for_langchains_limiter(path: Path) -> None:
    limiter = InMemoryRateLimiter(requests_per_second=0.001, max_bucket_size=1, check_every_n_seconds=0.01)
    with record_all(path, "once"):
        App(responses=["a"]).invoke("q")
    start = time.monotonic()
    for mode in ("none", "once", "new_episodes"):
        with record_all(path, mode):
            App(responses=["a"], rate_limiter=limiter).invoke("q")
    assert time.monotonic() - start < 30
