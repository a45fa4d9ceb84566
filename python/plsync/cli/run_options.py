"""The options of ``plsync run``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from plsync.callbacks.command import Command
from plsync.callbacks.resolve import ImportableFunctions

if TYPE_CHECKING:
    from plsync.delivery.memory import MemoryBudget

__all__ = ["RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """The options of ``plsync run``."""

    once: bool
    callbacks: list[str]
    exec_: str | None
    no_callbacks: bool
    batch: int
    in_flight: int
    settle: float
    trees: bool
    tree_wait: float
    memory: MemoryBudget
    """The memory for the contents of records, of all journals that the run serves."""
    json: bool
    verbose: bool = False
    rebind: bool = False
    take_back: bool = False
    """Put the records that hubs have in doubt first, and so look them up."""

    def functions(self) -> ImportableFunctions | None:
        """The functions of callbacks; None to call none.

        Raises:
            BadParameter: ``--callbacks`` is wrong.
        """
        if self.no_callbacks:
            return None
        try:
            return ImportableFunctions(self.callbacks)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--callbacks") from None

    def command(self) -> Command | None:
        """The command for each request id; None without one.

        Raises:
            BadParameter: ``--exec`` is wrong.
        """
        if self.exec_ is None:
            return None
        try:
            # With --json the output of callbacks goes to stderr, so that stdout holds nothing but JSON.
            return Command(self.exec_, stdout=sys.stderr.fileno() if self.json else None)
        except ValueError as error:
            raise typer.BadParameter(f"{self.exec_}: {error}", param_hint="--exec") from None
