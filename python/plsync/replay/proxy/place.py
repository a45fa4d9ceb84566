"""The place of a call in its program: it assigns equal requests of parallel tasks to their recorded answers.

Threads reach the recording in a random order. LangGraph numbers the tasks of ``Send`` and names its nodes, and
``RunnableParallel`` names its branches. These names are the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["place_of"]

_BRANCH: Final = "map:key:"


def place_of(manager: Any) -> str | None:
    """The place of a call, for example ``ask[2]``; ``None`` outside of a graph and of a branch.

    Args:
        manager: the callback manager of the call, or ``None``.
    """
    if manager is None:
        return None
    metadata = getattr(manager, "metadata", None)
    if metadata and isinstance(node := metadata.get("langgraph_node"), str):
        numbers = ",".join(map(str, _numbers(metadata.get("langgraph_path"))))
        return f"{node}[{numbers}]" if numbers else node
    for tag in getattr(manager, "tags", None) or ():
        if tag.startswith(_BRANCH):
            return str(tag.removeprefix(_BRANCH))
    return None


def _numbers(path: Any) -> Iterator[int]:
    """The numbers in the path of a task; other parts vary between runs."""
    if type(path) is int:
        yield path
    elif isinstance(path, (list, tuple)):
        for part in path:
            yield from _numbers(part)
