"""Scores, metadata, prompt links and groups for requests, under the names of PromptLayer's SDK.

Unlike the SDK's these calls need no network and no key: what is given is queued in the journal, durably, and sent by
``plsync run``, in order, once the request has its id. A request is named by PromptLayer's request id, or long before
there is one by the id of its record or LangChain's run id.

>>> from plsync import track
>>> track.score(4711, 90)
True
>>> track.metadata(4711, {"user": "u1"})
True

Which journal: the one given as ``journal``; inside a ``pl_id_callback`` the one that its record is in; else the
process's own (``PLSYNC_JOURNAL``, else the user data directory).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from plsync._common.paths import current_journal
from plsync.errors import InvalidFollowUp
from plsync.journal.followups import Op
from plsync.journal.journal import Journal

__all__ = ["Tracker", "group", "metadata", "prompt", "score", "using"]

Request = int | str | UUID
Where = str | os.PathLike[str] | Journal | None

# PromptLayer's limits (its OpenAPI file).
_LONGEST_KEY: Final = 1024
_LONGEST_PROMPT_NAME: Final = 512


def score(request_id: Request, score: int, score_name: str | None = None, *, journal: Where = None) -> bool:
    """Score a request.

    Args:
        request_id: PromptLayer's request id, a record id, or a run id.
        score: from 0 to 100.
        score_name: which of its scores; PromptLayer calls the one without a name ``default``.
        journal: where to queue it.

    Returns:
        True: it is on disk. (The SDK returns True when PromptLayer has it.)

    Raises:
        InvalidFollowUp: PromptLayer would not take it. Also a ValueError.
        RecordNotFound: no record has that id.
        AmbiguousId: several records have that run id.
        JournalError: the journal cannot be written to.
    """
    return _queue("score", _score(score, score_name), request_id, journal)


def metadata(request_id: Request, metadata: Mapping[str, str], *, journal: Where = None) -> bool:
    """Add metadata to a request; a key that it has already is replaced.

    Args:
        request_id: as for :func:`score`.
        metadata: texts by name; names of at most 1,024 characters.
        journal: where to queue it.

    Returns and raises: as :func:`score`.
    """
    return _queue("metadata", _metadata(metadata), request_id, journal)


def prompt(
    request_id: Request,
    prompt_name: str,
    prompt_input_variables: Mapping[str, Any],
    version: int | None = None,
    label: str | None = None,
    *,
    journal: Where = None,
) -> bool:
    """Link a request to the prompt template it was made from.

    Args:
        request_id: as for :func:`score`.
        prompt_name: the template's name in PromptLayer's registry.
        prompt_input_variables: what its variables were filled with; JSON-able, at most 1 MiB.
        version: the template's version; by default the newest.
        label: a release label that names the version instead.
        journal: where to queue it.

    Returns and raises: as :func:`score`.
    """
    payload = _prompt(prompt_name, prompt_input_variables, version, label)
    return _queue("prompt", payload, request_id, journal)


def group(request_id: Request, group_id: int, *, journal: Where = None) -> bool:
    """Put a request into a group, which PromptLayer's SDK makes: ``PromptLayer().group.create()``.

    Args:
        request_id: as for :func:`score`.
        group_id: PromptLayer's id of the group.
        journal: where to queue it.

    Returns and raises: as :func:`score`.
    """
    if not _is_whole(group_id) or group_id < 1:
        raise _invalid(f"a group id is a whole number above 0, not {group_id!r}")
    return _queue("group", {"group_id": group_id}, request_id, journal)


class Tracker:
    """The same calls for one open journal: :attr:`plsync.Journal.track`."""

    def __init__(self, journal: Journal) -> None:
        """For an open journal."""
        self._journal = journal

    def score(self, request_id: Request, score: int, score_name: str | None = None) -> bool:
        """As :func:`plsync.track.score`."""
        return _queue("score", _score(score, score_name), request_id, self._journal)

    def metadata(self, request_id: Request, metadata: Mapping[str, str]) -> bool:
        """As :func:`plsync.track.metadata`."""
        return _queue("metadata", _metadata(metadata), request_id, self._journal)

    def prompt(
        self,
        request_id: Request,
        prompt_name: str,
        prompt_input_variables: Mapping[str, Any],
        version: int | None = None,
        label: str | None = None,
    ) -> bool:
        """As :func:`plsync.track.prompt`."""
        return prompt(request_id, prompt_name, prompt_input_variables, version, label, journal=self._journal)

    def group(self, request_id: Request, group_id: int) -> bool:
        """As :func:`plsync.track.group`."""
        return group(request_id, group_id, journal=self._journal)


@contextlib.contextmanager
def using(journal: str | os.PathLike[str]) -> Iterator[None]:
    """Inside this block the calls that name no journal mean this one. Of this thread or task alone.

    A ``pl_id_callback`` is called inside one, so that follow-ups go where the record is.
    """
    token = current_journal.set(Path(journal))
    try:
        yield
    finally:
        current_journal.reset(token)


def _queue(op: Op, payload: dict[str, Any], request_id: Request, journal: Where) -> bool:
    if isinstance(journal, Journal):
        journal.followups.add(op, payload, request_id)
        return True
    # Made when there is none: a request id needs no record.
    with Journal.open(journal, create=True) as opened:
        opened.followups.add(op, payload, request_id)
    return True


def _score(score: int, name: str | None) -> dict[str, Any]:
    if not _is_whole(score) or not 0 <= score <= 100:
        raise _invalid(f"a score is a whole number from 0 to 100, not {score!r}")
    if name is None:
        return {"score": score}
    return {"score": score, "name": _text("a score's name", name)}


def _metadata(metadata: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise _invalid(f"metadata is a dict of texts, not a {type(metadata).__name__}")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise _invalid(f"metadata is a dict of texts, and {key!r}: {value!r} is not two of them; use str()")
        if len(key) > _LONGEST_KEY:
            raise _invalid(f"a name in metadata has at most {_LONGEST_KEY:,} characters, and {key[:30]!r}... has more")
    return {"metadata": dict(metadata)}


def _prompt(name: str, variables: Mapping[str, Any], version: int | None, label: str | None) -> dict[str, Any]:
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


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(what: str, value: str) -> str:
    if not isinstance(value, str) or not value:
        raise _invalid(f"{what} is a text, not {value!r}")
    return value


def _invalid(reason: str) -> InvalidFollowUp:
    return InvalidFollowUp(f"{reason}; nothing was queued")
