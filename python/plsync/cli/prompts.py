"""``plsync prompts``: the templates that are kept for times without a network."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

import typer

from plsync._common.paths import prompt_cache
from plsync.cli import humanize, options
from plsync.cli.console import json_line, note, out, safe
from plsync.prompts.cache import Cached, caches

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Fetch prompt templates for times without a network, and see what is kept."
)


@app.command()
def pull(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Which templates. Default: all of the workspace.")
    ] = None,
    version: Annotated[int | None, typer.Option("--version", min=1, metavar="N", help="This version alone.")] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="LABEL", help="The version with this release label alone.")
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only those changed since all were pulled; may miss a label that moved.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Fetch prompt templates, so that `plsync.prompts.get` has them without a network.

    Of each the newest version, and those with a release label.
    The key comes from PROMPTLAYER_API_KEY.
    Exits with 1 when PromptLayer does not have what was asked for.
    """
    from plsync.prompts.pulling import pull as pull_prompts  # noqa: PLC0415 - the commands that look need no network

    console = out()
    pulled = pull_prompts(
        names or (),
        version=version,
        label=label,
        changed=changed,
        watched=(lambda _: None) if json else lambda name: console.print(safe(name)),
    )
    if json:
        json_line({"cache": str(prompt_cache()), **pulled.as_dict()})
    else:
        for missing in pulled.missing:
            console.print(safe(f"PromptLayer has no prompt template {missing}", "red"))
        fetched = f"{humanize.count(pulled.templates, 'template')} in {humanize.count(pulled.versions, 'version')}"
        console.print(safe(f"{fetched} fetched into {prompt_cache()}"), soft_wrap=True)
    if pulled.missing:
        raise typer.Exit(1)


@app.command("list")
def list_prompts(json: options.Json = False) -> None:
    """List the prompt templates that are kept. With --json: one object a line."""
    console = out()
    found = [(cache.base_url, entry) for cache in caches(prompt_cache()) for entry in cache.entries()]
    found.sort(key=lambda pair: (pair[0], *_place(pair[1])))
    if not found and not json:
        note(f"no prompt template is kept in {prompt_cache()}; `plsync prompts pull` fetches them")
    for base_url, entry in found:
        wanted = entry.wanted
        at = datetime.fromtimestamp(entry.fetched_at, timezone.utc)
        if json:
            asked = {"name": wanted.name, "asked_version": wanted.version, "asked_label": wanted.label}
            shown = {**asked, "version": entry.answer.get("version"), "fetched_at": at.isoformat(), "bytes": entry.size}
            json_line({"base_url": base_url, **shown})
        else:
            console.print(safe(f"{wanted.name}  {_asked(entry)}  fetched {humanize.age(at)} ago"), soft_wrap=True)


def _place(entry: Cached) -> tuple[str, int, bool, bool, str]:
    """By name and version; a version before the labels it has, and those before the newest."""
    wanted = entry.wanted
    return wanted.name, _version(entry), wanted.version is None, wanted.label is None, wanted.label or ""


def _asked(entry: Cached) -> str:
    if entry.wanted.label is not None:
        return f"label {entry.wanted.label}: version {_version(entry)}"
    return f"version {_version(entry)}" if entry.wanted.version is not None else f"newest: version {_version(entry)}"


def _version(entry: Cached) -> int:
    version = entry.answer.get("version")
    return version if isinstance(version, int) else 0
