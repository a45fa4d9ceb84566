"""Errors of usage: one line with the command, the option, its value and the reason.

typer and click word them differently in each version, and draw boxes around them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final, cast

import typer

__all__ = ["USAGE_ERROR", "bad_value", "message", "missing", "no_such", "option_names", "wrong_usage"]

# Their class belongs to click or to typer, which depends on the version of typer.
USAGE_ERROR: Final = cast("type[Exception]", typer.BadParameter.__base__)


def bad_value(value: object, reason: str) -> typer.BadParameter:
    """The error for a value of an option or argument.

    Args:
        value: as the user wrote it.
        reason: the possible values, or their form.
    """
    return typer.BadParameter(f"{value if value != '' else repr(value)}: {reason}")


def wrong_usage(subject: str, reason: str, ctx: Any = None) -> typer.BadParameter:
    """The error for an option, argument or command itself."""
    return typer.BadParameter(reason, ctx=ctx, param_hint=f"{subject}:")


def missing(param: Any, ctx: Any) -> typer.BadParameter:
    """The error for an argument or option that is required and absent."""
    return wrong_usage(_subject(param), _value_missing(param), ctx)


def no_such(kind: str, name: str, known: Iterable[str], ctx: Any) -> typer.BadParameter:
    """The error for a command or option that does not exist. It has similar names."""
    similar = difflib.get_close_matches(name, list(known), cutoff=0.7)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"`{ctx.command_path} --help` lists the {kind}s"
    return wrong_usage(name, f"no such {kind}; {hint}", ctx)


def option_names(ctx: Any) -> list[str]:
    """All spellings of all options of a command."""
    return [name for param in ctx.command.get_params(ctx) for name in param.opts if name.startswith("-")]


def message(error: Any) -> str:
    """The error in one line: the command, the subject, and the reason. Empty for an error without a text.

    >>> message(typer.BadParameter("soon: choose a time", param_hint="--since"))
    'plsync: --since soon: choose a time'
    """
    ctx = error.ctx
    if not error.message and not isinstance(error, typer.BadParameter):
        return ""
    return f"{ctx.command_path if ctx is not None else 'plsync'}: {_described(error, ctx)}"


def _described(error: Any, ctx: Any) -> str:
    if (option := getattr(error, "option_name", None)) is not None:
        if hasattr(error, "possibilities"):
            return _described(no_such("option", option, option_names(ctx), ctx), ctx)
        param = next(param for param in ctx.command.get_params(ctx) if option in param.opts)
        return f"{option}: takes no value" if param.is_flag else f"{option}: {_value_missing(param)}"
    if not isinstance(error, typer.BadParameter):
        return str(error.message)
    param = getattr(error, "param", None)
    subject = str(error.param_hint or ("" if param is None else _subject(param)))
    if not error.message:
        return f"{subject}: {_value_missing(param)}"
    return f"{subject} {error.message}".strip()


def _subject(param: Any) -> str:
    """The longest spelling of an option, or the name of an argument."""
    is_option = param.param_type_name == "option"
    return str(max(param.opts, key=len) if is_option else param.metavar or param.name.upper())


def _value_missing(param: Any) -> str:
    if param.param_type_name == "argument":
        return "this argument is required"
    value = f"needs a value, {param.metavar}" if param.metavar else "needs a value"
    # The help of an option that a person must set names its values.
    if not param.required or not param.help:
        return value
    return f"{value} ({param.help[0].lower()}{param.help[1:].removesuffix('.')})"
