"""The plan for fleets in docs/guide/at-scale.md is the output of its simulation."""

from __future__ import annotations

import math
import sys

import pytest

from tests.support.root import ROOT

sys.path.append(str(ROOT / "benches" / "python"))

from fleet_plan import FLEETS, HOURS, STICK, Figures, plan, share_of_hour, table

PAGE = ROOT / "docs" / "guide" / "at-scale.md"


def test_the_page_has_the_plans_of_the_simulation() -> None:
    printed = "\n".join(table(FLEETS, 1_000, 1_000, Figures()))
    assert printed in PAGE.read_text(encoding="utf-8")


def test_the_hours_of_a_day_have_all_its_calls() -> None:
    assert math.isclose(sum(map(share_of_hour, range(HOURS))), 1)


@pytest.mark.parametrize("machines", FLEETS)
def test_a_slower_link_needs_more_hubs_and_never_less_time(machines: int) -> None:
    fast, slow = (plan(machines, 1_000, mbits, Figures()) for mbits in (1_000, 10))
    assert slow.hubs >= fast.hubs
    assert slow.drain_hours >= fast.drain_hours or slow.hubs > fast.hubs
    assert math.isfinite(slow.drain_hours)


@pytest.mark.parametrize("machines", FLEETS)
def test_the_hubs_of_bundles_work_half_of_the_week_at_most(machines: int) -> None:
    found = plan(machines, 1_000, 1_000, Figures())
    assert 0 < found.import_hours + found.hub_hours <= 7 * HOURS / 2
    assert found.sticks * STICK >= machines * found.bundle_mb * 1e6 > (found.sticks - 1) * STICK
