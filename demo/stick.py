"""A stick between two machines without a route: the last step of the demo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from plsync.bundle.keys import Keys

HERE = Path(__file__).resolve().parent
PLSYNC = Path(sys.executable).with_name("plsync")


def carry(directory: Path, namespace: list[str]) -> None:
    """Record in one network namespace, deliver in another, and carry a directory between both.

    Args:
        directory: an existing directory.
        namespace: the prefix of a command that runs in an empty network namespace; empty without namespaces.
    """
    stick, lab, hub = (directory / name for name in ("stick", "lab", "hub"))
    for path in (stick, lab, hub):
        path.mkdir()
    trust(lab, hub)
    lab_environment = {"PLSYNC_KEYS": lab / "keys", "PLSYNC_JOURNAL": lab / "journal"}
    run([*namespace, sys.executable, HERE / "gapped.py"], lab_environment)
    at_lab: list[str | Path] = [*namespace, PLSYNC]
    print("\nlab$ plsync bundle export", stick, flush=True)
    run([*at_lab, "bundle", "export", stick], lab_environment)
    print(flush=True)
    # In a new namespace the loopback is down.
    loopback = {"DEMO_LOOPBACK": "1"} if namespace and shutil.which("ip") else {}
    at_hub = namespace if loopback else []
    run([*at_hub, sys.executable, HERE / "hub.py", stick, hub / "journals"], {"PLSYNC_KEYS": hub / "keys", **loopback})
    print("lab$ plsync bundle import", stick, flush=True)
    run([*at_lab, "bundle", "import", stick], lab_environment)


def trust(lab: Path, hub: Path) -> None:
    """Make the keys of both machines. The commands are `plsync keys init` and `plsync keys trust`."""
    lab_keys, hub_keys = Keys(lab / "keys"), Keys(hub / "keys")
    lab_card, hub_card = lab_keys.create("lab"), hub_keys.create("hub")
    lab_keys.trust(hub_card, "hub")
    hub_keys.trust(lab_card, "origin")


def run(command: Sequence[str | Path], environment: Mapping[str, str | Path]) -> None:
    """Run one command; a failure ends the demo."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTLAYER")}
    variables |= {name: os.fspath(value) for name, value in environment.items()}
    done = subprocess.run(command, env=variables, check=False)
    if done.returncode:
        sys.exit(f"This step failed with status {done.returncode}.")
