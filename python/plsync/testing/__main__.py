"""``python -m plsync.testing``: serve a PromptLayer stand-in until interrupted."""

from __future__ import annotations

import argparse
import threading

from plsync.testing.server import DEFAULT_API_KEY, PromptLayerServer


def main() -> None:
    """Print the two lines to export, then serve until Ctrl-C or the end of the process that started us."""
    parser = argparse.ArgumentParser(prog="python -m plsync.testing", description="A PromptLayer stand-in on loopback.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--api-key", default=DEFAULT_API_KEY, help="the key it accepts (default: %(default)s)")
    options = parser.parse_args()
    with PromptLayerServer(api_key=options.api_key, port=options.port) as server:
        print(f"PROMPTLAYER_BASE_URL={server.url}")
        print(f"PROMPTLAYER_API_KEY={server.api_key}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
