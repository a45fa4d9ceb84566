"""Every client of embeddings, in its wire format: its calls are recorded, and replayed without the server.

The second table in ``docs/reference/clients.md`` has the result; ``test_clients.py`` explains how it is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plsync.replay import record_all
from tests.clients.test_clients import TABLE
from tests.support.replaying import lines
from tests.support.wire.embeddings import EMBEDDINGS, EmbeddingClient
from tests.support.wire.server import WireServer

COLUMNS = ("documents", "query", "async", "error")
TEXTS = ["A cat has 4 legs.", "A bird has 2 wings."]

pytestmark = [
    # Clients warn of their dependencies, and leave sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]


def documents(model: Any) -> Any:
    return model.embed_documents(TEXTS)


def query(model: Any) -> Any:
    return [model.embed_query(TEXTS[0])]


def in_a_loop(model: Any) -> Any:
    async def run() -> Any:
        return [*await model.aembed_documents(TEXTS), await model.aembed_query(TEXTS[0])]

    return asyncio.run(run())


def error(model: Any) -> Any:
    with pytest.raises(Exception) as raised:
        model.embed_documents(TEXTS)
    text = str(raised.value)
    return [raised.type.__name__, text.partition(" at 0x")[0]]


CALLS: dict[str, Callable[[Any], Any]] = dict(zip(COLUMNS, (documents, query, in_a_loop, error), strict=True))


def cell(client: EmbeddingClient, column: str, path: Path) -> str:
    with WireServer(client.answer) as server:
        server.failure = client.failure if column == "error" else None
        model = client.model(server.url)
        with record_all(path, mode="once"):
            live = CALLS[column](model)
    recorded = lines(path)
    inputs = [text for line in recorded for text in line["request"]["input"].values()]
    if not set(inputs) <= set(TEXTS) or {line["class"] for line in recorded} != {client.name}:
        return "no"
    held = ["recorded"]
    with contextlib.suppress(Exception), record_all(path) as recording:
        found = CALLS[column](model)
        if repr(found) == repr(live) and recording.unused() == []:
            held.append("replayed")
    return "yes" if len(held) == 2 else held[0]


@pytest.mark.parametrize("client", EMBEDDINGS, ids=lambda client: client.name)
def test_the_table_holds_for_every_client_of_embeddings(client: EmbeddingClient, tmp_path: Path) -> None:
    if not client.installed:
        pytest.skip(f"{client.module} is not installed")
    cells = [cell(client, column, tmp_path / f"{column}.jsonl") for column in COLUMNS]
    found = f"| `{client.name}` | {' | '.join(cells)} |"
    written = TABLE.read_text(encoding="utf-8").splitlines()
    at = next((number for number, line in enumerate(written) if line.startswith(f"| `{client.name}` |")), None)
    if os.environ.get("PLSYNC_WRITE_CLIENTS"):
        written[at if at is not None else len(written) : at + 1 if at is not None else len(written)] = [found]
        TABLE.write_text("\n".join(written) + "\n", encoding="utf-8")
    else:
        assert at is not None
        assert written[at] == found
