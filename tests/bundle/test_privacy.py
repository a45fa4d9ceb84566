"""No more than an export states leaves the machine, and a hub runs nothing of an origin."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from langchain_core.language_models import FakeListChatModel

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.gap import Gap


@pytest.fixture
def gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Gap]:
    made = Gap(tmp_path, None, monkeypatch, capsys)
    yield made
    made.writer.close()


def record(journal: Path, **options: Any) -> None:
    """A call that the real handler records, with a callback of a module on the hub's path."""
    handler = PromptLayerCallbackHandler(journal=journal, pl_id_callback=on_id, **options)
    model = FakeListChatModel(responses=["the secret answer"], metadata={"ls_model_name": "llama"})
    model.invoke("the secret question", config={"callbacks": [handler], "tags": ["lab"], "run_name": "secret run"})


def on_id(_: int) -> None:
    """The sink of the records."""


def content(stick: Path) -> bytes:
    """The members of the only bundle, without compression."""
    [path] = stick.glob("*.tar")
    if not shutil.which("zstd"):
        pytest.skip("not installed: zstd")
    each = 'for member in $(tar -tf "$0" | grep zst); do tar -xOf "$0" $member | zstd -dc; done'
    command = ["sh", "-c", f'tar -xOf "$0" manifest.json; {each}', str(path)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_a_bundle_names_nothing_of_the_machine_and_its_programs(gap: Gap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLAYER_API_KEY", "pl_0123456789abcdef0123456789abcdef")
    record(gap.journal)
    gap.out("--plain")
    [path] = gap.stick.glob("*.tar")
    found = content(gap.stick) + path.with_name(f"{path.name}.minisig").read_bytes()
    assert b"the secret question" in found
    with Journal.open(gap.journal) as journal:
        [stored] = journal.records()
        writer = stored._row.writer
        assert stored.sink is not None
    secrets = (gap.lab / "keys").glob("*.minisign"), (gap.lab / "keys").glob("*.age")
    keys = [line for files in secrets for file in files for line in file.read_text().splitlines() if len(line) > 40]
    for name in [
        *(stored.sink, __name__, Path(__file__).stem, "on_id"),
        # Both may be short words.
        *(f':"{name}"' for name in (getpass.getuser(), socket.gethostname())),
        *(str(Path.home()), str(gap.lab), sys.executable, writer.hex(), "pl_0123456789abcdef", *keys),
    ]:
        assert name.encode() not in found, name
    assert not re.search(rb'"(pid|process|writer|sink|host|user|path)":', found)
    assert not re.search(rb"\b%d\b" % os.getpid(), found)


def test_an_export_without_content_leaves_facts_alone(gap: Gap) -> None:
    record(gap.journal)
    [report] = gap.out("--plain", "--no-content")
    assert (report["records"], report["left_out"]) == (1, [])
    found = content(gap.stick)
    assert b"secret" not in found
    assert b'"tags":["lab"],"model":"llama"' in found
    [imported] = gap.into_hub()
    assert imported["new"] == 1
    with Journal.open(gap.journals / "berlin-lab") as journal:
        [there] = journal.records()
        assert (there.redacted, there.input, there.tags, there.status) == (True, [], ["lab"], "ok")
    with Journal.open(gap.journal) as journal:
        [here] = journal.records()
        assert (here.redacted, here.output[0]["text"]) == (False, "the secret answer")
        assert (here.id, here.run_id, here.duration_ns) == (there.id, there.run_id, there.duration_ns)


HOOKS = """
def mask(event):
    if "messages" in event:
        event["messages"] = [type(m)(content="masked") for m in event["messages"]]
    return {**event, "t": 0, "run_id": "x"}

def nothing(event):
    return None

def broken(event):
    raise RuntimeError("the secret question")
"""


def test_a_redact_hook_receives_each_event_as_in_the_handler(gap: Gap) -> None:
    (gap.lab / "hooks_of_lab.py").write_text(HOOKS)
    record(gap.journal)
    gap.out("--plain", "--redact", "hooks_of_lab:mask")
    found = content(gap.stick)
    assert b"secret question" not in found
    assert b"masked" in found
    lines = [orjson.loads(line) for line in found.splitlines() if line.startswith(b'{"v":1')]
    with Journal.open(gap.journal) as journal:
        [stored] = journal.records()
    for line, body in zip(lines, stored.events(), strict=True):
        assert line["t"] == body["t"]
        # Values that the hook left alone keep their recorded form.
        assert {name: line.get(name) for name in ("run_id", "params", "generations", "elapsed")} == {
            name: body.get(name) for name in ("run_id", "params", "generations", "elapsed")
        }
    gap.empty_stick()
    gap.out("--plain", "--redact", "hooks_of_lab:nothing")
    assert b"secret" not in content(gap.stick)


def test_a_record_whose_redact_hook_fails_stays(gap: Gap) -> None:
    (gap.lab / "broken_hooks.py").write_text(HOOKS)
    record(gap.journal)
    [report] = gap.out("--redact", "broken_hooks:broken", code=3)
    assert (report["records"], len(report["left_out"])) == (0, 1)
    assert report["left_out"][0].endswith("the redact function raised RuntimeError")
    assert list(gap.stick.iterdir()) == []
    for wrong in (["no colon"], ["broken_hooks:broken", "--hub", str(gap.journals)]):
        with pytest.raises(typer.BadParameter):
            gap.out("--redact", *wrong)
