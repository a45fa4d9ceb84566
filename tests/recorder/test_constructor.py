"""A failure in the handler's constructor costs a warning, and never the program."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from plsync import PromptLayerCallbackHandler
from tests.support import programs
from tests.support.models import Chat, records

AS_A_STRANGER = """
    import os, sys, warnings
    from langchain_core.language_models import FakeListChatModel
    from plsync import Journal, PromptLayerCallbackHandler
    from plsync.errors import PlsyncError, PlsyncWarning
    import platformdirs, plsync.callbacks.in_process, plsync.delivery.in_process, orjson

    FakeListChatModel(responses=["yes"]).invoke("load every module before the user changes")
    os.environ.clear()
    os.environ.update(dict(pair.split("=") for pair in sys.argv[1:]))
    os.setuid(54321)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        handler = PromptLayerCallbackHandler(print, sync=None)
        for _ in range(2):
            answer = FakeListChatModel(responses=["yes"]).invoke("hi", {"callbacks": [handler]})
    (warning,) = [one.message for one in shown if isinstance(one.message, PlsyncWarning)]
    try:
        Journal.open()
    except PlsyncError as error:
        print(answer.content, handler.failures > 0, "PLSYNC_JOURNAL" in str(warning) or "cannot" in str(warning), error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can take another uid")
@pytest.mark.parametrize("variable", [None, "HOME=/", "PLSYNC_JOURNAL=~nobody-at-all/j", "XDG_DATA_HOME=~x/y"])
def test_a_program_without_a_home_runs(variable: str | None, tmp_path: Path) -> None:
    run = [sys.executable, "-c", textwrap.dedent(AS_A_STRANGER), *filter(None, [variable])]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = programs.run(run, env=environment, check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout.startswith("yes True True "), done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.filterwarnings("ignore::plsync.errors.PlsyncWarning")
def test_the_first_failure_of_a_constructor_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLSYNC_JOURNAL", "~nobody-at-all/journal")
    before = PromptLayerCallbackHandler().failures
    handler = PromptLayerCallbackHandler()
    assert handler.failures == before + 1
    assert Chat().invoke("hi", {"callbacks": [handler]}).content == "yes"
    assert handler.failures == before + 3


def test_the_command_names_the_variable_that_a_machine_without_home_needs() -> None:
    environment = {**os.environ, "PLSYNC_JOURNAL": "~nobody-at-all/journal"}
    run = [*programs.PLSYNC_IN_PYTHON, "status"]
    done = programs.run(run, check=False, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "set PLSYNC_JOURNAL to the path of a directory" in done.stderr


@pytest.mark.filterwarnings("ignore::plsync.errors.PlsyncWarning")
def test_a_deleted_working_directory_costs_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert PromptLayerCallbackHandler(journal="journal").failures > 0


@pytest.mark.filterwarnings("ignore::plsync.errors.PlsyncWarning")
def test_a_callback_whose_name_cannot_be_found_costs_only_itself(path: Path) -> None:
    class Odd:
        def __call__(self, request_id: int) -> None: ...

        def __getattr__(self, name: str) -> Any:
            raise OSError("not now")

    handler = PromptLayerCallbackHandler(Odd(), journal=path)
    assert handler.failures == 1
    Chat().invoke("hi", {"callbacks": [handler]})
    assert [record.status for record in records(path)] == ["ok"]


def test_half_a_character_in_a_tag_is_kept(path: Path) -> None:
    Chat().invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path, pl_tags=["half\ud83d", "whole"])]})
    (record,) = records(path)
    assert [tag[:5] for tag in record.tags] == ["half\N{REPLACEMENT CHARACTER}", "whole"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"pl_tags": 5},
        {"pl_tags": [5]},
        {"pl_tags": b"tag"},
        {"journal": 5},
        {"redact": "no"},
        {"pl_id_callback": "no"},
        {"durability": "none"},
        {"durability": ["process"]},
        {"sync": "always"},
    ],
    ids=str,
)
def test_an_argument_of_another_type_is_a_value_error(arguments: dict[str, Any], path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        PromptLayerCallbackHandler(**{"journal": path, **arguments})
