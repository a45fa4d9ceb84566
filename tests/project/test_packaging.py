"""The package that pip installs: its metadata, its types, and a source distribution that builds."""

import ast
import re
import subprocess
import sys
import tarfile
import textwrap
from importlib import import_module
from importlib.metadata import distribution, version
from importlib.resources import files
from pathlib import Path
from typing import cast

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import plsync
from tests.support.root import ROOT

PLATFORMS_WITH_GPT4ALL = [("linux", "x86_64"), ("darwin", "arm64"), ("darwin", "x86_64"), ("win32", "AMD64")]
PLATFORMS_WITHOUT = [("linux", "aarch64"), ("win32", "ARM64")]


# A plain install has 42 packages, with plsync. The rest is room for new requirements of these packages.
MOST_PACKAGES = 48


def requirements(package: str, extra: str, **environment: str) -> list[Requirement]:
    """The requirements of an installed package with an extra; ``environment`` replaces markers of this machine."""
    markers = {**cast("dict[str, str]", default_environment()), "extra": extra, **environment}
    declared = map(Requirement, distribution(package).requires or [])
    return [one for one in declared if one.marker is None or one.marker.evaluate(markers)]


def packages_of_gpt4all(sys_platform: str, machine: str) -> set[str]:
    found = requirements("plsync", "gpt4all", sys_platform=sys_platform, platform_machine=machine)
    return {one.name for one in found}


def plain_install() -> set[str]:
    """The names of all packages that ``pip install plsync`` brings to this machine, with plsync."""
    found: set[tuple[str, str]] = set()
    left = [("plsync", "")]
    while left:
        package, extra = left.pop()
        if (package, extra) not in found:
            found.add((package, extra))
            for one in requirements(package, extra):
                left += [(canonicalize_name(one.name), wanted) for wanted in ("", *one.extras)]
    return {package for package, _ in found}


@pytest.mark.parametrize(("sys_platform", "machine"), PLATFORMS_WITH_GPT4ALL)
def test_the_gpt4all_extra_installs_gpt4all_where_it_has_a_wheel(sys_platform: str, machine: str) -> None:
    assert {"gpt4all", "langchain-community"} <= packages_of_gpt4all(sys_platform, machine)


@pytest.mark.parametrize(("sys_platform", "machine"), PLATFORMS_WITHOUT)
def test_the_gpt4all_extra_installs_on_a_platform_without_a_wheel(sys_platform: str, machine: str) -> None:
    assert "gpt4all" not in packages_of_gpt4all(sys_platform, machine)


def test_a_plain_install_brings_neither_the_promptlayer_sdk_nor_the_archived_community_package() -> None:
    assert not {"promptlayer", "langchain-community", "openai"} & plain_install()


def test_a_plain_install_stays_small() -> None:
    assert len(plain_install()) <= MOST_PACKAGES


def test_a_program_that_records_needs_no_package_but_plsync_and_langchain(tmp_path: Path) -> None:
    program = """
    import sys
    # An import of these packages raises ModuleNotFoundError.
    sys.modules.update(dict.fromkeys(sys.argv[2:]))
    from langchain_core.language_models import FakeListLLM
    from langchain_core.runnables import RunnableLambda
    from plsync import PromptLayerCallbackHandler
    handler = PromptLayerCallbackHandler(journal=sys.argv[1])
    chain = RunnableLambda(str.upper) | FakeListLLM(responses=["Paris"])
    print(chain.invoke("hi", {"callbacks": [handler]}), handler.failures)
    """
    of_the_command = ["typer", "rich", "pygments", "platformdirs", "shellingham", "markdown_it"]
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "journal"), *of_the_command]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["Paris", "0"]


def test_the_promptlayer_extra_installs_the_sdk() -> None:
    assert "promptlayer" in {one.name for one in requirements("plsync", "promptlayer")}


def test_no_module_of_the_package_imports_the_promptlayer_sdk() -> None:
    importers = []
    for path in sorted((ROOT / "python" / "plsync").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            if any(name.partition(".")[0] == "promptlayer" for name in names):
                importers.append(path.relative_to(ROOT))
    assert not importers


def test_the_package_has_the_version_of_its_metadata() -> None:
    assert plsync.__version__ == version("plsync")


def test_the_metadata_has_urls_and_the_tested_pythons() -> None:
    metadata = distribution("plsync").metadata
    urls = dict(url.split(", ", 1) for url in metadata.get_all("Project-URL", []))
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= urls.keys()
    tested = re.findall(
        r'"(3\.\d+)"', (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8").split("steps")[0]
    )
    declared = {
        name.rpartition(" :: ")[2] for name in metadata.get_all("Classifier", []) if re.search(r" 3\.\d+$", name)
    }
    assert declared == set(tested)
    assert metadata["Requires-Python"] == f">={tested[0]}"


def test_the_package_is_marked_as_typed() -> None:
    assert files("plsync").joinpath("py.typed").is_file()


def test_one_native_module_serves_every_python() -> None:
    native = import_module("plsync._native")
    assert native.__version__ == version("plsync")
    assert native.__file__ is not None
    assert Path(native.__file__).name in {"_native.abi3.so", "_native.pyd"}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a source distribution of this tree, without the leading directory."""
    out = tmp_path_factory.mktemp("sdist")
    subprocess.run([sys.executable, "-m", "maturin", "sdist", "--out", out], cwd=ROOT, check=True)
    with tarfile.open(out / f"plsync-{version('plsync')}.tar.gz") as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.mark.parametrize(
    "name",
    [
        "LICENSE",
        "README.md",
        "Cargo.toml",
        "Cargo.lock",
        "rust/journal/src/lib.rs",
        "rust/journal/dict/1.zdict",
        "rust/journal/dict/2.zdict",
        "rust/journal/dict/3.zdict",
        "rust/python/src/lib.rs",
        "python/plsync/_native.pyi",
        "python/plsync/py.typed",
        "python/plsync/testing/gguf/tiny_model.py",
    ],
)
def test_the_source_distribution_holds_the_files_of_a_build(sdist: set[str], name: str) -> None:
    assert name in sdist


def test_the_source_distribution_has_no_build_output(sdist: set[str]) -> None:
    assert not [name for name in sdist if name.endswith((".so", ".pyd", ".pyc"))]
