"""Many processes, threads and event loops write one journal. The journal has every call, and it is sound."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListLLM

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import JournalError
from tests.support.calls import acknowledge
from tests.support.forks import exit_code, forked
from tests.support.models import Chat, records, texts

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")

EACH = range(20)


def work(handler: PromptLayerCallbackHandler, who: str) -> None:
    """Call from many threads and from an event loop at the same time."""
    config: Any = {"callbacks": [handler]}

    def model(way: str, number: int) -> FakeListLLM:
        return FakeListLLM(responses=[f"{who} {way} {number}"])

    async def both() -> None:
        threads = [asyncio.to_thread(model("thread", number).invoke, "hi", config) for number in EACH]
        tasks = [model("task", number).ainvoke("hi", config) for number in EACH]
        await asyncio.gather(*threads, *tasks)

    asyncio.run(both())


def answers(workers: Iterable[str]) -> list[str]:
    """The answers to the calls of these workers."""
    return sorted(f"{who} {way} {number}" for who in workers for way in ("thread", "task") for number in EACH)


def holds(path: Path, expected: list[str]) -> None:
    """Assert that the journal has each call once, and that frames and records are sound."""
    with Journal.open(path) as journal:
        spooled = journal.check()
        assert (spooled.problems, spooled.events + spooled.frames > 0) == ([], True)
        receipt = journal.flush()
        found = list(journal.records())
        assert sorted(text for record in found for text in texts(record)) == expected
        assert receipt.journaled == len(found)
        checked = journal.check()
        assert (checked.problems, checked.records) == ([], len(found))


def test_threads_and_event_loops_share_a_handler(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [handler] * 4, "abcd"))
    holds(path, answers("abcd"))


def test_handlers_of_one_process_share_a_journal(path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda who: work(PromptLayerCallbackHandler(journal=path), who), "abcd"))
    holds(path, answers("abcd"))


@forks
def test_workers_use_a_handler_and_a_journal_from_before_the_fork(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    work(handler, "loading")
    with Journal.open(path) as journal:  # open in the parent, like the handler
        assert journal.flush().journaled == len(answers(["loading"]))
        workers = [forked(lambda who=who: work(handler, who)) for who in "abcd"]  # type: ignore[misc]
        work(handler, "parent")
        assert [exit_code(pid) for pid in workers] == [0] * 4
    holds(path, answers(["loading", "parent", *"abcd"]))


@forks
def test_a_worker_reads_the_journal_that_was_open_before_it_was_forked(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    work(handler, "loading")
    with Journal.open(path) as journal:
        journal.flush()

        def read() -> None:
            work(handler, "a")
            assert len(list(journal.records())) == len(answers(["loading", "a"]))

        assert exit_code(forked(read)) == 0
    holds(path, answers(["loading", "a"]))


@forks
def test_a_worker_killed_in_a_call_loses_no_call_of_another_worker(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    work(handler, "loading")

    def dies() -> None:
        work(handler, "first")
        Chat(reply=lambda _: os.kill(os.getpid(), signal.SIGKILL)).invoke("last words", {"callbacks": [handler]})

    killed = forked(dies)
    others = [forked(lambda who=who: work(handler, who)) for who in "ab"]  # type: ignore[misc]
    assert exit_code(killed) == -signal.SIGKILL
    others.append(forked(lambda: work(handler, "instead")))
    assert [exit_code(pid) for pid in others] == [0] * 3
    holds(path, answers(["loading", "first", "a", "b", "instead"]))
    (lost,) = [record for record in records(path) if record.status == "error"]
    assert lost.error is not None
    assert lost.error["type"] == "Abandoned"
    assert lost.input[0]["content"] == "last words"


@forks
def test_each_worker_receives_the_ids_of_the_calls_that_it_made(path: Path) -> None:
    reading, writing = os.pipe()
    stop, hold = os.pipe()
    handler = PromptLayerCallbackHandler(lambda _: os.write(writing, f"{os.getpid()}\n".encode()), journal=path)
    Chat().invoke("hi", {"callbacks": [handler]})

    def serve() -> None:
        os.close(hold)  # so that the read below returns when the parent ends
        Chat().invoke("hi", {"callbacks": [handler]})
        os.write(writing, b"called\n")
        os.read(stop, 1)

    worker = forked(serve)
    with open(reading, encoding="ascii") as lines:
        assert lines.readline() == "called\n"
        assert acknowledge(path) == 2
        assert {int(lines.readline()), int(lines.readline())} == {os.getpid(), worker}
    os.close(hold)
    assert exit_code(worker) == 0
    os.close(stop)
    os.close(writing)


@pytest.mark.skipif(sys.platform != "linux", reason="where LMDB marks its readers by their ids")
def test_a_process_of_the_same_id_in_another_container_is_named(path: Path) -> None:
    with Journal.open(path, create=True):
        pass
    # Locks the file like LMDB in that process.
    program = (
        "import fcntl, sys; lock = open(sys.argv[1], 'rb+'); fcntl.lockf(lock, fcntl.LOCK_EX, 1, int(sys.argv[2]))"
    )
    command = [sys.executable, "-c", f"{program}; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(
        [*command, str(path / "lmdb" / "lock.mdb"), str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(JournalError, match="in another container"):
            Journal.open(path)
        other.communicate()
    Journal.open(path).close()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_pool_of_processes_records_beside_its_parent(method: str, path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    work(handler, "before")
    with ProcessPoolExecutor(3, multiprocessing.get_context(method)) as pool:
        pending = [pool.submit(work, handler, who) for who in "abcdef"]
        work(handler, "parent")
        for one in pending:
            one.result(60)
    holds(path, answers(["before", "parent", *"abcdef"]))
