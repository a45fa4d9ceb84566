"""``plsync prompts``: the cache of prompt templates."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated
from urllib.parse import urlsplit

import typer

from plsync._common.paths import prompt_cache
from plsync.cli import completion, humanize, options
from plsync.cli.command_line import Command, Group
from plsync.cli.output import print_json, print_line, print_note
from plsync.cli.workspaces import named
from plsync.prompts.cache import CachedTemplate, all_caches

__all__ = ["app"]

app = typer.Typer(
    cls=Group, no_args_is_help=True, help="Fetch prompt templates into a cache, and list the cached templates."
)


_WORKSPACE = Annotated[
    str | None,
    typer.Option(
        "--workspace",
        metavar="NAME",
        autocompletion=completion.workspaces,
        parser=options.parse_workspace,
        help="Use the key and the server of this workspace.",
    ),
]


@app.command(cls=Command)
def pull(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="The templates to fetch. Default: all of the workspace.")
    ] = None,
    version: Annotated[
        int | None,
        typer.Option("--version", parser=options.number(1), metavar="N", help="Only this version."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="LABEL", help="Only the version with this release label.")
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only templates changed since the last full pull; may miss a moved label.")
    ] = False,
    json: options.Json = False,
    workspace: _WORKSPACE = None,
) -> None:
    """Fetch prompt templates, so that `plsync.prompts.get` needs no network.

    Fetches the newest version and all labelled versions of each template.
    Reads the key from PROMPTLAYER_API_KEY or PROMPTLAYER_API_KEY_FILE.
    Exits with 1 if PromptLayer lacks a template, version or label.

    Examples:
        plsync prompts pull
        plsync prompts pull greeting --label prod
    """
    from plsync.prompts.pull import pull as pull_prompts  # noqa: PLC0415 - imports an HTTP client

    report = pull_prompts(
        names or (),
        version=version,
        label=label,
        changed=changed,
        workspace=named(None, workspace).workspace,
        on_fetched=(lambda _: None) if json else print_line,
    )
    if json:
        print_json({"cache": str(prompt_cache()), **report.as_dict()})
    else:
        for missing in report.missing:
            print_line(f"PromptLayer has no prompt template {missing}", "red")
        fetched = f"{humanize.count(report.templates, 'template')} in {humanize.count(report.versions, 'version')}"
        print_line(f"{fetched} fetched into {prompt_cache()}")
    if report.missing:
        raise typer.Exit(1)


@app.command("list", cls=Command)
def list_prompts(json: options.Json = False) -> None:
    """List the cached prompt templates. With --json: one object per line.

    Examples:
        plsync prompts list
    """
    caches = [(cache.base_url, cache.hub, cache) for cache in all_caches(prompt_cache(), look=True)]
    found = [(base_url, hub, entry) for base_url, hub, cache in caches for entry in cache.entries()]
    found.sort(key=lambda each: (each[0], each[1] or "", *_sort_key(each[2])))
    if not found and not json:
        print_note(f"the cache {prompt_cache()} has no prompt templates; `plsync prompts pull` fetches them")
    for base_url, hub, entry in found:
        if json:
            print_json({**_as_dict(base_url, entry), "hub": hub})
        else:
            age = humanize.age(_fetched_at(entry))
            by = f" by {hub}" if hub is not None else ""
            print_line(f"{entry.key.name}  {_request(entry)}  fetched {age} ago{by}")


def _as_dict(base_url: str, entry: CachedTemplate) -> dict[str, object]:
    return {
        "base_url": _shown(base_url),
        "name": entry.key.name,
        "asked_version": entry.key.version,
        "asked_label": entry.key.label,
        "version": entry.response.get("version"),
        "fetched_at": _fetched_at(entry).isoformat(),
        "bytes": entry.size,
    }


def _shown(base_url: str) -> str:
    """The URL without its path, which may hold a token."""
    url = urlsplit(base_url)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


def _fetched_at(entry: CachedTemplate) -> datetime:
    return datetime.fromtimestamp(entry.fetched_at, timezone.utc)


def _sort_key(entry: CachedTemplate) -> tuple[str, int, bool, bool, str]:
    """By name, then version: the version's entry, its labels, then the entry of the newest version."""
    key = entry.key
    return key.name, _version(entry), key.version is None, key.label is None, key.label or ""


def _request(entry: CachedTemplate) -> str:
    """The version or label that the entry was fetched by, and its version."""
    if entry.key.label is not None:
        return f"label {entry.key.label}: version {_version(entry)}"
    return f"version {_version(entry)}" if entry.key.version is not None else f"newest: version {_version(entry)}"


def _version(entry: CachedTemplate) -> int:
    version = entry.response.get("version")
    return version if isinstance(version, int) else 0
