"""The repository's own files, such as workflow, citation and changelog: they parse, and what they name exists."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests.conftest import SMOKE

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
JOB = WORKFLOW["jobs"]["test"]
MATRIX = JOB["strategy"]["matrix"]["include"]
LINKS = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def supported(name):
    (found,) = (r for r in map(Requirement, PROJECT["dependencies"]) if r.name == name)
    return found.specifier


# --- Workflow ---------------------------------------------------------------------------------------------------------


def test_the_workflow_runs_on_changes_and_calls_the_check():
    assert {"push", "pull_request", "schedule"} <= set(WORKFLOW[True])  # YAML reads `on` as true
    commands = [step.get("run", "").strip() for step in JOB["steps"]]
    assert ".ci/run" in commands
    for script in (".ci/run", ".ci/audit", ".ci/lowest"):
        assert os.access(ROOT / script, os.X_OK), script
    assert JOB["env"]["PIP_CONSTRAINT"].endswith("/constraints.txt")
    assert any("> constraints.txt" in command for command in commands)


def test_the_matrix_covers_what_is_supported():
    classifiers = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert {entry["python"] for entry in MATRIX} == set(classifiers) == {"3.11", "3.12", "3.13", "3.14"}
    versions = {entry["gymnasium"] for entry in MATRIX} - {"any"}
    assert versions == {"1.1", "1.2", "1.3", "1.4"}
    assert all(supported("gymnasium").contains(Version(f"{version}.0")) for version in versions)
    assert not supported("gymnasium").contains("1.0.0")
    assert not supported("gymnasium").contains("1.5.0")
    assert {entry["pins"] for entry in MATRIX} == {"none", "lowest", "newest"}


def test_matrix_values_are_texts():
    """3.10 without quotes would be 3.1."""
    assert all(isinstance(value, str) for entry in MATRIX for value in entry.values())


def test_lowest_versions_are_the_floors():
    done = subprocess.run([sys.executable, ROOT / ".ci/lowest"], capture_output=True, text=True, check=True)
    pins = {r.name: r.specifier for r in map(Requirement, done.stdout.split())}
    floors = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    assert set(pins) == set(floors)
    for name, specifier in floors.items():
        (floor,) = (Version(each.version) for each in specifier if each.operator == ">=")
        assert pins[name].contains(floor), name
        assert not pins[name].contains(f"{floor.major}.{floor.minor + 1}"), name


def test_lowest_versions_of_an_extra():
    done = subprocess.run([sys.executable, ROOT / ".ci/lowest", "tune"], capture_output=True, text=True, check=True)
    assert {"ray==2.50.*", "optuna==4.0.*", "numpy==2.0.*"} <= set(done.stdout.split())


def test_another_python_and_a_constraint_reach_the_test_command(tmp_path):
    """``.ci/run`` as far as the command of the README: PYTHON is its python3, PIP_CONSTRAINT is found from anywhere."""
    head = (ROOT / ".ci/run").read_text().partition('cd "$(dirname "$0")/.."')[0]
    (tmp_path / "constraints.txt").write_text("numpy==2.0.*\n")
    (tmp_path / "other").write_text('#!/bin/sh\necho "other $*"\n')
    (tmp_path / "other").chmod(0o755)
    script = head + 'cd / && python3 -m venv x && echo "$PIP_CONSTRAINT"\n'
    env = {**os.environ, "PYTHON": "./other", "PIP_CONSTRAINT": "constraints.txt"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["other -m venv x", str(tmp_path / "constraints.txt")]


def test_without_variables_the_check_is_that_of_a_clean_checkout(tmp_path):
    head = (ROOT / ".ci/run").read_text().partition('cd "$(dirname "$0")/.."')[0]
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "PIP_CONSTRAINT")}
    script = head + 'command -v python3; echo "${PIP_CONSTRAINT-none}"\n'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    usual = subprocess.run(["bash", "-c", "command -v python3"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [usual.stdout.strip(), "none"]


# --- Hooks, citation, templates ---------------------------------------------------------------------------------------


def test_hooks_are_local_and_use_the_development_environment():
    tools = {Requirement(r).name for r in PROJECT["optional-dependencies"]["dev"]}
    assert "pre-commit" in tools
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    commands = [shlex.split(hook["entry"]) for hook in repository["hooks"]]
    assert [command[0] for command in commands] == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/mypy"]
    assert {Path(command[0]).name for command in commands} <= tools
    assert all(hook["language"] == "system" for hook in repository["hooks"])


def test_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)  # all that 1.2.0 requires
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]


def test_license():
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license-files"] == ["LICENSE"]
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms(name):
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text())
    assert form["name"]
    assert form["description"]
    identifiers = [part["id"] for part in form["body"]]
    assert len(identifiers) == len(set(identifiers)) > 0
    for part in form["body"]:
        assert part["type"] in ("textarea", "input")
        assert part["attributes"]["label"]
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_blank_issues_stay_possible():
    config = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text())
    assert config == {"blank_issues_enabled": True}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_exist(name):
    links = [link for link in LINKS.findall((ROOT / name).read_text()) if not link.startswith("http")]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_scripts_and_folders_of_contributing_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    scripts = set(re.findall(r"python (benchmarks/[\w/]+\.py)", text)) | set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    assert scripts
    assert [script for script in scripts if not (ROOT / script).exists()] == []
    folders = set(re.findall(r"`(morl/\w+/)`", text))
    assert folders
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def test_tiers_of_contributing_are_markers():
    """Check markers, as ``pytest -m`` with an unknown one silently selects nothing."""
    markers = {line.partition(":")[0] for line in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    named = set(re.findall(r"pytest -q -m (\w+)", (ROOT / "CONTRIBUTING.md").read_text()))
    assert named == markers


def test_smoke_tests_exist():
    for entry in SMOKE:
        name, _, function = entry.partition("::")
        assert (ROOT / name).exists(), entry
        assert not function or f"\ndef {function}(" in (ROOT / name).read_text(), entry


# --- Changelog --------------------------------------------------------------------------------------------------------


def table(heading):
    """Return the rows of the changelog's table under a heading, each cell as the names in it."""
    section = (ROOT / "CHANGELOG.md").read_text().split(f"\n### {heading}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\|(.*)\|$", section, re.M)[2:]
    return [[re.findall(r"`([\w.]+)`", cell) for cell in row.split("|")] for row in rows]


def test_the_changelog_has_what_is_not_released():
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\]", text, re.M)
    assert headings[0] == "Unreleased"
    assert PROJECT["version"] in headings


def test_modules_of_the_changelog_exist():
    rows = table("Modules moved")
    assert len(rows) > 30
    for old, new in rows:
        assert old
        for name in new:
            path = ROOT / name.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name
