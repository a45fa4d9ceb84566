"""The options ``--journal`` and ``--workspace``, which name the journal of a command."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from plsync.cli import options
from plsync.errors import JournalNotFound, PlsyncError

__all__ = ["Named", "named", "set_named", "with_workspace"]


@dataclass(frozen=True)
class Named:
    """The journal that the command line names."""

    journal: Path | None = None
    workspace: str | None = None

    def path(self) -> Path | None:
        """The journal's directory; None for the default journal.

        Raises:
            BadParameter: both options are set, or the workspace is no name.
            ConfigError: the configuration file is wrong, or lists no such workspace, which has no journal either.
        """
        if self.workspace is None:
            return self.journal
        from plsync.config.workspaces import journal_for, workspace_of  # noqa: PLC0415 - few commands name a workspace

        try:
            path = journal_for(self.journal, self.workspace)
        except ValueError as error:
            raise typer.BadParameter(f"{self.workspace}: {error}", param_hint="--workspace") from None
        if not os.path.lexists(path):
            # The name may be misspelt. A listed workspace may have no record yet.
            workspace_of(self.workspace)
        return path

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Let the error for a missing journal name the workspace.

        Raises:
            JournalNotFound: with the name of the workspace, if there is one.
        """
        try:
            yield
        except JournalNotFound as error:
            if self.workspace is None and self.journal is None and (names := _with_journals()):
                raise JournalNotFound(
                    f"{error}. Workspaces with a journal: {', '.join(names)}: use --workspace NAME"
                ) from error
            if self.workspace is None or self.journal is not None:
                raise
            raise JournalNotFound(
                f"the workspace {self.workspace} has no journal yet ({self.path()}); check the name, or record a call "
                f'with PromptLayerCallbackHandler(workspace="{self.workspace}") first'
            ) from error


def _with_journals() -> list[str]:
    """The workspaces that have a journal, of the configuration file and beside the default journal."""
    from plsync.config.file import read_config  # noqa: PLC0415 - the usual command finds its journal
    from plsync.config.workspaces import workspaces_with_journals  # noqa: PLC0415

    try:
        return workspaces_with_journals(read_config())
    except PlsyncError:
        return []


# The options before the name of the command.
_before = Named()


def set_named(journal: Path | None, workspace: str | None) -> None:
    """Keep the options before the name of the command, for :func:`named`."""
    global _before  # noqa: PLW0603 - a process runs one command
    _before = Named(journal, workspace)


def named(journal: Path | None, workspace: str | None) -> Named:
    """The journal that the options of a command name, else the options before its name."""
    return _before if journal is None and workspace is None else Named(journal, workspace)


def with_workspace(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the option ``--journal``, which also takes ``--workspace``."""

    @functools.wraps(command)
    def wrapped(*, journal: Path | None = None, workspace: str | None = None, **more: Any) -> None:
        chosen = named(journal, workspace)
        with chosen.explained():
            command(journal=chosen.path(), **more)

    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter("workspace", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=options.Workspace)
    keyword_only = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()
    ]
    wrapped.__signature__ = signature.replace(parameters=[*keyword_only, option])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {
        parameter.name: parameter.annotation
        for parameter in wrapped.__signature__.parameters.values()  # type: ignore[attr-defined]
    }
    return wrapped
