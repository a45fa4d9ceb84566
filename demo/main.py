"""The way of a record, step by step: ``make demo``.

The demo records without a network, lists the journal, and delivers it. It delivers to a stand-in on this machine, or to
your workspace if ``PROMPTLAYER_API_KEY`` is set. Then a stick carries calls between two machines. The demo writes into
one directory, ``build/demo`` or its argument, and empties that directory first.
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
from stick import carry

HERE = Path(__file__).resolve().parent
PLSYNC = Path(sys.executable).with_name("plsync")


def main(directory: Path) -> None:
    """Run the steps; the first failure ends the demo."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.environ["PLSYNC_JOURNAL"] = os.fspath(directory / "journal")
    # `plsync run` imports the callback by its name, scores:on_request_id.
    os.environ["PYTHONPATH"] = os.fspath(HERE)

    title("1. Record, without a network")
    explain("A real GPT4All runs a tiny model. A chat model calls a tool. A call fails. plsync records them all.")
    record(write_tiny_model(directory / "tiny.gguf"))

    title("2. Read the journal")
    plsync("list")
    explain("One record in full: the request whose answer has a tool call.")
    plsync("show", record_with_a_tool_call())

    title("3. Deliver to PromptLayer")
    deliver()

    title("4. Carry over an air gap")
    namespace = empty_network()
    where = "in two network namespaces without a route" if namespace else "with no network between them"
    explain(f"A machine without a network, the lab, and a hub, {where}. A stick carries bundles between them.")
    carry(directory, namespace)

    title("Files")
    explain(f"The application is demo/record.py, its callback demo/scores.py. The journal is {directory / 'journal'}.")


def record(model: Path) -> None:
    """Run the application where it has no network."""
    namespace = empty_network()
    where = "in an empty network namespace, and " if namespace else ""
    explain(f"The application runs {where}with sockets forbidden:")
    # langchain-community warns at import that it is archived.
    python = [sys.executable, "-W", "ignore::DeprecationWarning"]
    run([*namespace, *python, HERE / "offline.py", HERE / "record.py", model], hide="Failed to load libllamamodel")


def record_with_a_tool_call() -> str:
    """The id of the record whose answer has a tool call."""
    with Journal.open() as journal:
        return next(record.id for record in journal.records() if record.tool_calls)


def deliver() -> None:
    """Send the journal to PromptLayer, and show that nothing is left and nothing is sent twice."""
    real = bool(os.environ.get("PROMPTLAYER_API_KEY"))
    with nullcontext() if real else PromptLayerServer() as stand_in:
        if stand_in is None:
            explain("PROMPTLAYER_API_KEY is set, so the records go to your PromptLayer workspace.")
        else:
            explain("PROMPTLAYER_API_KEY is not set, so a stand-in for PromptLayer runs on this machine.")
            os.environ |= {"PROMPTLAYER_BASE_URL": stand_in.url, "PROMPTLAYER_API_KEY": stand_in.api_key}
        explain("Each record gets a PromptLayer request id, and plsync calls the application's callback with the id:")
        plsync("run", "--once")
        plsync("status")
        explain("A second run finds nothing to send:")
        plsync("run", "--once")
        if stand_in is not None:
            scored = sum(bool(scores) for scores in stand_in.scores.values())
            explain(f"PromptLayer holds {len(stand_in.request_logs)} requests, {scored} of them with a score.")


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'=' * len(text)}\n", flush=True)


def explain(text: str) -> None:
    """Print an explanation."""
    print(f"{text}\n", flush=True)


def plsync(*arguments: str) -> None:
    """Run the command as a user would."""
    print("$ plsync", *arguments, flush=True)
    run([PLSYNC, *arguments])


def run(command: list[str | Path], *, hide: str | None = None) -> None:
    """Run one step; a failure ends the demo.

    ``hide``: the beginning of lines of standard error to drop. GPT4All lists CUDA libraries that it does not need.
    """
    with subprocess.Popen(command, stderr=subprocess.PIPE if hide else None, text=True) as step:
        for line in step.stderr or ():
            if hide and not line.startswith(hide):
                print(line, end="", file=sys.stderr)
    if step.returncode:
        sys.exit(
            f"This step failed with status {step.returncode}. The journal is kept in {os.environ['PLSYNC_JOURNAL']}."
        )
    print(flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "build" / "demo").resolve())
