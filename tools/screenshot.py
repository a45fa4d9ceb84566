"""Writes docs/images/list-and-status.svg: the output of ``plsync list`` and ``plsync status``, as a terminal shows it.

The demo's application records twice. A run in between delivers the first half to a stand-in of PromptLayer.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from plsync.testing import PromptLayerServer
from plsync.testing.tiny_model import write_tiny_model

ROOT = Path(__file__).resolve().parent.parent
IMAGE = ROOT / "docs" / "images" / "list-and-status.svg"
PLSYNC = Path(sys.executable).with_name("plsync")
WIDTH = 128
# An image in a page must not load a font from another host.
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> None:
    """Record, deliver, record again, and draw the two commands."""
    with tempfile.TemporaryDirectory(prefix="plsync-") as directory, PromptLayerServer() as server:
        place = Path(directory)
        environment = {
            **os.environ,
            "PLSYNC_JOURNAL": str(place / "journal"),
            "PYTHONPATH": str(ROOT / "demo"),
            "PROMPTLAYER_BASE_URL": server.url,
            "PROMPTLAYER_API_KEY": server.api_key,
            "COLUMNS": str(WIDTH),
            "FORCE_COLOR": "1",
        }
        model = write_tiny_model(place / "tiny.gguf")
        application: list[str | Path] = [sys.executable, "-W", "ignore", ROOT / "demo" / "record.py", model]
        output(application, environment)
        output([PLSYNC, "run", "--once"], environment)
        output(application, environment)
        screen = Console(record=True, width=WIDTH, force_terminal=True, color_system="truecolor", file=io.StringIO())
        for command in (["list"], ["status"]):
            screen.print(f"[bold green]$[/] plsync {' '.join(command)}")
            shown = output([PLSYNC, *command], environment).replace(directory, "~")
            screen.print(Text.from_ansi(shown), no_wrap=True, overflow="crop")
        IMAGE.parent.mkdir(exist_ok=True)
        screen.save_svg(os.fspath(IMAGE), title="plsync", code_format=SVG_FORMAT, unique_id="plsync")


def output(command: Sequence[str | Path], environment: dict[str, str]) -> str:
    """Run a command, and return its output with its colours."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout


if __name__ == "__main__":
    main()
