"""``plsync keys``: the keys of this machine, and the machines that it trusts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.text import Text

from plsync._common.files import create_new
from plsync.bundle.keys import ROLES, Card, Keys, Role, is_fingerprint_of, load_card
from plsync.cli import completion, options
from plsync.cli.bundle_templates import forget_templates
from plsync.cli.command_line import Command, Group
from plsync.cli.output import escaped, labelled, print_json, print_line, print_lines, print_note, stdout_console
from plsync.cli.passphrase import machine_keys, new_passphrase
from plsync.cli.usage_errors import bad_value
from plsync.errors import BundleError

__all__ = ["app"]

app = typer.Typer(
    cls=Group, no_args_is_help=True, help="Make the keys for bundles, and trust the keys of other machines."
)


def parse_role(value: str) -> Role:
    """The name of a role.

    Raises:
        BadParameter: there is no such role.
    """
    for role in ROLES:
        if value == role:
            return role
    raise bad_value(value, f"choose from {', '.join(ROLES)}")


_OUT = typer.Option(
    "--out", metavar="CARD", help="The file of the card. Default: NAME.card in this directory.", show_default=False
)
_PASSPHRASE = typer.Option("--passphrase", help="Protect the keys with a passphrase, which is typed or in a file.")
_ROLE_HELP = "origin: it records calls and sends them out; hub: it delivers them to PromptLayer."
_CARD = typer.Argument(metavar="CARD", help="The card of the other machine.")


@app.command("init", cls=Command)
def init(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The name of this machine, such as berlin-lab.")],
    out: Annotated[Path | None, _OUT] = None,
    passphrase: Annotated[bool, _PASSPHRASE] = False,
    json: options.Json = False,
) -> None:
    """Make the keys of this machine, and write its card for the other machine.

    The keys are in PLSYNC_KEYS, else in `keys` beside the default journal.
    The card holds nothing secret.
    Read its fingerprint to the person at the other machine, over the phone for example.
    A script has the passphrase in the file that PLSYNC_KEYS_PASSPHRASE_FILE names.

    Examples:
        plsync keys init --name berlin-lab
        plsync keys init --name berlin-lab --passphrase
        plsync keys init --name berlin-lab --out /media/stick/berlin-lab.card
    """
    keys = machine_keys()
    path = out or Path(f"{name}.card")
    _check_card_file(keys, path)
    keys.check_absent()
    _print_own(keys, keys.create(name, new_passphrase() if passphrase else None), path, json=json)


@app.command(cls=Command)
def rotate(
    *,
    out: Annotated[Path | None, _OUT] = None,
    passphrase: Annotated[bool, _PASSPHRASE] = False,
    json: options.Json = False,
) -> None:
    """Replace the keys of this machine. The old key signs the new card.

    A machine that trusts the old key accepts the new card without a comparison of fingerprints.
    The old keys stay, because bundles on their way may need them.
    The new keys have the passphrase of the old keys, unless --passphrase sets another one.

    Examples:
        plsync keys rotate
    """
    keys = machine_keys()
    own = keys.own()
    path = out or Path("card" if own is None else f"{own.name}.card")
    _check_card_file(keys, path)
    _print_own(keys, keys.rotate(new_passphrase() if passphrase else None), path, json=json)


@app.command(cls=Command)
def trust(
    card: Annotated[Path, _CARD],
    *,
    role: Annotated[
        str,
        typer.Option(
            "--role", metavar="ROLE", autocompletion=completion.one_of(ROLES), parser=parse_role, help=_ROLE_HELP
        ),
    ],
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="HEX", help="The fingerprint from the other machine, for a script."),
    ] = None,
    takes_over: Annotated[
        str | None,
        typer.Option(
            "--takes-over",
            metavar="NAME",
            help="The machine has lost its keys, or takes the place of this trusted one, with its journals.",
            autocompletion=completion.machines,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Trust the card of another machine, after a comparison of its fingerprint.

    A card on a stick may be another one than its owner wrote.
    So compare the fingerprint with its owner's in another way, such as over the phone.
    With --takes-over, the machine that is replaced is trusted no longer.

    Examples:
        plsync keys trust hub-nord.card --role hub
        plsync keys trust lab.card --role origin --fingerprint "7c1e 44f0 9ab2 e51d 03c8 6f7a"
        plsync keys trust lab2.card --role origin --takes-over berlin-lab
    """
    keys, found = Keys(), load_card(card)
    chosen = cast("Role", role)
    keys.check(found, chosen, takes_over)
    before = keys.successor_of(found, chosen)
    if fingerprint is not None:
        if not is_fingerprint_of(found, fingerprint):
            raise BundleError(
                f"{card} has the fingerprint {found.fingerprint}, which is another one; nothing was changed; get the "
                f"card from {found.name} again, and compare all 24 digits"
            )
    elif before is None:
        _confirm(found)
    trusted = keys.trust(found, chosen, takes_over)
    if json:
        print_json({**trusted.as_dict(), "replaces": before.card.key_id if before else None, "takes_over": takes_over})
        return
    line = f"{found.name} is trusted as {'an origin' if chosen == 'origin' else 'a hub'}, with the key {found.key_id}"
    line += f", which the key {before.card.key_id} has signed" if before else ""
    print_line(line if takes_over is None else f"{line}, in place of {takes_over}")


