"""``plsync rerun``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from plsync.cli import completion, humanize, options
from plsync.cli.output import escaped, print_json, print_line, print_lines, print_note, stdout_console
from plsync.cli.signals import stoppable, until_signalled
from plsync.cli.usage_errors import wrong_usage
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal

if TYPE_CHECKING:
    from plsync.rerun import Judge, Originals, Rerun, RerunReport

__all__ = ["rerun"]

# More requests than this are sent only after a confirmation: a provider may bill them.
_MOST_UNCONFIRMED: Final = 100
_MOST_REASONS: Final = 5

_MODEL = typer.Option(
    "--model",
    metavar="PROVIDER:MODEL",
    help="The model, as for LangChain's init_chat_model: openai:gpt-4o-mini; or gpt4all:FILE.",
)
_INTO = typer.Option("--into", metavar="JOURNAL", readable=False, help="The journal that records the answers.")
_SET = typer.Option(
    "--set", metavar="NAME=VALUE", help="An argument of the model's class, as JSON or text: temperature=0."
)
_AT_ONCE = typer.Option(
    "--at-once", metavar="N", parser=options.number(1, 256), help="Send at most N requests at a time."
)
_RETRY = typer.Option("--retry", help="Also send requests again that failed, or were open when a rerun was killed.")
_YES = typer.Option("--yes", "-y", help=f"Send more than {_MOST_UNCONFIRMED} requests without a confirmation.")
_COMPARE = typer.Option(
    "--compare",
    help="Compare the answers with the recorded ones. Without --model: of every rerun; nothing is sent.",
)
_JUDGE = typer.Option("--judge", metavar="MODULE:FUNCTION", help="With --compare: a measure of your own.")
_RECORDING = typer.Option(
    "--recording", metavar="FILE", readable=False, help="Send the calls of this recording, in place of a journal."
)
_RECORDED_MODEL = typer.Option(
    "--recorded-model",
    metavar="NAME",
    autocompletion=completion.models,
    parser=options.parse_search,
    help="Only requests to this model, by its full name or a pattern: 'gpt-4*'.",
)
_LIMIT = typer.Option("-n", "--limit", metavar="N", parser=options.parse_limit, help="Only the newest N calls.")


@options.filtered
def rerun(
    *,
    model: Annotated[str | None, _MODEL] = None,
    into: Annotated[Path, _INTO],
    settings: Annotated[list[str] | None, _SET] = None,
    at_once: Annotated[int, _AT_ONCE] = 4,
    retry: Annotated[bool, _RETRY] = False,
    yes: Annotated[bool, _YES] = False,
    compare: Annotated[bool, _COMPARE] = False,
    judge: Annotated[str | None, _JUDGE] = None,
    recording: Annotated[Path | None, _RECORDING] = None,
    recorded_model: Annotated[list[str] | None, _RECORDED_MODEL] = None,
    filters: Filters,
    limit: Annotated[int | None, _LIMIT] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Send the recorded requests to another model, and compare its answers.

    Each request goes out once, with its messages, tools, response format and
    stop words. Tools are offered and never executed. The same command goes on
    after an interruption. Exits with 1 if a request has no answer, and with 3
    if requests are left.

    Examples:
        plsync rerun --model openai:gpt-4o-mini --since 2w --into ./other
        plsync rerun --into ./other --compare --judge measures:politeness
    """
    if model is None and not compare:
        raise typer.BadParameter("pass --model PROVIDER:MODEL to send requests, or --compare for earlier answers")
    if judge is not None and not compare:
        _check_judge(judge)
        raise wrong_usage("--judge", "needs --compare")
    if recorded_model:
        filters = {**filters, "model": options.only("--recorded-model", recorded_model)}
    if recording is not None and filters:
        raise typer.BadParameter("filters choose records of a journal; leave them out with --recording")
    arguments = dict(map(_setting, settings or []))
    note = "the earlier answers are recorded: the same command goes on" if model else "nothing was changed"
    with stoppable(note):
        # These modules import LangChain; other commands do not need it.
        from plsync import rerun as reruns  # noqa: PLC0415

        measure = None if judge is None else _judge(judge)
        report = None
        with _source(recording, journal, into, filters, limit) as originals:
            if model is not None:
                made = reruns.make_model(model, arguments)
                report = _send(reruns.Rerun(originals, model, made, into=into, retry=retry), model, at_once, yes=yes)
            if compare:
                from plsync.cli import rerun_comparison  # noqa: PLC0415

                rerun_comparison.print_comparison(originals, into, model, measure, as_json=json)
            if report is not None:
                _print(report, into, json=json, compared=compare)
    if report is not None and report.left:
        raise typer.Exit(3)
    if report is not None and report.answered < report.sent + report.refused:
        raise typer.Exit(1)


