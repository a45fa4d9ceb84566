"""What a user gets from pip: the right metadata, a typed package, a source distribution that builds."""

import re
import subprocess
import sys
import tarfile
from importlib import import_module
from importlib.metadata import distribution, version
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests.support.root import ROOT

PLATFORMS_WITH_GPT4ALL = [("linux", "x86_64"), ("darwin", "arm64"), ("darwin", "x86_64"), ("win32", "AMD64")]
PLATFORMS_WITHOUT = [("linux", "aarch64"), ("win32", "ARM64")]


def requirements(extra: str, sys_platform: str, platform_machine: str) -> set[str]:
    environment = dict(default_environment()) | {
        "extra": extra,
        "sys_platform": sys_platform,
        "platform_machine": platform_machine,
    }
    declared = map(Requirement, distribution("plsync").requires or [])
    return {one.name for one in declared if one.marker is None or one.marker.evaluate(environment)}


@pytest.mark.parametrize(("sys_platform", "machine"), PLATFORMS_WITH_GPT4ALL)
def test_the_gpt4all_extra_installs_gpt4all_where_it_has_a_wheel(sys_platform: str, machine: str) -> None:
    assert {"gpt4all", "langchain-community"} <= requirements("gpt4all", sys_platform, machine)


@pytest.mark.parametrize(("sys_platform", "machine"), PLATFORMS_WITHOUT)
def test_the_gpt4all_extra_installs_where_gpt4all_has_none(sys_platform: str, machine: str) -> None:
    assert "gpt4all" not in requirements("gpt4all", sys_platform, machine)


def test_the_archived_community_package_is_not_a_hard_dependency() -> None:
    assert "langchain-community" not in requirements("", sys.platform, "x86_64")


def test_the_package_says_where_it_comes_from_and_which_pythons_it_is_tested_on() -> None:
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


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
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
        "rust/python/src/lib.rs",
        "python/plsync/_native.pyi",
        "python/plsync/py.typed",
        "python/plsync/testing/tiny_model.py",
    ],
)
def test_the_source_distribution_holds_what_a_build_needs(sdist: set[str], name: str) -> None:
    assert name in sdist


def test_the_source_distribution_holds_no_build_output(sdist: set[str]) -> None:
    assert not [name for name in sdist if name.endswith((".so", ".pyd", ".pyc"))]
