"""The benches that others than their readers depend on."""

from __future__ import annotations

import subprocess
import sys

from tests.support.root import ROOT

BENCHES = ROOT / "benches"


def test_what_release_builds_are_optimised_for_can_be_run() -> None:
    subprocess.run([sys.executable, BENCHES / "python" / "pgo.py", "--calls", "1"], check=True)
