"""``plsync ui``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plsync.cli import humanize, options
from plsync.cli.output import escaped, exit_with_error, labelled, print_json, print_lines, print_note, stdout_console
from plsync.journal.journal import Journal

__all__ = ["ui"]

_PORT = typer.Option(
    "--port",
    metavar="PORT",
    parser=options.number(0, 65535),
    help="The port on this machine; if it is taken, the next free one. Default: 7717.",
)
_NO_OPEN = typer.Option("--no-open", help="Open no browser.")
_READ_ONLY = typer.Option("--read-only", help="Without scores, metadata and retries.")
_HIDE = typer.Option("--hide-content", help="Without messages, tools and error messages of calls.")
_PRICES = typer.Option(
    "--prices", metavar="FILE", readable=False, help="Prices of models in the format of LiteLLM, for the cost of calls."
)
_NEW_TOKEN = typer.Option("--new-token", help="Make a new token: earlier links and open tabs end.")


def ui(
    *,
    port: Annotated[int | None, _PORT] = None,
    no_open: Annotated[bool, _NO_OPEN] = False,
    read_only: Annotated[bool, _READ_ONLY] = False,
    hide_content: Annotated[bool, _HIDE] = False,
    prices: Annotated[Path | None, _PRICES] = None,
    new_token: Annotated[bool, _NEW_TOKEN] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Show the journal in the browser, on this machine alone, until Ctrl-C.

    The link has a token, which stays the same for a journal. With --json: one
    object with the link, when the page answers.

    Examples:
        plsync ui
        plsync ui --no-open --port 8000
        plsync ui --read-only --hide-content
    """
    try:
        # The packages of the extra, which recording machines do not have.
        from plsync.ui.prices import Prices  # noqa: PLC0415
        from plsync.ui.server import PORT, bound_socket, link, open_browser, serve  # noqa: PLC0415
        from plsync.ui.settings import Settings  # noqa: PLC0415
        from plsync.ui.tokens import token_of  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        exit_with_error("the web view needs two packages: pip install 'plsync[ui]'")
    with Journal.open(journal) as opened:
        settings = Settings(
            token=token_of(opened.path, renew=new_token),
            read_only=read_only,
            hide_content=hide_content,
            prices=Prices() if prices is None else Prices.read(prices),
        )
        listener = bound_socket(PORT if port is None else port)
        address, taken = link(listener, settings.token), listener.getsockname()[1]
        if port and taken != port:
            print_note(f"plsync: port {port} is taken; the page is at port {taken}")
        with listener, open_browser(address) as start_browser:

            def on_start() -> None:
                if json:
                    print_json({"journal": str(opened.path), "link": address, "port": taken})
                else:
                    _print(opened, address, taken)
                if not no_open:
                    start_browser()

            serve(opened, settings, listener, on_start)


def _print(journal: Journal, address: str, port: int) -> None:
    records = humanize.count(journal.stats().records, "call")
    console = stdout_console()
    print_lines(console, [labelled("journal", escaped(f"{journal.path}  ({records})"))])
    # The terminal continues a line that is too wide, and so the link stays whole.
    console.print(labelled("open", escaped(address)), soft_wrap=True)
    tunnel = f"from elsewhere: ssh -L {port}:127.0.0.1:{port} HOST, then the same link"
    print_lines(console, [labelled("", escaped(note)) for note in ("this machine only; Ctrl-C ends it", tunnel)])
