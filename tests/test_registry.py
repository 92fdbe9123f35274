"""Agents of other packages and of users' modules: by entry point, by ``module:name``, never from a run directory."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import morl
from morl import registry
from morl.analysis import results
from morl.cli import main
from morl.errors import UserError
from morl.registry import AgentSpec, agent_spec, agent_specs
from morl.runs.directory import check_module
from tests.tiny import SPEC

OLD = Path(__file__).parent / "runs" / "old_runs" / "format-3"


@dataclass
class Package:
    name = "a-package"


@dataclass
class EntryPoint:
    """Stand-in for an entry point as ``importlib.metadata`` finds it."""

    name: str
    loads: Any
    value: str = "package:SPEC"
    dist: Any = dataclasses.field(default_factory=Package)

    def load(self):
        if isinstance(self.loads, Exception):
            raise self.loads
        return self.loads


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """A registry of this test's own."""
    agent_specs()
    monkeypatch.setattr(registry, "_AGENTS", dict(registry._AGENTS))
    monkeypatch.setattr(registry, "_asked", set())
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])


@pytest.fixture
def plug_ins(monkeypatch):
    def install(**values):
        found = [EntryPoint(name, value) for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: found if group == "morl.agents" else [])

    return install


def spec_of(name):
    return dataclasses.replace(SPEC, name=name)


def test_packages_add_agents_by_entry_point(plug_ins, capsys):
    plug_ins(one=spec_of("plug-one"), two=[spec_of("plug-two"), spec_of("plug-three")])
    assert agent_spec("plug-two") == spec_of("plug-two")
    assert {"plug-one", "plug-two", "plug-three", "cmorl"} <= set(agent_specs())
    assert main(["agents"]) == 0
    assert re.search(r"^plug-three +of tests$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (ImportError("No module named 'numpie'"), r"ImportError: No module named 'numpie'"),
        ("text", r"it must name a morl\.AgentSpec or a list of them, not 'text'"),
        (3, r"it must name a morl\.AgentSpec or a list of them, not 3"),
        (
            spec_of("cmorl"),
            r"agent 'cmorl' is already registered \(morl\.agents\.cmorl.*\); the other \(tests\.tiny:Tiny\) needs",
        ),
        (spec_of("my:agent"), r"the agent's name 'my:agent' must be letters, digits"),
    ],
)
def test_a_broken_package_costs_nothing_but_a_warning(plug_ins, value, why):
    plug_ins(broken=value, sound=spec_of("plug-one"))
    with pytest.warns(UserWarning, match=rf"agents of a-package not loaded \(broken = 'package:SPEC'\): {why}"):
        specs = agent_specs()
    assert "plug-one" in specs
    assert specs["cmorl"].entry_point.startswith("morl.")
    agent_specs()  # and only once


def test_what_is_known_asks_no_package(plug_ins):
    plug_ins(broken=ImportError("asked"))
    assert agent_spec("cmorl").name == "cmorl"
    with pytest.warns(UserWarning, match="asked"), pytest.raises(UserError, match="unknown agent 'nobody-has-it'"):
        agent_spec("nobody-has-it")


MODULE = """
import morl
from dataclasses import replace
from tests.tiny import SPEC as TINY
morl.register_agent(replace(TINY, name="mine"))
NOT_YET = replace(TINY, name="other")
cmorl = replace(TINY, name="my-cmorl")
"""


