"""Every snippet of README and docs marked ``python`` or ``console`` runs, and every documented field is there.

Each snippet runs in a new directory, with a new journal. A comment before its fence lists its other needs:

- ``<!-- snippet: recorded -->``: the journal has records.
- ``openai``: a server answers as OpenAI does.
- ``promptlayer``: a PromptLayer has the template ``example``.
- ``called``: the snippet's ``pl_id_callback`` is called with the id of a request of this PromptLayer.
- ``pytest``: the snippet is a file of tests.
- ``continues``: the snippet before it runs first.
- ``file NAME``: the snippet is written to that file for the snippets after it.

A command prints the lines below it, if there are any.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import httpx
import pytest

import plsync
import plsync.replay
import plsync.testing
from plsync.cli import app
from plsync.journal import Journal
from plsync.journal.record import FIELDS
from plsync.journal.reports import CheckReport, Stats
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.commands import PYTEST_QUICKLY
from tests.support.openai_server import OpenAIServer
from tests.support.root import ROOT
from tests.support.snippets import PAGES, Snippet, snippets_of
from tests.support.spooling import SpoolWriter


def snippets() -> list[Snippet]:
    return [snippet for page in PAGES for snippet in snippets_of(page)[0]]


@pytest.fixture
def environment(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    journal = str(tmp_path / "journal")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {"PATH": path, "HOME": str(tmp_path), "PLSYNC_JOURNAL": journal, "PYTEST_ADDOPTS": PYTEST_QUICKLY}
    return variables | {"PATH": programs.add_commands(tmp_path_factory.mktemp("commands"), variables)}


@pytest.fixture
def openai() -> Iterator[str]:
    """The base URL of a server that answers completions."""
    with OpenAIServer("4") as server:
        yield server.url


_TIMES = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ", re.MULTILINE)


@pytest.fixture
def promptlayer() -> Iterator[PromptLayerServer]:
    with PromptLayerServer() as server:
        content = [{"type": "text", "text": "What would be a good name for a company that makes {product}?"}]
        server.add_prompt("example", {"type": "completion", "content": content})
        yield server


@pytest.mark.parametrize("snippet", snippets(), ids=lambda snippet: snippet.place)
def test_a_snippet_runs(
    snippet: Snippet, tmp_path: Path, environment: dict[str, str], openai: str, promptlayer: PromptLayerServer
) -> None:
    if "gpt4all" in f"{snippet.body}{snippet.files}".lower():
        pytest.importorskip("gpt4all", reason="gpt4all has no wheel for this machine")
    if "config.toml" in snippet.files:
        environment |= {"PLSYNC_CONFIG": str(tmp_path / "config.toml")}
    for name, content in snippet.files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    if "recorded" in snippet.needs:
        record_calls(tmp_path / "journal")
    if "openai" in snippet.needs:
        environment |= {"OPENAI_BASE_URL": openai, "OPENAI_API_KEY": "none"}
    if "promptlayer" in snippet.needs:
        environment |= {"PROMPTLAYER_BASE_URL": promptlayer.url, "PROMPTLAYER_API_KEY": promptlayer.api_key}
    if "pytest" in snippet.needs:
        (tmp_path / "test_snippet.py").write_text(snippet.body, encoding="utf-8")
        commands = [([sys.executable, "-m", "pytest", "--quiet", "test_snippet.py"], "")]
    elif snippet.language == "python":
        call = f"\npl_id_callback({logged(promptlayer)})\n" if "called" in snippet.needs else ""
        commands = [([sys.executable, "-c", snippet.body + call], "")]
    else:
        lines = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", snippet.body, re.MULTILINE)
        commands = [(["bash", "-o", "pipefail", "-c", line], shown) for line, shown in lines]
    assert commands
    for command, shown in commands:
        done = programs.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "PlsyncWarning" not in done.stderr
        # A pipe gets the time before each line of a run, and a terminal does not. The docs show PromptLayer itself.
        printed = _TIMES.sub("", done.stdout).replace(f"{promptlayer.url} (a stand-in)", "PromptLayer")
        assert not shown or printed == shown
    if "called" in snippet.needs:
        with Journal.open(environment["PLSYNC_JOURNAL"], create=True) as journal:
            assert promptlayer.scores or journal.stats().followups


def logged(promptlayer: PromptLayerServer) -> int:
    """The id of a request that PromptLayer has."""
    prompt = {"type": "completion", "content": []}
    times = {"request_start_time": 0.0, "request_end_time": 1.0}
    log = {"provider": "gpt4all", "model": "tiny", "input": prompt, "output": prompt, **times}
    headers = {"X-API-KEY": promptlayer.api_key}
    request_id: int = httpx.post(f"{promptlayer.url}/log-request", json=log, headers=headers).json()["id"]
    return request_id


def record_calls(journal: Path) -> None:
    writer = SpoolWriter(journal)
    for number in range(4):
        start = {"tags": ["langchain", "gpt4all"], "params": {"model": "tiny.gguf"}}
        writer.call("The capital of France?", "Paris", at=1_790_000_000_000 + number, **start)
    writer.close()


def documented(page: str, heading: str) -> set[str]:
    """The names in the first column of the table below a heading (or below a sentence that ends in ``prints:``)."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    below = text.split(heading, 1)[1].lstrip("\n")
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table
    rows = table[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_every_attribute_of_a_record_is_documented() -> None:
    assert documented("guide/reading.md", "## A record") == set(FIELDS)


def test_every_field_of_status_is_documented() -> None:
    names = {field.name for field in fields(Stats)} | {"left", "journal", "sender", "hubs"}
    assert documented("guide/cli.md", "`status` prints:") == names


def test_every_field_of_check_is_documented() -> None:
    names = {field.name for field in fields(CheckReport)} | {"ok", "journal"}
    assert documented("guide/cli.md", "`check` prints:") == names


def test_every_page_can_be_reached_from_the_readme_in_two_clicks() -> None:
    from_readme = links(PAGES[0])
    reached = from_readme | {page for linked in from_readme if linked.suffix == ".md" for page in links(linked)}
    assert [page for page in PAGES[1:] if page not in reached] == []


def test_the_readme_has_at_most_700_words() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").split()) <= 700


def test_the_site_lists_every_page() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:", 1)[1]
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:]}
    assert set(re.findall(r"\S+\.md", navigation)) == pages


