"""``plsync show``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from plsync._terminal import visible
from plsync.cli import completion, humanize, options
from plsync.cli.output import exit_with_error, print_json, print_lines, stdout_console, write_text
from plsync.cli.record_page import record_page
from plsync.cli.tree_page import tree_page
from plsync.cli.usage_errors import wrong_usage
from plsync.journal import words
from plsync.journal.display import message_text
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["show"]

_ID = typer.Argument(
    metavar="ID",
    help="A record id, or its end as in `plsync list`, or its first digits; a run id; a request id. "
    "Default: the newest record.",
    show_default=False,
    autocompletion=completion.ids,
)
_LAST = typer.Option(
    "--last",
    metavar="N",
    parser=options.number(0),
    help="Show the record N before the newest; -1, -2, ... for short.",
)
_RESPONSE = typer.Option("-r", "--response", help="Print the text of the answer alone, unchanged in a pipe.")
_PROMPT = typer.Option("--prompt", help="Print the text of the request alone, unchanged in a pipe.")
_TREE = typer.Option("--tree", help="Show the whole run that a record belongs to: its chains, tools and calls.")
_ALL = typer.Option("--all", help="Show the facts of LangChain and the provider, too.")


def show(
    id: Annotated[str | None, _ID] = None,
    *,
    last: Annotated[int | None, _LAST] = None,
    response: Annotated[bool, _RESPONSE] = False,
    prompt: Annotated[bool, _PROMPT] = False,
    everything: Annotated[bool, _ALL] = False,
    tree: Annotated[bool, _TREE] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Show one record in full: conversation, answer, result, delivery, and follow-ups.

    With --json: one object, described in docs/guide/cli.md. With -r or --prompt it has only the texts.
    With --tree: the run of an agent, a graph or a chain. ID is any id of one of its records.

    Examples:
        plsync show
        plsync show -1
        plsync show 01a22867
        plsync show -r > answer.txt
        plsync show 4711 --tree --json
    """
    if id is not None and last is not None:
        raise wrong_usage("--last", "an id and --last exclude each other")
    if response and prompt and not json:
        raise wrong_usage("--prompt", "--prompt and --response exclude each other without --json")
    if tree and (response or prompt or everything):
        raise wrong_usage("--tree", "--tree excludes --response, --prompt and --all")
    with Journal.open(journal) as opened:
        if tree:
            _print_tree(opened, id, last or 0, json=json)
            return
        record = opened.get(id) if id is not None else _newest(opened, last or 0)
        if response or prompt:
            _print_text(record, response=response, prompt=prompt, json=json)
            return
        followups = opened.followups.history(record.id)
        if json:
            print_json(record.as_dict() | {"followups": [followup.as_dict() for followup in followups]})
        else:
            print_lines(stdout_console(), record_page(record, followups, everything=everything))


def _print_tree(journal: Journal, id: str | None, last: int, *, json: bool) -> None:
    chosen = id if id is not None else _newest(journal, last).id
    root = journal.tree(chosen).root
    if json:
        print_json(root.as_dict())
        return
    console = stdout_console()
    # The user may name a run by its LangChain id.
    named = journal.get(chosen).id
    print_lines(console, tree_page(root, named, console.width))


def _newest(journal: Journal, before: int) -> Record:
    """The record that many calls before the newest."""
    page = list(journal.records(limit=before + 1))
    if len(page) > before:
        return page[before]
    if not page:
        exit_with_error(f"{journal.path} has no record yet; attach PromptLayerCallbackHandler to a model and call it")
    there_are = humanize.count(len(page), "record")
    exit_with_error(f"the journal has {there_are}, none of them {before} before the newest; `plsync list` lists them")


def _print_text(record: Record, *, response: bool, prompt: bool, json: bool) -> None:
    texts: dict[str, Any] = {}
    if response:
        texts["response"] = message_text.response_text(record)
    if prompt:
        texts["prompt"] = message_text.request_text(record)
    if json:
        print_json({"id": record.id, **{name: text or None for name, text in texts.items()}})
        return
    ((name, text),) = texts.items()
    if not text:
        exit_with_error(f"the {name} of record {record.id} has no text: {_reason(record, name)}")
    if not text.endswith("\n"):
        text += "\n"
    # A terminal obeys control characters.
    write_text(visible(text) if sys.stdout.isatty() else text)


def _reason(record: Record, name: str) -> str:
    """Why a record lacks a text."""
    if cause := message_text.content_gone(record):
        return cause.strip("()")
    if name == "response" and (calls := len(record.tool_calls)):
        return f"it has {humanize.count(calls, 'tool call')}, and `plsync show {record.id}` shows them"
    if name == "response" and words.result(record) != "ok":
        return f"the result of the call is: {words.result(record)}"
    return f"`plsync show {record.id}` shows the record"
