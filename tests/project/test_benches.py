"""The benches that a build depends on."""

from __future__ import annotations

import subprocess
import sys

from tests.support.root import ROOT

BENCHES = ROOT / "benches"


def test_the_profile_of_release_builds_can_be_run() -> None:
    subprocess.run([sys.executable, BENCHES / "python" / "pgo.py", "--calls", "1"], check=True)
