"""The native module, with the parts of plsync that it needs. Import its names from here, never from ``plsync._native``.

Rust imports no module of plsync by itself. It raises the classes of :mod:`plsync.errors`. Importing this module hands
them over, once per process. Without a hand-over, the native classes raise RuntimeError.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from plsync._native import *  # noqa: F403, TID251
from plsync._native import hand_over, redact_text  # noqa: TID251


def _load_errors() -> ModuleType:
    from plsync import errors  # noqa: PLC0415 - a recording program imports it with its first error

    return errors


def _plain_form(value: object) -> tuple[str, Any] | None:
    from plsync._common.plain_forms import plain_form  # noqa: PLC0415 - most programs pass JSON values alone

    return plain_form(value, redact_text)


hand_over(_load_errors, plain_form=_plain_form)
