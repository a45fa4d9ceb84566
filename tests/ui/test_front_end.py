"""The files of the front end: small, self-contained, and built from the sources beside them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import unicodedata

import pytest

from plsync.journal.display.figures import duration, size
from tests.support.root import ROOT

STATIC = ROOT / "python" / "plsync" / "ui" / "static"
SOURCES = sorted(path for path in (ROOT / "ui" / "src").rglob("*") if path.is_file())
NODE = shutil.which("node")
ESBUILD = ROOT / "ui" / "node_modules" / ".bin" / "esbuild"
FILES = {"app.css", "app.js", "favicon.svg", "index.html", "licences.txt"}


def test_the_wheel_carries_the_built_files_alone() -> None:
    assert {path.name for path in STATIC.iterdir()} == FILES


def test_the_script_is_one_file_of_at_most_150_kb() -> None:
    assert (STATIC / "app.js").stat().st_size <= 150_000


@pytest.mark.parametrize("name", sorted(FILES - {"licences.txt"}))
def test_a_file_names_no_other_host(name: str) -> None:
    found = set(re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]+[^\"'`)\s]*", (STATIC / name).read_text(encoding="utf-8")))
    # The names of XML namespaces are never requested.
    assert {url for url in found if "www.w3.org" not in url} == set()


def test_the_page_has_neither_inline_scripts_nor_inline_styles() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page) == []
    script = (STATIC / "app.js").read_text(encoding="utf-8")
    assert re.findall(r"\beval\(|new Function\(|insertAdjacentHTML|document\.write|outerHTML\s*=", script) == []


def test_the_page_draws_its_icons_without_emoji() -> None:
    for path in [*SOURCES, *(STATIC / name for name in FILES)]:
        signs = {sign for sign in path.read_text(encoding="utf-8") if unicodedata.category(sign) == "So"}
        assert signs <= {"©", "\ufffd"}, path


def test_each_package_is_locked_by_its_hash_and_names_no_registry() -> None:
    text = (ROOT / "ui" / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(text)["packages"]
    assert '"resolved"' not in text
    assert [name for name, one in packages.items() if name and "integrity" not in one] == []


def test_a_bundled_package_has_its_licence_beside_it() -> None:
    bundled = json.loads((ROOT / "ui" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    licences = (STATIC / "licences.txt").read_text(encoding="utf-8")
    assert [name for name, version in bundled.items() if f"{name} {version}" not in licences] == []


@pytest.mark.skipif(not ESBUILD.exists() or NODE is None, reason="needs the packages of ui/ and Node.js")
def test_the_page_and_the_command_write_numbers_in_the_same_form() -> None:
    bases, around = (1, 1.25, 9.95, 9.995, 12.5, 59.995), (-1, 0, 1)
    numbers = [int(base * 10**power) + more for base in bases for power in range(11) for more in around]
    module = subprocess.run([ESBUILD, ROOT / "ui/src/lib/format.ts", "--format=cjs"], capture_output=True, check=True)
    forms = f"{numbers}.map((n) => [module.exports.duration(n), module.exports.size(n)])"
    code = f"{module.stdout.decode()}\nconsole.log(JSON.stringify({forms}))"
    done = subprocess.run([str(NODE), "-e", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == [[duration(number * 1000), size(number)] for number in numbers]
