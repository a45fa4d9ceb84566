"""``python -m plsync.testing``: run a PromptLayer stand-in until it is interrupted."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import threading

from plsync.testing.server import PromptLayerServer


def main() -> None:
    """Print the two variables to export, the URL first, then serve until Ctrl-C."""
    options = _parser().parse_args()
    server = PromptLayerServer(
        api_key=options.api_key,
        port=options.port,
        max_body=options.max_body,
        search_per_minute=options.search_per_minute or None,
        validate=options.validate,
        latency=options.latency,
        lag=options.lag,
        keep=options.keep,
        first_request_id=options.first_request_id,
    )
    for name, text in options.prompt:
        server.add_prompt(name, {"type": "completion", "content": [{"type": "text", "text": text}]})
    if options.fault_fraction:
        server.plan(fraction=options.fault_fraction, seed=options.seed)
    with server:
        print(f"PROMPTLAYER_BASE_URL={server.url}")
        print(f"PROMPTLAYER_API_KEY={server.api_key}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m plsync.testing", description="A PromptLayer stand-in on loopback.")
    add = parser.add_argument
    add("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free port)")
    add("--api-key", default=f"pl_{secrets.token_hex(16)}", help="the API key to accept (default: a random key)")
    add("--first-request-id", type=int, metavar="ID", help="id of the first log (default: a new one in each run)")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="delay of each response")
    add("--lag", type=float, default=0.0, metavar="SECONDS", help="delay until traces and searches show a log")
    add("--no-validate", dest="validate", action="store_false", help="accept spans and logs of any shape")
    add("--keep", choices=("all", "ids"), default="all", help="ids: keep no content, for millions of records")
    add("--max-body", type=int, default=32 << 20, metavar="BYTES", help="longest request body; a longer one gets 413")
    add("--search-per-minute", type=int, default=10, help="searches per minute before 429; 0: no limit")
    add("--prompt", type=_prompt, action="append", default=[], metavar="NAME=TEXT", help="a prompt template to serve")
    add("--fault-fraction", type=float, default=0.0, metavar="PART", help="part of the requests that fail, 0 to 1")
    add("--seed", type=int, default=0, help="seed that chooses the failing requests and their faults")
    return parser


def _prompt(option: str) -> tuple[str, str]:
    name, separator, text = option.partition("=")
    if not (name and separator):
        raise argparse.ArgumentTypeError(f"{option!r} is not NAME=TEXT")
    return name, text


if __name__ == "__main__":
    main()
