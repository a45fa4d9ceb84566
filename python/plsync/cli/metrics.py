"""The health of journals as metrics of Prometheus, and their file for the textfile collector of node-exporter."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from plsync._common.files import is_file, replacing
from plsync.cli.health import JournalHealth
from plsync.errors import PlsyncError

__all__ = ["prometheus_text", "write_metrics"]

_MODE: Final = 0o644
_LABELS: Final = ("journal", "workspace")


def prometheus_text(journals: Sequence[JournalHealth]) -> str:
    """The metrics of journals in Prometheus' text format.

    No label has content of a call: the labels are the journal's path, the name of its workspace, and fixed words.

    Raises:
        PlsyncError: the package prometheus-client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - an extra
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415
        from prometheus_client.metrics_core import CounterMetricFamily, Metric  # noqa: PLC0415
    except ImportError:
        raise PlsyncError(
            "metrics need the package prometheus-client: pip install 'plsync[prometheus]'; `plsync status --json` "
            "has the same numbers"
        ) from None

    class Collector:
        def collect(self) -> Iterator[Metric]:
            version = GaugeMetricFamily("plsync_info", "The version of plsync.", labels=["version"])
            version.add_metric([importlib.metadata.version("plsync")], 1)
            yield version
            for name, (help_text, label, is_counter) in _METRICS.items():
                labels = [*_LABELS, *([label] if label else [])]
                family = (CounterMetricFamily if is_counter else GaugeMetricFamily)(name, help_text, labels=labels)
                for health in journals:
                    own = [str(health.path), health.workspace or ""]
                    for value, number in _values(health).get(name, {}).items():
                        family.add_metric([*own, *([value] if label else [])], number)
                yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return generate_latest(registry).decode()


# Name: help, the label of its values, and whether it only grows.
_METRICS: Final[dict[str, tuple[str, str, bool]]] = {
    "plsync_records": ("Records by state.", "state", False),
    "plsync_open_calls": ("Records of calls that have not ended.", "", False),
    "plsync_oldest_unsent_timestamp_seconds": ("Start of the oldest record that waits to be delivered.", "", False),
    "plsync_followups": ("Scores, metadata, prompt links and groups by state.", "state", False),
    "plsync_callbacks": ("Request ids by state: waiting for a callback, or given up.", "state", False),
    "plsync_recording_failures": ("Events that could not be recorded.", "", True),
    "plsync_damaged_parts": ("Parts of the spool that could not be read.", "", True),
    "plsync_pruned_records": ("Records whose content the quota removed, sent before or never.", "kind", True),
    "plsync_store_bytes": ("Size of the store's file.", "", False),
    "plsync_store_used_bytes": ("The used part of the store's file.", "", False),
    "plsync_spool_bytes": ("Size of events that are not ingested.", "", False),
    "plsync_quota_bytes": ("The limit of the used part of the store.", "", False),
    "plsync_disk_free_bytes": ("Free bytes on the disk of the journal.", "", False),
    "plsync_writers": ("Processes that record into the journal.", "", False),
    "plsync_sender_up": ("Whether a sender runs.", "", False),
    "plsync_sender_heartbeat_timestamp_seconds": (
        "Last heartbeat of the sender, also of one that has ended.",
        "",
        False,
    ),
    "plsync_sender_waiting": ("Whether the sender waits after a failure, such as a missing network.", "", False),
}


def _values(health: JournalHealth) -> dict[str, dict[str, float]]:
    """The numbers of a journal by metric, and by the value of its label."""
    sender, is_sending = health.sender, health.is_sending
    numbers: dict[str, dict[str, float]] = {
        "plsync_sender_up": {"": float(is_sending)},
        "plsync_sender_waiting": {
            "": float(is_sending and sender is not None and sender.activity.startswith("waiting"))
        },
    }
    if sender is not None and sender.alive is not None:
        numbers["plsync_sender_heartbeat_timestamp_seconds"] = {"": sender.alive}
    if health.free is not None:
        numbers["plsync_disk_free_bytes"] = {"": health.free}
    stats = health.stats
    if stats is None:
        return numbers
    if stats.oldest_unsent is not None:
        numbers["plsync_oldest_unsent_timestamp_seconds"] = {"": stats.oldest_unsent.timestamp()}
    if stats.quota.max_bytes is not None:
        numbers["plsync_quota_bytes"] = {"": stats.quota.max_bytes}
    return numbers | {
        "plsync_records": dict(stats.states),
        "plsync_open_calls": {"": stats.open},
        "plsync_followups": {
            "pending": stats.followups,
            "dead": stats.followups_dead,
            "sent": stats.followups_sent,
        },
        "plsync_callbacks": {"waiting": stats.callbacks, "given_up": stats.callbacks_dead},
        "plsync_recording_failures": {"": stats.failures},
        "plsync_damaged_parts": {"": stats.damaged},
        "plsync_pruned_records": {"sent": stats.pruned, "unsent": stats.dropped},
        "plsync_store_bytes": {"": stats.lmdb_bytes},
        "plsync_store_used_bytes": {"": stats.used_bytes},
        "plsync_spool_bytes": {"": stats.spool.bytes},
        "plsync_writers": {"": sum(writer.alive for writer in stats.writers)},
    }


def write_metrics(text: str, path: Path) -> None:
    """Write metrics to a file in one step, readable by every user: node-exporter runs as another user.

    Raises:
        PlsyncError: the path is a device, a directory or another kind of file.
        OSError: the file cannot be written. An older file stays.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not is_file(path):
        raise PlsyncError(f"{path} is no regular file, and was not changed: name a file for the metrics")
    # The collector reads names that end with .prom, so it never reads the temporary file.
    with replacing(path, mode=_MODE) as file:
        file.write(text.encode())