@pytest.mark.parametrize("package", [plsync, plsync.replay, plsync.testing])
def test_every_public_name_is_in_the_api_reference(package: ModuleType) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference" / "api").glob("*.md"))
    entries = set(re.findall(r"^::: (\S+)", text, re.MULTILINE))
    errors = {"PlsyncError", "PlsyncWarning", "__version__"}  # a page lists the whole module plsync.errors
    assert {f"{package.__name__}.{name}" for name in set(package.__all__) - errors} <= entries


def test_every_entry_of_the_api_reference_exists() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference" / "api").glob("*.md"))
    for path, members in re.findall(r"^::: (\S+)(?:\n    options:\n      members: \[(.*)\])?", text, re.MULTILINE):
        entry = resolve_name(path)
        for name in filter(None, re.split(r",\s*", members)):
            assert hasattr(entry, name) or f"self.{name} = " in inspect.getsource(entry), f"{path}.{name}"


def test_a_table_names_every_command() -> None:
    page = ROOT / "docs" / "guide" / "cli.md"
    commands = app.registered_commands + app.registered_groups
    named = {
        command
        for row in re.findall(r"^\| (`plsync .*?) \|", page.read_text("utf-8"), re.MULTILINE)
        for command in re.findall(r"`plsync (\w+)", row)
    }
    assert named == {command.name for command in commands}


def test_contributing_names_every_target_and_directory() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    assert [target for target in targets[1].split() if f"`make {target}`" not in text] == []
    packages = [path.parent.relative_to(ROOT) for path in (ROOT / "python" / "plsync").glob("*/__init__.py")]
    assert [package for package in packages if f"`{package.as_posix()}`" not in text] == []


def test_every_path_in_a_page_exists() -> None:
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8")
        paths = re.findall(r"`((?:python|rust|tests|tools|benches|demo|fuzz|docs)/[\w./-]+)`", text)
        assert [path for path in paths if not (ROOT / path).exists()] == [], page


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target, anchor in targets(page):
            other = page.parent / target if target else page
            assert other.exists(), f"{page} links to {target}"
            assert not anchor or anchor in anchors(other), f"{page} links to {target}#{anchor}"


def targets(page: Path) -> list[tuple[str, str]]:
    """The path and the anchor of each link that stays within the repository."""
    return re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)", page.read_text(encoding="utf-8"))


def links(page: Path) -> set[Path]:
    return {(page.parent / target).resolve() for target, _ in targets(page)}


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