def _setting(pair: str) -> tuple[str, Any]:
    name, equals, value = pair.partition("=")
    if not (equals and name.isidentifier()):
        raise wrong_usage(f"--set {pair}", "choose NAME=VALUE, such as temperature=0")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value


def _judge(name: str) -> Judge:
    from plsync.callbacks.resolve import import_named  # noqa: PLC0415

    _check_judge(name)
    return import_named(name)


def _check_judge(name: str) -> None:
    from plsync.callbacks.sinks import is_function_name  # noqa: PLC0415

    if not is_function_name(name):
        raise wrong_usage(f"--judge {name}", "choose MODULE:FUNCTION")


@contextmanager
def _source(
    recording: Path | None, journal: Path | None, into: Path, filters: Filters, limit: int | None
) -> Iterator[Originals]:
    from plsync import rerun as reruns  # noqa: PLC0415

    if recording is not None:
        yield reruns.RecordingOriginals(recording, limit)
        return
    with Journal.open(journal) as opened:
        if os.path.realpath(opened.path) == os.path.realpath(into):
            raise typer.BadParameter("--into is the journal of the requests; choose another directory for the answers")
        yield reruns.JournalOriginals(opened, filters, limit)


def _send(rerun: Rerun, model: str, at_once: int, *, yes: bool) -> RerunReport:
    number = len(rerun.ids)
    if number > _MOST_UNCONFIRMED and not yes:
        question = f"{humanize.count(number, 'request')} would be sent to {model}"
        if not sys.stdin.isatty():
            raise typer.BadParameter(f"{question}: pass --yes, or -n and filters to choose fewer")
        typer.confirm(f"{question}. Continue?", abort=True, err=True)
    with until_signalled(rerun.stop, None), _bar(number) as advance:
        return rerun.run(at_once, advance)


@contextmanager
def _bar(number: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal."""
    if not sys.stderr.isatty() or not number:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    from plsync.cli.output import stderr_console  # noqa: PLC0415

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr_console(), transient=True) as progress:
        task = progress.add_task("sent", total=number)
        yield lambda: progress.advance(task)


def _print(report: RerunReport, into: Path, *, json: bool, compared: bool) -> None:
    if json:
        print_json({"rerun": report.as_dict(), "into": str(into)})
        return
    to = print_note if compared else print_line
    to(f"Sent {humanize.count(report.sent, 'request')}; {report.answered:,} answered; recorded in {into}.")
    if report.sent_before:
        to(f"Sent before: {humanize.count(report.sent_before, 'request')}.")
    if report.unanswered:
        print_note(f"{report.unanswered:,} of them have no answer (failed, or killed): --retry sends them again")
    if report.skipped:
        print_note(f"{humanize.count(report.skipped, 'call')} skipped: their content is not recorded")
    reasons = [escaped(f"{number:,} x {reason}", "red") for reason, number in report.errors.most_common(_MOST_REASONS)]
    print_lines(stdout_console(), reasons)
    if report.unrecorded:
        print_note(
            f"stopped: {humanize.count(report.unrecorded, 'event')} could not be recorded in {into}; "
            f"earlier answers are kept: `plsync status --journal {into}` has the reason"
        )
    if report.left:
        print_note(f"{humanize.count(report.left, 'request')} left: run the same command again")
    if report.sent and not compared:
        print_line(f"Compare: plsync rerun --into {into} --compare")
