"""A recording runs no code of a program, and a malformed value is an error with the file and the line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_core.language_models import FakeListLLM

from plsync.errors import NoRecording, RecordedError, RecordingFormatError, ReplayError
from plsync.replay import with_recording
from plsync.replay.response.exceptions import rebuild_error
from plsync.replay.response.packing import pack
from plsync.replay.response.restore import Restorer
from plsync.replay.storage.same_response import same_response
from tests.support.embeddings import Plain
from tests.support.hostile_recordings import GADGET_VALUES, GADGETS, VALUES, mutated, paths, replaced
from tests.support.models import Chat, StreamingChat
from tests.support.replaying import lines, recorded, replayed

# Each line is used in every form with PLSYNC_HOSTILE, and in one of the forms without it.
EVERY = "PLSYNC_HOSTILE" in os.environ
COUNT = int(os.environ.get("PLSYNC_HOSTILE", "150"))
HEADER = '{"plsync":"recording","format":1}\n'


def _uses(kind: str) -> list[Any]:
    """Functions that replay one call in each form."""
    if kind == "text":
        return [lambda path: replayed(FakeListLLM(responses=["live"]), path).invoke("Where?")]
    if kind == "vector":
        return [lambda path: with_recording(Plain(), path).embed_query("Where?")]
    model = StreamingChat if kind == "stream" else Chat
    return [
        lambda path: replayed(model(), path).invoke("Where?"),
        lambda path: list(replayed(model(), path).stream("Where?")),
    ]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The line of a whole answer, of a stream, of a text model, of an error and of a vector."""
    directory = tmp_path_factory.mktemp("recorded")
    recorded(Chat(), directory / "chat").invoke("Where?")
    list(recorded(StreamingChat(), directory / "stream").stream("Where?"))
    recorded(FakeListLLM(responses=["there"]), directory / "text").invoke("Where?")
    with_recording(Plain(), directory / "vector", mode="once").embed_query("Where?")
    found = {kind: lines(directory / kind)[0] for kind in ("chat", "stream", "text", "vector")}
    error = {"class": "builtins:KeyError", "bases": [], "message": "'a'", "args": ["a"], "attributes": {"b": 1}}
    return {**found, "error": {**found["chat"], "answer": {"error": error}}}


def _faults(line: str, kind: str, path: Path) -> list[str]:
    """The exceptions of a replay that a program cannot expect."""
    path.write_text(HEADER + line + "\n", encoding="utf-8", errors="surrogatepass")
    faults = []
    uses = _uses(kind)
    for use in uses if EVERY else [uses[len(line) % len(uses)]]:
        try:
            use(path)
        except (ReplayError, RecordedError, NoRecording):
            continue
        except (IndexError, ValueError) as error:
            # LangChain's error for a model that returns nothing.
            if str(error) not in ("list index out of range", "No generation chunks were returned") and kind != "error":
                faults.append(f"{type(error).__name__}: {error}"[:300])
        except Exception as error:
            # A recorded exception is raised as its own class.
            if kind != "error":
                faults.append(f"{type(error).__name__}: {error}"[:300])
    return faults


@pytest.mark.parametrize("kind", ["chat", "stream", "text", "error", "vector"])
@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in VALUES.items()])
def test_a_malformed_value_is_refused_with_its_file_and_line(
    value: Any, kind: str, recordings: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    line, path = recordings[kind], tmp_path / "calls.jsonl"
    for at in paths(line["answer"]):
        changed = replaced(line, ("answer", *at), value)
        try:
            text = orjson.dumps(changed).decode()
        except TypeError:
            text = json.dumps(changed)
        assert _faults(text, kind, path) == [], at


@pytest.mark.parametrize("kind", ["chat", "stream", "text", "error", "vector"])
def test_a_malformed_line_is_refused(kind: str, recordings: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    first = int(os.environ.get("PLSYNC_SEED", time.time_ns() % (1 << 32)))
    found = []
    for seed in range(first, first + COUNT):
        line = mutated(recordings[kind], seed)
        found += [f"PLSYNC_SEED={seed}: {fault}" for fault in _faults(line, kind, tmp_path / "calls.jsonl")]
    assert found == []


def test_the_error_names_the_file_and_the_line(recordings: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    answer = {"generations": [{"$": "ChatGeneration", "v": {"message": VALUES["int of 6000 digits"]}}]}
    path.write_text(HEADER + "\n" + json.dumps({**recordings["chat"], "answer": answer}) + "\n")
    refused = rf"{path}, line \d holds a response that cannot be restored .*record the call"
    with pytest.raises(RecordingFormatError, match=refused):
        replayed(Chat(), path).invoke("Where?")


def test_a_recording_runs_no_code_of_a_program(tmp_path: Path) -> None:
    (tmp_path / "gadgets.py").write_text(GADGETS)
    program = (
        "import gc, json, sys, gadgets\n"
        "from plsync.replay.response.exceptions import rebuild_error\n"
        "from plsync.replay.response.restore import Restorer, first_inexact\n"
        "for name, value in json.load(sys.stdin).items():\n"
        "    first_inexact(value)\n"
        "    made = rebuild_error(value, Restorer(bytes)) if name.startswith('error') else Restorer(bytes)(value)\n"
        "    del made\n"
        "    gc.collect()\n"
        "    assert gadgets.RAN == [], (name, gadgets.RAN)\n"
        "print('nothing ran')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(GADGET_VALUES),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.stdout == "nothing ran\n", done.stderr


def test_an_exception_of_an_imported_class_comes_back_as_that_class() -> None:
    described = {"class": "json.decoder:JSONDecodeError", "message": "a: line 1", "args": ["a: line 1"]}
    error = rebuild_error(described, Restorer(lambda _: b""))
    assert type(error) is json.JSONDecodeError
    assert str(error) == "a: line 1"


@pytest.mark.parametrize("tag", [[], {}, ["x"], {"a": 1}, None, 5])
def test_a_tag_of_another_type_is_kept_unchanged(tag: Any) -> None:
    value = {"$": tag, "v": {"content": "hi"}}
    assert pack(value, lambda _: "") == value
    line = json.dumps({"answer": value, "ms": None}).encode()
    assert same_response(line, line)
