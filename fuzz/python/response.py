"""Reads arbitrary bytes as a response of PromptLayer, guided by coverage: a parser returns an outcome, never an error.

``make fuzz`` runs it with arguments of libFuzzer. The first bytes of an input choose the status and the parser.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["plsync"]):
    from plsync.errors import PlsyncError
    from plsync.promptlayer import responses
    from plsync.promptlayer.outcomes import Failure, Fetched, Outcome, label
    from plsync.prompts.to_langchain import to_langchain

PARSERS = (
    responses.parse_delivery,
    responses.parse_tracking,
    responses.parse_template,
    responses.parse_trace,
    responses.parse_search,
    responses.list_parser("prompts"),
)
STATUSES = (200, 201, 400, 401, 404, 409, 413, 422, 429, 500, 503, 302)
SEEDS = (
    b'{"success":true,"request_logs":[{"span_id":"a","id":1}],"rejected_span_ids":["b"]}',
    b'{"success":true,"spans":[{"span_id":"a","request_log_id":5}]}',
    b'{"items":[{"id":7,"metadata":[{"plsync_id":"a"}]}]}',
    b'{"success":false,"message":"no","detail":[{"loc":["body",0],"msg":"bad"}],"error":{"a":["b"]}}',
    b'{"prompt_name":"a","prompt_template":{"type":"chat","messages":[{"role":"user","template_format":"f-string"'
    b',"content":'
    b'[{"type":"text","text":"{x}"},{"type":"image_url","image_url":{"url":"{y}"}}]},{"role":"assistant","tool_calls":'
    b'[{"id":"1","function":{"name":"f","arguments":"{}"}}]},{"role":"placeholder","name":"p"},'
    b'{"role":"tool","tool_call_id":"1","content":[]}]}}',
    b'{"prompt_template":{"type":"completion","template_format":"jinja2","content":'
    b'[{"type":"text","text":"{{ x }}"}]}}',
)


def read(data: bytes) -> None:
    """Parse the bytes as every response, and a template as LangChain's."""
    if len(data) < 2:
        return
    status, content = STATUSES[data[0] % len(STATUSES)], data[2:]
    body = responses.parse_json(content)
    outcome: Outcome | None = None
    if body is not None:
        outcome = PARSERS[data[1] % len(PARSERS)](status, body)
    failed = responses.failure(status, content[:80].decode("latin-1"), body)
    for found in (outcome, failed):
        if found is not None:
            assert "\n" not in label(found)
    if isinstance(failed, Failure):
        assert len(responses.short(failed.reason)) <= 300
    if body is not None and isinstance(responses.parse_template(200, body), Fetched):
        try:
            to_langchain(body)
        except PlsyncError as error:
            str(error)


def main() -> None:
    """Run libFuzzer, first on the seeds."""
    corpus = Path(sys.argv[-1])
    for number, seed in enumerate(SEEDS):
        for parser in range(len(PARSERS)):
            (corpus / f"seed-{number}-{parser}").write_bytes(bytes([0, parser]) + seed)
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
