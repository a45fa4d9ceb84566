"""The hub: it delivers the bundles of a stick, and writes the request ids: ``python hub.py STICK HUB``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from plsync.testing import PromptLayerServer

PLSYNC = Path(sys.executable).with_name("plsync")


def main(stick: str, hub: str) -> None:
    """Run the commands against a stand-in for PromptLayer, which has this machine's loopback alone."""
    if os.environ.get("DEMO_LOOPBACK"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607 - the system's own command
    with PromptLayerServer() as stand_in:
        os.environ |= {"PROMPTLAYER_BASE_URL": stand_in.url, "PROMPTLAYER_API_KEY": stand_in.api_key}
        for command in (
            ["bundle", "import", stick, "--hub", hub],
            ["run", "--hub", hub, "--once"],
            ["bundle", "export", stick, "--hub", hub],
        ):
            print("hub$ plsync", *command, flush=True)
            subprocess.run([PLSYNC, *command], check=True)
        print(f"\nPromptLayer holds {len(stand_in.request_logs)} requests.\n", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
