"""kill -9 before any call that changes a file, in an export or an import. `make crash` runs many rounds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random

import pytest

from plsync.journal.journal import Journal
from tests.support.gap import Gap
from tests.support.preloading import compiled, run_preloaded

ROUNDS = int(os.environ.get("PLSYNC_BUNDLE_KILLS", "0"))

pytestmark = [
    pytest.mark.skipif(not ROUNDS, reason="`make crash` runs it"),
    pytest.mark.skipif(sys.platform != "linux", reason="preloads a library"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(Path(__file__).with_name("killing.c"), tmp_path_factory.mktemp("killing"))


def run(library: Path, side: Path, arguments: list[str], at: int) -> int:
    """Run a command that is killed before call number ``at``. Returns the number of its calls; 0 if it was killed."""
    done, calls = run_preloaded(library, side, arguments, PLSYNC_TEST_KILL_AT=str(at))
    assert done.returncode in (0, -9), done.stderr
    return calls if done.returncode == 0 else 0


@pytest.mark.timeout(60 * ROUNDS + 60)
def test_a_kill_in_an_export_or_an_import_loses_and_doubles_nothing(gap: Gap, library: Path) -> None:
    random = Random(7)  # noqa: S311 - no secret
    steps = [
        (gap.lab, ["bundle", "export", str(gap.stick)]),
        (gap.hub, ["bundle", "import", str(gap.stick), "--hub", str(gap.journals)]),
        (gap.hub, ["bundle", "export", str(gap.stick), "--hub", str(gap.journals)]),
        (gap.lab, ["bundle", "import", str(gap.stick)]),
    ]
    killed, recorded = 0, 0
    for number in range(ROUNDS):
        gap.record(2)
        recorded += 2
        with Journal.open(gap.journal) as journal:
            journal.track.score(next(iter(journal.records())).id, 90, f"score {number}")
        chosen = number % len(steps)
        for step, (side, arguments) in enumerate(steps):
            # Early and late calls: most commands have fewer than 200.
            at = random.randint(1, random.choice((20, 60, 200))) if step == chosen else 0
            if run(library, side, arguments, at) == 0:
                killed += 1
                run(library, side, arguments, 0)
            if step == 1:
                gap.deliver()
        gap.empty_stick()
        if number % 10 == 9 or number == ROUNDS - 1:
            gap.trip()
            gap.trip()
            assert set(gap.states().values()) == {"acked"}
            assert len(gap.server.request_logs) == recorded
            assert {log["id"] for log in gap.server.request_logs} == set(gap.request_ids())
            with Journal.open(gap.journal) as journal:
                assert journal.check().problems == []
                assert journal.stats().followups == 0
    assert killed > ROUNDS // 4