@app.command(cls=Command)
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A trusted machine. Default: this machine.",
            show_default=False,
            autocompletion=completion.machines,
        ),
    ] = None,
    *,
    json: options.Json = False,
) -> None:
    """Show the keys of this machine or of a trusted one, and print this machine's card.

    Examples:
        plsync keys show
        plsync keys show hub-nord
    """
    keys = Keys()
    if name is not None:
        for trusted in keys.find(name):
            if json:
                print_json(trusted.as_dict())
            else:
                print_lines(stdout_console(), _lines(trusted.card, trusted.role))
        return
    own = keys.own()
    if own is None:
        raise BundleError(f"{keys.path} has no keys; nothing was changed; run `plsync keys init --name NAME` first")
    if json:
        print_json({"keys": str(keys.path), **own.as_dict(), "card": own.text})
        return
    print_lines(stdout_console(), _lines(own, None))
    print_lines(stdout_console(), [Text(), *(escaped(line) for line in own.text.splitlines())])


@app.command("list", cls=Command)
def list_keys(*, json: options.Json = False) -> None:
    """List the keys of this machine and the machines that it trusts. With --json: one object per line.

    Examples:
        plsync keys list
    """
    keys = Keys()
    own, trusted = keys.own(), keys.trusted()
    if own is None and not trusted and not json:
        print_note(f"{keys.path} has no keys; `plsync keys init --name NAME` makes them")
    if own is not None:
        _print_listed(own.as_dict(), "self", json=json)
    for card in trusted:
        _print_listed(card.as_dict(), card.role, json=json)


@app.command(cls=Command)
def distrust(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The trusted machine.", autocompletion=completion.machines)
    ],
    *,
    role: Annotated[
        str | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            autocompletion=completion.one_of(ROLES),
            parser=parse_role,
            help="Only in this role.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Trust a machine no longer. Bundles that it signed are refused from now on.

    The prompt templates that bundles of a hub brought are removed.

    Examples:
        plsync keys distrust hub-nord
    """
    for removed in Keys().distrust(name, cast("Role | None", role)):
        if removed.role == "hub":
            forget_templates(name)
        if json:
            print_json(removed.as_dict())
        else:
            article = "an origin" if removed.role == "origin" else "a hub"
            print_line(f"{name} is no longer trusted as {article}; its key was {removed.card.key_id}")


def _confirm(card: Card) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"{card.name} is new here: pass --fingerprint with the digits from the other machine, or run this command "
            f"on a terminal"
        )
    print_lines(stdout_console(), _lines(card, None))
    if not typer.confirm(f"Does the person at {card.name} read the same fingerprint to you?", err=True):
        raise BundleError(
            f"{card.name} is not trusted; nothing was changed; with another fingerprint it is the card of another "
            f"machine: get the card from {card.name} again"
        )


def _check_card_file(keys: Keys, path: Path) -> None:
    """Raise before any key is made if the card cannot be written there."""
    if os.path.lexists(path) and not _is_own(keys, path):
        raise BundleError(f"{path} exists; nothing was changed; choose another file with --out")
    if not path.absolute().parent.is_dir():
        raise BundleError(
            f"{path.absolute().parent} is no directory; nothing was changed; choose another file with --out"
        )


def _is_own(keys: Keys, path: Path) -> bool:
    try:
        return keys.has(load_card(path))
    except BundleError:
        return False


def _print_own(keys: Keys, card: Card, path: Path, *, json: bool) -> None:
    try:
        if os.path.lexists(path):
            os.unlink(path)
        with open(create_new(path), "wb") as file:
            file.write(card.text.encode())
    except OSError as error:
        raise BundleError(
            f"cannot write {path}: {error.strerror}; the keys were made; `plsync keys show` prints the card"
        ) from None
    if json:
        print_json({"keys": str(keys.path), **card.as_dict(), "card": str(path)})
        return
    lines = [
        labelled("keys", escaped(f"{keys.path}  (only this user can read them)")),
        labelled("card", escaped(f"{path}  carry it to the other machine")),
        labelled("fingerprint", escaped(f"{card.fingerprint}  read it to the person there, in another way")),
    ]
    print_lines(stdout_console(), lines)


def _lines(card: Card, role: Role | None) -> Iterator[Text]:
    yield labelled("name", escaped(card.name))
    if role is not None:
        yield labelled("trusted as", escaped("an origin" if role == "origin" else "a hub"))
    yield labelled("fingerprint", escaped(card.fingerprint))
    yield labelled("key", escaped(f"{card.key_id}  {card.public_key}"))
    yield labelled("encrypts to", escaped(card.recipient))


def _print_listed(fields: dict[str, object], role: str, *, json: bool) -> None:
    if json:
        print_json({**fields, "role": role})
    else:
        print_line(f"{fields['name']}  {role}  {fields['fingerprint']}  key {fields['key_id']}")
