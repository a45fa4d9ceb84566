"""The quota of a journal: how much it may hold, and which content it removes first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Literal, get_args

__all__ = ["MAX_BYTES", "QUOTA_POLICIES", "Quota", "QuotaPolicy"]

MAX_BYTES: Final = (1 << 63) - 1
"""The largest limit of bytes."""

QuotaPolicy = Literal["keep-unsent", "drop-oldest"]
QUOTA_POLICIES: Final[tuple[QuotaPolicy, ...]] = get_args(QuotaPolicy)


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a journal may hold, and which content goes first. By default a journal keeps everything.

    >>> from datetime import timedelta
    >>> from plsync import Journal
    >>> from plsync.journal import Quota
    >>> with Journal.open(create=True) as journal:
    ...     journal.set_quota(Quota(max_bytes=1 << 30, max_age=timedelta(days=90)))
    ...     journal.quota().policy
    'keep-unsent'
    """

    max_bytes: int | None = None
    """The limit for the bytes in use (``Stats.used_bytes``); None for no limit."""
    max_age: timedelta | None = None
    """The limit for the time since a call began; None for no limit."""
    policy: QuotaPolicy = "keep-unsent"
    """``keep-unsent``: only acked records lose their content. ``drop-oldest``: then the oldest of the rest, too."""

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Quota:
        """The quota of the store's dict."""
        age = found["max_age_ms"]
        return cls(found["max_bytes"], None if age is None else timedelta(milliseconds=age), found["policy"])

    def limits(self) -> tuple[int | None, int | None]:
        """The limits as the store takes them: bytes, and the age in ms.

        Raises:
            ValueError: a limit is negative, or ``max_bytes`` exceeds :data:`MAX_BYTES`.
        """
        age = None if self.max_age is None else self.max_age // timedelta(milliseconds=1)
        if min(self.max_bytes or 0, age or 0) < 0:
            raise ValueError("a limit of a quota is not negative: use None for no limit")
        if (self.max_bytes or 0) > MAX_BYTES:
            raise ValueError(f"a quota has at most {MAX_BYTES} bytes: use None for no limit")
        return self.max_bytes, age

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; the age in seconds."""
        return asdict(self) | {"max_age": self.max_age and self.max_age.total_seconds()}
