"""The whole way of a record, told step by step: ``make demo``.

It records without a network, looks at the journal, then delivers it to PromptLayer: to a stand-in on this machine, or
to your workspace if ``PROMPTLAYER_API_KEY`` is set. Everything it writes is in one directory, ``build/demo`` or the one
given as argument, which is emptied first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

from offline import empty_network
from plsync import Journal
from plsync.testing import PromptLayerServer
from plsync.testing.tiny_model import write_tiny_model

HERE = Path(__file__).resolve().parent
PLSYNC = Path(sys.executable).with_name("plsync")


def main(directory: Path) -> None:
    """Tell the story; the first step that fails ends it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.environ["PLSYNC_JOURNAL"] = os.fspath(directory / "journal")
    # `plsync run` imports the callback by its name, scores:on_request_id.
    os.environ["PYTHONPATH"] = os.fspath(HERE)

    title("1. Record, without a network")
    say("A real GPT4All runs a tiny model. A chat model calls a tool. A call fails. plsync records them all.")
    record(write_tiny_model(directory / "tiny.gguf"))

    title("2. Look")
    plsync("list")
    say("One of them in full: the request in which the model asked for a tool.")
    plsync("show", record_with_a_tool_call())

    title("3. Deliver to PromptLayer")
    deliver()

    title("That was plsync")
    say(f"The application is demo/record.py, its callback demo/scores.py. The journal is {directory / 'journal'}.")


def record(model: Path) -> None:
    """Run the application where it has no network."""
    namespace = empty_network()
    where = "in an empty network namespace, and " if namespace else ""
    say(f"The application runs {where}with sockets forbidden:")
    # The warning is langchain-community's: it says at import that it is archived.
    python = [sys.executable, "-W", "ignore::DeprecationWarning"]
    run([*namespace, *python, HERE / "offline.py", HERE / "record.py", model], hide="Failed to load libllamamodel")


def record_with_a_tool_call() -> str:
    """The id of the record whose answer asks for a tool."""
    with Journal.open() as journal:
        return next(record.id for record in journal.records() if record.tool_calls)


def deliver() -> None:
    """Send the journal to PromptLayer, and show that nothing is left and nothing is sent twice."""
    real = bool(os.environ.get("PROMPTLAYER_API_KEY"))
    with nullcontext() if real else PromptLayerServer() as stand_in:
        if stand_in is None:
            say("PROMPTLAYER_API_KEY is set, so this goes to your PromptLayer workspace.")
        else:
            say("PROMPTLAYER_API_KEY is not set, so a stand-in for PromptLayer runs on this machine.")
            os.environ |= {"PROMPTLAYER_BASE_URL": stand_in.url, "PROMPTLAYER_API_KEY": stand_in.api_key}
        say("Each record gets its PromptLayer request id, and the application's callback is called with it:")
        plsync("run", "--once")
        plsync("status")
        say("A second run finds nothing to send:")
        plsync("run", "--once")
        if stand_in is not None:
            scored = sum(bool(scores) for scores in stand_in.scores.values())
            say(f"PromptLayer holds {len(stand_in.request_logs)} requests, {scored} of them with a score.")


def title(text: str) -> None:
    """Begin a chapter."""
    print(f"\n{text}\n{'=' * len(text)}\n", flush=True)


def say(text: str) -> None:
    """Tell the reader what comes next."""
    print(f"{text}\n", flush=True)


def plsync(*arguments: str) -> None:
    """Run the command as a user would."""
    print("$ plsync", *arguments, flush=True)
    run([PLSYNC, *arguments])


def run(command: list[str | Path], *, hide: str | None = None) -> None:
    """Run one step; a step that fails ends the demo.

    ``hide``: the beginning of error lines that would only disturb (GPT4All names CUDA libraries it can do without).
    """
    with subprocess.Popen(command, stderr=subprocess.PIPE if hide else None, text=True) as step:
        for line in step.stderr or ():
            if hide and not line.startswith(hide):
                print(line, end="", file=sys.stderr)
    if step.returncode:
        sys.exit(f"This step ended with status {step.returncode}. The journal is {os.environ['PLSYNC_JOURNAL']}.")
    print(flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "build" / "demo").resolve())