def test_a_module_in_the_working_directory_has_its_own(tmp_path, monkeypatch):
    (tmp_path / "my_agents_of_test.py").write_text(MODULE)
    (tmp_path / "my_broken_agents_of_test.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    assert agent_spec("my_agents_of_test:mine").name == "mine"
    assert agent_spec("my_agents_of_test:NOT_YET").name == "other"  # by the variable's name
    assert agent_spec("other").name == "other"  # and registered
    assert agent_spec("my_agents_of_test:cmorl").name == "my-cmorl"  # not the library's
    with pytest.raises(UserError, match=r"unknown agent 'my_agents_of_test:mien'"):
        agent_spec("my_agents_of_test:mien")
    with pytest.raises(
        UserError, match=r"cannot import module 'my_broken_agents_of_test' of agent .*: ZeroDivisionError.*\(.*:1\)$"
    ):
        agent_spec("my_broken_agents_of_test:mine")


@pytest.mark.parametrize("name", ["training", "file", "class", "2nd.agent-v1"])
def test_any_name_of_an_agent_parses(name):
    from morl.cli.train import parse
    from tests.tiny import TinyConfig

    morl.register_agent(spec_of(name))
    settings, config = parse(name, TinyConfig, ["--steps", "7", "--rounds", "3"])
    assert (settings.steps, config) == (7, TinyConfig(rounds=3))


def test_a_run_of_an_agent_of_a_module(tmp_path, monkeypatch, capsys):
    """Check that config.yaml names the module, which a later process needs, and holds for the plain name as well."""
    from morl.cli.train import parse
    from tests.tiny import TinyConfig

    (tmp_path / "my_agents_of_run.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    flags = ["--env", "deep-sea-treasure-v0", "--steps", "800", "--evaluations", "1", "--final-episodes", "1"]
    assert main(["train", "my_agents_of_run:mine", *flags, "--eval-episodes", "1"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("my_agents_of_run-mine-deep-sea-treasure-v0-")
    assert yaml.safe_load((run / "config.yaml").read_text())["agent"] == "my_agents_of_run:mine"
    assert len(morl.load(run).front)
    for name in ("my_agents_of_run:mine", "mine"):
        assert parse(name, TinyConfig, ["--config", str(run / "config.yaml")])[0].steps == 800
    with pytest.raises(UserError, match="holds settings of the agent 'my_agents_of_run:mine', not of 'cmorl'"):
        parse("cmorl", TinyConfig, ["--config", str(run / "config.yaml")])


# --- Modules inside a run directory -----------------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path):
    """A run as somebody might send it, with a module in it that leaves a file where it is imported."""
    run = tmp_path / "sent"
    shutil.copytree(OLD, run)
    (run / "evil.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\nimport morl\n")
    return run


def rename(run, **settings):
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, **settings}))


COMMANDS = (
    *("front", "evaluate", "report", "compare", "rollout --policy 0", "export --policy 0 --out x.pt2"),
    *("sample --preference 0.5 0.5", "train --resume"),
)


@pytest.mark.parametrize("where", ["inside", "beside"])
@pytest.mark.parametrize("setting", ["agent", "env"])
def test_no_module_of_a_run_directory_is_imported(planted, setting, where, tmp_path, monkeypatch, capsys):
    rename(planted, **{setting: "evil:x" if where == "inside" else "sent.evil:x"})
    monkeypatch.chdir(planted if where == "inside" else tmp_path)
    for command in COMMANDS:
        name, *flags = command.split()
        code = main([name, *flags, "." if where == "inside" else "sent"])
        err = capsys.readouterr().err
        if code:
            assert "is of a module" in err, command
            assert err.count("\n") == 1
        else:  # numbers of a run can be shown without its environment
            assert (setting, name) in (("env", "front"), ("env", "report"), ("env", "compare"))
    assert not (tmp_path / "owned").exists()
    assert not {"evil", "sent", "sent.evil"} & set(sys.modules)


def test_modules_elsewhere_are_no_concern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "my_project" / "runs" / "one"
    run.mkdir(parents=True)
    check_module("agent x", "", run)
    check_module("agent x", "my_project.agents", run)
    with pytest.raises(UserError, match=r"the agent x is of a module inside .*one itself"):
        check_module("agent x", "my_project.runs.one", run)
    (tmp_path / "innocent").symlink_to(run)
    with pytest.raises(UserError, match="is of a module inside"):
        check_module("agent x", "innocent.agents", run)
    monkeypatch.syspath_prepend(str(run))
    with pytest.raises(UserError, match="is of a module inside"):
        check_module("agent x", "anything", run)


def test_a_package_that_cannot_be_imported_is_one_line_on_the_command_line(tmp_path):
    """Read the metadata that pip writes, in a process of its own."""
    (tmp_path / "a_broken_agent.py").write_text("1 / 0")
    info = tmp_path / "broken_agents-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-agents\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[morl.agents]\nbroken = a_broken_agent:SPEC\n")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-m", "morl", "agents"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "cmorl" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line == (
        "morl: warning: agents of broken-agents not loaded (broken = 'a_broken_agent:SPEC'):"
        " ZeroDivisionError: division by zero (a_broken_agent.py:1)"
    )


def test_a_run_without_its_agent_has_numbers_and_no_policies(planted):
    rename(planted, agent="not-installed")
    (result,) = results.read([planted])
    assert result.spec is None
    with pytest.raises(UserError, match="unknown agent 'not-installed'"):
        morl.load(planted)


def no_settings(env):
    """Stand in for a preset that returns nothing."""


def test_a_preset_that_returns_no_settings_is_one_line():
    spec = AgentSpec("odd", "", "", "", protocols={"paper": f"{__name__}:no_settings"})
    with pytest.raises(UserError, match="agent odd: preset paper must return settings by name, not a NoneType"):
        spec.protocol("paper", "x-v0")
