"""The rules of the workflows and of the pinned requirements: fixed code, least rights, and no known vulnerability."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.root import ROOT

tomllib: Any = pytest.importorskip("tomllib", reason="Python 3.10 has no parser of TOML")

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = sorted((ROOT / "requirements").glob("*.txt"))
OWN = "uses: ./"


def parsed(path: Path) -> dict[Any, Any]:
    workflow: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return workflow


def all_jobs() -> Iterator[tuple[Path, str, dict[str, Any]]]:
    for workflow in WORKFLOWS:
        yield from ((workflow, name, job) for name, job in parsed(workflow)["jobs"].items())


JOBS = [pytest.param(*job, id=f"{job[0].stem}-{job[1]}") for job in all_jobs()]
STEPS = [
    pytest.param(step, id=f"{workflow.stem}-{name}-{number}")
    for workflow, name, job in all_jobs()
    for number, step in enumerate(job.get("steps", []))
]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_action_is_pinned_by_the_digest_of_a_commit_with_its_version(path: Path) -> None:
    used = [line for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line and OWN not in line]
    assert used
    assert [line for line in used if not re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


def test_one_digest_of_an_action_is_used_everywhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    used = set(re.findall(r"uses: ([\w./-]+@[0-9a-f]{40} # \S+)", text))
    assert len(used) == len({action.partition("@")[0] for action in used})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_right_belongs_to_all_jobs_of_a_workflow(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {}
    # YAML reads the key `on` as True. A pull request of a stranger must not run with the rights of the repository.
    assert "pull_request_target" not in workflow[True]
    assert "workflow_run" not in workflow[True]


@pytest.mark.parametrize(("workflow", "name", "job"), JOBS)
def test_a_job_lists_its_rights(workflow: Path, name: str, job: dict[str, Any]) -> None:
    assert isinstance(job["permissions"], dict)
    granted = {right for right, level in job["permissions"].items() if level != "read"}
    allowed = {"pages": {"pages", "id-token"}, "attest": {"attestations", "id-token"}, "publish": {"id-token"}}
    assert granted == allowed.get(name, set()) if workflow.stem == "release" else not granted
    if granted:
        # A job with such a right runs pinned actions on finished files, and nothing else.
        assert not [step for step in job["steps"] if "run" in step or "checkout" in step["uses"]]
        assert job["if"] == "startsWith(github.ref, 'refs/tags/v')"


@pytest.mark.parametrize("step", STEPS)
def test_no_expression_becomes_a_part_of_a_script(step: dict[str, Any]) -> None:
    scripts = [step.get("run", ""), *(value for key, value in step.get("with", {}).items() if "script" in key)]
    assert not [script for script in scripts if "${{" in script]


@pytest.mark.parametrize("step", STEPS)
def test_a_checkout_leaves_no_token_behind(step: dict[str, Any]) -> None:
    if "actions/checkout@" in step.get("uses", ""):
        assert step["with"]["persist-credentials"] is False


def test_no_workflow_uses_a_secret() -> None:
    assert "secrets." not in "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)


# --- the release ---


def release_job(name: str) -> dict[str, Any]:
    job: dict[str, Any] = parsed(ROOT / ".github" / "workflows" / "release.yml")["jobs"][name]
    return job


def test_a_release_is_audited_and_attested_before_it_is_published() -> None:
    assert release_job("publish")["needs"] == ["attest"]
    assert {"audit", "wheels", "sdist"} <= set(release_job("attest")["needs"])
    assert any("actions/attest-build-provenance@" in step["uses"] for step in release_job("attest")["steps"])
    audit = (ROOT / ".github" / "workflows" / "audit.yml").read_text(encoding="utf-8")
    assert "cargo deny --locked check" in audit
    for path in PINNED:
        assert f"pip-audit --require-hashes --disable-pip --requirement requirements/{path.name}" in audit


@pytest.mark.parametrize("name", ["wheels", "sdist"])
def test_the_builder_and_the_compiler_of_a_release_have_fixed_versions(name: str) -> None:
    (settings,) = [step["with"] for step in release_job(name)["steps"] if "maturin-action@" in step.get("uses", "")]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", settings["maturin-version"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", settings["rust-toolchain"])
    rust = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["rust-version"]
    assert Version(settings["rust-toolchain"]) >= Version(rust)


def test_packages_that_run_where_a_wheel_is_made_have_known_hashes() -> None:
    job = release_job("wheels")
    installing = [step for step in job["steps"] if "pip" in step.get("run", "")]
    assert installing
    assert all("--require-hashes --only-binary=:all:" in step["run"] for step in installing)
    profiled = [build for build in job["strategy"]["matrix"]["include"] if "pgo" in build]
    assert profiled
    for build in profiled:
        assert "PIP_NO_INDEX=1 -e PIP_FIND_LINKS=build/profile" in " ".join(build["container-environment"].split())


# --- the pinned requirements ---


def project() -> dict[str, Any]:
    data: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return data


def versions(path: Path) -> dict[str, list[Version]]:
    """The versions of each package of a file; several with markers."""
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.stem)
def test_each_pinned_package_has_hashes(path: Path) -> None:
    entries = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").split("\n", 1)[1])
    assert entries
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+.* \\\n    --hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize(("name", "python"), [("profile", "3.12"), ("lowest", "3.10")])
def test_the_pinned_versions_satisfy_the_requirements(name: str, python: str) -> None:
    pinned = versions(ROOT / "requirements" / f"{name}.txt")
    for requirement in map(Requirement, project()["dependencies"]):
        if requirement.marker is not None and not requirement.marker.evaluate({"python_version": python}):
            continue
        for version in pinned[canonicalize_name(requirement.name)]:
            assert version in requirement.specifier, "run `make pins`"


def test_the_lowest_versions_are_the_lower_bounds() -> None:
    pinned = versions(ROOT / "requirements" / "lowest.txt")
    for requirement in map(Requirement, project()["dependencies"]):
        (bound,) = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
        assert min(pinned[canonicalize_name(requirement.name)]) == bound, "run `make pins`"


# The first versions without the published holes in templates, in parsing of JSON and of chunks, and in the sandbox.
FIXED = {"langchain-core": "1.2.5", "orjson": "3.11.6", "h11": "0.16", "jinja2": "3.1.6"}


@pytest.mark.parametrize(("name", "fixed"), FIXED.items())
def test_no_lower_bound_admits_a_version_with_a_known_hole(name: str, fixed: str) -> None:
    declared = [*project()["dependencies"], *project()["optional-dependencies"]["jinja2"]]
    (requirement,) = [one for one in map(Requirement, declared) if one.name == name]
    (bound,) = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
    assert bound >= Version(fixed)


def test_dependabot_follows_actions_crates_and_packages() -> None:
    updates = parsed(ROOT / ".github" / "dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"cargo", "github-actions", "npm", "pip"}


def test_the_security_policy_names_a_private_way_to_report() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "privately" in text
    assert "docs/guarantees/security.md" in text
