"""The native module and its Python side agree: names, fields of reports, and the objects that Rust receives."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plsync
from plsync._common import native, redaction
from plsync.journal import Quota, reports
from plsync.journal.callbacks import ClaimedCallback, FailedCallback
from plsync.journal.followups import FailedFollowUp
from tests.support.spooling import SpoolWriter

STUB = ast.parse((Path(plsync.__file__).parent / "_native.pyi").read_text())

NOW = 1_800_000_000_000

# Names that must be recognised. The encoder recognises more.
CREDENTIAL_NAME = (
    r"(?i)(^|[\W_])(authorization|cookies?|credentials?|passphrase|passwd|passwords?|secrets?"
    r"|(api|access|private|subscription)[\W_]?keys?)([\W_]|$)"
    r"|(^|[\W_])((access|api|auth|bearer|bot|github|hf|hub|id|jwt|private|refresh|security|session)[\W_]?)token$|^token$"
    r"|^((basic|http|proxy|x)[\W_]?)?auth$"
)


def fields(report: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(report)}


def test_the_stub_has_the_names_of_the_module() -> None:
    stubbed = {node.name for node in STUB.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    stubbed |= {
        node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert stubbed == set(sys.modules["plsync._native"].__all__)


@pytest.mark.parametrize(
    "stub", [node for node in STUB.body if isinstance(node, ast.ClassDef)], ids=lambda node: node.name
)
def test_the_stub_has_the_methods_of_each_class(stub: ast.ClassDef) -> None:
    stubbed = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    names = set(vars(getattr(native, stub.name)))
    # Each class has names of Python such as __doc__, which a stub leaves out.
    assert {name for name in names if not name.startswith("__")} <= stubbed <= names


def test_reports_have_the_fields_of_their_dataclasses(path: Path, writer: SpoolWriter, tmp_path: Path) -> None:
    writer.call("A damaged question?", "Answer", at=1_760_000_000_000)
    writer.call("Question?", "Answer", at=1_760_000_000_001)
    writer.path.write_bytes(writer.path.read_bytes().replace(b"damaged", b"DAMAGED", 1))
    store = native.Store(str(path))
    check = store.check()
    ingested = store.ingest(wait=True)
    stats = store.stats()
    assert set(check) == fields(reports.CheckReport)
    assert set(check["problems"][0]) == fields(reports.Problem)
    assert set(ingested) == fields(reports.IngestReport)
    assert set(ingested["damage"][0]) == fields(reports.Damage)
    assert set(stats) == fields(reports.Stats) - {"sinks"}
    assert set(stats["spool"]) == fields(reports.Spool)
    assert set(stats["writers"][0]) == fields(reports.Writer)
    assert set(stats["quota"]) == fields(Quota) - {"max_age"} | {"max_age_ms"}
    assert set(store.compact()) == fields(reports.CompactReport)
    assert set(native.salvage(str(path), str(tmp_path / "new"))) == fields(reports.SalvageReport)


@pytest.fixture
def queue(path: Path, writer: SpoolWriter) -> native.CallbackQueue:
    """The callback queue of a journal in which the request id 7 waits for ``app:sink``."""
    writer.call("Question?", "Answer", at=1_760_000_000_000, sink="app:sink")
    writer.close()
    store = native.Store(str(path))
    store.ingest(wait=True)
    store.ack([(row.seq, 7) for row in store.lease(1, 1000, NOW)])
    return native.CallbackQueue(store)


def test_a_waiting_sink_has_the_fields_of_its_dataclass(queue: native.CallbackQueue) -> None:
    assert [set(sink) for sink in queue.waiting()] == [fields(reports.SinkBacklog)]


def test_a_claimed_callback_has_the_fields_of_its_python_class(queue: native.CallbackQueue) -> None:
    (claimed,) = queue.claim("app:sink", None, 10, 1000, NOW)
    assert (claimed.seq, claimed.attempts, claimed.row.request_id) == (1, 0, 7)
    named = {name for name in vars(native.ClaimedCallback) if not name.startswith("__")}
    assert named - {"row"} == {*ClaimedCallback._fields} - {"record"}


def test_failed_deliveries_and_follow_ups_compare_by_value() -> None:
    callback, followup = FailedCallback(1, "refused", 2, dead=False), FailedFollowUp(b"k" * 17, "refused", 2, dead=True)
    assert callback == FailedCallback(1, "refused", 2, dead=False)
    assert callback != FailedCallback(1, "refused", 2, dead=True)
    assert followup == FailedFollowUp(b"k" * 17, "refused", 2, dead=True)
    assert repr(callback) == 'FailedCallback(seq=1, error="refused", not_before=2, dead=False)'


@settings(max_examples=40)
@given(st.from_regex(CREDENTIAL_NAME, alphabet=st.characters(max_codepoint=127)).map(str.lower))
def test_the_encoder_redacts_each_name_of_a_credential(name: str) -> None:
    for spelled in {name, name.upper()}:
        assert redaction.is_credential_name(spelled)
        encoded, _ = native.encode({spelled: "value"}, redact=True)
        # A name such as `passwd:0` looks like a credential itself, and then is redacted as well.
        assert list(orjson.loads(encoded).values()) == [redaction.REDACTED]


@pytest.mark.parametrize(
    "use",
    [
        "Store('journal')",
        "Recorder('journal')",
        "Watch('journal')",
        "encode({'api_key': 'k'}, redact=True)",
        "salvage('journal', 'new')",
    ],
)
def test_without_the_hand_over_nothing_is_done(use: str, tmp_path: Path) -> None:
    code = f"from plsync._native import *\ntry: {use}\nexcept RuntimeError as error: print(error)"
    assert "import its names from plsync._common.native" in python(code, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_error_class_is_not_replaced_by_another(tmp_path: Path) -> None:
    code = """
