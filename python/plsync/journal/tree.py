"""Trees of runs: the chains, tools, retrievers and calls of an agent under one root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, final
from uuid import UUID

from plsync.journal.events import facts
from plsync.journal.pages import is_last
from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync._common.native import Row, Store
    from plsync.journal.call import RunKind, Status

__all__ = ["Run", "inherits_metadata", "members", "read", "roots"]

_PAGE: Final = 1000
_ROOTS: Final = 100
_MOST_ROOTS: Final = 3200


@final
class Run:
    """A run of a tree: a call of a model, or a chain, prompt, parser, tool or retriever. Read-only.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> from langchain_core.output_parsers import StrOutputParser
    >>> from plsync import Journal, PromptLayerCallbackHandler
    >>> chain = FakeListChatModel(responses=["Paris"]) | StrOutputParser()
    >>> config = {"callbacks": [PromptLayerCallbackHandler(runs="tree")], "run_name": "capital"}
    >>> chain.invoke("The capital of France?", config)
    'Paris'
    >>> with Journal.open() as journal:
    ...     tree = next(journal.trees())
    >>> tree.name, [run.kind for run in tree.children], tree.output
    ('capital', ['chat', 'parser'], 'Paris')
    """

    __slots__ = ("children", "parent", "record")

    def __init__(self, record: Record) -> None:
        """Programs get runs from :meth:`plsync.Journal.tree`."""
        self.record: Final = record
        """The record of the run, with its status, times, tags and error."""
        self.parent: Run | None = None
        """The run that started it; None for the root."""
        self.children: list[Run] = []
        """The runs that it started, in the order of their starts."""

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.kind} {self.status} of {len(self.children)} children>"

    @property
    def id(self) -> str:
        """The id of its record."""
        return self.record.id

    @property
    def name(self) -> str | None:
        """The name of the run, of the tool, or of the model class."""
        return self.record.name

    @property
    def kind(self) -> RunKind:
        """``chat`` or ``llm`` for a call; else ``chain``, ``prompt``, ``parser``, ``tool`` or ``retriever``."""
        return self.record.kind

    @property
    def is_call(self) -> bool:
        """Whether it is a call of a model."""
        return not self.record.is_run

    @property
    def status(self) -> Status:
        """How the run ended; ``interrupted`` for a graph that waits for a person."""
        return self.record.status

    @property
    def started_at(self) -> datetime:
        """When it started, in UTC."""
        return self.record.started_at

    @property
    def duration_ns(self) -> int | None:
        """Its duration in ns; None for a running or abandoned run."""
        return self.record.duration_ns

    @property
    def input(self) -> Any:
        """The arguments of a tool, the query of a retriever, the input of the root; of a call its messages or prompts.

        None for another chain, unless the handler records with ``runs="all"``.
        """
        if self.is_call:
            return self.record.input
        return facts.step_input(*self.record.plain_events())

    @property
    def output(self) -> Any:
        """The output, as :attr:`input`. Of a call its candidates."""
        if self.is_call:
            return self.record.output
        end = self.record.plain_events()[1]
        output, given = end.get("output"), self.input
        for key, number in facts.dict_at(end, "from_input").items():
            if isinstance(output, dict) and isinstance(given, dict) and isinstance(number, int):
                known, new = given.get(key), output.get(key)
                if isinstance(known, list) and isinstance(new, list):
                    output = {**output, key: [*known[:number], *new]}
        return output

    @property
    def tool_call_id(self) -> str | None:
        """The id of the tool call, of a tool that a model called."""
        return facts.nonempty_text(self.record.plain_events()[0].get("tool_call_id"))

    @property
    def metadata(self) -> dict[str, Any]:
        """LangChain's metadata, with the entries that it inherits from its parents."""
        own = self.record.metadata
        if self.parent is None or not inherits_metadata(self.record):
            return own
        return {**self.parent.metadata, **own}

    @property
    def root(self) -> Run:
        """The root of its tree."""
        return self if self.parent is None else self.parent.root

    @property
    def calls(self) -> list[Record]:
        """The calls of models at and below this run, in the order of their starts."""
        return sorted((run.record for run in self.walk() if run.is_call), key=lambda record: record.id)

    def walk(self) -> Iterator[Run]:
        """This run and each run below, every parent before its children."""
        waiting = [self]
        while waiting:
            run = waiting.pop()
            yield run
            waiting += reversed(run.children)

    def find(self, name: str) -> Run | None:
        """The first run with this name, or this id, at or below this run; None without one."""
        return next((run for run in self.walk() if name in (run.name, run.id)), None)

    def as_dict(self) -> dict[str, Any]:
        """The fields of its record, with its input, output, whole metadata and ``children``. JSON-able."""
        own = {"input": self.input, "output": self.output, "metadata": self.metadata}
        return {**self.record.as_dict(), **own, "children": [child.as_dict() for child in self.children]}


def inherits_metadata(record: Record) -> bool:
    """Whether the metadata of a record lacks the entries that it has from its parent. A call has its whole metadata."""
    return record.is_run and record.plain_events()[0].get("inherits") is not False


def read(store: Store, record: Record) -> Run:
    """The root of a record's tree. A record without a tree is a separate tree."""
    root_id = record.root_id or record.id
    records = [Record(row) for row in members(store, UUID(root_id).bytes)]
    return _linked(records or [record], root_id)


def members(store: Store, root: bytes) -> Iterator[Row]:
    """The rows of the tree of this root, in the order of their starts."""
    page = store.tree(root)
    while page:
        yield from page
        page = store.tree(root, page[-1].id)


def roots(
    store: Store,
    arguments: dict[str, Any] | None,
    passes: Callable[[Row], bool],
    *,
    oldest_first: bool,
    limit: int | None,
) -> Iterator[Run]:
    """The trees whose root passes a query, in the order of their starts.

    Args:
        store: the journal's.
        arguments: of ``Store.query``; None if every root passes.
        passes: whether a row that the store returned passes.
        oldest_first: the order.
        limit: the maximum number of trees.
    """
    found = (
        _by_index(store, oldest_first)
        if arguments is None
        else _by_query(store, arguments, passes, oldest_first, limit)
    )
    for record in islice(found, limit):
        yield read(store, record)


def _by_index(store: Store, oldest_first: bool) -> Iterator[Record]:
    beyond = None
    while ids := store.roots(beyond, oldest_first=oldest_first, limit=_ROOTS):
        for root in ids:
            # The start of the root may be lost, or not ingested yet: then its first member stands for it.
            row = store.get(root) or next(iter(store.tree(root, limit=1)), None)
            if row is not None:
                yield Record(row)
        beyond = ids[-1]


def _by_query(
    store: Store, arguments: dict[str, Any], passes: Callable[[Row], bool], oldest_first: bool, limit: int | None
) -> Iterator[Record]:
    arguments = {**arguments, "runs": True, "roots": True}
    size = min(_ROOTS, limit or _ROOTS)
    while True:
        rows = store.query(**arguments, oldest_first=oldest_first, limit=size)
        for row in rows:
            record = Record(row)
            if record.is_run and record.parent_id is None and passes(row):
                yield record
        if is_last(rows, size):
            return
        arguments["after" if oldest_first else "before"] = rows[-1].id
        # Each page may walk whole indexes. If few of its rows pass, the next pages are large.
        size = min(2 * size, _MOST_ROOTS)


def _linked(records: list[Record], root_id: str) -> Run:
    """The root of a tree. A run whose parent is missing is a child of the root."""
    runs = {record.id: Run(record) for record in records}
    root = runs.get(root_id) or next(iter(runs.values()))
    for run in runs.values():
        if run is root:
            continue
        parent = runs.get(run.record.parent_id or root.id, root)
        run.parent = root if parent is run else parent
        run.parent.children.append(run)
    return root
