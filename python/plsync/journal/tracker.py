"""Checks scores, metadata, prompt links and groups against PromptLayer's limits, and queues them in a journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from plsync.errors import InvalidFollowUp
from plsync.journal.followups import FollowUpQueue

__all__ = ["Request", "Tracker", "group_payload", "metadata_payload", "prompt_payload", "score_payload"]

Request = int | str | UUID
"""PromptLayer's request id, a record id, or a run id."""

# Limits of PromptLayer's OpenAPI file.
_LONGEST_KEY: Final = 1024
_LONGEST_PROMPT_NAME: Final = 512


class Tracker:
    """The functions of :mod:`plsync.track` for one journal: :attr:`plsync.Journal.track`."""

    def __init__(self, queue: FollowUpQueue) -> None:
        """``queue``: the journal's."""
        self._queue = queue

    def score(self, request_id: Request, score: int, score_name: str | None = None) -> bool:
        """Score a request: :func:`plsync.track.score`."""
        self._queue.add("score", score_payload(score, score_name), request_id)
        return True

    def metadata(self, request_id: Request, metadata: Mapping[str, str]) -> bool:
        """Add metadata to a request: :func:`plsync.track.metadata`."""
        self._queue.add("metadata", metadata_payload(metadata), request_id)
        return True

    def prompt(
        self,
        request_id: Request,
        prompt_name: str,
        prompt_input_variables: Mapping[str, Any],
        version: int | None = None,
        label: str | None = None,
    ) -> bool:
        """Link a request to a prompt template: :func:`plsync.track.prompt`."""
        payload = prompt_payload(prompt_name, prompt_input_variables, version, label)
        self._queue.add("prompt", payload, request_id)
        return True

    def group(self, request_id: Request, group_id: int) -> bool:
        """Put a request into a group: :func:`plsync.track.group`."""
        self._queue.add("group", group_payload(group_id), request_id)
        return True


def score_payload(score: int, name: str | None) -> dict[str, Any]:
    """The payload of a score.

    Raises:
        InvalidFollowUp: PromptLayer would refuse it.

    >>> score_payload(90, "helpful")
    {'score': 90, 'name': 'helpful'}
    """
    if not _is_whole(score) or not 0 <= score <= 100:
        raise _invalid(f"a score is a whole number from 0 to 100, not {score!r}")
    if name is None:
        return {"score": score}
    return {"score": score, "name": _text("a score's name", name)}


def metadata_payload(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The payload of metadata.

    Raises:
        InvalidFollowUp: PromptLayer would refuse it.
    """
    if not isinstance(metadata, Mapping):
        raise _invalid(f"metadata is a dict of texts, not a {type(metadata).__name__}")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise _invalid(f"metadata is a dict of texts, and {key!r}: {value!r} is not a pair of texts; use str()")
        if len(key) > _LONGEST_KEY:
            raise _invalid(f"a name in metadata has at most {_LONGEST_KEY:,} characters, and {key[:30]!r}... has more")
    return {"metadata": dict(metadata)}


def prompt_payload(name: str, variables: Mapping[str, Any], version: int | None, label: str | None) -> dict[str, Any]:
    """The payload of a prompt link.

    Raises:
        InvalidFollowUp: PromptLayer would refuse it.
    """
    if not isinstance(variables, Mapping) or not all(isinstance(key, str) for key in variables):
        raise _invalid("a prompt's input variables are a dict by name")
    payload: dict[str, Any] = {"prompt_name": _text("a prompt's name", name), "prompt_input_variables": dict(variables)}
    if len(name) > _LONGEST_PROMPT_NAME:
        raise _invalid(f"a prompt's name has at most {_LONGEST_PROMPT_NAME} characters")
    if version is not None:
        if not _is_whole(version) or version < 1:
            raise _invalid(f"a prompt's version is a whole number above 0, not {version!r}")
        payload["version"] = version
    if label is not None:
        payload["label"] = _text("a release label", label)
    return payload


def group_payload(group_id: int) -> dict[str, Any]:
    """The payload of a group.

    Raises:
        InvalidFollowUp: PromptLayer would refuse it.
    """
    if not _is_whole(group_id) or group_id < 1:
        raise _invalid(f"a group id is a whole number above 0, not {group_id!r}")
    return {"group_id": group_id}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(noun: str, value: str) -> str:
    if not isinstance(value, str) or not value:
        raise _invalid(f"{noun} is a text, not {value!r}")
    return value


def _invalid(reason: str) -> InvalidFollowUp:
    return InvalidFollowUp(f"{reason}; nothing was queued")
