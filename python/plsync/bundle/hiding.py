"""Removes content from events on their way into a bundle, like the redact hook of a handler. The journal keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from plsync._common.large_json import dumps, loads
from plsync._common.native import encode
from plsync._common.redaction import Redact
from plsync.journal.events.tagged import decode

__all__ = ["Hiding"]

# The ids and times of an event, which no hook changes: the recorder has made them.
_KEPT: Final = frozenset(
    {"v", "kind", "t", "run_id", "parent_run_id", "root", "parent", "after", "elapsed", "first_token"}
)


class Hiding:
    """Applies redact hooks to the events of a record.

    Args:
        hooks: called one after another. Each receives the event that the hook before it has returned.
    """

    def __init__(self, hooks: Sequence[Redact]) -> None:
        self._hooks = hooks

    def __call__(self, start: bytes | None, end: bytes | None) -> tuple[bytes | None, bytes | None]:
        """The events without the content that the hooks removed.

        Raises:
            Exception: a hook has failed, or an event cannot be read. The record must not leave the machine then.
        """
        return self._hidden(start), self._hidden(end)

    def _hidden(self, body: bytes | None) -> bytes | None:
        if body is None:
            return None
        stored: dict[str, Any] = loads(body)
        before: dict[str, Any] = decode(body)
        event: dict[str, Any] | None = dict(before)
        for hook in self._hooks:
            if event is None:
                break
            event = hook(event)
            if event is not None and not isinstance(event, dict):
                raise TypeError("a redact hook returns a dict or None")
        kept = {name: value for name, value in stored.items() if name in _KEPT}
        for name, value in (event or {}).items():
            if name in _KEPT:
                continue
            # A value that no hook replaced keeps its recorded form, with its tags.
            is_same = name in stored and value is before[name]
            kept[name] = stored[name] if is_same else orjson.Fragment(encode(value)[0])
        return dumps(kept)
