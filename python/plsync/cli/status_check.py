"""``plsync status --check`` and ``--format prometheus``: the state of journals for programs that watch them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from plsync.cli.health import JournalHealth, Thresholds, observe, observe_all
from plsync.cli.options import number
from plsync.cli.output import escaped, print_json, print_line, print_lines, stdout_console
from plsync.cli.quota import NewLimit, parse_age, parse_size
from plsync.cli.usage_errors import bad_value
from plsync.config.file import read_config

__all__ = [
    "CHECK_FAILED",
    "MaxFailures",
    "MaxRefused",
    "MaxSilence",
    "MaxUnsent",
    "MinFree",
    "check_health",
    "parse_format",
    "print_metrics",
    "thresholds",
]

CHECK_FAILED: Final = 4
"""The exit code of a check that finds a problem."""

_MAX_UNSENT: Final = timedelta(hours=1)
_MAX_SILENCE: Final = timedelta(minutes=10)
_MIN_FREE: Final = 100_000_000

MaxUnsent = Annotated[
    NewLimit | None,
    typer.Option("--max-unsent", metavar="AGE", parser=parse_age, help="The oldest unsent record: 1h by default."),
]
MaxSilence = Annotated[
    NewLimit | None,
    typer.Option("--max-silence", metavar="AGE", parser=parse_age, help="No sign of a sender: 10m by default."),
]
MaxFailures = Annotated[
    int,
    typer.Option(
        "--max-failures", parser=number(0), metavar="N", help="Events that were not recorded, or are damaged."
    ),
]
MaxRefused = Annotated[
    int, typer.Option("--max-refused", parser=number(0), metavar="N", help="Refused, held or given-up work.")
]
MinFree = Annotated[
    NewLimit | None,
    typer.Option("--min-free", metavar="SIZE", parser=parse_size, help="Free disk space: 100MB by default."),
]


def parse_format(value: str) -> str:
    """The format of ``plsync status``.

    Raises:
        BadParameter: the value is another format.
    """
    if value not in {"text", "json", "prometheus"}:
        raise bad_value(value, "choose text, json or prometheus")
    return value


def thresholds(
    max_unsent: NewLimit | None,
    max_silence: NewLimit | None,
    min_free: NewLimit | None,
    *,
    max_failures: int,
    max_refused: int,
) -> Thresholds:
    """The limits of the options; the defaults for options that were not given."""
    return Thresholds(
        max_unsent=_MAX_UNSENT if max_unsent is None else max_unsent.limit,
        max_silence=_MAX_SILENCE if max_silence is None else max_silence.limit,
        max_failures=max_failures,
        max_refused=max_refused,
        min_free=_MIN_FREE if min_free is None else min_free.limit,
    )


def check_health(journal: Path | None, limits: Thresholds, *, json: bool) -> NoReturn:
    """Print one line about the journals, and exit with 0 or :data:`CHECK_FAILED`."""
    found = _observed(journal)
    problems = [(health, problem) for health in found for problem in health.problems(limits)]
    if json:
        print_json(
            {
                "ok": not problems,
                "problems": [
                    {
                        "journal": str(health.path),
                        "workspace": health.workspace,
                        "check": problem.check,
                        "message": problem.message,
                    }
                    for health, problem in problems
                ],
            }
        )
    elif problems:
        print_line(f"plsync PROBLEM: {'; '.join(_named(health, problem.message) for health, problem in problems)}")
    else:
        print_line(f"plsync OK: {'; '.join(_named(health, health.summary()) for health in found)}")
    raise typer.Exit(CHECK_FAILED if problems else 0)


def print_metrics(journal: Path | None, output: Path | None) -> None:
    """Print the metrics of the journals, or write them to a file."""
    from plsync.cli.metrics import prometheus_text, write_metrics  # noqa: PLC0415 - other formats need no metrics

    text = prometheus_text(_observed(journal))
    if output is None:
        print_lines(stdout_console(), map(escaped, text.splitlines()))
    else:
        write_metrics(text, output)


def _observed(journal: Path | None) -> list[JournalHealth]:
    config = read_config() if journal is None else None
    return observe_all(config) if config is not None and config.workspaces else [observe(journal)]


def _named(health: JournalHealth, text: str) -> str:
    return text if health.workspace is None else f"{health.workspace}: {text}"
