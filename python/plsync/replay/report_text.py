"""The text of a pytest report, without characters that steer a terminal."""

from __future__ import annotations

from typing import Any

from plsync._terminal import visible

__all__ = ["make_visible"]


def make_visible(longrepr: Any) -> Any:
    """The ``longrepr`` of a report, in which each text is visible. pytest's own objects are changed in place.

    >>> make_visible(("test_app.py", 3, "\\x1b[2J"))
    ('test_app.py', 3, '\\\\x1b[2J')
    """
    if isinstance(longrepr, str):
        return visible(longrepr)
    if type(longrepr) in {list, tuple}:
        return type(longrepr)(map(make_visible, longrepr))
    # A report may have an object of another plugin.
    if type(longrepr).__module__.startswith("_pytest."):
        for name, value in vars(longrepr).items():
            setattr(longrepr, name, make_visible(value))
    return longrepr
