"""A full disk: the model call continues, recorded calls are kept, and each loss is counted and shown."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListLLM
from langchain_core.runnables import RunnableConfig

from plsync import Journal, PlsyncWarning, PromptLayerCallbackHandler
from plsync.errors import JournalError
from tests.support.full_disk import fill, small_disk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path) as disk:
        yield disk


def test_calls_continue_and_recorded_calls_stay_and_losses_are_counted(disk: Path) -> None:
    path = disk / "journal"
    handler = PromptLayerCallbackHandler(journal=path)
    model = FakeListLLM(responses=["Paris"])
    config: RunnableConfig = {"callbacks": [handler]}
    with Journal.open(path, create=True) as journal:
        model.invoke("before", config=config)
        assert journal.flush().journaled == 1
        ballast = fill(disk)
        # Larger than the rest of the segment, which has its room already.
        with warnings.catch_warnings():
            # The process shows one warning, and another test may have caused it.
            warnings.simplefilter("ignore", PlsyncWarning)
            assert model.invoke("x" * (1 << 20), config=config) == "Paris"
        ballast.unlink()
        assert model.invoke("after", config=config) == "Paris"
        journal.flush()
        stats = journal.stats()
        assert stats.failures >= 1
        assert "No space left" in (stats.last_failure or "")
        kept = [record.input for record in journal.records(oldest_first=True) if record.input]
        assert kept == [["before"], ["after"]]
        assert journal.check().problems == []


def test_a_flush_on_a_full_disk_raises_and_the_spool_is_ingested_later(disk: Path) -> None:
    path = disk / "journal"
    handler = PromptLayerCallbackHandler(journal=path)
    model = FakeListLLM(responses=["Paris"])
    with Journal.open(path, create=True) as journal:
        model.invoke("before", config={"callbacks": [handler]})
        journal.flush()
        for number in range(20):
            model.invoke(f"small {number}", config={"callbacks": [handler]})
        # It does not compress, and it is larger than the space that the store keeps for itself.
        large = random.Random(1).randbytes(700_000).hex()  # noqa: S311
        model.invoke("waits " + large, config={"callbacks": [handler]})
        ballast = fill(disk)
        with pytest.raises(JournalError, match="free some space"):
            flush_until_full(journal, model, handler)
        ballast.unlink()
        journal.flush()
        inputs = [record.input[0] for record in journal.records(oldest_first=True) if record.input]
        assert (
            inputs[0] == "before"
            and inputs[1:21] == [f"small {number}" for number in range(20)]
            and inputs[21].startswith("waits ")
        )
        assert journal.check().problems == []


def flush_until_full(journal: Journal, model: FakeListLLM, handler: PromptLayerCallbackHandler) -> None:
    """Call and flush until the disk refuses. The store uses its free pages first."""
    for number in range(50):
        journal.flush()
        model.invoke(f"more {number} " + "".join(map(str, range(300))), config={"callbacks": [handler]})


def test_losses_before_the_first_recorded_call_are_counted(disk: Path) -> None:
    path = disk / "journal"
    ballast = fill(disk)
    handler = PromptLayerCallbackHandler(journal=path)
    model = FakeListLLM(responses=["Paris"])
    config: RunnableConfig = {"callbacks": [handler]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlsyncWarning)
        assert model.invoke("lost", config=config) == "Paris"
    ballast.unlink()
    model.invoke("recorded", config=config)
    with Journal.open(path) as journal:
        stats = journal.stats()
        assert stats.failures >= 1
        assert "No space left" in (stats.last_failure or "")
        assert [record.input for record in journal.records() if record.input] == [["recorded"]]
