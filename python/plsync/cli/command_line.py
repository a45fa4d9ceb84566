"""The frame of every command: it reads the arguments, shows the help, and raises errors of usage in one form.

typer and click differ between their versions in the layout of help and errors, so both are built here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from typer.core import TyperCommand, TyperGroup

from plsync.cli import help_page, usage_errors
from plsync.cli.output import print_lines, stdout_console

__all__ = ["Command", "CommandOfOne", "Group"]

_NUMBER = re.compile(r"-\d+")
_PATHS = frozenset({"DIR", "FILE", "JOURNAL", "PATH"})


@contextlib.contextmanager
def _errors_of(ctx: Any) -> Iterator[None]:
    try:
        yield
    except usage_errors.USAGE_ERROR as error:
        if getattr(error, "ctx", None) is None:
            error.ctx = ctx  # type: ignore[attr-defined]
        raise


class _Framed:
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments. An error of usage has the context of the command."""
        with _errors_of(ctx):
            return list(super().parse_args(ctx, args))  # type: ignore[misc]

    def invoke(self, ctx: Any) -> Any:
        """Run the command. An error of usage has the context of the command."""
        with _errors_of(ctx):
            return super().invoke(ctx)  # type: ignore[misc]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        console = stdout_console()
        print_lines(console, help_page.lines(ctx, console.width))


class Command(_Framed, TyperCommand):
    """One command."""

    # This class reports surplus arguments itself.
    allow_extra_args = True
    counts_back: ClassVar[bool] = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises:
            BadParameter: they are not the arguments of the command.
        """
        if self.counts_back:
            # After the option's name a number is its value.
            pairs = zip(["", *args], args, strict=False)
            args = [f"--last={arg[1:]}" if _NUMBER.fullmatch(arg) and name != "--last" else arg for name, arg in pairs]
        if not ctx.resilient_parsing:
            self._refuse_empty_paths(ctx, args)
            self._refuse_options_as_values(ctx, args)
        super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            raise usage_errors.wrong_usage(" ".join(ctx.args), "unexpected argument", ctx)
        # Some versions of typer and click together accept a command without its required arguments.
        for param in [] if ctx.resilient_parsing else ctx.command.params:
            if param.required and ctx.params.get(param.name) is None:
                raise usage_errors.missing(param, ctx)
        return []

    def _refuse_empty_paths(self, ctx: Any, args: list[str]) -> None:
        # A variable of the shell may be empty, and an empty path is the working directory.
        paths = {name: param for param in self.params if getattr(param, "metavar", "") in _PATHS for name in param.opts}
        for before, arg in zip(["", *args], args, strict=False):
            name = before if arg == "" else arg.removesuffix("=") if arg.endswith("=") else ""
            if name in paths:
                raise usage_errors.missing(paths[name], ctx)

    def _refuse_options_as_values(self, ctx: Any, args: list[str]) -> None:
        # In `--hub --once` the value of `--hub` was forgotten. `--hub=--once` still names a directory.
        options = {name: param for param in self.params for name in param.opts if name.startswith("--")}
        is_value = False
        for before, arg in zip(["", *args], args, strict=False):
            param = options.get(before)
            is_value = not is_value and param is not None and not getattr(param, "is_flag", False)
            if arg == "--" and not is_value:
                return
            if is_value and arg in options:
                raise usage_errors.missing(param, ctx)


class CommandOfOne(Command):
    """A command for one record, which reads ``-1``, ``-2``, ... as ``--last 1``, ``--last 2``, ..."""

    counts_back = True


class Group(_Framed, TyperGroup):
    """A command with subcommands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the subcommand that the arguments name.

        Raises:
            BadParameter: there is none.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            raise usage_errors.no_such("command", name, self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)
