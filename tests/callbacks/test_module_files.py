"""Modules of callbacks: installed ones first, none by surprise, and only files that no other user controls."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from plsync.callbacks.module_files import TRUST_VARIABLE, WorkingDirectory, refusal
from plsync.callbacks.module_search import find_module, may_define
from plsync.callbacks.resolve import ImportableFunctions, import_sink
from plsync.errors import SinkUnavailable
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.calls import write_calls
from tests.support.commands import PLSYNC, environment
from tests.support.users import STRANGER, as_user, needs_root, public_directory

needs_safe_path = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no safe path")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory. Modules that a test imports are forgotten."""
    directory = tmp_path / "here"
    directory.mkdir(mode=0o755)
    monkeypatch.chdir(directory)
    for name in ("path", "meta_path"):
        monkeypatch.setattr(sys, name, getattr(sys, name).copy())
    for name in (TRUST_VARIABLE, "PYTHONSAFEPATH", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    return directory


def function(text: str = "return request_id") -> str:
    return f"def on_id(request_id):\n    {text}\n"


# --- in a run ---


def run(here: Path, path: Path, server: PromptLayerServer, *arguments: str, **variables: str) -> str:
    command = [str(PLSYNC), "run", "--once", *arguments]
    key = {"PROMPTLAYER_API_KEY": server.api_key, "PROMPTLAYER_BASE_URL": server.url}
    started = environment(path, **key, **variables)
    done = programs.run(command, env=started, cwd=here, capture_output=True, text=True, check=False, timeout=60)
    return f"{done.stdout}{done.stderr}"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory of installed modules."""
    directory = tmp_path / "installed"
    directory.mkdir()
    return directory


def test_an_installed_module_and_the_standard_library_come_before_the_working_directory(
    here: Path, installed: Path, path: Path, server: PromptLayerServer
) -> None:
    (installed / "goodapp.py").write_text(
        function("import sqlite3, local_app; print('installed called', sqlite3.connect)")
    )
    evil = "print('EVIL imported')\n" + function("print('EVIL called')")
    for name in ("goodapp", "sqlite3", "json", "wave"):
        (here / f"{name}.py").write_text(evil)
    (here / "local_app.py").write_text("import wave\n" + function("print('local called', wave.open)"))
    write_calls(path, 1, sink="goodapp:on_id")
    write_calls(path, 1, sink="local_app:on_id")
    printed = run(here, path, server, PYTHONPATH=str(installed))
    assert "installed called" in printed
    assert "local called" in printed
    assert "EVIL" not in printed


def test_a_run_names_the_file_of_each_function(here: Path, path: Path, server: PromptLayerServer) -> None:
    (here / "local_app.py").write_text(function())
    write_calls(path, 1, sink="local_app:on_id")
    write_calls(path, 1, sink="/srv/script.py:on_id")
    arguments = ["--callbacks", "local_app:on_id"]
    printed = run(here, path, server, *arguments)
    for sink in ("local_app:on_id", "/srv/script.py:on_id"):
        assert f" {sink} is in .{os.sep}local_app.py.\n" in printed
    write_calls(path, 1, sink="local_app:on_id")
    events = [json.loads(line) for line in run(here, path, server, "--json").splitlines()]
    (found,) = [event for event in events if event["event"] == "function"]
    assert (found["sink"], found["file"]) == ("local_app:on_id", str(here / "local_app.py"))


@needs_safe_path
def test_a_safe_path_keeps_the_working_directory_out(here: Path, path: Path, server: PromptLayerServer) -> None:
    (here / "local_app.py").write_text("print('EVIL imported')\n" + function())
    write_calls(path, 1, sink="local_app:on_id")
    printed = run(here, path, server, PYTHONSAFEPATH="1")
    assert "EVIL" not in printed
    assert "safe path" in printed
    assert "EVIL" in run(here, path, server, PYTHONSAFEPATH="1", PYTHONPATH=str(here))


def test_a_file_without_the_function_is_not_run(here: Path, path: Path, server: PromptLayerServer) -> None:
    (here / "setup.py").write_text("print('EVIL imported')\n")
    write_calls(path, 1, sink="setup:on_id")
    printed = run(here, path, server)
    assert "EVIL" not in printed
    assert "was not run" in printed


# --- the place ---


def test_the_working_directory_is_added_last_and_only_for_a_module_in_it(here: Path) -> None:
    (here / "local_app.py").write_text(function())
    before = sys.path.copy()
    with pytest.raises(SinkUnavailable):
        import_sink("no_such_app:on_id")
    assert import_sink("local_app:on_id")(7) == 7
    assert sys.path == [*before, str(here)]


def test_a_failed_import_leaves_nothing_behind(here: Path) -> None:
    (here / "broken_app.py").write_text("import no_such_module\n" + function())
    paths, finders = sys.path.copy(), sys.meta_path.copy()
    with pytest.raises(SinkUnavailable, match="no_such_module"):
        import_sink("broken_app:on_id")
    assert (sys.path, sys.meta_path) == (paths, finders)


def test_packages_and_namespace_packages_of_the_working_directory_are_found(here: Path) -> None:
    for name in ("package_app/parts", "namespace_app/inner"):
        (here / name).mkdir(parents=True)
    (here / "package_app" / "__init__.py").write_text("")
    (here / "package_app" / "parts" / "__init__.py").write_text("")
    (here / "package_app" / "parts" / "ids.py").write_text("from .. import parts\n" + function())
    (here / "namespace_app" / "inner" / "ids.py").write_text(function())
    assert import_sink("package_app.parts.ids:on_id")(7) == 7
    assert import_sink("namespace_app.inner.ids:on_id")(8) == 8


def test_a_removed_working_directory_does_not_keep_installed_functions_away(here: Path, installed: Path) -> None:
    (installed / "goodapp.py").write_text(function())
    sys.path.append(str(installed))
    here.rmdir()
    assert import_sink("goodapp:on_id")(7) == 7
    with pytest.raises(SinkUnavailable):
        import_sink("local_app:on_id")


@pytest.mark.parametrize(
    "sink",
    [
        "test.support.os_helper:rmtree",
        "test.support:run_doctest",
        "idlelib.run:exit",
        "plsync.cli.output:exit_with_error",
        "shutil:rmtree",
        "os:system",
        "posix:system",
        "_frozen_importlib:_find_spec",
    ],
)
def test_a_journal_reaches_no_function_of_python_or_plsync(here: Path, sink: str) -> None:
    with pytest.raises(SinkUnavailable, match=r"application's module|cannot be imported"):
        import_sink(sink)


# --- owners and modes ---


@pytest.fixture
def local_app(here: Path) -> Path:
    """A module of the working directory, which imports another one in its function."""
    (here / "helper_app.py").write_text("value = 7\n")
    (here / "local_app.py").write_text(function("import helper_app; return helper_app.value"))
    return here / "local_app.py"


def refused(match: str) -> None:
    before = sys.path.copy()
    with pytest.raises(SinkUnavailable, match=match):
        import_sink("local_app:on_id")
    assert sys.path == before
    assert "local_app" not in sys.modules


@needs_root
@pytest.mark.parametrize("name", [".", "local_app.py", "__pycache__"])
def test_a_file_or_directory_of_another_user_is_refused(here: Path, local_app: Path, name: str) -> None:
    (here / "__pycache__").mkdir()
    programs.run([sys.executable, "-m", "compileall", "-q", str(local_app)], check=True)
    os.chown(here / name, STRANGER, STRANGER)
    refused("belongs to user 65534")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o707])
def test_a_directory_that_others_can_write_to_is_refused(here: Path, local_app: Path, mode: int) -> None:
    here.chmod(mode)
    refused("can be written to by every user")


def test_a_file_that_others_can_write_to_is_refused(local_app: Path) -> None:
    local_app.chmod(0o666)
    refused("can be written to by every user")


@needs_root
def test_a_group_is_trusted_only_if_it_is_the_users_own(here: Path, local_app: Path) -> None:
    for group in (STRANGER, 0):
        os.chown(here, 0, group)
        here.chmod(0o775)
        refused(f"can be written to by its group {group}")
    with public_directory() as directory:
        directory.chmod(0o775)
        os.chown(directory, STRANGER, STRANGER)
        assert as_user(STRANGER, lambda: refusal(directory)) is None
        os.chown(directory, STRANGER, 100)
        assert "by its group 100" in as_user(STRANGER, lambda: refusal(directory))


def test_the_remedy_for_a_package_is_a_path_that_finds_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "package_app").mkdir()
    (here / "package_app" / "__init__.py").touch(0o644)
    (here / "package_app" / "inner.py").write_text(function())
    (here / "package_app" / "inner.py").chmod(0o666)
    with pytest.raises(SinkUnavailable, match=f"set PYTHONPATH={here} or {TRUST_VARIABLE}={here / 'package_app'} if"):
        import_sink("package_app.inner:on_id")
    monkeypatch.syspath_prepend(here)
    assert import_sink("package_app.inner:on_id")(1) == 1


def test_a_module_that_a_callback_imports_later_is_checked_too(here: Path, local_app: Path) -> None:
    (here / "helper_app.py").chmod(0o666)
    on_id = import_sink("local_app:on_id")
    with pytest.raises(ImportError, match=r"helper_app\.py can be written to by every user"):
        on_id(1)


def test_the_target_of_a_link_is_checked_with_its_directory(here: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "shared" / "elsewhere.py").write_text(function())
    (here / "local_app.py").symlink_to(tmp_path / "shared" / "elsewhere.py")
    refused("shared can be written to by every user")
    (tmp_path / "shared").chmod(0o755)
    assert import_sink("local_app:on_id")(7) == 7


def test_a_directory_that_the_user_names_is_not_checked(
    here: Path, local_app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.chmod(0o777)
    monkeypatch.setenv(TRUST_VARIABLE, f"relative{os.pathsep}{here.parent}")
    assert import_sink("local_app:on_id")(1) == 7


def test_a_directory_on_the_python_path_is_not_checked(
    here: Path, local_app: Path, path: Path, server: PromptLayerServer
) -> None:
    here.chmod(0o777)
    write_calls(path, 1, sink="local_app:on_id")
    assert "can be written to by every user" in run(here, path, server)
    assert "1 callback delivered" in run(here, path, server, PYTHONPATH=str(here))


def test_a_function_that_the_user_names_is_checked_as_well(here: Path, local_app: Path) -> None:
    local_app.chmod(0o666)
    with pytest.raises(SinkUnavailable, match="every user"):
        ImportableFunctions(["local_app:on_id"])


def test_two_working_directories_of_one_process_are_both_checked(
    here: Path, local_app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert import_sink("local_app:on_id")(1) == 7
    other = tmp_path / "other"
    other.mkdir()
    (other / "other_app.py").write_text(function("import helper_app, more_app; return helper_app.value"))
    (other / "more_app.py").write_text("")
    (other / "more_app.py").chmod(0o666)
    monkeypatch.chdir(other)
    with pytest.raises(ImportError, match="more_app"):
        import_sink("other_app:on_id")(1)
    assert [type(finder) for finder in sys.meta_path[:2]] == [WorkingDirectory, WorkingDirectory]


# --- the source ---

DEFINING = """
def on_id(i): ...
---
async def on_id(i): ...
---
class on_id: ...
---
on_id = lambda i: i
---
from elsewhere import something as on_id
---
from elsewhere import *
---
def __getattr__(name): ...
---
if condition:
    def on_id(i): ...
---
try:
    import fast
except ImportError:
    def on_id(i): ...
---
with context:
    for on_id in functions: ...
---
(on_id := make())
---
globals()["on_id"] = make()
---
match value:
    case on_id: ...
---
raise RuntimeError
---
def broken(:
"""
LACKING = """
print("run")
---
def other(): ...
on_score = 7
---
def main():
    def on_id(i): ...
---
class App:
    def on_id(self, i): ...
---
on_id.attribute = 7
---
import on_id_of.parts
---
print(on_id)
---
[on_id for on_id in ()]
"""


def defines(tmp_path: Path, source: str) -> bool:
    (tmp_path / "some_app.py").write_text(textwrap.dedent(source))
    spec: Any = spec_from_file_location("some_app", tmp_path / "some_app.py")
    return may_define(spec, "on_id")


@pytest.mark.parametrize("source", DEFINING.split("---\n"))
def test_a_source_that_may_define_the_function_is_imported(tmp_path: Path, source: str) -> None:
    assert defines(tmp_path, source)


@pytest.mark.parametrize("source", LACKING.split("---\n"))
def test_a_source_without_the_function_is_known_before_it_runs(tmp_path: Path, source: str) -> None:
    assert not defines(tmp_path, source)


def test_a_module_is_found_without_running_its_packages(here: Path) -> None:
    (here / "loud_app").mkdir()
    (here / "loud_app" / "__init__.py").write_text("raise AssertionError\n")
    (here / "loud_app" / "ids.py").write_text(function())
    spec = find_module("loud_app.ids", [str(here)])
    assert spec is not None
    assert spec.origin == str(here / "loud_app" / "ids.py")
    assert find_module("loud_app.none", [str(here)]) is None
