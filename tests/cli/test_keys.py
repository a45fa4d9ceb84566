"""``plsync keys``: two machines make keys, exchange cards, and compare fingerprints."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support import programs
from tests.support.commands import PLSYNC, environment
from tests.support.terminal import on_terminal


def keys(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``plsync keys`` on a machine, which is a directory."""
    machine.mkdir(exist_ok=True)
    variables = environment(machine / "journal", PLSYNC_KEYS=str(machine / "keys"))
    command = [str(PLSYNC), "keys", *arguments]
    return programs.run(command, cwd=machine, env=variables, capture_output=True, text=True, timeout=60, check=False)


def fields(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_machines_trust_each_other(tmp_path: Path) -> None:
    lab, hub = tmp_path / "lab", tmp_path / "hub"
    made = fields(keys(lab, "init", "--name", "berlin-lab", "--json"))
    assert made["card"] == "berlin-lab.card"
    assert made["keys"] == str(lab / "keys")
    card = str(lab / "berlin-lab.card")
    assert keys(hub, "init", "--name", "hub-nord").stdout.startswith("keys")

    # Without a terminal there is no question, and without an answer there is no trust.
    refused = keys(hub, "trust", card, "--role", "origin")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "pass --fingerprint" in refused.stderr
    other = keys(hub, "trust", card, "--role", "origin", "--fingerprint", "0" * 24)
    assert other.returncode == 1
    assert "which is another one; nothing was changed" in other.stderr
    trusted = fields(keys(hub, "trust", card, "--role", "origin", "--fingerprint", made["fingerprint"], "--json"))
    assert (trusted["name"], trusted["role"], trusted["replaces"]) == ("berlin-lab", "origin", None)

    # A rotated key needs no comparison, and its card replaces the old file.
    rotated = fields(keys(lab, "rotate", "--json"))
    trusted = fields(keys(hub, "trust", card, "--role", "origin", "--json"))
    assert (trusted["key_id"], trusted["replaces"]) == (rotated["key_id"], made["key_id"])

    listed = [json.loads(line) for line in keys(hub, "list", "--json").stdout.splitlines()]
    assert [(entry["name"], entry["role"]) for entry in listed] == [("hub-nord", "self"), ("berlin-lab", "origin")]
    shown = fields(keys(hub, "show", "--json"))
    assert shown["card"] == (hub / "hub-nord.card").read_text()
    assert rotated["fingerprint"] in keys(hub, "show", "berlin-lab").stdout
    removed = fields(keys(hub, "distrust", "berlin-lab", "--json"))
    assert removed["key_id"] == rotated["key_id"]
    assert keys(hub, "distrust", "berlin-lab").returncode == 1


def test_a_file_that_is_no_own_card_is_kept_and_no_key_is_made(tmp_path: Path) -> None:
    machine = tmp_path / "lab"
    machine.mkdir()
    (machine / "lab.card").write_text("mine")
    done = keys(machine, "init", "--name", "lab")
    assert done.returncode == 1
    assert "lab.card exists; nothing was changed; choose another file with --out" in done.stderr
    assert (machine / "lab.card").read_text() == "mine"
    assert not (machine / "keys").exists()


def test_a_terminal_shows_the_fingerprint_before_a_card_is_trusted(tmp_path: Path) -> None:
    fields(keys(tmp_path / "hub", "init", "--name", "hub-nord", "--json"))
    card, directory = str(tmp_path / "hub" / "hub-nord.card"), str(tmp_path / "keys")
    arguments = ("keys", "trust", card, "--role", "hub")
    shown = on_terminal(tmp_path / "journal", *arguments, columns=100, typed="n\n", PLSYNC_KEYS=directory)
    assert "Does the person at hub-nord read the same fingerprint to you?" in shown
    assert not (tmp_path / "keys").exists()
    shown = on_terminal(tmp_path / "journal", *arguments, columns=100, typed="y\n", PLSYNC_KEYS=directory)
    assert "hub-nord is trusted as a hub" in shown
