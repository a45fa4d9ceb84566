"""Percentiles of durations in bounded memory."""

from __future__ import annotations

import math
from array import array
from typing import Final

__all__ = ["Durations", "Percentiles"]

# Up to this many durations are kept one by one.
_EXACT: Final = 512
# The borders of two buckets differ by this factor, so a percentile is off by at most half a percent.
_FACTOR: Final = 1.01
_LOG: Final = math.log(_FACTOR)


class Durations:
    """Durations in ns, and their percentiles: exact for 512 of them, within 0.5 % for more.

    >>> durations = Durations()
    >>> for ms in range(1, 101):
    ...     durations.add(ms * 1_000_000)
    >>> durations.percentile(50), durations.percentile(95)
    (50000000, 95000000)
    """

    __slots__ = ("_buckets", "_exact", "count")

    def __init__(self) -> None:
        self.count = 0
        """The number of durations."""
        self._exact: array[int] | None = array("q")
        self._buckets: dict[int, int] = {}

    def add(self, ns: int) -> None:
        """Add a duration of 0 ns or more."""
        self.count += 1
        if self._exact is None:
            self._count(ns)
            return
        self._exact.append(min(ns, (1 << 63) - 1))
        if len(self._exact) > _EXACT:
            for known in self._exact:
                self._count(known)
            self._exact = None

    def percentile(self, percent: int) -> int | None:
        """The smallest duration that this percentage of the durations does not exceed; None without a duration."""
        if not self.count:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        if self._exact is not None:
            return sorted(self._exact)[rank - 1]
        passed = 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            if passed >= rank:
                # The middle of the bucket, by the logarithm.
                return round(_FACTOR ** (bucket - 0.5)) if bucket else 0
        return None

    def _count(self, ns: int) -> None:
        bucket = math.ceil(math.log(ns) / _LOG) if ns > 1 else ns
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1


class Percentiles:
    """The percentiles 50 and 95 of durations that the store has summed up."""

    __slots__ = ("_known",)

    def __init__(self, p50: int | None, p95: int | None) -> None:
        """The two percentiles in ns; None without a duration."""
        self._known = {50: p50, 95: p95}

    def percentile(self, percent: int) -> int | None:
        """As :meth:`Durations.percentile`.

        Raises:
            KeyError: another percentage than 50 and 95.
        """
        return self._known[percent]