from plsync import errors
from plsync._common import native
del errors.JournalCorrupt
native.Store("journal", create=False)
"""
    assert "AttributeError" in python(code, tmp_path)


def test_an_error_keeps_its_message_when_the_error_classes_cannot_be_loaded(tmp_path: Path) -> None:
    """The interpreter imports nothing more while it ends."""
    output = open_without_a_journal("raise ImportError('the interpreter is ending')", tmp_path)
    assert "RuntimeError: no journal at missing" in output
    assert "ImportError: the interpreter is ending" in output


def test_an_error_can_occur_while_the_error_classes_are_loaded(tmp_path: Path) -> None:
    """A finaliser of the program may run then, and fail to record an event."""
    output = open_without_a_journal("if loads < 3: open_missing()\n    return errors", tmp_path)
    assert output.count("caught no journal at missing") == 2
    assert "plsync.errors.JournalNotFound: no journal at missing" in output


def open_without_a_journal(load: str, directory: Path) -> str:
    """The output of a program that opens a missing journal, and loads the error classes by the lines in ``load``."""
    code = f"""
from plsync import errors
from plsync._native import Store, hand_over

loads = 0

def open_missing():
    try:
        Store("missing", create=False)
    except errors.JournalNotFound as error:
        print("caught", error)

def load():
    global loads
    loads += 1
    {load}

hand_over(load)
Store("missing", create=False)
"""
    return python(code, directory)


@pytest.mark.parametrize("module", ["orjson", "decimal"])
def test_an_object_can_be_encoded_while_the_encoder_loads_a_module(module: str, tmp_path: Path) -> None:
    """A finaliser of the program may run during the first import, and record an event."""
    code = f"""
import sys
from plsync._common.native import encode

class Finaliser:
    found = 0

    def find_spec(self, name, path=None, target=None):
        if name == {module!r} and self.found < 2:
            self.found += 1
            print("within", encode((b'', 1))[0].decode())

sys.modules.pop({module!r}, None)
sys.meta_path.insert(0, Finaliser())
print("after", encode((b'', 2))[0].decode())
"""
    output = python(code, tmp_path)
    assert output.count("within") == 2
    assert 'after {"$":"tuple","v":[{"$":"bytes","v":""},2]}' in output


def python(code: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr
