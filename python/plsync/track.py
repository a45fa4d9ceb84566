"""Scores, metadata, prompt links and groups for requests, under the names of PromptLayer's SDK.

Unlike the SDK's, these calls need no network and no key. Each is queued durably in the journal. ``plsync run``
sends them in order, once the request has its id. A request is named by PromptLayer's request id. Before there is one,
it is named by the id of its record or by LangChain's run id.

>>> from plsync import track
>>> track.score(4711, 90)
True
>>> track.metadata(4711, {"user": "u1"})
True

The argument ``journal`` names the journal. Inside a ``pl_id_callback`` the default is the journal of the record. Else
the default is the process's own journal: ``PLSYNC_JOURNAL``, or the user data directory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plsync._common.paths import current_journal
from plsync.journal.followups import Op
from plsync.journal.journal import Journal
from plsync.journal.tracker import (
    Request,
    Tracker,
    group_payload,
    metadata_payload,
    prompt_payload,
    score_payload,
)

__all__ = ["Tracker", "group", "metadata", "prompt", "score", "using"]

Where = str | os.PathLike[str] | Journal | None


def score(
    request_id: Request,
    score: int,
    score_name: str | None = None,
    *,
    journal: Where = None,
    workspace: str | None = None,
) -> bool:
    """Score a request.

    Args:
        request_id: PromptLayer's request id, a record id, or a run id.
        score: from 0 to 100.
        score_name: the name of the score; PromptLayer names a score without one ``default``.
        journal: the journal's directory, or an open ``Journal``.
        workspace: the workspace whose journal has the request, in place of ``journal``.

    Returns:
        True: the score is on disk. (The SDK returns True when PromptLayer has received it.)

    Raises:
        InvalidFollowUp: PromptLayer would refuse it. Also a ValueError.
        RecordNotFound: no record has that id.
        AmbiguousId: several records have that run id, or several servers sent that request id.
        ConfigError: ``workspace`` is set, and the configuration file is wrong.
        ValueError: ``journal`` and ``workspace`` are both set, or ``workspace`` is no name.
        JournalError: the journal cannot be written.
    """
    return _queue("score", score_payload(score, score_name), request_id, journal, workspace)


def metadata(
    request_id: Request, metadata: Mapping[str, str], *, journal: Where = None, workspace: str | None = None
) -> bool:
    """Add metadata to a request. The value of a key that the request has already is replaced.

    Args:
        request_id: as for :func:`score`.
        metadata: texts by name; a name has at most 1,024 characters.
        journal, workspace: as for :func:`score`.

    Returns and raises: as :func:`score`.
    """
    return _queue("metadata", metadata_payload(metadata), request_id, journal, workspace)


def prompt(
    request_id: Request,
    prompt_name: str,
    prompt_input_variables: Mapping[str, Any],
    version: int | None = None,
    label: str | None = None,
    *,
    journal: Where = None,
    workspace: str | None = None,
) -> bool:
    """Link a request to the prompt template that made it.

    Args:
        request_id: as for :func:`score`.
        prompt_name: the template's name in PromptLayer's registry.
        prompt_input_variables: the values of its variables by name; JSON-able, at most 1 MiB.
        version: the template's version; the newest by default.
        label: a release label, in place of a version.
        journal, workspace: as for :func:`score`.

    Returns and raises: as :func:`score`.
    """
    payload = prompt_payload(prompt_name, prompt_input_variables, version, label)
    return _queue("prompt", payload, request_id, journal, workspace)


def group(request_id: Request, group_id: int, *, journal: Where = None, workspace: str | None = None) -> bool:
    """Put a request into a group. PromptLayer's SDK creates groups: ``PromptLayer().group.create()``.

    Args:
        request_id: as for :func:`score`.
        group_id: PromptLayer's id of the group.
        journal, workspace: as for :func:`score`.

    Returns and raises: as :func:`score`.
    """
    return _queue("group", group_payload(group_id), request_id, journal, workspace)


@contextlib.contextmanager
def using(journal: str | os.PathLike[str] | None = None, *, workspace: str | None = None) -> Iterator[None]:
    """Make a journal the default inside a block, for the calls of this thread or task.

    A ``pl_id_callback`` is called inside such a block, so that follow-ups go to the journal of the record.

    >>> from plsync import track
    >>> with track.using("./calls"):
    ...     track.score(4711, 90)
    True
    """
    if workspace is not None:
        from plsync.config.workspaces import journal_for  # noqa: PLC0415 - few programs name a workspace

        journal = journal_for(journal, workspace)
    if journal is None:
        raise ValueError("using() needs a journal or a workspace")
    token = current_journal.set(Path(journal))
    try:
        yield
    finally:
        current_journal.reset(token)


def _queue(op: Op, payload: dict[str, Any], request_id: Request, journal: Where, workspace: str | None) -> bool:
    if isinstance(journal, Journal) and workspace is None:
        journal.followups.add(op, payload, request_id)
        return True
    # A request id needs no record, so a missing journal is created.
    with Journal.open(_path(journal), workspace=workspace, create=True) as opened:
        opened.followups.add(op, payload, request_id)
    return True


def _path(journal: Where) -> str | os.PathLike[str] | None:
    return journal.path if isinstance(journal, Journal) else journal
