"""One handler in many threads and processes, copied and pickled. Recording opens no socket."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListLLM

from plsync import PromptLayerCallbackHandler
from plsync.callbacks import sinks
from tests.support import programs
from tests.support.models import Chat, records, texts


def called(handler: PromptLayerCallbackHandler, text: str = "yes") -> None:
    FakeListLLM(responses=[text]).invoke("hi", {"callbacks": [handler]})


def test_many_threads_record_every_call(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: called(handler, str(number)), range(200)))
    assert sorted(int(texts(record)[0]) for record in records(path)) == list(range(200))


def test_copies_are_the_handler_itself(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    model = Chat(callbacks=[handler])
    assert copy.copy(handler) is copy.deepcopy(handler) is handler
    assert model.model_copy(deep=True).callbacks == [handler]
    assert len({handler, copy.copy(handler)}) == 1


def test_a_pickled_handler_records_into_the_same_journal(path: Path) -> None:
    handler = PromptLayerCallbackHandler(lambda _: None, ["mine"], journal=path, content=False)
    called(pickle.loads(pickle.dumps(handler)))  # noqa: S301 - our own bytes
    (record,) = records(path)
    assert (record.tags, record.redacted) == (["mine"], True)
    assert record.sink == sinks.sink_name(handler._callback)  # type: ignore[arg-type]


def on_id(request_id: int) -> None:
    """A callback that other processes can import."""


def test_an_importable_callback_is_pickled_with_its_handler(path: Path) -> None:
    handler = PromptLayerCallbackHandler(on_id, journal=path)
    assert pickle.loads(pickle.dumps(handler))._callback is on_id  # noqa: S301 - our own bytes


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_process_records_beside_its_parent(method: str, path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    called(handler, "before")
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=called, args=(handler, "child"))
    child.start()
    called(handler, "after")
    child.join(60)
    assert child.exitcode == 0
    assert sorted(texts(record)[0] for record in records(path)) == ["after", "before", "child"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_call_that_is_open_at_a_fork_ends_once_in_the_parent(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)

    def fork_and_answer(_: Any) -> Any:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return Chat().reply([])

    Chat(reply=fork_and_answer).invoke("hi", {"callbacks": [handler]})
    assert [record.status for record in records(path)] == ["ok"]


def test_recording_opens_no_socket_and_imports_no_client(path: Path) -> None:
    program = """
    import sys
    from plsync.recorder.handler import PromptLayerCallbackHandler
    unwanted = {"httpx", "promptlayer", "langchain_core.language_models", "socket"} & set(sys.modules)
    from langchain_core.language_models import FakeListLLM
    opened = []  # set after the imports: urllib3, which LangChain imports, opens a local socket
    sys.addaudithook(lambda event, _: opened.append(event) if event.startswith("socket.") else None)
    handler = PromptLayerCallbackHandler(print, journal=sys.argv[1])
    FakeListLLM(responses=["yes"]).invoke("hi", {"callbacks": [handler]})
    print(unwanted or "", opened or "")
    """
    done = programs.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []
    assert len(records(path)) == 1


def test_a_program_killed_in_a_call_leaves_its_question(path: Path) -> None:
    program = """
    import os, sys
    from langchain_core.language_models.llms import LLM
    from plsync import PromptLayerCallbackHandler

    class Last(LLM):
        @property
        def _llm_type(self): return "last"
        def _call(self, *args, **kwargs): os.kill(os.getpid(), 9)

    Last().invoke("the last words", {"callbacks": [PromptLayerCallbackHandler(journal=sys.argv[1])]})
    """
    programs.run([sys.executable, "-c", textwrap.dedent(program), str(path)], check=False, capture_output=True)
    (record,) = records(path)
    assert (record.input, record.status) == (["the last words"], "error")
    assert record.error is not None
    assert record.error["type"] == "Abandoned"
