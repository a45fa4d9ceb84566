"""The function of a sink in another process: imported by its name, or replaced by the user."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from plsync.callbacks.resolve import ImportableFunctions, import_sink
from plsync.callbacks.sinks import sink_kind
from plsync.errors import SinkUnavailable


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an application's module; it is the working directory."""
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "sink_app.py").write_text(
        "import os.path\n"
        "from os.path import basename\n"
        "def on_id(request_id): return request_id\n"
        "class Handler:\n"
        "    @staticmethod\n"
        "    def on_id(request_id): return -request_id\n"
        "    def __call__(self, request_id): return request_id\n"
        "handler = Handler()\n"
        "renamed = lambda request_id: request_id\n"
        "number = 7\n"
    )
    (directory / "broken_app.py").write_text("raise RuntimeError('no database')\n")
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "sink_app", raising=False)
    return directory


@pytest.mark.parametrize(("name", "answer"), [("sink_app:on_id", 7), ("sink_app:Handler.on_id", -7)])
def test_a_function_of_a_module_in_the_working_directory_is_found(app: Path, name: str, answer: int) -> None:
    assert import_sink(name)(7) == answer


@pytest.mark.parametrize(
    "name",
    [
        "sink_app:<lambda>",
        "sink_app:main.<locals>.on_id",
        "sink_app:on_id@3",
        "/srv/app.py:on_id",
        "__main__:on_id",
        "sink_app:handler",
        "sink_app:Handler",
        "sink_app:renamed",
        "sink_app:basename",
        "sink_app:os.path.basename",
        "sink_app:missing",
        "missing_app:on_id",
        "broken_app:on_id",
        "os.path:basename",
        "shutil:rmtree",
        "sink_app:on_id.__call__",
        "sink_app",
        "",
        "a:b:c",
    ],
)
def test_only_a_plain_function_of_exactly_that_module_is_imported(app: Path, name: str) -> None:
    with pytest.raises(SinkUnavailable):
        import_sink(name)


def test_the_error_of_a_failed_import_has_its_reason(app: Path) -> None:
    with pytest.raises(SinkUnavailable, match="RuntimeError: no database"):
        import_sink("broken_app:on_id")


@pytest.mark.parametrize(
    ("sink", "kind"),
    [
        ("app:on_id", "function"),
        ("app.parts:Handler.on_id", "function"),
        ("/srv/app.py:on_id", "script"),
        ("C:\\srv\\app.py:on_id", "script"),
        ("__main__:on_id", "script"),
        ("/srv/app.py:main.<locals>.on_id@12", "object"),
        ("app:<lambda>@3#2", "object"),
        ("app:Handler@object", "object"),
        ("exec", "command"),
    ],
)
def test_the_kind_of_a_sink_follows_from_its_name(sink: str, kind: str) -> None:
    assert sink_kind(sink) == kind


def test_a_function_replaces_a_scripts_function_of_the_same_name(app: Path) -> None:
    functions = ImportableFunctions(["sink_app:on_id", "sink_app:Handler.on_id"])
    for sink in ("/srv/app.py:on_id", "/elsewhere/tool.py:on_id", "__main__:on_id"):
        assert functions.find(sink)(7) == 7
    assert functions.find("/srv/app.py:Handler.on_id")(7) == -7


def test_a_function_does_not_replace_a_function_of_another_name(app: Path) -> None:
    functions = ImportableFunctions(["sink_app:on_id"])
    with pytest.raises(SinkUnavailable, match="plsync run --callbacks module:on_score"):
        functions.find("/srv/app.py:on_score")
    assert not functions.may_find("/srv/app.py:on_score")
    assert functions.may_find("/srv/app.py:on_id")


def test_of_several_functions_the_one_of_the_scripts_module_is_used(app: Path) -> None:
    (app / "other_app.py").write_text("def on_id(request_id): return 100 + request_id\n")
    functions = ImportableFunctions(["sink_app:on_id", "other_app:on_id"])
    assert functions.find("/srv/other_app.py:on_id")(7) == 107
    assert functions.find("/srv/sink_app.py:on_id")(7) == 7
    with pytest.raises(SinkUnavailable):
        functions.find("/srv/third_app.py:on_id")


def test_a_sink_of_any_kind_can_be_replaced_by_name(app: Path) -> None:
    named = "/srv/a=b.py:main.<locals>.on_id@12"
    functions = ImportableFunctions([f"{named}=sink_app:on_id", "sink_app:on_id=sink_app:Handler.on_id"])
    assert functions.find(named)(7) == 7
    assert functions.find("sink_app:on_id")(7) == -7
    with pytest.raises(SinkUnavailable, match="by the program that made it"):
        functions.find("/srv/app.py:main.<locals>.on_id@13")


def test_a_replacement_may_be_any_callable(app: Path) -> None:
    assert ImportableFunctions(["s=sink_app:handler"]).find("s")(7) == 7


@pytest.mark.parametrize("override", ["", "sink_app", "sink_app.on_id", "s=", "sink_app:<lambda>", "/srv/app.py:on_id"])
def test_an_override_without_a_function_is_wrong_usage(app: Path, override: str) -> None:
    with pytest.raises(ValueError, match="MODULE:FUNCTION"):
        ImportableFunctions([override])


@pytest.mark.parametrize("override", ["missing_app:on_id", "sink_app:missing", "broken_app:on_id", "sink_app:number"])
def test_an_override_has_to_exist(app: Path, override: str) -> None:
    with pytest.raises(SinkUnavailable):
        ImportableFunctions([override])


def test_a_module_that_exits_during_import_is_unavailable(app: Path) -> None:
    (app / "exiting_app.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(SinkUnavailable, match="SystemExit"):
        import_sink("exiting_app:on_id")


def test_a_module_that_failed_is_not_imported_again(app: Path) -> None:
    (app / "counting_app.py").write_text("import sys\nsys.counted = getattr(sys, 'counted', 0) + 1\nraise OSError\n")
    functions = ImportableFunctions()
    for _ in range(3):
        with pytest.raises(SinkUnavailable):
            functions.find("counting_app:on_id")
    counted: Any = sys
    assert counted.counted == 1
    assert list(functions.unavailable) == ["counting_app:on_id"]
