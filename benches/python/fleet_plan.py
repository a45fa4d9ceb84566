"""A plan for a fleet: hubs, links, lake and the time to drain after a week offline, from the figures of one machine.

Usage: python benches/python/fleet_plan.py [--calls N] [--uplink MBITS] [--machines N ...]

A small simulation in steps of an hour. Each machine makes ``--calls`` calls a day, most of them in the afternoon. Hubs
send the calls of all machines to PromptLayer, each with one sender and one uplink. For the second of four weeks the
hubs are offline. The last rows are of a fleet without a network, whose bundles people carry to the hubs once a week.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HOURS: Final = 24
WEEK: Final = 7 * HOURS
FLEETS: Final = (100, 10_000, 1_000_000)
# Engines open each file of a day. Beyond this number the opening takes longer than the reading.
LISTED: Final = 100_000
# A hub is planned for this share of its capacity in the busiest hour. The rest drains a backlog.
PLANNED: Final = 0.5
STICK: Final = 64e9
"""The bytes of a stick."""


@dataclass(frozen=True)
class Figures:
    """The measured figures of one machine (docs/guide/at-scale.md), for the call of ``delivery.py``."""

    json_bytes: float = 3_823
    """The JSON of a call."""
    journal_share: float = 0.43
    """The share of the JSON that the journal takes on disk, compressed and indexed."""
    sent_bytes: float = 3_917
    """The request to PromptLayer for a call."""
    sent_per_second: float = 7_442
    """The calls a second of one sender, at 50 ms a request."""
    lake_share: float = 0.19
    """The share of the JSON that the lake takes."""
    export_us: float = 21.5
    """Processor time of an export, for a call."""
    bundle_share: float = 0.139
    """The share of the JSON that a bundle takes."""
    import_us: float = 26
    """Processor time of the import of a bundle at a hub, for a call."""
    hub_us: float = 145
    """Processor time of ``plsync run --hub`` for a call of many origins."""


@dataclass(frozen=True)
class Plan:
    """The plan for a fleet."""

    machines: int
    calls_a_second: float
    """In the busiest hour."""
    hubs: int
    mbits: float
    """The traffic of a hub in the busiest hour."""
    lake_gb: float
    """A day."""
    export_hours: float
    """Hours of one core a day that exports take, on all machines together."""
    drain_hours: float
    """From the return of the network until no call waits."""
    backlog_gb: float
    """The journals of a hub at the end of the week offline."""
    bundle_mb: float
    """The bundle of one machine, a week."""
    sticks: int
    """The sticks that carry the bundles of all machines, a week. A stick carries the bundles of many machines."""
    bundle_hubs: int
    """The hubs with one core for the import and the delivery of these bundles, at half of their capacity."""
    import_hours: float
    """Hours of one core a week in which a hub imports its bundles."""
    hub_hours: float
    """Hours of one core a week in which a hub delivers their calls."""
    first: str
    """The resource that a growing fleet exhausts first with these hubs, and the number of machines then."""


def share_of_hour(hour: int) -> float:
    """The share of a day's calls in an hour: few at night, and most at 15 o'clock."""
    weights = [1 + 0.9 * math.cos((each - 15) / HOURS * 2 * math.pi) for each in range(HOURS)]
    return weights[hour % HOURS] / sum(weights)


def plan(machines: int, calls: float, uplink_mbits: float, figures: Figures) -> Plan:
    """Simulate four weeks of a fleet."""
    a_day = machines * calls
    peak = a_day * max(map(share_of_hour, range(HOURS))) / 3600
    by_link = uplink_mbits * 1e6 / 8 / figures.sent_bytes
    capacity = min(figures.sent_per_second, by_link)
    hubs = max(1, math.ceil(peak / (capacity * PLANNED)))
    backlog, drained = 0.0, None
    most = 0.0
    for hour in range(4 * WEEK):
        backlog += a_day * share_of_hour(hour)
        offline = WEEK <= hour < 2 * WEEK
        backlog = backlog if offline else max(0.0, backlog - capacity * hubs * 3600)
        most = max(most, backlog)
        if hour >= 2 * WEEK and backlog == 0 and drained is None:
            drained = hour - 2 * WEEK + 1
    used = {
        "the sender of a hub": peak / hubs / figures.sent_per_second,
        "the uplink of a hub": peak / hubs / by_link,
        "the list of files of a day": machines / LISTED,
    }
    first = max(used, key=used.__getitem__)
    a_week = 7 * a_day
    carried = a_week * figures.json_bytes * figures.bundle_share
    bundle_hubs = math.ceil(a_week * (figures.import_us + figures.hub_us) / 1e6 / (WEEK * 3600 * PLANNED))
    return Plan(
        machines=machines,
        calls_a_second=peak,
        hubs=hubs,
        mbits=peak / hubs * figures.sent_bytes * 8 / 1e6,
        lake_gb=a_day * figures.json_bytes * figures.lake_share / 1e9,
        export_hours=a_day * figures.export_us / 1e6 / 3600,
        drain_hours=math.inf if drained is None else drained,
        backlog_gb=most / hubs * figures.json_bytes * figures.journal_share / 1e9,
        bundle_mb=carried / machines / 1e6,
        sticks=math.ceil(carried / STICK),
        bundle_hubs=bundle_hubs,
        import_hours=a_week * figures.import_us / 1e6 / 3600 / bundle_hubs,
        hub_hours=a_week * figures.hub_us / 1e6 / 3600 / bundle_hubs,
        first=f"{first}, at {machines / used[first]:,.0f} machines",
    )


def table(fleets: tuple[int, ...], calls: float, uplink_mbits: float, figures: Figures) -> Iterator[str]:
    """The plans as lines of a Markdown table."""
    plans = [plan(machines, calls, uplink_mbits, figures) for machines in fleets]
    rows = {
        "machines": [f"{one.machines:,}" for one in plans],
        "---": ["---" for _ in plans],
        "calls a second, busiest hour": [f"{one.calls_a_second:,.1f}" for one in plans],
        "hubs": [f"{one.hubs:,}" for one in plans],
        "traffic of a hub, busiest hour": [f"{one.mbits:,.1f} Mbit/s" for one in plans],
        "journals of a hub after a week offline": [f"{one.backlog_gb:,.1f} GB" for one in plans],
        "time to drain after that week": [f"{one.drain_hours:,.0f} h" for one in plans],
        "lake a day": [f"{one.lake_gb:,.2f} GB" for one in plans],
        "files in the lake a day": [f"{one.machines:,}" for one in plans],
        "exports a day, all machines": [f"{one.export_hours:,.2f} h of one core" for one in plans],
        "exhausted first": [one.first for one in plans],
        "without a network: bundle of a machine, a week": [f"{one.bundle_mb:,.1f} MB" for one in plans],
        "sticks of 64 GB for all machines, a week": [f"{one.sticks:,}" for one in plans],
        "hubs for bundles, with one core each": [f"{one.bundle_hubs:,}" for one in plans],
        "imports of a hub, a week": [f"{one.import_hours:,.2f} h" for one in plans],
        "delivery of a hub, a week": [f"{one.hub_hours:,.2f} h" for one in plans],
    }
    for name, cells in rows.items():
        yield f"| {' | '.join([name, *cells])} |"


def main() -> None:
    """Simulate, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=float, default=1_000, help="calls of a machine a day")
    parser.add_argument("--uplink", type=float, default=1_000, help="the uplink of a hub, in Mbit/s")
    parser.add_argument("--machines", type=int, nargs="+", default=list(FLEETS))
    options = parser.parse_args()
    for line in table(tuple(options.machines), options.calls, options.uplink, Figures()):
        print(line)


if __name__ == "__main__":
    main()
