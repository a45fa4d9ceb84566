"""The help of a command: its usage, its description, its arguments and options, and examples.

A docstring has the description. In its last section, ``Examples:``, each line is a command.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

from rich.text import Text

from plsync.cli.output import escaped, wrapped

__all__ = ["examples", "lines"]

# Text that is wider is hard to read.
_WIDEST: Final = 100
_INDENT: Final = "  "
_GAP: Final = 2
# A name that is longer has its text on the next line.
_LONGEST_NAME: Final = 28
_EXAMPLES: Final = "Examples:"


def lines(ctx: Any, width: int) -> Iterator[Text]:
    """The lines of the help.

    Args:
        ctx: the command's context in typer.
        width: the width of the terminal, in columns.
    """
    width = min(width, _WIDEST)
    command = ctx.command
    yield Text.assemble(("Usage: ", "bold"), escaped(_usage(ctx)))
    paragraphs = _paragraphs(command.help or "")
    for paragraph in paragraphs:
        yield Text()
        yield from _indented(paragraph, width, _INDENT)
    params = [param for param in command.get_params(ctx) if not getattr(param, "hidden", False)]
    arguments = [(_argument(param), _help(param, command)) for param in params if param.param_type_name == "argument"]
    yield from _section("Arguments", arguments, width)
    options = [param for param in params if param.param_type_name == "option"]
    for title in dict.fromkeys(map(_title, options)):
        shown = [(_option(param), _option_help(param)) for param in options if _title(param) == title]
        yield from _section(title, shown, width)
    if names := getattr(command, "commands", None):
        described = {name: _paragraphs(found.help or "") for name, found in names.items() if not found.hidden}
        yield from _section("Commands", [(name, text[0] if text else "") for name, text in described.items()], width)
    if shown_examples := examples(command.help or ""):
        yield Text()
        yield Text(_EXAMPLES, style="bold")
        yield from (escaped(f"{_INDENT}{example}") for example in shown_examples)


def examples(text: str) -> list[str]:
    """The commands in the examples of a help text."""
    _, _, found = inspect.cleandoc(text).partition(f"\n{_EXAMPLES}\n")
    return [line.strip() for line in found.splitlines() if line.strip()]


def _paragraphs(text: str) -> list[str]:
    """The paragraphs before the examples, each in one line."""
    description = inspect.cleandoc(text).partition(f"\n{_EXAMPLES}\n")[0]
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", description.strip()) if paragraph]


def _usage(ctx: Any) -> str:
    pieces = [_argument(param, usage=True) for param in ctx.command.params if param.param_type_name == "argument"]
    tail = ["COMMAND"] if hasattr(ctx.command, "commands") else pieces
    return " ".join((ctx.command_path, "[OPTIONS]", *tail))


def _argument(param: Any, *, usage: bool = False) -> str:
    name = param.metavar or param.name.upper()
    if not usage:
        return str(name)
    return f"{name if param.required else f'[{name}]'}{'...' if param.nargs == -1 else ''}"


def _help(param: Any, command: Any) -> str:
    if param.help:
        return str(param.help)
    # Older versions of typer lose the help of an argument to newer versions of click.
    declared = inspect.get_annotations(inspect.unwrap(command.callback), eval_str=True).get(param.name)
    return next((found.help for found in getattr(declared, "__metadata__", ()) if getattr(found, "help", None)), "")


def _title(param: Any) -> str:
    return getattr(param, "rich_help_panel", None) or "Options"


def _option(param: Any) -> str:
    """The spellings of an option, the short one first, and the name of its value."""
    names = ", ".join(sorted(param.opts, key=len))
    value = "" if param.is_flag else f" {param.metavar or 'VALUE'}"
    return f"{'' if names.startswith('-') and not names.startswith('--') else '    '}{names}{value}"


def _option_help(param: Any) -> str:
    text = param.help or ""
    if param.required:
        return f"{text} [required]"
    default = param.default
    if not param.show_default or callable(default) or default in (None, False, "", (), []):
        return str(text)
    return f"{text} [default: {default:g}]" if isinstance(default, float) else f"{text} [default: {default}]"


def _section(title: str, entries: list[tuple[str, str]], width: int) -> Iterator[Text]:
    if not entries:
        return
    yield Text()
    yield Text(f"{title}:", style="bold")
    column = max((len(name) for name, _ in entries if len(name) <= _LONGEST_NAME), default=_LONGEST_NAME)
    margin = " " * (len(_INDENT) + column + _GAP)
    for name, text in entries:
        first, *rest = _indented(text, width, margin)
        if len(name) > column:
            yield escaped(f"{_INDENT}{name}", "cyan")
            yield from (first, *rest)
        else:
            line = Text.assemble(_INDENT, (name.ljust(column + _GAP), "cyan"), first[len(margin) :])
            line.rstrip()
            yield line
            yield from rest


def _indented(text: str, width: int, margin: str) -> list[Text]:
    return [Text(margin) + line for line in wrapped(escaped(text), width - len(margin))]
