"""The cost of a lake: rows a second, memory, bytes a call, and a query in DuckDB.

Usage: python benches/python/lake.py [--records N] [--journal DIR]

The records are chat calls of about 3 KB, whose texts are random words of English. The export runs in another
process. Its limit is pyarrow, which writes the same columns from memory in this process. With ``--journal`` the bench
exports that journal, and records no calls.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.utils.uuid import uuid7
from pyarrow import parquet

from ingest import CLASS, METADATA, PARAMS, USAGE, docstrings
from plsync import PromptLayerCallbackHandler
from plsync._common.native import Store

EXPORT = """
import resource, sys, time
import orjson
from plsync import Journal
from plsync.lake.export import export
with Journal.open(sys.argv[1]) as journal:
    for since_last in (False, True):
        begin, used = time.perf_counter(), time.process_time()
        report = export(journal, sys.argv[2], since_last=since_last)
        seconds, processor = time.perf_counter() - begin, time.process_time() - used
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(orjson.dumps({**report.as_dict(), "seconds": seconds, "cpu": processor, "kb": memory}).decode())
"""
QUERY = """
select date, model, count(*), sum(input_tokens), sum(output_tokens), quantile_cont(duration_ns, 0.95)
from read_parquet('{}/**/*.parquet', hive_partitioning = true) group by date, model
"""
TEXT_QUERY = "select count(*) from read_parquet('{}/**/*.parquet') where input_messages like '%asynchronous generator%'"


def record(path: Path, count: int) -> None:
    """Record ``count`` chat calls of about 3 KB, with another text in each message."""
    words = sorted({word for text in docstrings() for word in text.split()})
    chance = random.Random(7)  # noqa: S311 - no secret
    handler = PromptLayerCallbackHandler(pl_tags=["bench"], journal=path)
    for number in range(count):
        run_id = uuid7()
        texts = [" ".join(chance.choices(words, k=30)) for _ in range(5)]
        kinds = (SystemMessage, HumanMessage, AIMessage, HumanMessage)
        messages: list[BaseMessage] = [kind(text) for kind, text in zip(kinds, texts, strict=False)]
        metadata = {**METADATA, "thread_id": f"thread {number // 4}"}
        handler.on_chat_model_start(
            CLASS, [messages], run_id=run_id, metadata=metadata, invocation_params=PARAMS, name="ChatOpenAI"
        )
        answer = AIMessage(texts[4], usage_metadata=USAGE, response_metadata={"finish_reason": "stop"})
        handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]), run_id=run_id)
        if number % 20_000 == 0:
            Store(str(path)).ingest(wait=True)


def limit(lake: Path, copy: Path) -> float:
    """Seconds in which pyarrow writes the columns of a lake from memory."""
    spent = 0.0
    for path in sorted(lake.rglob("*.parquet")):
        table = parquet.read_table(path, partitioning=None)
        begin = time.perf_counter()
        parquet.write_table(table, copy, compression="zstd", row_group_size=10_000)
        spent += time.perf_counter() - begin
    return spent


def seconds_of(query: str) -> float:
    """The time of a query in a new connection."""
    begin = time.perf_counter()
    duckdb.connect().execute(query).fetchall()
    return time.perf_counter() - begin


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--journal", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        journal, lake = options.journal or Path(directory, "journal"), Path(directory, "lake")
        if options.journal is None:
            record(journal, options.records)
        store = Store(str(journal))
        store.ingest(wait=True)
        raw = store.stats()["raw_bytes"]
        command = [sys.executable, "-c", EXPORT, str(journal), str(lake)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        first, again = map(orjson.loads, printed.splitlines())
        count = first["records"]
        spent = limit(lake, Path(directory, "copy.parquet"))
        print(f"{count:,} records of {raw / count:,.0f} bytes of JSON in {first['files']} files")
        print(
            f"export: {count / first['seconds']:,.0f} records a second ({first['cpu'] / count * 1e6:.1f} µs of "
            f"processor time each), {first['kb'] / 1024:.0f} MB of memory"
        )
        print(f"pyarrow, the same columns from memory: {count / spent:,.0f} records a second")
        print(f"--since-last without a change: {again['seconds']:.1f} s")
        print(f"lake: {first['bytes'] / count:,.0f} bytes a record, {first['bytes'] / raw:.0%} of the JSON")
        print(f"DuckDB: sums by day and model {seconds_of(QUERY.format(lake)) * 1000:.0f} ms", end=", ")
        print(f"a text in all messages {seconds_of(TEXT_QUERY.format(lake)) * 1000:.0f} ms")
        shutil.rmtree(lake)


if __name__ == "__main__":
    main()
